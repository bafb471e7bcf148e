package adaptertest

import (
	"net/http"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// malformed sends what is no request; each is refused, and the next is answered.
func malformed(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	json := http.Header{"Content-Type": {"application/json"}}
	binary := func(length string) http.Header {
		return http.Header{"Content-Type": {"application/octet-stream"}, "Inference-Header-Content-Length": {length}}
	}
	const good = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"INT32","data":[1,2,3]}]}`
	for _, r := range []struct {
		name   string
		header http.Header
		body   string
		text   bool // it gets through where only text does
	}{
		{"nothing", json, "", true},
		{"half an object", json, good[:len(good)-1], true},
		{"null", json, "null", true},
		{"an array", json, "[" + good + "]", true},
		{"a string", json, `"` + strings.ReplaceAll(good, `"`, `\"`) + `"`, true},
		{"two objects", json, good + good, true},
		{"a name twice", json, strings.Replace(good, `{`, `{"id":"1","id":"2",`, 1), true},
		{"a deep one", json, strings.Repeat("[", 9999), true},
		{"no UTF-8", json, "{\"id\":\"\xff\xfe\"}", false},
		{"bytes", json, "\x00\x01\x02\xff", false},
		{"base64 of a request", json, "eyJpbnB1dHMiOltdfQ==", true},
		{"a negative length", binary("-1"), good, false},
		{"a length beyond the body", binary("4096"), good, false},
		{"a length that is no number", binary("x"), good, false},
	} {
		if !r.text && caps.NoBinary || caps.NoHeaders && r.header.Get("Inference-Header-Content-Length") != "" {
			continue
		}
		code, err := c.Raw(t.Context(), "echo-INT32", r.header, []byte(r.body))
		if err != nil || code != fault.Invalid {
			t.Errorf("%s: want invalid, got %v, %v", r.name, code, err)
		}
	}
	if code, err := c.Raw(t.Context(), "echo-INT32", json, []byte(good)); err != nil || code != fault.OK {
		t.Errorf("a good one: want ok, got %v, %v", code, err)
	}
	alive(t, c)
}

// contradictions sends requests that the model's signature does not allow.
func contradictions(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	x := func(name string, shape []int64, n int) tensor.Tensor {
		return tensor.Of(name, shape, make([]float32, n))
	}
	for _, r := range []struct {
		name   string
		inputs []tensor.Tensor
		output string
	}{
		{"no input", nil, ""},
		{"another name", []tensor.Tensor{x("z", []int64{1, 3}, 3)}, ""},
		{"a name in another case", []tensor.Tensor{x("X", []int64{1, 3}, 3)}, ""},
		{"one too many", []tensor.Tensor{x("x", []int64{1, 3}, 3), x("z", []int64{1, 3}, 3)}, ""},
		{"the same twice", []tensor.Tensor{x("x", []int64{1, 3}, 3), x("x", []int64{1, 3}, 3)}, ""},
		{"another shape", []tensor.Tensor{x("x", []int64{3, 1}, 3)}, ""},
		{"another rank", []tensor.Tensor{x("x", []int64{3}, 3)}, ""},
		{"another type", []tensor.Tensor{tensor.Of("x", []int64{1, 3}, []float64{1, 2, 3})}, ""},
		{"an output that is not there", []tensor.Tensor{x("x", []int64{1, 3}, 3)}, "z"},
	} {
		if caps.NoTypes && (r.output != "" || len(r.inputs) == 1 && r.inputs[0].Type != tensor.FP32) {
			continue
		}
		for _, binary := range wires(caps, tensor.FP32) {
			req := &infer.Request{Model: "echo-FP32", Inputs: r.inputs}
			if r.output != "" {
				req.Outputs = []infer.OutputRequest{{Name: r.output}}
			}
			if _, code, err := c.Call(t.Context(), req, binary); err != nil || code != fault.Invalid {
				t.Errorf("%s, binary %t: want invalid, got %v, %v", r.name, binary, code, err)
			}
		}
	}
	alive(t, c)
}

// names sends names of models and versions that are none, or look like others.
func names(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	call := func(model, version string) fault.Code {
		req := &infer.Request{Model: model, Version: version, Inputs: []tensor.Tensor{sample(tensor.Bytes)}}
		resp, code, err := c.Call(t.Context(), req, false)
		if err != nil {
			t.Errorf("model %q, version %q: %v", model, version, err)
		}
		resp.Release()
		return code
	}
	for _, name := range []string{
		"..", ".", "...", "a/b", "a/../echo-BYTES", "../echo-BYTES", "/etc/passwd", "..%2fecho-BYTES", "echo-BYTES/", "\\", "..\\echo-BYTES",
		"echo-BYTES\x00", "\x00", "echo-BYTES\n", "echo BYTES", " ", " echo-BYTES", "%2e%2e", "%00", "echo-BYTES;a=b", "echo-BYTES?a", "echo-BYTES#a",
		"\u0435cho-BYTES", "echo\u2010BYTES", "echo-BYTES\u200b", "\uff0e\uff0e", "\xff\xfe", strings.Repeat("a", 1024), "-a", "_", "",
	} {
		if caps.CleansPaths && (name == "" || name == "." || name == "..") {
			continue
		}
		if name != "" {
			if code := call("echo-BYTES", name); code != fault.Invalid && code != fault.NotFound {
				t.Errorf("version %q: want invalid or not_found, got %v", name, code)
			}
		}
		if code := call(name, ""); code != fault.Invalid && code != fault.NotFound {
			t.Errorf("model %q: want invalid or not_found, got %v", name, code)
		}
	}
	for _, name := range []string{"none", "ECHO-BYTES", "echo-BYTES2", strings.Repeat("a", 128)} {
		if code := call(name, ""); code != fault.NotFound {
			t.Errorf("model %q: want not_found, got %v", name, code)
		}
		if code := call("echo-BYTES", name); code != fault.NotFound {
			t.Errorf("version %q: want not_found, got %v", name, code)
		}
	}
	if code := call("echo-BYTES", "1"); code != fault.OK {
		t.Errorf("a version that is there: want ok, got %v", code)
	}
	alive(t, c)
}

// tooLarge sends a body of exactly the subject's limit, and a byte more.
func tooLarge(t *testing.T, start Start, _ *Caps) {
	const limit = 32 << 10
	c := start(t, &Setup{Body: limit})
	json := http.Header{"Content-Type": {"application/json"}}
	const begin, end = `{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["`, `"]}]}`
	body := func(n int) []byte { return []byte(begin + strings.Repeat("a", n-len(begin)-len(end)) + end) }
	for range 2 { // the instance lives on
		if code, err := c.Raw(t.Context(), "text", json, body(limit)); err != nil || code != fault.OK {
			t.Errorf("a body of the limit: want ok, got %v, %v", code, err)
		}
		for _, n := range []int{limit + 1, 8 * limit} {
			if code, err := c.Raw(t.Context(), "text", json, body(n)); err != nil || code != fault.TooLarge {
				t.Errorf("%d bytes where %d are taken: want too_large, got %v, %v", n, limit, code, err)
			}
		}
	}
	alive(t, c)
}
