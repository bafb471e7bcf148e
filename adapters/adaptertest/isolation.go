package adaptertest

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// inTurn sends requests of different sizes and wires one after another, some of
// which fail: nothing of one is seen in the next.
func inTurn(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	for i := range 12 {
		mark := strings.Repeat(strconv.Itoa(i), 1+(i*37)%200)
		for _, binary := range wires(caps, tensor.Bytes) {
			if err := ask(t.Context(), c, "BYTES", binary, mark); err != nil {
				t.Errorf("round %d: %v", i, err)
			}
		}
		rows := int64(1 + (i*7)%11)
		ones := make([]int64, rows*3)
		for j := range ones {
			ones[j] = int64(i)
		}
		if err := echo(t.Context(), c, "echo-INT64", tensor.Of("x", []int64{rows, 3}, ones), false); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
		fails := []infer.Params{{Fail: fault.Unavailable.String()}, {Panic: 1}, {Fail: fault.Internal.String()}}[i%3]
		if _, code, err := c.Call(t.Context(), told(fails), false); err != nil || code == fault.OK {
			t.Errorf("round %d: want a failure, got %v, %v", i, code, err)
		}
	}
}

// concurrent has eight callers, each with payloads of its own.
func concurrent(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for i := range 12 {
				mark := strings.Repeat(string(rune('a'+caller)), 1+(i*53)%300) + strconv.Itoa(i)
				for _, binary := range wires(caps, tensor.Bytes) {
					if err := ask(t.Context(), c, "BYTES", binary, mark); err != nil {
						t.Errorf("caller %d: %v", caller, err)
						return
					}
				}
				if i%4 == caller%4 {
					if _, code, err := c.Call(t.Context(), told(infer.Params{Fail: fault.NotFound.String()}), false); err != nil || code != fault.NotFound {
						t.Errorf("caller %d: want not_found, got %v, %v", caller, code, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// ids sends a request id and a trace: the answer has the same, of a failure too.
func ids(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	for i, req := range []*infer.Request{told(nil), told(infer.Params{Fail: fault.Internal.String()}), told(infer.Params{Fail: fault.Invalid.String()})} {
		m := inference(t, req, false)
		id, trace := "id-"+strconv.Itoa(i), "0af7651916cd43dd8448eb211c80319"+strconv.Itoa(i)
		m.header.Set("X-Request-Id", id)
		m.header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		a := m.send(t, c)
		if got := a.header["X-Request-Id"]; len(got) != 1 || got[0] != id {
			t.Errorf("want the request id %q, got %q", id, got)
		}
		if got := a.header["Traceparent"]; len(got) != 1 || !strings.HasPrefix(got[0], "00-"+trace+"-") {
			t.Errorf("want the trace %s, got %q", trace, got)
		}
	}
	a := inference(t, told(nil), false).send(t, c)
	if got := a.header.Get("Traceparent"); strings.Contains(got, "0af7651916cd43dd8448eb211c80319") {
		t.Errorf("a request without a trace: got that of another, %q", got)
	}
}
