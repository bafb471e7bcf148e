package codec_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Seeds cover every type and every way to write a request.
var jsonSeeds = []string{
	`{"id":"1","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1.5,-2e3],[0.1,1e-45]]}],"outputs":[{"name":"y","parameters":{"binary_data":false}}]}`,
	`{"inputs":[{"data":[1,2,3],"datatype":"INT64","shape":[3],"name":"x","parameters":{"a":"b","c":1,"d":true,"e":1.5}},{"name":"s","shape":[2],"datatype":"BYTES","data":["a\u00e9","\ud83e\udd86"]}]}`,
	`{"inputs":[{"name":"a","shape":[],"datatype":"UINT64","data":18446744073709551615},{"name":"b","shape":[1],"datatype":"BOOL","data":[true]},{"name":"h","shape":[3],"datatype":"FP16","data":[2049.0000001,-0,6e-8]},{"name":"g","shape":[1],"datatype":"BF16","data":[0.1]},{"name":"d","shape":[1],"datatype":"FP64","data":[12345678901234567e-17]}]}`,
	`{"inputs":[{"name":"a","shape":[0],"datatype":"INT8","data":[]},{"name":"b","shape":[1],"datatype":"UINT8","data":[255]},{"name":"c","shape":[1],"datatype":"INT16","data":[-32768]},{"name":"d","shape":[1],"datatype":"UINT16","data":[1]},{"name":"e","shape":[1],"datatype":"INT32","data":[1]},{"name":"f","shape":[1],"datatype":"UINT32","data":[1]}],"extra":[{"a":null}]}`,
	`{"inputs":[{"name":"x","shape":[1],"SHAPE":[2],"datatype":"FP32","data":[NaN]}]} {`,
	`{"inputs":[{"name":"x","shape":[8589934592,2147483648],"datatype":"FP32","data":[1]}]}`,
}

var spaces = bytes.Repeat([]byte(" "), 100)

// FuzzDecodeRequest: no panic; what we accept encoding/json accepts too and
// reads the same values; what we decode, encoded again, decodes to the same.
func FuzzDecodeRequest(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := string(body)
		req, err := codec.DecodeRequest(body, -1, nil)
		codec.DecodeResponse(body, -1, nil)
		if string(body) != original {
			t.Fatal("the body was changed")
		}
		// Numbers near the end are read in another way than those before.
		again, againErr := codec.DecodeRequest(append(body[:len(body):len(body)], spaces...), -1, nil)
		if (err == nil) != (againErr == nil) {
			t.Fatalf("error %v, with space behind %v", err, againErr)
		}
		if diff := cmp.Diff(req, again, sameTensors); diff != "" {
			t.Fatalf("with space behind (-want +got):\n%s", diff)
		}
		if err != nil {
			return
		}
		checkAgainstJSON(t, body, req)
		checkIdentity(t, req)
	})
}

// checkAgainstJSON compares req with what encoding/json reads in body.
func checkAgainstJSON(t *testing.T, body []byte, req *infer.Request) {
	t.Helper()
	var theirs struct {
		ID     *string
		Inputs []struct {
			Name     string
			Shape    []int64
			Datatype string
			Data     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &theirs); err != nil {
		t.Fatalf("accepted, but encoding/json says: %v", err)
	}
	if len(theirs.Inputs) != len(req.Inputs) {
		t.Fatalf("%d inputs, encoding/json has %d", len(req.Inputs), len(theirs.Inputs))
	}
	for i, in := range theirs.Inputs {
		x := req.Inputs[i]
		if x.Name != in.Name || x.Type.String() != in.Datatype || !cmp.Equal(x.Shape, in.Shape, sameTensors) || x.Check() != nil {
			t.Fatalf("input %d is %q %v %v (%v), encoding/json has %q %s %v", i, x.Name, x.Type, x.Shape, x.Check(), in.Name, in.Datatype, in.Shape)
		}
		k := 0
		eachElement(t, in.Data, func(raw []byte) {
			if k < x.Len() && !sameElement(t, &x, k, raw) {
				t.Errorf("input %q element %d differs from %s", x.Name, k, raw)
			}
			k++
		})
		if k != x.Len() {
			t.Errorf("input %q has %d elements, encoding/json %d", x.Name, x.Len(), k)
		}
	}
}

func eachElement(t *testing.T, raw json.RawMessage, element func([]byte)) {
	if len(raw) == 0 || raw[0] != '[' {
		element(raw)
		return
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		eachElement(t, e, element)
	}
}

func sameElement(t *testing.T, x *tensor.Tensor, k int, raw []byte) bool {
	text := string(raw)
	size := x.Type.Size()
	var bits [8]byte
	if x.Type != tensor.Bytes {
		copy(bits[:], x.Data[k*size:(k+1)*size])
	}
	got := binary.LittleEndian.Uint64(bits[:])
	float := func(bits int) float64 {
		v, err := strconv.ParseFloat(text, bits)
		if err != nil {
			t.Errorf("accepted %s, strconv says %v", text, err)
		}
		return v
	}
	switch x.Type {
	case tensor.Bytes:
		var s string
		return json.Unmarshal(raw, &s) == nil && s == string(x.Strings[k])
	case tensor.Bool:
		return text == strconv.FormatBool(got == 1)
	case tensor.FP32:
		return uint32(got) == math.Float32bits(float32(float(32)))
	case tensor.FP64:
		return got == math.Float64bits(float(64))
	case tensor.FP16: // rounding twice may be off by one; scan_test.go checks it exactly
		return math.Abs(float64(got)-float64(tensor.ToFloat16(float(64)))) <= 1
	case tensor.BF16:
		return math.Abs(float64(got)-float64(tensor.ToBFloat16(float(64)))) <= 1
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		return text == strconv.FormatUint(got, 10) || text == "-0" && got == 0
	}
	shift := 64 - 8*size
	return text == strconv.FormatInt(int64(got<<shift)>>shift, 10) || text == "-0" && got == 0
}

// checkIdentity encodes req in every way and decodes it again.
func checkIdentity(t *testing.T, req *infer.Request) {
	t.Helper()
	if req.Params["binary_data_output"] != nil {
		return // what the encoders write and jsonRequest takes away
	}
	for _, form := range forms {
		if form.finite && !finite(req.Inputs) || !form.halves && halves(req.Inputs) {
			continue
		}
		again, err := form.req(req)
		if err != nil {
			t.Fatalf("%s: %v", form.name, err)
		}
		if diff := cmp.Diff(req, again, sameTensors); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", form.name, diff)
		}
	}
}

// finite tells whether JSON can carry all of it: then encoding does not fail.
func finite(ts []tensor.Tensor) bool {
	_, _, err := codec.EncodeRequest(nil, &infer.Request{Inputs: ts}, false)
	return err == nil
}

func halves(ts []tensor.Tensor) bool {
	for _, t := range ts {
		if t.Type == tensor.FP16 || t.Type == tensor.BF16 {
			return true
		}
	}
	return false
}

// FuzzDecodeBinary is FuzzDecodeRequest for bodies with binary tensors.
func FuzzDecodeBinary(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s), len(s))
	}
	head := `{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},{"name":"s","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":13}}],"parameters":{"a":1}}`
	f.Add([]byte(head+"\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x01\x00\x80\x7f"+"\x02\x00\x00\x00ab\x03\x00\x00\x00xy\xff"), len(head))
	head = `{"inputs":[{"parameters":{"binary_data_size":2},"name":"x","shape":[2],"datatype":"BOOL"},{"name":"j","datatype":"INT8","shape":[1],"data":[1]}]}`
	f.Add([]byte(head+"\x00\x01"), len(head))
	f.Add([]byte("abcd"), 0)
	f.Add([]byte("abcd"), -2)
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		req, err := codec.DecodeRequest(body, header, nil)
		codec.DecodeResponse(body, header, nil)
		if err != nil {
			return
		}
		for i := range req.Inputs {
			if err := req.Inputs[i].Check(); err != nil {
				t.Error(err)
			}
		}
		checkIdentity(t, req)
	})
}

// FuzzDecodeInferGRPC: no panic; what we accept protobuf's library reads the
// same; what we decode, encoded again, decodes to the same.
func FuzzDecodeInferGRPC(f *testing.F) {
	o := newOIP(f)
	for i, d := range tensor.DTypes() {
		x := tensor.Tensor{Name: "x", Type: d, Shape: []int64{2, 1}, Data: make([]byte, 2*d.Size())}
		if d == tensor.Bytes {
			x = tensor.OfStrings("x", []int64{2}, "a", "\xff")
		}
		for _, raw := range []bool{true, false} {
			msg, err := codec.AppendInferRequestGRPC(nil, &infer.Request{Model: "m", Version: "1", ID: fmt.Sprint(i), Params: infer.Params{"a": int64(i), "b": "c"},
				Inputs: []tensor.Tensor{x, tensor.Of("y", []int64{0}, []int8{})}, InputParams: []infer.Params{{"p": 1.5}, nil}, Outputs: []infer.OutputRequest{{Name: "z", Params: infer.Params{"q": true}}}}, raw)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(msg)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		original := string(msg)
		req, raw, err := codec.DecodeInferGRPC(msg, nil)
		codec.DecodeInferResponseGRPC(msg, nil)
		if string(msg) != original {
			t.Fatal("the message was changed")
		}
		if err != nil {
			return
		}
		theirs, err := o.readRequest(msg)
		if err != nil {
			t.Fatalf("accepted, but protobuf says: %v", err)
		}
		delete(theirs.Params, "binary_data_size") // means nothing here
		for _, p := range theirs.InputParams {
			delete(p, "binary_data_size")
		}
		for _, out := range theirs.Outputs {
			delete(out.Params, "binary_data_size")
		}
		if !anyParams(theirs.InputParams) {
			theirs.InputParams = nil
		}
		for i := range theirs.Inputs {
			// The second opinion converts FP32 to float64 and back, which changes NaNs.
			if x := &theirs.Inputs[i]; x.Type == tensor.FP32 && !raw {
				x.Data = req.Inputs[i].Data
			}
		}
		if diff := cmp.Diff(theirs, req, sameTensors); diff != "" {
			t.Fatalf("protobuf reads otherwise (-theirs +ours):\n%s", diff)
		}
		for _, params := range append([]infer.Params{req.Params}, req.InputParams...) {
			for _, v := range params {
				if d, ok := v.(float64); ok && (d != d || math.IsInf(d, 0)) {
					return // not for JSON
				}
			}
		}
		for _, out := range req.Outputs {
			for _, v := range out.Params {
				if d, ok := v.(float64); ok && (d != d || math.IsInf(d, 0)) {
					return
				}
			}
		}
		checkIdentity(t, req)
	})
}
