package adaptertest

import (
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func told(params infer.Params) *infer.Request {
	return &infer.Request{Model: "echo-BYTES", Params: params, Inputs: []tensor.Tensor{sample(tensor.Bytes)}}
}

// failures has the handler fail with every code there is: it arrives, and what
// callers may not read does not.
func failures(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	for _, code := range fault.Codes() {
		a := inference(t, told(infer.Params{Fail: code.String()}), false).send(t, c)
		if a.code() != code {
			t.Errorf("want code %v, got %v, status %d: %s", code, a.code(), a.status, a.body)
		}
		if a.status != code.HTTP() && code != fault.Canceled { // 499 is no status that every wire has
			t.Errorf("%v: want status %d, got %d", code, code.HTTP(), a.status)
		}
	}
	alive(t, c)
}

// panics has the handler panic, twice: the instance lives on.
func panics(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	for range 2 {
		if a := inference(t, told(infer.Params{Panic: true}), false).send(t, c); a.code() != fault.Internal {
			t.Errorf("want internal, got %v: %s", a.code(), a.body)
		}
		alive(t, c)
	}
}
