package tune

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/tensor"
)

// asked is a server whose answers are those of handler, without a process.
func asked(t *testing.T, handler http.HandlerFunc) (*rig, *server) {
	t.Helper()
	h := httptest.NewServer(handler)
	t.Cleanup(h.Close)
	want := &recorded.Want{Outputs: []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{2})}}
	r := &rig{model: &spec.Model{Name: "m", Version: "1"}, requests: []recorded.Request{
		{Model: "m", Name: "1", Body: []byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}`), Want: want}}}
	return r, &server{url: h.URL, ended: make(chan struct{}), cage: &cage{}, log: &serverLog{shared: make(chan struct{})}}
}

const answered = `{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[%]}]}`

func TestCheck(t *testing.T) {
	write := func(value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/models/m/versions/1/infer" {
				http.NotFound(w, r)
				return
			}
			io.WriteString(w, strings.ReplaceAll(answered, "%", value))
		}
	}
	var calls atomic.Int64
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string // in the reason for being out; "" for none
	}{
		{"as recorded", write("2"), ""},
		{"another answer", write("3"), "answers differ from the recorded ones: "},
		{"refused at first", func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) < 3 {
				http.Error(w, "full", http.StatusServiceUnavailable)
				return
			}
			write("2")(w, r)
		}, ""},
		{"no answer of the protocol", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, "not the protocol's"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }, "500 Internal Server Error: broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, s := asked(t, tt.handler)
			err := r.check(t.Context(), s, Shape{})
			if tt.want == "" && err != nil {
				t.Fatal(err)
			}
			if out, ok := err.(*Out); tt.want != "" && (!ok || !strings.Contains(out.Reason, tt.want)) {
				t.Errorf("got %v, want it out because %q", err, tt.want)
			}
		})
	}
	r, s := asked(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "full", http.StatusServiceUnavailable) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.check(ctx, s, Shape{}); err != context.Canceled {
		t.Errorf("interrupted: got %v, want that", err)
	}
}

func TestServerLog(t *testing.T) {
	l := &serverLog{model: "m", shared: make(chan struct{})}
	for _, part := range []string{
		`{"msg":"batching","model":"other","shared":true}` + "\n" + `{"msg":"batch`, `ing","model":"m","shared":true,"why":"on"}` + "\n",
		`{"msg":"request","status":200}` + "\n", `{"error":"no such file","msg":""}` + "\n" + `{"msg":"request"}` + "\n",
	} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	select {
	case <-l.shared:
	default:
		t.Error("want it known that requests share runs, got nothing")
	}
	if !l.batches || l.last() != "no such file" {
		t.Errorf("got %v and %q, want the model's line and the last that is no request's", l.batches, l.last())
	}
	long := &serverLog{model: "m", shared: make(chan struct{})}
	long.Write([]byte(strings.Repeat("x", 1<<20)))
	if len(long.part) > maxLine || len(long.last()) > 310 {
		t.Errorf("kept %d bytes, told %d", len(long.part), len(long.last()))
	}
}
