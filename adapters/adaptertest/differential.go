package adaptertest

import (
	"bytes"
	"net/http"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// differential sends the same requests through the platform and to the server
// itself: the answers are equal, byte for byte. A wire may add headers.
func differential(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, b := tensor.Of("a", []int64{2, 4}, []float32{1, 2, 3, 4, 5.5, -6, 1e-30, 8}), tensor.Of("b", []int64{2, 4}, []float32{8, 7, 6, 5, 4, 3, 2, 1})
	type request struct {
		name   string
		req    *infer.Request
		binary bool
	}
	var all []request
	for _, d := range tensor.DTypes() {
		for _, binary := range wires(caps, d) {
			all = append(all, request{d.String(), &infer.Request{Model: "echo-" + d.String(), Inputs: []tensor.Tensor{sample(d)}}, binary})
		}
	}
	for _, binary := range wires(caps, tensor.FP32) {
		all = append(all,
			request{"several outputs", &infer.Request{Model: "addsub", ID: "id-é", Inputs: []tensor.Tensor{a, b}}, binary},
			request{"one of two outputs", &infer.Request{Model: "addsub", Inputs: []tensor.Tensor{b, a}, Outputs: []infer.OutputRequest{{Name: "diff"}}}, binary},
			request{"parameters", &infer.Request{Model: "addsub", Inputs: []tensor.Tensor{a, b}, Params: infer.Params{"s": "<&>", "b": true, "n": int64(-7)}}, binary},
			request{"a failure", &infer.Request{Model: "addsub", Inputs: []tensor.Tensor{a, b}, Params: infer.Params{Fail: fault.Unprocessable.String()}}, binary},
			request{"one input too few", &infer.Request{Model: "addsub", Inputs: []tensor.Tensor{a}}, binary},
		)
	}
	for _, r := range all {
		m := inference(t, r.req, r.binary)
		want, got := m.direct(t, s), m.send(t, c)
		if want.code() != got.code() {
			t.Errorf("%s, binary %t: want code %v, got %v: %s", r.name, r.binary, want.code(), got.code(), got.body)
			continue
		}
		if !bytes.Equal(want.body, got.body) {
			t.Errorf("%s, binary %t: want\n%q\ngot\n%q", r.name, r.binary, want.body, got.body)
		}
		if caps.NoHeaders {
			continue
		}
		for _, name := range []string{"Content-Type", "Inference-Header-Content-Length", "X-Content-Type-Options"} {
			if want, got := want.header.Get(name), got.header.Get(name); want != got {
				t.Errorf("%s, binary %t: want %s %q, got %q", r.name, r.binary, name, want, got)
			}
		}
	}
	if caps.NoRoutes {
		return
	}
	for _, path := range []string{"/v2", "/v2/models/addsub", "/v2/models/addsub/versions/1", "/v2/models/addsub/config", "/v2/models/none", "/nowhere"} {
		m := &message{method: http.MethodGet, path: path}
		if want, got := m.direct(t, s), m.send(t, c); want.status != got.status || !bytes.Equal(want.body, got.body) {
			t.Errorf("GET %s: want %d\n%s\ngot %d\n%s", path, want.status, want.body, got.status, got.body)
		}
	}
}
