package samples_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

const npyFolder = "testdata/npy/" // write.py there made the files

func TestNPY(t *testing.T) {
	grid := []string{"x FP32 [1 4] 0 0.25 0.5 0.75", "x FP32 [1 4] 1 1.25 1.5 1.75", "x FP32 [1 4] 2 2.25 2.5 2.75"}
	x := func(d tensor.DType, shape ...int64) *driver.Signature { return signature(input("x", d, shape...)) }
	unranked := signature(driver.TensorInfo{Name: "x", Type: tensor.FP32, Unranked: true})
	tests := []sample{
		{name: "rows", file: "f4.npy", sig: x(tensor.FP32, -1, 4), want: grid},
		{name: "first rows", file: "f4.npy", sig: x(tensor.FP32, -1, 4), most: 2, want: grid[:2], more: true},
		{name: "format 2.0", file: "f4-v2.npy", sig: x(tensor.FP32, -1, 4), want: grid},
		{name: "format 3.0", file: "f4-v3.npy", sig: x(tensor.FP32, -1, -1), want: grid},
		{name: "float64 to FP32", file: "f8.npy", sig: x(tensor.FP32, -1, 4), want: grid},
		{name: "float16 to FP32", file: "f2.npy", sig: x(tensor.FP32, 1, 4), want: grid},
		{name: "big-endian in Fortran order", file: "f8-big-fortran.npy", sig: x(tensor.FP32, -1, 4), want: grid},
		{name: "first row in Fortran order", file: "f8-big-fortran.npy", sig: x(tensor.FP32, -1, 4), most: 1, want: grid[:1], more: true},
		{name: "no rank", file: "f4.npy", sig: unranked, want: grid},
		{name: "not batched, as a whole", file: "f4.npy", sig: x(tensor.FP32, 3, 4), want: []string{"x FP32 [3 4] 0 0.25 0.5 0.75 1 1.25 1.5 1.75 2 2.25 2.5 2.75"}},
		{name: "not batched, by row", file: "f4.npy", sig: x(tensor.FP32, 4), want: []string{"x FP32 [4] 0 0.25 0.5 0.75", "x FP32 [4] 1 1.25 1.5 1.75", "x FP32 [4] 2 2.25 2.5 2.75"}},
		{name: "one row without its batch", file: "f4.npy", sig: x(tensor.FP32, -1, 3, 4), want: []string{"x FP32 [1 3 4] 0 0.25 0.5 0.75 1 1.25 1.5 1.75 2 2.25 2.5 2.75"}},
		{name: "one row in Fortran order", file: "f8-big-fortran.npy", sig: x(tensor.FP64, -1, 3, 4), want: []string{"x FP64 [1 3 4] 0 0.25 0.5 0.75 1 1.25 1.5 1.75 2 2.25 2.5 2.75"}},
		{name: "three dimensions in Fortran order", file: "i2-fortran-3d.npy", sig: x(tensor.Int64, -1, 3, 4),
			want: []string{"x INT64 [1 3 4] 0 1 2 3 4 5 6 7 8 9 10 11", "x INT64 [1 3 4] 12 13 14 15 16 17 18 19 20 21 22 23"}},
		{name: "the first of three dimensions", file: "i2-fortran-3d.npy", sig: x(tensor.FP16, -1, 3, 4), most: 1, more: true,
			want: []string{"x FP16 [1 3 4] 0 1 2 3 4 5 6 7 8 9 10 11"}},
		{name: "a column", file: "i8-big.npy", sig: x(tensor.Int64, -1, 1), want: []string{"x INT64 [1 1] -9223372036854775808", "x INT64 [1 1] 9007199254740993", "x INT64 [1 1] 9223372036854775807"}},
		{name: "a list for a column", file: "u8.npy", sig: x(tensor.Uint64, -1, 1), want: []string{"x UINT64 [1 1] 0", "x UINT64 [1 1] 9007199254740993", "x UINT64 [1 1] 18446744073709551615"}},
		{name: "a list for a row", file: "u8.npy", sig: x(tensor.Uint64, -1, 3), want: []string{"x UINT64 [1 3] 0 9007199254740993 18446744073709551615"}},
		{name: "single values", file: "u8.npy", sig: x(tensor.Uint64), most: 2, want: []string{"x UINT64 [] 0", "x UINT64 [] 9007199254740993"}, more: true},
		{name: "bool", file: "bool.npy", sig: x(tensor.Bool, -1, 2), want: []string{"x BOOL [1 2] true false", "x BOOL [1 2] false true"}},
		{name: "bool to numbers", file: "bool.npy", sig: x(tensor.FP32, -1, 2), want: []string{"x FP32 [1 2] 1 0", "x FP32 [1 2] 0 1"}},
		{name: "text", file: "text.npy", sig: x(tensor.Bytes, -1), want: []string{`x BYTES [1] ""`, `x BYTES [1] "a"`, `x BYTES [1] "é€𝄞"`}},
		{name: "big-endian text", file: "text-big.npy", sig: x(tensor.Bytes, 3), want: []string{`x BYTES [3] "" "a" "é€𝄞"`}},
		{name: "bytes", file: "bytes.npy", sig: x(tensor.Bytes, -1, 1), want: []string{`x BYTES [1 1] ""`, `x BYTES [1 1] "a"`, `x BYTES [1 1] "abc"`}},
		{name: "scalar", file: "scalar.npy", sig: x(tensor.FP32), want: []string{"x FP32 [] 0.5"}},
		{name: "scalar for a batch", file: "scalar.npy", sig: x(tensor.FP32, -1), want: []string{"x FP32 [1] 0.5"}},
		{name: "scalar for no rank", file: "scalar.npy", sig: unranked, want: []string{"x FP32 [] 0.5"}},
		{name: "no columns", file: "no-columns.npy", sig: x(tensor.FP32, -1, -1), want: []string{"x FP32 [1 0]", "x FP32 [1 0]"}},
		{name: "NaN, infinities, -0", file: "special.npy", sig: x(tensor.BF16, -1, 4), want: []string{"x BF16 [1 4] NaN +Inf -Inf -0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, _, _ := strings.Cut(tt.want[0], "]")
			tt.mapping = strings.Replace(fmt.Sprintf("  input %s] from %q", first, tt.file), "input x", `input "x"`, 1)
			tt.run(t, npyFolder+tt.file)
		})
	}
}

func TestNPZ(t *testing.T) {
	penguins := sample{
		sig: signature(input("bill_length_mm", tensor.FP32, -1, 1), input("threshold", tensor.FP64), input("Island", tensor.Bytes, -1, 1)),
		want: []string{
			`bill_length_mm FP32 [1 1] 39.5 | threshold FP64 [] 0.25 | Island BYTES [1 1] "Biscoe"`,
			`bill_length_mm FP32 [1 1] NaN | threshold FP64 [] 0.25 | Island BYTES [1 1] "Dream"`,
		},
		mapping: `  input "bill_length_mm" FP32 [1 1] from "bill_length_mm"
  input "threshold" FP64 [] from "threshold"
  input "Island" BYTES [1 1] from "island"
  ignored: "year"`,
	}
	penguins.run(t, npyFolder+"penguins.npz")

	// Every type holds its own borders, and those of no wider type.
	text := map[string]string{
		"i1": "INT8 [2] -128 127", "i2": "INT16 [2] -32768 32767", "i4": "INT32 [2] -2147483648 2147483647", "i8": "INT64 [2] -9223372036854775808 9223372036854775807",
		"u1": "UINT8 [2] 0 255", "u2": "UINT16 [2] 0 65535", "u4": "UINT32 [2] 0 4294967295", "u8": "UINT64 [2] 0 18446744073709551615",
		"f2": "FP16 [2] 6.1035156e-05 65504", "f4": "FP32 [2] 1.1754944e-38 3.4028235e+38", "f8": "FP64 [2] 2.2250738585072014e-308 1.7976931348623157e+308",
	}
	types := map[string]tensor.DType{
		"i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64, "u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64,
		"f2": tensor.FP16, "f4": tensor.FP32, "f8": tensor.FP64,
	}
	for name, d := range types {
		requests, _, err := samples.FromFile(npyFolder+"borders.npz", signature(input(name, d, 2)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := show(t, requests[0]), name+" "+text[name]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, narrow := range types {
			_, _, err := samples.FromFile(npyFolder+"borders.npz", signature(input(name, narrow, 2)), 0)
			if fits := holds(narrow, d); fits != (err == nil) {
				t.Errorf("%v into %v: got %v, want it to fit: %v", d, narrow, err, fits)
			}
		}
	}
}

// holds reports whether a narrow type holds the borders of d: by widths and
// precisions, another way than the code under test goes.
func holds(narrow, d tensor.DType) bool {
	signed := func(d tensor.DType) bool { return d >= tensor.Int8 && d <= tensor.Int64 }
	float := func(d tensor.DType) bool { return d >= tensor.FP16 }
	switch {
	case float(narrow) && float(d):
		return narrow >= d // FP16 < FP32 < FP64; the smallest may round to 0
	case float(narrow):
		// 0 and 2^n-1 or -2^(n-1) and 2^(n-1)-1 in 11, 24 or 53 bits.
		bits := 8 * d.Size()
		if signed(d) {
			bits--
		}
		return bits <= map[tensor.DType]int{tensor.FP16: 11, tensor.FP32: 24, tensor.FP64: 53}[narrow]
	case float(d):
		return false // tiny is a fraction
	case signed(d):
		return signed(narrow) && narrow.Size() >= d.Size()
	case signed(narrow):
		return narrow.Size() > d.Size()
	}
	return narrow.Size() >= d.Size()
}

func TestNPYErrors(t *testing.T) {
	npy := func(header string) string {
		return "\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(header)))) + header
	}
	dict := func(descr, order, shape string) string {
		return npy(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape))
	}
	f4 := dict("<f4", "False", "(1, 4)")
	row := string(make([]byte, 16))
	x := signature(input("x", tensor.FP32, -1, 4))
	ints := signature(input("x", tensor.Int8, -1))
	tests := []struct {
		name, file string // a path in testdata, or the file itself
		sig        *driver.Signature
		code       fault.Code
		text       string
	}{
		{"no array", "x,y\n1,2\n", x, fault.Invalid, `want a NumPy array, got "x,y\n1,"`},
		{"empty", "", x, fault.Invalid, "want a NumPy array, got "},
		{"format 4.0", "\x93NUMPY\x04\x00" + f4[8:] + row, x, fault.Invalid, "want NPY format 1.0 to 3.0, got 4.0"},
		{"no header", "\x93NUMPY\x01\x00\x10", x, fault.Invalid, "want a header, got the end"},
		{"short header", f4[:30], x, fault.Invalid, "got the end of the file"},
		{"long header", "\x93NUMPY\x02\x00\x01\x00\x01\x00" + f4, x, fault.Invalid, "want a header of at most 65536 bytes, got 65537"},
		{"no dictionary", npy("hello"), x, fault.Invalid, `header: byte 0: want {, got "hello"`},
		{"fewer keys", npy("{'descr': '<f4'}"), x, fault.Invalid, "want the keys descr, fortran_order and shape, got fewer"},
		{"a key twice", npy("{'descr': '<f4', 'descr': '<f8'}"), x, fault.Invalid, `key "descr" occurs twice`},
		{"another key", npy("{'desc': '<f4'}"), x, fault.Invalid, `got "desc"`},
		{"an open string", npy("{'descr"), x, fault.Invalid, "want a string"},
		{"no shape", dict("<f4", "False", "[1]"), x, fault.Invalid, "want (, got "},
		{"a negative dimension", dict("<f4", "False", "(-1,)"), x, fault.Invalid, "want at most 32 whole numbers"},
		{"something after", npy("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x"), x, fault.Invalid, "want nothing more"},
		{"neither True nor False", dict("<f4", "None", "()"), x, fault.Invalid, "want True or False"},
		{"no order", dict("<<f4", "False", "()"), x, fault.Invalid, `want a type such as "<f4", got "<<f4"`},
		{"long double", dict("<f16", "False", "()"), x, fault.Invalid, `want elements of type bool, int, uint, float16 to float64 or str, got "<f16"`},
		{"strings of nothing", dict("<U0", "False", "(99999999,)"), x, fault.Invalid, `got "<U0"`},
		{"strings without end", dict("|S9999999", "False", "()"), x, fault.Invalid, `got "|S9999999"`},
		{"too many elements", dict("<f8", "False", "(4294967296, 4294967295)"), x, fault.Invalid, "want a shape that can be counted"},
		{"short data", f4 + row[1:], x, fault.Invalid, "want [1 4] elements of <f4, got the end of the file before"},
		{"short data in Fortran order", dict("<f4", "True", "(2, 4)") + row + row[5:], x, fault.Invalid, "got the end of the file before"},
		{"more than memory", dict("<f4", "False", "(1, 99999999999)"), signature(input("x", tensor.FP32, -1, -1)), fault.TooLarge, "want at most 67108864 bytes in 1 request"},
		{"more than patience", dict("<f4", "True", "(9999999999999, 4)"), x, fault.TooLarge, "bytes between rows"},
		{"complex", "complex.npy", x, fault.Invalid, `want elements of type bool, int, uint, float16 to float64 or str, got "<c8"`},
		{"time", "time.npy", x, fault.Invalid, `got "<M8[s]"`},
		{"record", "record.npy", x, fault.Invalid, "want one type for all elements, got a record"},
		{"objects", "object.npy", x, fault.Invalid, "want numbers or strings, got Python objects, which are programs and are not run"},
		{"no rows", "empty.npy", x, fault.Invalid, "want at least one row, got none"},
		{"another shape", "f4.npy", signature(input("x", tensor.FP32, -1, 5)), fault.Invalid, `f4.npy "f4.npy": want an array for input "x" FP32 [-1 5], got <f4 [3 4]`},
		{"text for numbers", "text.npy", signature(input("x", tensor.FP32, -1)), fault.Invalid, `element [0]: want a number within the range of FP32, got ""`},
		{"numbers for text", "f4.npy", signature(input("x", tensor.Bytes, -1, 4)), fault.Invalid, "element [0, 0]: want text for BYTES, got 0"},
		{"a fraction", "f4.npy", signature(input("x", tensor.Int64, -1, 4)), fault.Invalid, "element [0, 1]: want a whole number from -9223372036854775808 to 9223372036854775807 for INT64, got 0.25"},
		{"a fraction in the whole", "f4.npy", signature(input("x", tensor.Int64, 3, 4)), fault.Invalid, "element [0, 1]: want a whole number"},
		{"NaN", "special.npy", signature(input("x", tensor.Int64, -1, 4)), fault.Invalid, "element [0, 0]: want a whole number from -9223372036854775808 to 9223372036854775807 for INT64, got NaN"},
		{"an integer that would be rounded", "i8-big.npy", signature(input("x", tensor.FP64, -1, 1)), fault.Invalid, "element [1, 0]: want a number within the range of FP64, got 9007199254740993"},
		{"an integer out of range", "i8-big.npy", signature(input("x", tensor.Int8, -1, 1)), fault.Invalid, "got -9223372036854775808"},
		{"a float out of range", dict("<f8", "False", "(1, 4)") + strings.Repeat("\x00\x00\x00\x00\x00\x00\xf0\x43", 4), signature(input("x", tensor.Int64, -1, 4)), fault.Invalid, "got 1.8446744073709552e+19"},
		{"no text", dict("|S1", "False", "(1,)") + "\xff", signature(input("x", tensor.Bytes, -1)), fault.Invalid, `element [0]: want text for BYTES, got "\xff"`},
		{"no character", dict("<U1", "False", "(1,)") + "\x00\xd8\x00\x00", signature(input("x", tensor.Bytes, -1)), fault.Invalid, "element [0]: want text for BYTES"},
		{"two inputs", "f4.npy", signature(input("x", tensor.FP32, -1), input("y", tensor.FP32, -1)), fault.Invalid, "want a model with one input for a single array, got one with 2"},
		{"another range", "i8-big.npy", ints, fault.Invalid, "want an array for input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := npyFolder + tt.file
			if !strings.HasSuffix(tt.file, ".npy") {
				path = write(t, "x.npy", tt.file)
			}
			_, _, err := samples.FromFile(path, tt.sig, 0)
			refused(t, err, tt.code, tt.text, "")
		})
	}
}

func TestNPZErrors(t *testing.T) {
	f4, err := os.ReadFile(npyFolder + "f4.npy")
	if err != nil {
		t.Fatal(err)
	}
	u8, err := os.ReadFile(npyFolder + "bool.npy")
	if err != nil {
		t.Fatal(err)
	}
	pack := func(files ...string) string { // name, content, …
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; i < len(files); i += 2 {
			w, err := z.Create(files[i])
			if err == nil {
				_, err = w.Write([]byte(files[i+1]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	x, y := input("x", tensor.FP32, -1, 4), input("y", tensor.FP32, -1, 2)
	tests := []struct {
		name, file string
		sig        *driver.Signature
		text       string
	}{
		{"no archive", "hello", signature(x), "zip: not a valid zip file"},
		{"no such array", pack("a.npy", string(f4), "b.npy", string(f4)), signature(x), `want an array for input "x" FP32 [-1 4], got 2 arrays: "a", "b"`},
		{"no array", pack("x.npy", "hello"), signature(x), `rows.npz "x": want a NumPy array`},
		{"rows that differ", pack("x.npy", string(f4), "y.npy", string(u8)), signature(x, y), `want arrays of as many rows, got 3 in "x" and 2 in "y"`},
		{"short data", pack("x.npy", string(f4[:len(f4)-1])), signature(x), "got the end of the file before"},
		{"a model without inputs", pack("x.npy", string(f4)), signature(), "want no file for a model without inputs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := samples.FromFile(write(t, "rows.npz", tt.file), tt.sig, 0)
			refused(t, err, fault.Invalid, tt.text, "")
		})
	}
	only := sample{sig: signature(x), most: 1, want: []string{"x FP32 [1 4] 0 0.25 0.5 0.75"}, mapping: `  input "x" FP32 [1 4] from "arr_0"`, more: true}
	only.run(t, write(t, "rows.npz", pack("arr_0.npy", string(f4))))
}
