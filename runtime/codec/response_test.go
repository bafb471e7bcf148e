package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func respond(outs ...tensor.Tensor) *infer.Response {
	return &infer.Response{Model: "m", Outputs: outs}
}

func TestEncodeResponse(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	a, b := tensor.Of("a", []int64{1}, []int8{-1}), tensor.Of("b", []int64{2, 1}, []uint64{0, math.MaxUint64})
	tests := []struct {
		name string
		req  *infer.Request
		resp *infer.Response
		opts *codec.EncodeOptions
		want string
	}{
		{"no outputs", nil, respond(), nil, `{"model_name":"m","outputs":[]}`},
		{"all", nil, &infer.Response{Model: "m", Version: "1", ID: "i\"", Params: infer.Params{"z": true, "a": "\u2028é", "i": int64(-5), "u": uint64(math.MaxUint64), "f": 1e21, "w": 2.0}, Outputs: []tensor.Tensor{a}}, nil,
			`{"model_name":"m","model_version":"1","id":"i\"","parameters":{"a":"` + "\u2028é" + `","f":1e+21,"i":-5,"u":18446744073709551615,"w":2.0,"z":true},"outputs":[{"name":"a","shape":[1],"datatype":"INT8","data":[-1]}]}`},
		{"the request's id", &infer.Request{ID: "7"}, respond(), nil, `{"model_name":"m","id":"7","outputs":[]}`},
		{"requested order", &infer.Request{Outputs: []infer.OutputRequest{{Name: "b"}, {Name: "a"}}}, respond(a, b), nil,
			`{"model_name":"m","outputs":[{"name":"b","shape":[2,1],"datatype":"UINT64","data":[0,18446744073709551615]},{"name":"a","shape":[1],"datatype":"INT8","data":[-1]}]}`},
		{"requested in part", &infer.Request{Outputs: []infer.OutputRequest{{Name: "a"}}}, respond(a, b), nil, `{"model_name":"m","outputs":[{"name":"a","shape":[1],"datatype":"INT8","data":[-1]}]}`},
		{"scalar and empty", nil, respond(tensor.Of("s", nil, []float64{0.5}), tensor.Of("e", []int64{0, 2}, []float32{})), nil,
			`{"model_name":"m","outputs":[{"name":"s","shape":[],"datatype":"FP64","data":[0.5]},{"name":"e","shape":[0,2],"datatype":"FP32","data":[]}]}`},
		{"halves", nil, respond(tensor.OfBits("h", tensor.FP16, []int64{3}, []uint16{0x3c00, 0x2e66, 0x8000}), tensor.OfBits("g", tensor.BF16, []int64{1}, []uint16{0x3dcd})), nil,
			`{"model_name":"m","outputs":[{"name":"h","shape":[3],"datatype":"FP16","data":[1,0.099975586,-0]},{"name":"g","shape":[1],"datatype":"BF16","data":[0.100097656]}]}`},
		{"text", nil, respond(tensor.OfStrings("t", []int64{3}, "", "\x00\x1f\"\\\n\r\t/<é🦆", "\u007f")), nil,
			`{"model_name":"m","outputs":[{"name":"t","shape":[3],"datatype":"BYTES","data":["","\u0000\u001f\"\\\n\r\t/<é🦆","` + "\u007f" + `"]}]}`},
		{"bools", nil, respond(tensor.Of("b", []int64{2}, []bool{true, false})), nil, `{"model_name":"m","outputs":[{"name":"b","shape":[2],"datatype":"BOOL","data":[true,false]}]}`},
		{"NaN as null", nil, respond(tensor.Of("n", []int64{4}, []float32{1, float32(nan), float32(inf), float32(-inf)})), &codec.EncodeOptions{NaN: codec.NaNNull},
			`{"model_name":"m","outputs":[{"name":"n","shape":[4],"datatype":"FP32","data":[1,null,null,null]}]}`},
		{"NaN as a string", nil, respond(tensor.Of("n", []int64{3}, []float64{nan, inf, -inf}), tensor.OfBits("h", tensor.FP16, []int64{1}, []uint16{0xfc00})), &codec.EncodeOptions{NaN: codec.NaNString},
			`{"model_name":"m","outputs":[{"name":"n","shape":[3],"datatype":"FP64","data":["NaN","Infinity","-Infinity"]},{"name":"h","shape":[1],"datatype":"FP16","data":["-Infinity"]}]}`},
		{"names that are not UTF-8", nil, &infer.Response{Model: "m\xff", Outputs: []tensor.Tensor{tensor.Of("\xffx", []int64{0}, []int8{})}}, nil,
			`{"model_name":"m` + "\ufffd" + `","outputs":[{"name":"` + "\ufffd" + `x","shape":[0],"datatype":"INT8","data":[]}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, header, err := codec.EncodeResponse([]byte("before"), tt.req, tt.resp, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before"+tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if header != -1 {
				t.Errorf("header %d, want -1", header)
			}
			if !json.Valid(got[6:]) {
				t.Error("not JSON")
			}
		})
	}
}

func TestEncodeResponseBinary(t *testing.T) {
	x := tensor.OfBits("x", tensor.FP16, []int64{2}, []uint16{0x7d01, 0xffff})
	s := tensor.OfStrings("s", []int64{2}, "\xff", "")
	yes, no := infer.Params{"binary_data": true}, infer.Params{"binary_data": false}
	all := infer.Params{"binary_data_output": true}
	const (
		xs   = "\x01\x7d\xff\xff"
		ss   = "\x01\x00\x00\x00\xff\x00\x00\x00\x00"
		head = `{"model_name":"m","outputs":[`
		xj   = `{"name":"x","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}}`
		sj   = `{"name":"s","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":9}}`
		zj   = `{"name":"z","shape":[],"datatype":"INT8","data":[3]}`
	)
	z := tensor.Of("z", nil, []int8{3})
	want := func(names ...string) (outs []infer.OutputRequest) {
		for _, n := range names {
			outs = append(outs, infer.OutputRequest{Name: n})
		}
		return outs
	}
	tests := []struct {
		name       string
		req        *infer.Request
		opts       *codec.EncodeOptions
		json, body string
	}{
		{"raw request", nil, &codec.EncodeOptions{Binary: true}, head + xj + "," + sj + "]}", xs + ss},
		{"default of the request", &infer.Request{Params: all}, nil, head + xj + "," + sj + "]}", xs + ss},
		{"order of the request", &infer.Request{Params: all, Outputs: want("s", "x")}, nil, head + sj + "," + xj + "]}", ss + xs},
		{"one output's own", &infer.Request{Outputs: []infer.OutputRequest{{Name: "x", Params: yes}}}, nil, head + xj + "]}", xs},
		{"one output's own against the default", &infer.Request{Params: all, Outputs: []infer.OutputRequest{{Name: "z", Params: no}, {Name: "x"}}}, nil, head + zj + "," + xj + "]}", xs},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := respond(x, s)
			if tt.req != nil && len(tt.req.Outputs) > 0 {
				resp = respond(x, s, z)
			}
			got, header, err := codec.EncodeResponse([]byte("before"), tt.req, resp, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before"+tt.json+tt.body, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if header != len(tt.json) {
				t.Errorf("header %d, want %d", header, len(tt.json))
			}
		})
	}
}

func TestEncodeResponseRefuses(t *testing.T) {
	odd := tensor.Of("odd", []int64{2}, []int8{1, 2})
	odd.Data = odd.Data[:1]
	floats := tensor.Of("f", []int64{4096}, make([]float32, 4096))
	tests := []struct {
		name string
		req  *infer.Request
		resp *infer.Response
		opts *codec.EncodeOptions
		code fault.Code
		want []string
	}{
		{"NaN", nil, respond(tensor.Of("y", []int64{2}, []float32{1, float32(math.NaN())})), nil, fault.Unprocessable, []string{`output "y": element 1: want a number that JSON can hold, got NaN`, "binary_data"}},
		{"infinity", nil, respond(tensor.Of("y", []int64{1}, []float64{math.Inf(-1)})), nil, fault.Unprocessable, []string{"got -Infinity"}},
		{"NaN in a half", nil, respond(tensor.OfBits("y", tensor.BF16, []int64{1}, []uint16{0x7fc0})), nil, fault.Unprocessable, []string{"got NaN"}},
		{"NaN in a parameter", nil, &infer.Response{Params: infer.Params{"p": math.NaN()}}, nil, fault.Unprocessable, []string{`parameter "p"`, "got NaN"}},
		{"bytes that are no text", nil, respond(tensor.OfStrings("t", []int64{2}, "a", "b\xff")), nil, fault.Unprocessable, []string{`output "t": element 1: want text in UTF-8 for JSON, got "b\xff"`, "binary_data"}},
		{"surrogate in UTF-8", nil, respond(tensor.OfStrings("t", []int64{1}, "\xed\xa0\x80")), nil, fault.Unprocessable, []string{"want text in UTF-8"}},
		{"requested output missing", &infer.Request{Outputs: []infer.OutputRequest{{Name: "z"}}}, respond(odd), nil, fault.Internal, []string{`output "z"`, "requested"}},
		{"output that does not hold its shape", nil, respond(odd), nil, fault.Internal, []string{`output "odd"`}},
		{"parameter of another Go type", nil, &infer.Response{Params: infer.Params{"p": []int{1}}}, nil, fault.Internal, []string{`parameter "p"`, "[]int"}},
		{"too large in JSON", nil, respond(floats), &codec.EncodeOptions{Limits: &codec.Limits{Response: 8000}}, fault.TooLarge, []string{"response: want at most 8000 bytes, got more"}},
		{"too large while writing", nil, respond(tensor.Of("f", []int64{4096}, func() []float32 {
			v := make([]float32, 4096)
			for i := range v {
				v[i] = 0.1234567
			}
			return v
		}())), &codec.EncodeOptions{Limits: &codec.Limits{Response: 10000}}, fault.TooLarge, []string{"want at most 10000 bytes"}},
		{"too large in binary", nil, respond(floats), &codec.EncodeOptions{Binary: true, Limits: &codec.Limits{Response: 16384}}, fault.TooLarge, []string{"want at most 16384 bytes"}},
		{"too large by one", nil, respond(), &codec.EncodeOptions{Limits: &codec.Limits{Response: int64(len(`{"model_name":"m","outputs":[]}`)) - 1}}, fault.TooLarge, []string{"response"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := codec.EncodeResponse([]byte("before"), tt.req, tt.resp, tt.opts)
			checkFault(t, err, tt.code, tt.want...)
			if string(got) != "before" {
				t.Errorf("dst is %d bytes, want it as it was", len(got))
			}
			if tt.code == fault.Internal {
				if _, err := codec.AppendInferGRPC(nil, tt.req, tt.resp, false); fault.CodeOf(err) != fault.Internal {
					t.Errorf("gRPC: %v, want an internal error", err)
				}
			}
		})
	}
	exact := int64(len(`{"model_name":"m","outputs":[]}`))
	if _, _, err := codec.EncodeResponse(nil, nil, respond(), &codec.EncodeOptions{Limits: &codec.Limits{Response: exact}}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

// Numbers look as encoding/json and JavaScript write them.
func TestFloatsLookAsInEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f32 := rapid.SliceOfN(rapid.Float32(), 1, 20).Draw(t, "f32")
		f64 := rapid.SliceOfN(rapid.Float64(), 1, 20).Draw(t, "f64")
		for _, edge := range []float64{0, math.Copysign(0, -1), 1, -1, 1e6, 16777215, 16777216, 16777217, 1e20, 1e21, 123456789, 9.99999e-7, 1e-6, 1e-7, 1e-10, 1e100, math.MaxFloat64, 5e-324, 9007199254740993} {
			f64 = append(f64, edge)
			if math.Abs(edge) <= math.MaxFloat32 {
				f32 = append(f32, float32(edge))
			}
		}
		resp := respond(tensor.Of("a", []int64{int64(len(f32))}, f32), tensor.Of("b", []int64{int64(len(f64))}, f64))
		body, _, err := codec.EncodeResponse(nil, nil, resp, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{f32, f64} {
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(body, append([]byte(`"data":`), want...)) {
				t.Fatalf("want %s in %s", want, body)
			}
		}
	})
}

func TestDecodeResponse(t *testing.T) {
	body := ` {"model_version":"2","outputs":[{"name":"y","datatype":"FP32","shape":[6],"data":[null,"NaN","Infinity",1, "-Infinity" ,2]},{"name":"z","datatype":"FP64","shape":[2,1],"data":[["Infinity"],[0]]},{"name":"h","datatype":"FP16","shape":[1],"data":["-Infinity"]},{"name":"g","datatype":"BF16","shape":[1],"data":[null]}],"model_name":"m","id":"i","parameters":{"p":1},"extra":{}}`
	got, err := codec.DecodeResponse([]byte(body), -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	inf := math.Inf(1)
	nan := float32(math.NaN())
	want := &infer.Response{Model: "m", Version: "2", ID: "i", Params: infer.Params{"p": int64(1)}, Outputs: []tensor.Tensor{
		tensor.Of("y", []int64{6}, []float32{nan, nan, float32(inf), 1, float32(-inf), 2}), tensor.Of("z", []int64{2, 1}, []float64{inf, 0}),
		tensor.OfBits("h", tensor.FP16, []int64{1}, []uint16{0xfc00}), tensor.OfBits("g", tensor.BF16, []int64{1}, []uint16{tensor.ToBFloat16(math.NaN())}),
	}}
	if diff := cmp.Diff(want, got, sameTensors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bad := []struct {
		name, body string
		header     int
		code       fault.Code
		want       []string
	}{
		{"error of a server", `{"error":"x"}`, -1, fault.Invalid, []string{`response body: want the key "outputs", got none`}},
		{"HTML", `<html>`, -1, fault.Invalid, []string{`response body: byte 0: want an object, got "<"`}},
		{"NaN for an integer", `{"outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":["NaN"]}]}`, -1, fault.Invalid, []string{`output "y": element 0`, "got a string"}},
		{"other text for a float", `{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":["nan"]}]}`, -1, fault.Invalid, []string{`got a string`}},
		{"NaN without a comma", `{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":["NaN" 1]}]}`, -1, fault.Invalid, []string{`want "," or "]", got "1"`}},
		{"too few", `{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":["NaN"]}]}`, -1, fault.Invalid, []string{`want 2 elements for shape [2], got 1`}},
		{"header 0", `abcd`, 0, fault.Invalid, []string{`Inference-Header-Content-Length`}},
		{"section missing", `{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}`, 92, fault.Invalid, []string{`output "y": want the 8 bytes`}},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			_, err := codec.DecodeResponse([]byte(tt.body), tt.header, nil)
			checkFault(t, err, tt.code, tt.want...)
		})
	}
}

func TestEncodeRequestRefuses(t *testing.T) {
	tests := []struct {
		name string
		req  *infer.Request
		code fault.Code
		want string
	}{
		{"NaN", &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{float32(math.NaN())})}}, fault.Unprocessable, `input "x": element 0`},
		{"no text", &infer.Request{Inputs: []tensor.Tensor{tensor.OfStrings("x", []int64{1}, "\xff")}}, fault.Unprocessable, `input "x": element 0`},
		{"no type", &infer.Request{Inputs: []tensor.Tensor{{Name: "x"}}}, fault.Internal, `input "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := codec.EncodeRequest([]byte("before"), tt.req, false)
			checkFault(t, err, tt.code, tt.want)
			if string(got) != "before" {
				t.Errorf("dst is %q, want it as it was", got)
			}
			var e *fault.Error
			if !errors.As(err, &e) || e.Op != "codec.EncodeRequest" {
				t.Errorf("Op of %v", err)
			}
		})
	}
}
