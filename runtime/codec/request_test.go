package codec_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func TestDecodeRequestAccepts(t *testing.T) {
	x := func(ts ...tensor.Tensor) *infer.Request { return &infer.Request{Inputs: ts} }
	tests := []struct {
		name string
		body string
		want *infer.Request
	}{
		{"no inputs", `{"inputs":[]}`, x()},
		{"white space everywhere", " {\r\n\t\"inputs\" : [ { \"name\" : \"x\" , \"shape\" : [ 2 , 1 ] , \"datatype\" : \"FP32\" , \"data\" : [ [ 1 ] , [ -2.5e0 ] ] } ] } \n",
			x(tensor.Of("x", []int64{2, 1}, []float32{1, -2.5}))},
		{"keys in any order", `{"inputs":[{"data":[[1,2],[3,4]],"parameters":{"p":1},"datatype":"INT32","shape":[2,2],"name":"x"}],"id":"7"}`,
			&infer.Request{ID: "7", Inputs: []tensor.Tensor{tensor.Of("x", []int64{2, 2}, []int32{1, 2, 3, 4})}, InputParams: []infer.Params{{"p": int64(1)}}}},
		{"data before the name", `{"inputs":[{"shape":[1],"datatype":"INT32","data":[1],"name":"x"}]}`, x(tensor.Of("x", []int64{1}, []int32{1}))},
		{"escaped key and name", `{"inputs":[{"n\u0061me":"\u0078","shape":[1],"datatype":"INT32","data":[1]}]}`, x(tensor.Of("x", []int64{1}, []int32{1}))},
		{"nulls where optional", `{"id":null,"parameters":null,"outputs":null,"inputs":[{"name":"x","shape":[1],"datatype":"INT32","parameters":null,"data":[1]}]}`, x(tensor.Of("x", []int64{1}, []int32{1}))},
		{"null parameter", `{"inputs":[],"parameters":{"a":null,"b":1}}`, &infer.Request{Params: infer.Params{"b": int64(1)}}},
		{"empty list of outputs", `{"inputs":[],"outputs":[]}`, x()},
		{"unknown keys", `{"model_name":"m","inputs":[{"name":"x","shape":[1],"datatype":"INT32","data":[1],"extra":{"a":[1,"b",null,true,false,{}]}}],"more":-1.5E+3}`,
			x(tensor.Of("x", []int64{1}, []int32{1}))},
		{"scalar, bare", data("FP32", "[]", "5"), x(tensor.Of("x", nil, []float32{5}))},
		{"scalar, in an array", data("FP32", "[]", "[5]"), x(tensor.Of("x", nil, []float32{5}))},
		{"scalar string, bare", data("BYTES", "[]", `"a"`), x(tensor.OfStrings("x", nil, "a"))},
		{"scalar bool, bare", data("BOOL", "[]", `true`), x(tensor.Of("x", nil, []bool{true}))},
		{"flat data of a matrix", data("FP32", "[2,2]", "[1,2,3,4]"), x(tensor.Of("x", []int64{2, 2}, []float32{1, 2, 3, 4}))},
		{"nested data", data("INT8", "[2,1,2]", "[[[1,2]],[[3,4]]]"), x(tensor.Of("x", []int64{2, 1, 2}, []int8{1, 2, 3, 4}))},
		{"nothing, flat", data("FP32", "[2,0]", "[]"), x(tensor.Of("x", []int64{2, 0}, []float32{}))},
		{"nothing, nested", data("FP32", "[2,0]", "[[],[ ]]"), x(tensor.Of("x", []int64{2, 0}, []float32{}))},
		{"no rows", data("BYTES", "[0,3]", "[]"), x(tensor.OfStrings("x", []int64{0, 3}))},
		{"empty rows of a huge empty tensor", data("FP32", "[2,0,9223372036854775807]", "[[],[]]"), nil},
		{"INT64 and UINT64 are exact", `{"inputs":[{"name":"x","shape":[3],"datatype":"INT64","data":[9007199254740993,-9223372036854775808,9223372036854775807]},{"name":"y","shape":[1],"datatype":"UINT64","data":[18446744073709551615]}]}`,
			x(tensor.Of("x", []int64{3}, []int64{9007199254740993, math.MinInt64, math.MaxInt64}), tensor.Of("y", []int64{1}, []uint64{math.MaxUint64}))},
		{"extremes of the small integers", `{"inputs":[{"name":"a","shape":[2],"datatype":"INT8","data":[-128,127]},{"name":"b","shape":[2],"datatype":"UINT8","data":[0,255]},{"name":"c","shape":[2],"datatype":"INT16","data":[-32768,32767]},{"name":"d","shape":[1],"datatype":"UINT16","data":[65535]},{"name":"e","shape":[2],"datatype":"INT32","data":[-2147483648,2147483647]},{"name":"f","shape":[2],"datatype":"UINT32","data":[4294967295,-0]}]}`,
			x(tensor.Of("a", []int64{2}, []int8{-128, 127}), tensor.Of("b", []int64{2}, []uint8{0, 255}), tensor.Of("c", []int64{2}, []int16{-32768, 32767}),
				tensor.Of("d", []int64{1}, []uint16{65535}), tensor.Of("e", []int64{2}, []int32{math.MinInt32, math.MaxInt32}), tensor.Of("f", []int64{2}, []uint32{math.MaxUint32, 0}))},
		{"halves round once, from the decimal", `{"inputs":[{"name":"x","shape":[4],"datatype":"FP16","data":[2049,2049.00000000000000000001,65504,-0.0]},{"name":"y","shape":[1],"datatype":"BF16","data":[0.1]}]}`,
			x(tensor.OfBits("x", tensor.FP16, []int64{4}, []uint16{0x6800, 0x6801, 0x7bff, 0x8000}), tensor.OfBits("y", tensor.BF16, []int64{1}, []uint16{0x3dcd}))},
		{"floats round once", data("FP32", "[6]", "[16777217,16777219,1e-45,-0,0.1,340282346638528859811704183484516925440]"),
			x(tensor.Of("x", []int64{6}, []float32{16777216, 16777220, 1e-45, float32(math.Copysign(0, -1)), 0.1, math.MaxFloat32}))},
		{"bools", data("BOOL", "[2,2]", "[[true,false],[false, true]]"), x(tensor.Of("x", []int64{2, 2}, []bool{true, false, false, true}))},
		{"strings", data("BYTES", "[6]", `["","a","\"\\\/\b\f\n\r\t","\u0000\u00e9\u20AC","\ud83e\udd86","é€🦆"]`),
			x(tensor.OfStrings("x", []int64{6}, "", "a", "\"\\/\b\f\n\r\t", "\x00é€", "🦆", "é€🦆"))},
		{"string of the longest length", data("BYTES", "[1]", `["`+repeat("a", 1<<20)+`"]`), x(tensor.OfStrings("x", []int64{1}, repeat("a", 1<<20)))},
		{"parameters of every type", `{"inputs":[],"parameters":{"s":"t\n","t":true,"f":false,"i":-1,"m":-9223372036854775808,"u":18446744073709551615,"d":1.5,"e":1e3,"big":36893488147419103232,"z":-0}}`,
			&infer.Request{Params: infer.Params{"s": "t\n", "t": true, "f": false, "i": int64(-1), "m": int64(math.MinInt64), "u": uint64(math.MaxUint64), "d": 1.5, "e": 1e3, "big": 36893488147419103232.0, "z": int64(0)}}},
		{"outputs with parameters", `{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[{"name":"b","parameters":{"binary_data":false},"extra":1},{"parameters":{},"name":"a"}]}`,
			&infer.Request{Params: infer.Params{"binary_data_output": true}, Outputs: []infer.OutputRequest{{Name: "b", Params: infer.Params{"binary_data": false}}, {Name: "a"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := codec.DecodeRequest([]byte(tt.body), -1, nil)
			if tt.want == nil {
				checkFault(t, err, fault.Invalid, "countable")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, sameTensors); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// head is a JSON part for binary tensors; body what follows it.
func binaryBody(head, body string) ([]byte, int) { return []byte(head + body), len(head) }

func TestDecodeBinary(t *testing.T) {
	const two = `{"inputs":[{"name":"x","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}},{"name":"j","shape":[1],"datatype":"INT8","data":[7]},{"parameters":{"binary_data_size":13},"name":"s","shape":[2],"datatype":"BYTES"}]}`
	strings := "\x02\x00\x00\x00ab\x03\x00\x00\x00xyz"
	t.Run("mixed with JSON, payloads untouched", func(t *testing.T) {
		// A signalling NaN and a negative one with a payload.
		body, header := binaryBody(two, "\x01\x7d\xff\xff"+strings)
		got, err := codec.DecodeRequest(unaligned(body), header, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []tensor.Tensor{tensor.OfBits("x", tensor.FP16, []int64{2}, []uint16{0x7d01, 0xffff}), tensor.Of("j", []int64{1}, []int8{7}), tensor.OfStrings("s", []int64{2}, "ab", "xyz")}
		if diff := cmp.Diff(want, got.Inputs, sameTensors); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got.InputParams != nil {
			t.Errorf("InputParams %v, want the sizes consumed", got.InputParams)
		}
		if cap(got.Inputs[0].Data) != 4 || cap(got.Inputs[2].Strings[0]) != 2 {
			t.Error("borrowed data has room to be appended into its neighbour's")
		}
	})
	t.Run("header without binary tensors", func(t *testing.T) {
		body := data("FP32", "[1]", "[1]") + " \n"
		if _, err := codec.DecodeRequest([]byte(body), len(body), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("BYTES of the longest length", func(t *testing.T) {
		var size [4]byte
		binary.LittleEndian.PutUint32(size[:], 1<<20)
		body, header := binaryBody(one(`"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":1048580}`), string(size[:])+repeat("\xff", 1<<20))
		got, err := codec.DecodeRequest(body, header, nil)
		if err != nil || len(got.Inputs[0].Strings[0]) != 1<<20 {
			t.Error(err)
		}
	})

	tensorOf := func(datatype, shape, size string) string {
		return one(`"datatype":"` + datatype + `","shape":` + shape + `,"parameters":{"binary_data_size":` + size + `}`)
	}
	bad := []struct {
		name       string
		head, body string
		header     int // 0: the length of head
		code       fault.Code
		want       []string
	}{
		{"header negative", two, strings, -2, fault.Invalid, []string{"Inference-Header-Content-Length: want 0 to", "got -2"}},
		{"header beyond the body", two, "", len(two) + 1, fault.Invalid, []string{"Inference-Header-Content-Length", "the length of the body"}},
		{"header too small", two, "", len(two) - 1, fault.Invalid, []string{"request body: byte", "got the end"}},
		{"header too large", two, strings, len(two) + 3, fault.Invalid, []string{"nothing after the closing brace"}},
		{"section missing", two, "", 0, fault.Invalid, []string{`input "x": want the 4 bytes of binary_data_size, got only 0`}},
		{"section cut short", two, "abcd" + strings[:12], 0, fault.Invalid, []string{`input "s": want the 13 bytes of binary_data_size, got only 12`}},
		{"bytes left over", two, "abcd" + strings + "!", 0, fault.Invalid, []string{"request body: want 17 bytes after the JSON, the sum of binary_data_size, got 18"}},
		{"size beyond int", tensorOf("FP32", "[1]", "9223372036854775807"), "abcd", 0, fault.Invalid, []string{"want the 9223372036854775807 bytes"}},
		{"size too small for the shape", tensorOf("FP32", "[2,2]", "12"), "abcdefghijkl", 0, fault.Invalid, []string{`input "x": want 16 bytes for FP32 [2 2], got 12`}},
		{"size too large for the shape", tensorOf("INT8", "[3]", "4"), "abcd", 0, fault.Invalid, []string{`want 3 bytes for INT8 [3], got 4`}},
		{"bytes for an empty tensor", tensorOf("INT8", "[0]", "1"), "a", 0, fault.Invalid, []string{`want 0 bytes for INT8 [0], got 1`}},
		{"shape overflows", tensorOf("FP64", "[8589934592,2147483648]", "0"), "", 0, fault.Invalid, []string{"countable"}},
		{"bytes overflow", tensorOf("FP64", "[67108864]", "0"), "", 0, fault.TooLarge, []string{"want at most 67108864 bytes"}},
		{"BOOL of 2", tensorOf("BOOL", "[2]", "2"), "\x01\x02", 0, fault.Invalid, []string{`element 1: want the byte 0 or 1 for BOOL, got 2`}},
		{"string longer than the section", tensorOf("BYTES", "[1]", "6"), "\x03\x00\x00\x00ab", 0, fault.Invalid, []string{`element 0: want 3 bytes as its length says, got only 2`}},
		{"string longer than an int32", tensorOf("BYTES", "[1]", "6"), "\xff\xff\xff\xffab", 0, fault.Invalid, []string{`element 0: want at most 1048576 bytes, got a length of 4294967295`}},
		{"string too long", tensorOf("BYTES", "[1]", "1048581"), "\x01\x00\x10\x00" + repeat("a", 1<<20+1), 0, fault.Invalid, []string{`got a length of 1048577`}},
		{"length cut short", tensorOf("BYTES", "[2]", "8"), "\x01\x00\x00\x00a\x01\x00\x00", 0, fault.Invalid, []string{`element 1: want 4 bytes with its length, got 3`}},
		{"more strings than bytes", tensorOf("BYTES", "[3]", "11"), "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0, fault.Invalid, []string{`want 3 elements of at least 4 bytes for BYTES [3], got 11 bytes`}},
		{"fewer strings than bytes", tensorOf("BYTES", "[1]", "8"), "\x00\x00\x00\x00\x00\x00\x00\x00", 0, fault.Invalid, []string{`want 1 element for BYTES [1], got 4 more bytes`}},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			header := tt.header
			if header == 0 {
				header = len(tt.head)
			}
			_, err := codec.DecodeRequest([]byte(tt.head+tt.body), header, nil)
			checkFault(t, err, tt.code, tt.want...)
		})
	}
	t.Run("header 0", func(t *testing.T) {
		_, err := codec.DecodeRequest([]byte("abcd"), 0, nil)
		checkFault(t, err, fault.Invalid, "Inference-Header-Content-Length", "got 0")
	})
}

func TestDecodeRaw(t *testing.T) {
	sig := func(d tensor.DType, shape ...int64) *driver.Signature {
		return &driver.Signature{Inputs: []driver.TensorInfo{{Name: "in", Type: d, Shape: shape}}}
	}
	good := []struct {
		name string
		sig  *driver.Signature
		n    int
		want []int64
	}{
		{"fixed", sig(tensor.FP32, 2, 3), 24, []int64{2, 3}},
		{"scalar", sig(tensor.FP64), 8, []int64{}},
		{"rows", sig(tensor.FP32, -1, 3), 36, []int64{3, 3}},
		{"no rows", sig(tensor.FP32, -1, 3), 0, []int64{0, 3}},
		{"batch of one, variable length", sig(tensor.Int64, -1, -1), 40, []int64{1, 5}},
		{"variable in the middle", sig(tensor.FP16, 2, -1, 2), 24, []int64{2, 3, 2}},
	}
	for _, tt := range good {
		t.Run(tt.name, func(t *testing.T) {
			body := make([]byte, tt.n)
			req, err := codec.DecodeRaw(body, tt.sig, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := []tensor.Tensor{{Name: "in", Type: tt.sig.Inputs[0].Type, Shape: tt.want, Data: body}}
			if diff := cmp.Diff(want, req.Inputs, sameTensors); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, shape := range [][]int64{{1}, {-1}, {-1, 1}, {-1, -1}, {}} {
		req, err := codec.DecodeRaw([]byte("a\x00b"), sig(tensor.Bytes, shape...), nil)
		if err != nil || string(req.Inputs[0].Strings[0]) != "a\x00b" || req.Inputs[0].Len() != 1 {
			t.Errorf("BYTES %v: %v", shape, err)
		}
	}
	bad := []struct {
		name string
		sig  *driver.Signature
		n    int
		code fault.Code
		want []string
	}{
		{"no input", &driver.Signature{}, 4, fault.Invalid, []string{"want a model with one input", "got 0", "binary_data_size"}},
		{"two inputs", &driver.Signature{Inputs: make([]driver.TensorInfo, 2)}, 4, fault.Invalid, []string{"got 2"}},
		{"two variable dimensions", sig(tensor.FP32, 3, -1, -1), 12, fault.Invalid, []string{`input "in"`, "got FP32 [3 -1 -1] and 12 bytes"}},
		{"three variable dimensions", sig(tensor.FP32, -1, -1, -1), 12, fault.Invalid, []string{"want a shape that follows"}},
		{"part of a row", sig(tensor.FP32, -1, 3), 13, fault.Invalid, []string{"got FP32 [-1 3] and 13 bytes"}},
		{"empty rows", sig(tensor.FP32, -1, 0), 0, fault.Invalid, []string{"want a shape that follows"}},
		{"too few bytes", sig(tensor.FP32, 2, 3), 23, fault.Invalid, []string{"want 24 bytes for FP32 [2 3], got 23"}},
		{"two strings", sig(tensor.Bytes, 2), 3, fault.Invalid, []string{"BYTES [2]"}},
		{"string too long", sig(tensor.Bytes, 1), 1<<20 + 1, fault.Invalid, []string{"want at most 1048576 bytes, got 1048577"}},
		{"too large", sig(tensor.Uint8, -1), 16<<20 + 1, fault.TooLarge, []string{"want at most 16777216 bytes"}},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			_, err := codec.DecodeRaw(make([]byte, tt.n), tt.sig, nil)
			checkFault(t, err, tt.code, tt.want...)
		})
	}
}
