package codec_test

import (
	"bytes"
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// What we write, protobuf's library reads, and would write byte for byte.
func TestGRPCMessagesAreProtobuf(t *testing.T) {
	o := newOIP(t)
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Bool().Draw(t, "raw")
		req := &infer.Request{Model: "m", Version: "1", ID: rapid.String().Draw(t, "id"), Params: drawParams(t)}
		resp := &infer.Response{Model: "m", Version: "2", ID: req.ID, Params: req.Params}
		for i := range rapid.IntRange(0, 3).Draw(t, "n") {
			d := rapid.SampledFrom(tensor.DTypes()).Draw(t, "type")
			// The second opinion converts FP32 to float64 and back, which changes NaNs.
			x := drawTensor(t, string(rune('a'+i)), d, d == tensor.FP32)
			req.Inputs = append(req.Inputs, x)
			resp.Outputs = append(resp.Outputs, x)
			req.InputParams = append(req.InputParams, drawParams(t))
			req.Outputs = append(req.Outputs, infer.OutputRequest{Name: x.Name, Params: drawParams(t)})
		}
		if !anyParams(req.InputParams) {
			req.InputParams = nil
		}
		ours, err := codec.AppendInferRequestGRPC(nil, req, raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.readRequest(ours)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(req, got, sameTensors); diff != "" {
			t.Fatalf("protobuf reads (-want +got):\n%s", diff)
		}
		answer, err := codec.AppendInferGRPC(nil, req, resp, raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			msg proto.Message
			b   []byte
		}{{dynamicpb.NewMessage(o.request), ours}, {dynamicpb.NewMessage(o.response), answer}} {
			if err := proto.Unmarshal(c.b, c.msg); err != nil {
				t.Fatal(err)
			}
			theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.msg)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.b, theirs) {
				t.Fatalf("we write\n%x\nand protobuf\n%x", c.b, theirs)
			}
		}
	})
}

// f is one length-delimited field, v one varint field.
func f(num protowire.Number, parts ...string) string {
	b := protowire.AppendTag(nil, num, protowire.BytesType)
	all := ""
	for _, p := range parts {
		all += p
	}
	return string(protowire.AppendString(b, all))
}

func v(num protowire.Number, n uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n))
}

func varints(ns ...int64) string {
	var b []byte
	for _, n := range ns {
		b = protowire.AppendVarint(b, uint64(n))
	}
	return string(b)
}

// in is an input without contents.
func in(name, datatype string, shape ...int64) string {
	return f(1, name) + f(2, datatype) + f(3, varints(shape...))
}

func TestDecodeInferGRPCAccepts(t *testing.T) {
	x := func(ts ...tensor.Tensor) *infer.Request { return &infer.Request{Inputs: ts} }
	group := string(protowire.AppendTag(nil, 99, protowire.StartGroupType)) + v(1, 1) + string(protowire.AppendTag(nil, 99, protowire.EndGroupType))
	tests := []struct {
		name string
		msg  string
		raw  bool
		want *infer.Request
	}{
		{"nothing", "", false, x()},
		{"names", f(3, "id") + f(2, "v") + f(1, "m"), false, &infer.Request{Model: "m", Version: "v", ID: "id"}},
		{"raw before the inputs", f(7, "\x01\x02") + f(5, in("x", "INT8", 2)), true, x(tensor.Of("x", []int64{2}, []int8{1, 2}))},
		{"raw, bits kept", f(5, in("x", "BF16", 1)) + f(5, in("s", "BYTES", 1)) + f(7, "\x01\xff") + f(7, "\x02\x00\x00\x00a\xff"), true,
			x(tensor.OfBits("x", tensor.BF16, []int64{1}, []uint16{0xff01}), tensor.OfStrings("s", []int64{1}, "a\xff"))},
		{"raw, empty", f(5, in("x", "FP32", 0)) + f(7), true, x(tensor.Of("x", []int64{0}, []float32{}))},
		{"typed before the type", f(5, f(5, f(2, varints(1, -1)))+in("x", "INT16", 2)), false, x(tensor.Of("x", []int64{2}, []int16{1, -1}))},
		{"typed, not packed", f(5, in("x", "UINT8", 3), f(5, v(4, 1), f(4, varints(2)), v(4, 255))), false, x(tensor.Of("x", []int64{3}, []uint8{1, 2, 255}))},
		{"FP32, not packed", f(5, in("x", "FP32", 1), f(5, string(protowire.AppendFixed32(protowire.AppendTag(nil, 6, protowire.Fixed32Type), math.Float32bits(1.5))))), false,
			x(tensor.Of("x", []int64{1}, []float32{1.5}))},
		{"shape not packed", f(5, f(1, "x"), f(2, "BOOL"), v(3, 1), v(3, 2), f(5, f(1, varints(1, 0)))), false, x(tensor.Of("x", []int64{1, 2}, []bool{true, false}))},
		{"empty, without contents", f(5, in("x", "INT64", 0)), false, x(tensor.Of("x", []int64{0}, []int64{}))},
		{"scalar", f(5, in("x", "INT64"), f(5, f(3, varints(math.MinInt64)))), false, x(tensor.Of("x", nil, []int64{math.MinInt64}))},
		{"empty packed field of another type", f(5, in("x", "INT64", 1), f(5, f(3, varints(1)), f(6))), false, x(tensor.Of("x", []int64{1}, []int64{1}))},
		{"unknown fields", group + v(100, 1) + f(5, in("x", "INT64", 1), f(9, "?"), f(5, f(9, "?"), f(3, varints(7)))) + f(200, "?"), false, x(tensor.Of("x", []int64{1}, []int64{7}))},
		{"parameters", f(4, f(1, "a"), f(2, v(1, 1))) + f(4, f(2, v(2, math.MaxUint64)), f(1, "b")) + f(4, f(1, "c"), f(2, f(3, "s"))) + f(4, f(1, "d"), f(2, v(5, math.MaxUint64))) + f(4, f(1, "unset"), f(2)) + f(4, f(1, "none")),
			false, &infer.Request{Params: infer.Params{"a": true, "b": int64(-1), "c": "s", "d": uint64(math.MaxUint64)}}},
		{"outputs", f(6, f(1, "y"), f(2, f(1, "k"), f(2, v(1, 0)))) + f(6, f(1, "z")), false,
			&infer.Request{Outputs: []infer.OutputRequest{{Name: "y", Params: infer.Params{"k": false}}, {Name: "z"}}}},
	}
	o := newOIP(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, raw, err := codec.DecodeInferGRPC([]byte(tt.msg), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, sameTensors); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if raw != tt.raw {
				t.Errorf("raw %v, want %v", raw, tt.raw)
			}
			theirs, err := o.readRequest([]byte(tt.msg))
			if err != nil {
				t.Fatalf("protobuf refuses it: %v", err)
			}
			if diff := cmp.Diff(theirs, got, sameTensors); diff != "" {
				t.Errorf("protobuf reads otherwise (-theirs +ours):\n%s", diff)
			}
		})
	}
}

func TestDecodeInferGRPCRefuses(t *testing.T) {
	contents := func(datatype string, shape int64, fields string) string {
		return f(5, in("x", datatype, shape), f(5, fields))
	}
	ok := in("x", "INT8", 1)
	many := func(n int, field string) (all string) {
		var b []byte
		for range n {
			b = append(b, field...)
		}
		return string(b)
	}
	params := func(num protowire.Number, n int) (all string) {
		for i := range n {
			all += f(num, f(1, strconv.Itoa(i)))
		}
		return all
	}
	tests := []struct {
		name string
		msg  string
		code fault.Code
		want []string
	}{
		{"not protobuf", "{}", fault.Invalid, []string{"request message: want a protobuf message, got malformed bytes"}},
		{"cut short", f(5, ok)[:5], fault.Invalid, []string{"malformed bytes"}},
		{"field 0", "\x00\x01", fault.Invalid, []string{"malformed bytes"}},
		{"open group", string(protowire.AppendTag(nil, 99, protowire.StartGroupType)), fault.Invalid, []string{"malformed bytes"}},
		{"overlong varint", "\x08" + repeat("\xff", 10) + "\x01", fault.Invalid, []string{"malformed bytes"}},
		{"tensor cut short", f(5, in("x", "INT8", 1)[:6]), fault.Invalid, []string{`input "x": want a protobuf message`}},
		{"wire type of model_name", v(1, 1), fault.Invalid, []string{"want wire type 2 for the field model_name, got 0"}},
		{"wire type of inputs", v(5, 1), fault.Invalid, []string{"want wire type 2 for the field inputs"}},
		{"wire type of raw contents", f(5, ok) + v(7, 1), fault.Invalid, []string{"field raw_input_contents"}},
		{"wire type of contents", f(5, ok, v(5, 1)), fault.Invalid, []string{`input "x": want wire type 2 for the field contents`}},
		{"wire type of int_contents", contents("INT8", 1, string(protowire.AppendFixed32(protowire.AppendTag(nil, 2, protowire.Fixed32Type), 1))), fault.Invalid, []string{"want wire type 2 for the field int_contents, got 5"}},
		{"model name twice", f(1, "a") + f(1, "b"), fault.Invalid, []string{"want the field model_name once, got it twice"}},
		{"model name not UTF-8", f(1, "\xff"), fault.Invalid, []string{`want the field model_name in UTF-8, got "\xff"`}},
		{"datatype twice", f(5, in("x", "INT8", 1), f(2, "INT16")), fault.Invalid, []string{`input "x": want the field datatype once`}},
		{"contents twice", f(5, ok, f(5, v(2, 1)), f(5)), fault.Invalid, []string{`want the field contents once`}},
		{"no name", f(5, f(2, "INT8")), fault.Invalid, []string{"inputs[0]: want a name"}},
		{"same name twice", f(5, ok, f(5, v(2, 1))) + f(5, ok, f(5, v(2, 1))), fault.Invalid, []string{`input "x": want unique names`}},
		{"257 inputs", many(257, f(5, ok)), fault.Invalid, []string{"want at most 256 inputs, got 257"}},
		{"257 outputs", many(257, f(6)), fault.Invalid, []string{"want at most 256 outputs, got 257"}},
		{"257 parameters", params(4, 257), fault.Invalid, []string{"want at most 256 parameters, got more"}},
		{"1025 parameters", f(6, f(1, "a"), params(2, 256)) + f(6, f(1, "b"), params(2, 256)) + f(6, f(1, "c"), params(2, 256)) + f(6, f(1, "d"), params(2, 256)) + params(4, 1), fault.Invalid, []string{"want at most 1024 parameters in all"}},
		{"unknown datatype", f(5, in("x", "fp32", 1)), fault.Invalid, []string{`input "x": want a datatype among`, `Did you mean "FP32"?`}},
		{"no datatype", f(5, f(1, "x")), fault.Invalid, []string{`want a datatype among`, `got ""`}},
		{"negative dimension", f(5, in("x", "INT8", 1, -1)), fault.Invalid, []string{"shape[1]: want a whole number of at least 0, got -1"}},
		{"rank 17", f(5, in("x", "INT8", make([]int64, 17)...)), fault.Invalid, []string{"want a shape of at most 16 dimensions"}},
		{"shape overflows", f(5, in("x", "INT8", 8589934592, 2147483648)), fault.Invalid, []string{"countable"}},
		{"too many elements", f(5, in("x", "INT8", 1<<26+1)), fault.TooLarge, []string{"want at most 67108864 elements"}},
		{"raw for some", f(5, ok) + f(5, in("y", "INT8", 1)) + f(7, "a"), fault.Invalid, []string{"want one of raw_input_contents for each of 2 inputs, got 1", "Send all tensors raw, or none"}},
		{"raw for more", f(5, ok) + f(7, "a") + f(7, "a"), fault.Invalid, []string{"each of 1 input, got 2"}},
		{"raw beside contents", f(5, ok, f(5, v(2, 1))) + f(7, "a"), fault.Invalid, []string{`input "x": want no contents beside raw_input_contents`}},
		{"raw beside empty contents", f(5, ok, f(5)) + f(7, "a"), fault.Invalid, []string{"want no contents beside"}},
		{"raw of the wrong size", f(5, in("x", "FP32", 2)) + f(7, "abcdefg"), fault.Invalid, []string{`input "x": want 8 bytes for FP32 [2], got 7`}},
		{"raw string cut short", f(5, in("x", "BYTES", 1)) + f(7, "\x05\x00\x00\x00abcd"), fault.Invalid, []string{"want 5 bytes as its length says, got only 4"}},
		{"FP16 typed", contents("FP16", 1, f(6, "\x00\x00\x00\x00")), fault.Invalid, []string{`input "x": want FP16 in raw contents`}},
		{"BF16 without contents", f(5, in("x", "BF16", 0)), fault.Invalid, []string{"want BF16 in raw contents"}},
		{"wrong contents", contents("INT64", 1, f(2, varints(1))), fault.Invalid, []string{`want int64_contents for INT64, got int_contents`}},
		{"wrong contents beside the right ones", contents("INT64", 1, f(3, varints(1))+v(6, 1)), fault.Invalid, []string{`want int64_contents for INT64, got fp32_contents`}},
		{"no contents", f(5, in("x", "INT64", 1)), fault.Invalid, []string{`want 1 element in int64_contents for shape [1], got 0 bytes`}},
		{"too few", contents("INT64", 2, f(3, varints(1))), fault.Invalid, []string{`want 2 elements in int64_contents for shape [2], got 1`}},
		{"too many", contents("INT64", 1, f(3, varints(1, 2))), fault.Invalid, []string{`want 1 element in int64_contents for shape [1], got more`}},
		{"too many, single", contents("INT64", 1, v(3, 1)+v(3, 2)), fault.Invalid, []string{`got more`}},
		{"too many FP32", contents("FP32", 1, f(6, "12345678")), fault.Invalid, []string{`want 1 element in fp32_contents for shape [1], got more`}},
		{"part of an FP32", contents("FP32", 1, f(6, "123456")), fault.Invalid, []string{`want a multiple of 4 bytes in fp32_contents, got 6`}},
		{"many announced", contents("BYTES", 1<<20, f(8)), fault.Invalid, []string{`want 1048576 elements in bytes_contents`, "got 2 bytes"}},
		{"varint cut short", contents("INT64", 1, f(3, "\x80")), fault.Invalid, []string{"malformed bytes"}},
		{"BOOL of 2", contents("BOOL", 2, f(1, varints(1, 2))), fault.Invalid, []string{`element 1: want 0 or 1 for BOOL, got 2`}},
		{"INT8 of 300", contents("INT8", 2, f(2, varints(1, 300))), fault.Invalid, []string{`element 1: want a whole number for INT8 (-128 to 127), got 300`}},
		{"INT16 of -32769", contents("INT16", 1, f(2, varints(-32769))), fault.Invalid, []string{`got -32769`}},
		{"INT32 of 2^31", contents("INT32", 1, f(2, varints(1<<31))), fault.Invalid, []string{`got 2147483648`}},
		{"UINT8 of 256", contents("UINT8", 1, f(4, varints(256))), fault.Invalid, []string{`UINT8 (0 to 255), got 256`}},
		{"UINT16 of 65536", contents("UINT16", 1, f(4, varints(65536))), fault.Invalid, []string{`got 65536`}},
		{"UINT32 of -1", contents("UINT32", 1, f(4, varints(-1))), fault.Invalid, []string{`got 18446744073709551615`}},
		{"string too long", contents("BYTES", 1, f(8, repeat("a", 1<<20+1))), fault.Invalid, []string{`element 0: want at most 1048576 bytes, got 1048577`}},
		{"parameter twice", f(4, f(1, "a"), f(2, v(1, 1))) + f(4, f(1, "a"), f(2, v(1, 1))), fault.Invalid, []string{`want parameters that differ in more than case, got "a" and "a"`}},
		{"parameter in two cases", f(4, f(1, "a"), f(2, v(1, 1))) + f(4, f(1, "A"), f(2, v(1, 1))), fault.Invalid, []string{`got "a" and "A"`}},
		{"parameter with two values", f(4, f(1, "a"), f(2, v(1, 1), v(2, 1))), fault.Invalid, []string{`want one value for each parameter`}},
		{"key twice", f(4, f(1, "a"), f(1, "a")), fault.Invalid, []string{`want the field key once`}},
		{"value twice", f(4, f(1, "a"), f(2), f(2)), fault.Invalid, []string{`want the field value once`}},
		{"wire type of a parameter", f(4, f(1, "a"), f(2, f(1, "x"))), fault.Invalid, []string{`field parameter_choice`}},
		{"classification", f(6, f(1, "y"), f(2, f(1, "classification"), f(2, v(2, 3)))), fault.Unsupported, []string{`output "y": parameter "classification"`}},
		{"shared memory", f(5, f(1, "x"), f(4, f(1, "shared_memory_region"), f(2, f(3, "r")))), fault.Unsupported, []string{`input "x": parameter "shared_memory_region"`}},
		{"output without a name", f(6), fault.Invalid, []string{"outputs[0]: want a name"}},
		{"output twice", f(6, f(1, "y")) + f(6, f(1, "y")), fault.Invalid, []string{`output "y": want unique names`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := codec.DecodeInferGRPC([]byte(tt.msg), nil)
			checkFault(t, err, tt.code, tt.want...)
		})
	}
	t.Run("too large", func(t *testing.T) {
		msg := []byte(f(5, ok) + f(7, "a"))
		_, _, err := codec.DecodeInferGRPC(msg, &codec.Limits{Body: int64(len(msg)) - 1})
		checkFault(t, err, fault.TooLarge, "request message: want at most")
	})
}
