package codec_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func signature(inputs ...driver.TensorInfo) func(infer.Params) (*driver.Signature, error) {
	return func(infer.Params) (*driver.Signature, error) { return &driver.Signature{Inputs: inputs}, nil }
}

func input(name string, d tensor.DType, shape ...int64) driver.TensorInfo {
	return driver.TensorInfo{Name: name, Type: d, Shape: shape}
}

func TestDecodeInstances(t *testing.T) {
	rows, texts, pair := signature(input("x", tensor.FP32, -1, 2)), signature(input("s", tensor.Bytes, -1)), signature(input("a", tensor.Int64, -1), input("b", tensor.FP32, -1, 1, 2))
	for name, c := range map[string]struct {
		sig  func(infer.Params) (*driver.Signature, error)
		body string
		want []tensor.Tensor
		err  string
	}{
		"rows":                {rows, `{"instances":[[1,2.5],[3,4]]}`, []tensor.Tensor{tensor.Of("x", []int64{2, 2}, []float32{1, 2.5, 3, 4})}, ""},
		"parameters first":    {rows, `{"parameters":{"n":1},"instances":[[1,2]]}`, []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}, ""},
		"none":                {rows, `{"instances":[]}`, []tensor.Tensor{tensor.Of("x", []int64{0, 2}, []float32{})}, ""},
		"empty rows":          {rows, `{"instances":[[],[]]}`, []tensor.Tensor{tensor.Of("x", []int64{2, 0}, []float32{})}, ""},
		"other dimensions":    {rows, `{"instances":[[[1],[2],[3]]]}`, []tensor.Tensor{tensor.Of("x", []int64{1, 3, 1}, []float32{1, 2, 3})}, ""},
		"numbers":             {rows, `{"instances":[1,2]}`, []tensor.Tensor{tensor.Of("x", []int64{2}, []float32{1, 2})}, ""},
		"an object for one":   {rows, `{"instances":[{"x":[1,2]},{ "x" : [3,4] }]}`, []tensor.Tensor{tensor.Of("x", []int64{2, 2}, []float32{1, 2, 3, 4})}, ""},
		"texts":               {texts, `{"instances":["a",{"b64":"/wA="},"é"]}`, []tensor.Tensor{tensor.OfStrings("s", []int64{3}, "a", "\xff\x00", "é")}, ""},
		"bytes first":         {texts, `{"instances":[{"b64":""}]}`, []tensor.Tensor{tensor.OfStrings("s", []int64{1}, "")}, ""},
		"bytes in an object":  {texts, `{"instances":[{"s":{"b64":"YQ=="}},{"s":"b"}]}`, []tensor.Tensor{tensor.OfStrings("s", []int64{2}, "a", "b")}, ""},
		"an input b64":        {signature(input("b64", tensor.Bytes, -1)), `{"instances":[{"b64":"YQ=="}]}`, []tensor.Tensor{tensor.OfStrings("b64", []int64{1}, "YQ==")}, ""},
		"two inputs":          {pair, `{"instances":[{"a":9223372036854775807,"b":[[1,2]]},{"b":[[3,4]],"a":-1}]}`, []tensor.Tensor{tensor.Of("a", []int64{2}, []int64{9223372036854775807, -1}), tensor.Of("b", []int64{2, 1, 2}, []float32{1, 2, 3, 4})}, ""},
		"a scalar":            {signature(input("x", tensor.Int8)), `{"instances":[7]}`, []tensor.Tensor{tensor.Of("x", nil, []int8{7})}, ""},
		"nothing in one":      {rows, `{"instances":[{}]}`, nil, ""},
		"two scalars":         {signature(input("x", tensor.Int8)), `{"instances":[7,8]}`, nil, `input "x": want one instance for an input without dimensions, got 2`},
		"rows of other size":  {rows, `{"instances":[[1,2],[3]]}`, nil, "want 2 elements in each row of shape [2 2], got 1"},
		"a row too deep":      {rows, `{"instances":[[1,2],[[3],4]]}`, nil, "element 2: want a number"},
		"a number for a row":  {rows, `{"instances":[[1,2],3]}`, nil, "element 2: want a row"},
		"bare for two":        {pair, `{"instances":[[1]]}`, nil, "instance 0: want an object with a value for each of 2 inputs, got an array"},
		"none for two":        {pair, `{"instances":[]}`, nil, "instance 0: want an object"},
		"an unknown input":    {pair, `{"instances":[{"z":1}]}`, nil, `input "z": instance 0: the model has no such input`},
		"one only later":      {pair, `{"instances":[{"a":1},{"a":1,"b":[[1,2]]}]}`, nil, `input "b": instance 1: instance 0 has no such input`},
		"one only first":      {pair, `{"instances":[{"a":1,"b":[[1,2]]},{"a":1}]}`, nil, "instance 1: want 2 inputs as in instance 0, got 1"},
		"one twice":           {pair, `{"instances":[{"a":1,"a":2}]}`, nil, "occurs twice"},
		"not an object later": {pair, `{"instances":[{"a":1},2]}`, nil, "want an object for each instance"},
		"out of range":        {pair, `{"instances":[{"a":9223372036854775808}]}`, nil, `input "a": element 0: want a whole number for INT64`},
		"bad base64":          {texts, `{"instances":["a",{"b64":"*"}]}`, nil, "want base64"},
		"another object":      {texts, `{"instances":["a",{"c":"YQ=="}]}`, nil, `want a string, or {"b64":"…"}`},
		"more beside b64":     {texts, `{"instances":["a",{"b64":"YQ==","c":1}]}`, nil, "further keys"},
		"not an array":        {rows, `{"instances":{}}`, nil, "want an array of instances"},
		"neither":             {rows, `{}`, nil, `want the key "instances"`},
		"both":                {rows, `{"instances":[],"inputs":[]}`, nil, "got both"},
		"a key's case":        {rows, `{"Instances":[]}`, nil, `want the key "instances", got "Instances"`},
		"half":                {rows, `{"instances":[[1,2]`, nil, "the end"},
		"trailing":            {rows, `{"instances":[[1,2]]}{}`, nil, "nothing after the closing brace"},
		"promises":            {signature(input("a", tensor.FP64, -1, -1)), `{"instances":[{"a":[` + strings.Repeat("1,", 99) + `1]}` + strings.Repeat(",{}", 99) + `]}`, nil, "want 10000 elements"},
	} {
		t.Run(name, func(t *testing.T) {
			req, predict, err := codec.DecodeInstances([]byte(c.body), c.sig, nil)
			if c.err != "" {
				if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.err) {
					t.Errorf("want invalid and %q, got %v", c.err, err)
				}
				return
			}
			if err != nil || !predict {
				t.Fatalf("want a predict request, got %t, %v", predict, err)
			}
			if len(req.Inputs) != len(c.want) {
				t.Fatalf("want %d inputs, got %v", len(c.want), req.Inputs)
			}
			for i := range c.want {
				if diff := tensor.Compare(&c.want[i], &req.Inputs[i], tensor.Tolerance{}); !diff.OK() || req.Inputs[i].Name != c.want[i].Name {
					t.Errorf("%s: %v", req.Inputs[i].Name, diff)
				}
			}
		})
	}
	req, predict, err := codec.DecodeInstances([]byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]}`), nil, nil)
	if err != nil || predict || len(req.Inputs) != 1 {
		t.Errorf("a request of the protocol: got %v, %t, %v", req, predict, err)
	}
}

func TestEncodePredictions(t *testing.T) {
	two := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{2}, []int8{1, 2})}}
	for name, c := range map[string]struct {
		outputs []tensor.Tensor
		nan     codec.NaNPolicy
		want    string
		code    fault.Code
		shared  string
	}{
		"rows":           {[]tensor.Tensor{tensor.Of("y", []int64{2, 2}, []float32{0.1, 1e-7, 3, 16777217})}, 0, `[[0.1,1e-7],[3,16777216]]`, fault.OK, ""},
		"numbers":        {[]tensor.Tensor{tensor.Of("y", []int64{2}, []int64{9007199254740993, -1})}, 0, `[9007199254740993,-1]`, fault.OK, ""},
		"several":        {[]tensor.Tensor{tensor.Of("y", []int64{2}, []int8{1, 2}), tensor.OfStrings("z\"", []int64{2, 1}, "a", "\xff")}, 0, `[{"y":1,"z\"":["a"]},{"y":2,"z\"":[{"b64":"/w=="}]}]`, fault.OK, ""},
		"keys of maps":   {[]tensor.Tensor{tensor.Of("p", []int64{2, 2}, []float32{0.5, 0.5, 1, 0}), tensor.OfStrings("p_keys", []int64{2}, "a", "b")}, 0, `[[0.5,0.5],[1,0]]`, fault.OK, `,"outputs":{"p_keys":["a","b"]}`},
		"empty rows":     {[]tensor.Tensor{tensor.Of("y", []int64{2, 0}, []int8{})}, 0, `[[],[]]`, fault.OK, ""},
		"another size":   {[]tensor.Tensor{tensor.Of("y", []int64{3}, []int8{1, 2, 3})}, 0, "", fault.Unprocessable, ""},
		"one for all":    {[]tensor.Tensor{tensor.Of("y", nil, []int8{1})}, 0, "", fault.Unprocessable, ""},
		"NaN":            {[]tensor.Tensor{tensor.OfBits("y", tensor.FP16, []int64{2}, []uint16{0x7e00, 0})}, 0, "", fault.Unprocessable, ""},
		"NaN as nothing": {[]tensor.Tensor{tensor.OfBits("y", tensor.FP16, []int64{2}, []uint16{0x7e00, 0})}, codec.NaNNull, `[null,0]`, fault.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := codec.EncodePredictions([]byte("before"), two, &infer.Response{Model: "m", Version: "1", Digest: "d", Outputs: c.outputs}, &codec.EncodeOptions{NaN: c.nan})
			want := `before{"predictions":` + c.want + `,"metadata":{"model_name":"m","model_version":"1","parameters":{"model_digest":"d"}` + c.shared + `}}`
			if c.code != fault.OK {
				want = "before"
			}
			if fault.CodeOf(err) != c.code {
				t.Errorf("want %v, got %v", c.code, err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := codec.EncodePredictions(nil, two, &infer.Response{Outputs: []tensor.Tensor{tensor.Of("y", []int64{2}, []int8{1, 2})}}, &codec.EncodeOptions{Limits: &codec.Limits{Response: 20}}); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("beyond the limit: want too_large, got %v", err)
	}
}

// What is taken comes back from a model that answers what it is given, and is
// the same when it is sent again.
func FuzzDecodeInstances(f *testing.F) {
	for _, s := range []string{`{"instances":[[1,2.5],[3,4]]}`, `{"instances":[{"x":[1]}],"parameters":{"a":"b"}}`, `{"instances":["a",{"b64":"/wA="}]}`, `{"instances":[]}`, `{"inputs":[]}`, `{"instances":[[[]]]}`, `{"instances":[{"x":1,"s":"a"}]}`} {
		f.Add([]byte(s), byte(0))
		f.Add([]byte(s), byte(1))
		f.Add([]byte(s), byte(2))
	}
	kinds := []func(infer.Params) (*driver.Signature, error){
		signature(input("x", tensor.FP64, -1, -1)), signature(input("s", tensor.Bytes, -1)), signature(input("x", tensor.Int64, -1), input("s", tensor.Bytes, -1)),
	}
	f.Fuzz(func(t *testing.T, body []byte, kind byte) {
		sig := kinds[int(kind)%len(kinds)]
		req, predict, err := codec.DecodeInstances(body, sig, nil)
		if err != nil {
			if c := fault.CodeOf(err); c == fault.Internal {
				t.Fatalf("%v", err)
			}
			return
		}
		held := 0
		for i := range req.Inputs {
			in := &req.Inputs[i]
			if err := in.Check(); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			held += len(in.Data) + 24*len(in.Strings)
		}
		if held > 12*len(body)+64 {
			t.Fatalf("%d bytes of tensors from %d", held, len(body))
		}
		want, _ := sig(nil)
		if !predict || len(req.Inputs) != len(want.Inputs) { // the form depends on how many there are
			return
		}
		again, err := codec.EncodePredictions(nil, req, &infer.Response{Outputs: req.Inputs}, nil)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again = []byte(strings.Replace(string(again), `"predictions"`, `"instances"`, 1))
		same, _, err := codec.DecodeInstances(again, sig, nil)
		if err != nil {
			t.Fatalf("%q, again as %q: %v", body, again, err)
		}
		for i := range req.Inputs {
			if diff := tensor.Compare(&req.Inputs[i], &same.Inputs[i], tensor.Tolerance{}); !diff.OK() {
				t.Fatalf("%q, again as %q: %v", body, again, diff)
			}
		}
	})
}
