package samples_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/samples"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

func TestDigits(t *testing.T) {
	tt := sample{
		sig: signature(input("pixels", tensor.FP32, -1, 64)), most: 2, more: true,
		want: []string{
			"pixels FP32 [1 64] 0 0 0 12 13 5 0 0 0 0 0 11 16 9 0 0 0 0 3 15 16 6 0 0 0 7 15 16 16 2 0 0 0 0 1 16 16 3 0 0 0 0 1 16 16 6 0 0 0 0 1 16 16 6 0 0 0 0 0 11 16 10 0 0",
			"pixels FP32 [1 64] 0 0 6 14 4 0 0 0 0 0 11 16 10 0 0 0 0 0 8 14 16 2 0 0 0 0 1 12 12 11 0 0 0 0 0 0 0 11 3 0 0 0 0 0 0 5 11 0 0 0 1 4 4 7 16 2 0 0 7 16 16 13 11 1",
		},
		mapping: `  input "pixels" FP32 [1 64] from 64: "p0", "p1", "p2" … "p63"
  ignored: "index", "label"`,
	}
	tt.run(t, "../../examples/digits/heldout.csv")
}

func TestPenguins(t *testing.T) {
	tt := sample{
		sig: signature(input("island", tensor.Bytes, -1, 1), input("sex", tensor.Bytes, -1, 1),
			input("bill_length_mm", tensor.FP32, -1, 1), input("bill_depth_mm", tensor.FP32, -1, 1),
			input("flipper_length_mm", tensor.FP32, -1, 1), input("body_mass_g", tensor.FP32, -1, 1)),
		most: 2, more: true,
		want: []string{
			`island BYTES [1 1] "Torgersen" | sex BYTES [1 1] "female" | bill_length_mm FP32 [1 1] 39.5 | bill_depth_mm FP32 [1 1] 17.4 | flipper_length_mm FP32 [1 1] 186 | body_mass_g FP32 [1 1] 3800`,
			`island BYTES [1 1] "Torgersen" | sex BYTES [1 1] "" | bill_length_mm FP32 [1 1] NaN | bill_depth_mm FP32 [1 1] NaN | flipper_length_mm FP32 [1 1] NaN | body_mass_g FP32 [1 1] NaN`,
		},
		mapping: `  input "island" BYTES [1 1] from "island"
  input "sex" BYTES [1 1] from "sex"
  input "bill_length_mm" FP32 [1 1] from "bill_length_mm"
  input "bill_depth_mm" FP32 [1 1] from "bill_depth_mm"
  input "flipper_length_mm" FP32 [1 1] from "flipper_length_mm"
  input "body_mass_g" FP32 [1 1] from "body_mass_g"
  ignored: "index", "species", "year"`,
	}
	tt.run(t, "../../examples/penguins/heldout.csv")
}

func TestHeldOutRowsToTheLast(t *testing.T) {
	requests, m, err := samples.FromFile("../../examples/digits/heldout.csv", signature(input("pixels", tensor.FP32, -1, 64)), 1000)
	if err != nil || len(requests) != 360 || m.Requests != 360 || m.More {
		t.Errorf("got %d requests, %+v and %v; want 360 and no more", len(requests), m, err)
	}
}

func TestTable(t *testing.T) {
	tests := []sample{
		{
			name: "every type, exactly", file: "b,u8,u64,i8,i64,f16,bf16,f32,f64,s\n" +
				"True,255,18446744073709551615,-128,9007199254740993,0.1,0.1,0.1,0.1, a\n" +
				"0,0,9007199254740993.0,5.00,-9223372036854775808,-65504,,nan,-Inf,\"x,\"\"y\"\"\"\n",
			sig: signature(input("b", tensor.Bool, -1), input("u8", tensor.Uint8, -1, 1), input("u64", tensor.Uint64, 1), input("i8", tensor.Int8, 1, 1),
				input("i64", tensor.Int64), input("f16", tensor.FP16, -1), input("bf16", tensor.BF16, -1), input("f32", tensor.FP32, -1, -1), input("f64", tensor.FP64, -1), input("s", tensor.Bytes, -1)),
			want: []string{
				`b BOOL [1] true | u8 UINT8 [1 1] 255 | u64 UINT64 [1] 18446744073709551615 | i8 INT8 [1 1] -128 | i64 INT64 [] 9007199254740993 | f16 FP16 [1] 0.099975586 | bf16 BF16 [1] 0.100097656 | f32 FP32 [1 1] 0.1 | f64 FP64 [1] 0.1 | s BYTES [1] " a"`,
				`b BOOL [1] false | u8 UINT8 [1 1] 0 | u64 UINT64 [1] 9007199254740993 | i8 INT8 [1 1] 5 | i64 INT64 [] -9223372036854775808 | f16 FP16 [1] -65504 | bf16 BF16 [1] NaN | f32 FP32 [1 1] NaN | f64 FP64 [1] -Inf | s BYTES [1] "x,\"y\""`,
			},
			mapping: `  input "b" BOOL [1] from "b"
  input "u8" UINT8 [1 1] from "u8"
  input "u64" UINT64 [1] from "u64"
  input "i8" INT8 [1 1] from "i8"
  input "i64" INT64 [] from "i64"
  input "f16" FP16 [1] from "f16"
  input "bf16" BF16 [1] from "bf16"
  input "f32" FP32 [1 1] from "f32"
  input "f64" FP64 [1] from "f64"
  input "s" BYTES [1] from "s"`,
		},
		{
			name: "names but for case and punctuation", file: "Body Mass (g);Island\n3800;Biscoe\n",
			sig:     signature(input("island", tensor.Bytes, -1), input("body_mass_g", tensor.FP32, -1)),
			want:    []string{`island BYTES [1] "Biscoe" | body_mass_g FP32 [1] 3800`},
			mapping: "  input \"island\" BYTES [1] from \"Island\"\n  input \"body_mass_g\" FP32 [1] from \"Body Mass (g)\"",
		},
		{
			name: "an exact name wins", file: "X,x\n1,2\n", sig: signature(input("x", tensor.Int32, -1)),
			want: []string{"x INT32 [1] 2"}, mapping: "  input \"x\" INT32 [1] from \"x\"\n  ignored: \"X\"",
		},
		{
			name: "exactly as many columns", file: "sepal,petal,width\n1,2,3\n4,5,6\n7,8,9\n", sig: signature(input("x", tensor.FP32, -1, 3)), most: 2, more: true,
			want: []string{"x FP32 [1 3] 1 2 3", "x FP32 [1 3] 4 5 6"}, mapping: `  input "x" FP32 [1 3] from "sepal", "petal", "width"`,
		},
		{
			name: "numbers of rows without a name", file: ",a,b\n0,1,2\n", sig: signature(input("x", tensor.FP32, -1, 2)),
			want: []string{"x FP32 [1 2] 1 2"}, mapping: "  input \"x\" FP32 [1 2] from \"a\", \"b\"\n  ignored: \"\"",
		},
		{
			name: "numbers as names", file: ",0,1,2\n0,7,8,9\n", sig: signature(input("x", tensor.Int64, -1, 3)),
			want: []string{"x INT64 [1 3] 7 8 9"}, mapping: "  input \"x\" INT64 [1 3] from \"0\", \"1\", \"2\"\n  ignored: \"\"",
		},
		{
			name: "numbered columns in the order of their numbers", file: "label,pixel_10,pixel_9,pixel_11,v1,v2,v3,v4\nq,10,9,11,0,0,0,0\n", sig: signature(input("x", tensor.Uint8, -1, 3)),
			want:    []string{"x UINT8 [1 3] 9 10 11"},
			mapping: "  input \"x\" UINT8 [1 3] from \"pixel_9\", \"pixel_10\", \"pixel_11\"\n  ignored: \"label\", \"v1\", \"v2\", \"v3\", \"v4\"",
		},
		{
			name: "pictures", file: "p0,p1,p2,p3,label\n1,2,3,4,9\n", sig: signature(input("x", tensor.FP32, -1, 1, 2, 2)),
			want: []string{"x FP32 [1 1 2 2] 1 2 3 4"}, mapping: "  input \"x\" FP32 [1 1 2 2] from \"p0\", \"p1\", \"p2\", \"p3\"\n  ignored: \"label\"",
		},
		{
			name: "several inputs of several values", file: "user_0,user_1,age,item0,item1\n1,2,30,3,4\n",
			sig:     signature(input("item", tensor.FP32, -1, 2), input("age", tensor.Int64, -1, 1), input("user", tensor.FP32, -1, 2)),
			want:    []string{"item FP32 [1 2] 3 4 | age INT64 [1 1] 30 | user FP32 [1 2] 1 2"},
			mapping: "  input \"item\" FP32 [1 2] from \"item0\", \"item1\"\n  input \"age\" INT64 [1 1] from \"age\"\n  input \"user\" FP32 [1 2] from \"user_0\", \"user_1\"",
		},
		{
			name: "any number: the numbered ones", file: "label,p0,p1\n9,1,2\n", sig: signature(input("x", tensor.FP32, -1, -1)),
			want: []string{"x FP32 [1 2] 1 2"}, mapping: "  input \"x\" FP32 [1 2] from \"p0\", \"p1\"\n  ignored: \"label\"",
		},
		{
			name: "any number: all", file: "a,b,c\n1,2,3\n", sig: signature(driver.TensorInfo{Name: "x", Type: tensor.FP32, Unranked: true}),
			want: []string{"x FP32 [1 3] 1 2 3"}, mapping: `  input "x" FP32 [1 3] from "a", "b", "c"`,
		},
		{
			name: "no batch", file: "a,b\n1,2\n", sig: signature(input("x", tensor.FP32, 2)),
			want: []string{"x FP32 [2] 1 2"}, mapping: `  input "x" FP32 [2] from "a", "b"`,
		},
		{
			name: "one column for one value", file: "whatever\r\n1\r\n\r\n2\r\n", sig: signature(input("x", tensor.FP32, -1, 1)),
			want: []string{"x FP32 [1 1] 1", "x FP32 [1 1] 2"}, mapping: `  input "x" FP32 [1 1] from "whatever"`,
		},
		{
			// Just below the middle of two float32s, which is the nearest float64.
			name: "rounded once", file: "x\n1.00000017881393432617187499\n", sig: signature(input("x", tensor.FP32, -1)),
			want: []string{"x FP32 [1] 1.0000001"}, mapping: `  input "x" FP32 [1] from "x"`,
		},
		{
			name: "byte order mark, no line end", file: "\xef\xbb\xbfx\n1", sig: signature(input("x", tensor.FP32, -1)),
			want: []string{"x FP32 [1] 1"}, mapping: `  input "x" FP32 [1] from "x"`,
		},
		{
			name: "quoted separators do not count", file: "\"a;b;c\",x\n1,2\n", sig: signature(input("x", tensor.FP32, -1)),
			want: []string{"x FP32 [1] 2"}, mapping: "  input \"x\" FP32 [1] from \"x\"\n  ignored: \"a;b;c\"",
		},
		{
			name: "text over lines", file: "s,x\n\"a\nb\",1\n", sig: signature(input("s", tensor.Bytes, -1)),
			want: []string{`s BYTES [1] "a\nb"`}, mapping: "  input \"s\" BYTES [1] from \"s\"\n  ignored: \"x\"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, write(t, "rows.csv", tt.file)) })
	}
	tabs := sample{
		sig: signature(input("s", tensor.Bytes, -1), input("x", tensor.FP32, -1)), want: []string{`s BYTES [1] "5\" pipe, steel" | x FP32 [1] 1`},
		mapping: "  input \"s\" BYTES [1] from \"s\"\n  input \"x\" FP32 [1] from \"x\"",
	}
	tabs.run(t, write(t, "rows.tsv", "s\tx\n5\" pipe, steel\t1\n"))
}

func TestTableErrors(t *testing.T) {
	one := func(d tensor.DType) *driver.Signature { return signature(input("x", d, -1)) }
	digits := signature(input("pixels", tensor.FP32, -1, 64))
	tests := []struct {
		name, file string
		sig        *driver.Signature
		code       fault.Code
		text, hint string
	}{
		{"empty", "", one(tensor.FP32), fault.Invalid, "want a line with the names of the columns and rows below it, got an empty file", ""},
		{"names only", "x\n", one(tensor.FP32), fault.Invalid, "want at least one row below the names of the columns, got none", ""},
		{"no names", "1,2.5,-3\n4,5,6\n", signature(input("x", tensor.FP32, -1, 3)), fault.Invalid, `rows.csv line 1: want the names of the columns, got numbers: "1", "2.5", "-3"`, "Add a first line"},
		{"no names but whole numbers", "5,6,7\n8,9,10\n", signature(input("x", tensor.FP32, -1, 3)), fault.Invalid, `got numbers: "5", "6", "7"`, "Add a first line"},
		{"no such column", "a,b\n1,2\n", signature(input("x", tensor.FP32, -1), input("y", tensor.Bytes, -1, 1)), fault.Invalid,
			`rows.csv line 1: want a column for input "x" FP32 [-1] and a column for input "y" BYTES [-1 1], got 2 columns: "a", "b"`, "Name a column as its input"},
		{"too few columns", "label,p0,p1,p2\n1,2,3,4\n", digits, fault.Invalid, `want 64 numbered columns for input "pixels" FP32 [-1 64], got 4 columns: "label", "p0", "p1", "p2"`, "number them"},
		{"a gap in the numbers", "label,p0,p1,p3\n1,2,3,4\n", signature(input("x", tensor.FP32, -1, 3)), fault.Invalid, "want 3 numbered columns", ""},
		{"a number twice", "label,p0,p1,p01\n1,2,3,4\n", signature(input("x", tensor.FP32, -1, 3)), fault.Invalid, "want 3 numbered columns", ""},
		{"two series", "a0,a1,b0,b1\n1,2,3,4\n", signature(input("x", tensor.FP32, -1, 2)), fault.Invalid, `want one series of 2 numbered columns, got those that begin with "a0", "b0"`, "Leave one"},
		{"a name twice", "x,x\n1,2\n", one(tensor.FP32), fault.Invalid, `want one column for input "x", got 2: "x", "x"`, ""},
		{"an input that no table holds", "x,y\n1,2\n", signature(input("x", tensor.FP32, -1, -1, 4)), fault.Invalid, "want an array, which no table can hold, for input", ""},
		{"a model without inputs", "x\n1\n", signature(), fault.Invalid, "want no file for a model without inputs", ""},
		{"text for an integer", "a,x\n1,5\n1,five\n", one(tensor.Int64), fault.Invalid, `rows.csv line 3, column 2 "x": want a whole number from -9223372036854775808 to 9223372036854775807 for INT64, got "five"`, ""},
		{"a fraction for an integer", "x\n5.5\n", one(tensor.Int64), fault.Invalid, `line 2, column 1 "x": want a whole number`, ""},
		{"an exponent for an integer", "x\n1e3\n", one(tensor.Int64), fault.Invalid, `got "1e3"`, ""},
		{"nothing for an integer", "x,y\n,1\n", one(tensor.Int32), fault.Invalid, `want a whole number from -2147483648 to 2147483647 for INT32, got ""`, ""},
		{"a point is no number", "x\n.\n", one(tensor.Int32), fault.Invalid, `got "."`, ""},
		{"too large", "x\n256\n", one(tensor.Uint8), fault.Invalid, "want a whole number from 0 to 255 for UINT8, got \"256\"", ""},
		{"too small", "x\n-129\n", one(tensor.Int8), fault.Invalid, "want a whole number from -128 to 127", ""},
		{"negative", "x\n-1\n", one(tensor.Uint64), fault.Invalid, "want a whole number from 0 to 18446744073709551615", ""},
		{"beyond 64 bits", "x\n18446744073709551616\n", one(tensor.Uint64), fault.Invalid, "18446744073709551616", ""},
		{"beyond FP32", "x\n1e39\n", one(tensor.FP32), fault.Invalid, "want a number within the range of FP32, got \"1e39\"", ""},
		{"beyond FP16", "x\n65520\n", one(tensor.FP16), fault.Invalid, "want a number within the range of FP16", ""},
		{"a decimal comma", "x;y\n3,14;1\n", one(tensor.FP32), fault.Invalid, `got "3,14"`, "with a point"},
		{"a hexadecimal number", "x\n0x10\n", one(tensor.FP32), fault.Invalid, `got "0x10"`, ""},
		{"an underscore", "x\n1_000\n", one(tensor.FP64), fault.Invalid, `got "1_000"`, ""},
		{"neither true nor false", "x\nyes\n", one(tensor.Bool), fault.Invalid, `want true, false, 1 or 0 for BOOL, got "yes"`, ""},
		{"two", "x\n2\n", one(tensor.Bool), fault.Invalid, `got "2"`, ""},
		{"a short row", "x,y\n1,2\n\n3\n", one(tensor.FP32), fault.Invalid, "rows.csv line 4: want 2 columns as in the first line, got another number", ""},
		{"a stray quote", "x\na\"b\n", one(tensor.Bytes), fault.Invalid, "line 2, character 2", "double the quotes"},
		{"an open quote", "x\n\"ab\n", one(tensor.Bytes), fault.Invalid, "rows.csv line ", "double the quotes"},
		{"another encoding in a name", "gr\xf6\xdfe\n1\n", one(tensor.FP32), fault.Invalid, `want text in UTF-8, got "gr\xf6\xdfe"`, "Save the file as CSV in UTF-8."},
		{"another encoding in a row", "x\ngr\xf6\xdfe\n", one(tensor.Bytes), fault.Invalid, `line 2, column 1 "x": want text in UTF-8`, "Save"},
		{"UTF-16", "\xff\xfex\x00\n\x001\x00", one(tensor.FP32), fault.Invalid, "want text in UTF-8", "Save"},
		{"a long cell is cut", "x\n" + strings.Repeat("ü", 100) + "\n", one(tensor.FP32), fault.Invalid, `ü"… (200 bytes)`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := samples.FromFile(write(t, "rows.csv", tt.file), tt.sig, 0)
			refused(t, err, tt.code, tt.text, tt.hint)
		})
	}
}

func TestMappingString(t *testing.T) {
	m := samples.Mapping{
		File: "rows.csv", Requests: 1, More: true, Ignored: []string{"a", strings.Repeat("b", 60)},
		Inputs: []samples.Source{{Input: "x", Type: tensor.FP32, Shape: []int64{1, 1}, From: []string{"X"}}},
	}
	want := "rows.csv: 1 request from the first rows\n  input \"x\" FP32 [1 1] from \"X\"\n  ignored: \"a\", \"" + strings.Repeat("b", 48) + "\"… (60 bytes)"
	if diff := cmp.Diff(want, m.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
