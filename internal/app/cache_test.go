package app_test

import (
	"bytes"
	"context"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

type cacheSink struct {
	telemetry.Discard
	last         telemetry.CacheEvent
	events       int
	hits, misses int
	inferences   int
}

func (s *cacheSink) Cache(e telemetry.CacheEvent) {
	s.last, s.events = e, s.events+1
	s.hits += e.Hits
	s.misses += e.Misses
}

func (s *cacheSink) Inference(telemetry.InferenceEvent) { s.inferences++ }

func TestAnswersAreKeptWhereTheSpecSaysSo(t *testing.T) {
	tests := []struct {
		yaml string
		kept bool
	}{
		{"models: [{path: addsub.onnx, cache: {maxBytes: 64KiB}}]\n", true},
		{"models: [{path: addsub.onnx, cache: off}]\n", false},
		{"model: addsub.onnx\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.yaml, func(t *testing.T) {
			dir, sink := function(t, tt.yaml), &cacheSink{}
			f, err := app.Open(dir, engine(dir), &app.Options{Sink: sink})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			if err := f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			row := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
			other := row
			other.Name = "b"
			var resp *infer.Response
			for range 2 {
				if resp, err = f.Handler.Infer(t.Context(), &infer.Request{Inputs: []tensor.Tensor{row, other}}); err != nil {
					t.Fatal(err)
				}
			}
			if resp.Cached != tt.kept {
				t.Errorf("the second answer: cached %v, want %v", resp.Cached, tt.kept)
			}
			if tt.kept && (sink.last.Bytes <= 0 || sink.last.Model != "addsub" || sink.events != 2) || !tt.kept && sink.events != 0 {
				t.Errorf("%d events, the last %+v", sink.events, sink.last)
			}
		})
	}
}

// The JSON and the binary form of one request get one answer, each in its form
// and with an identity of its own, and the statistics tell.
func TestKeptAnswersOverTheWire(t *testing.T) {
	dir, sink := function(t, "models: [{path: addsub.onnx, cache: {maxBytes: 1MiB}}]\n"), &cacheSink{}
	f, err := app.Open(dir, engine(dir), &app.Options{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := f.Server(oip.Options{})
	row := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
	other := row
	other.Name = "b"
	ids := map[string]bool{}
	for _, binary := range []bool{false, true, false} {
		body, header, err := codec.EncodeRequest(nil, &infer.Request{Inputs: []tensor.Tensor{row, other}}, binary)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/v2/models/addsub/infer", bytes.NewReader(body))
		if binary {
			r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(header))
		}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		header = -1
		if text := w.Header().Get("Inference-Header-Content-Length"); text != "" {
			header, _ = strconv.Atoi(text)
		}
		if (header >= 0) != binary {
			t.Errorf("asked in binary %v, the answer's header length is %d", binary, header)
		}
		resp, err := codec.DecodeResponse(w.Body.Bytes(), header, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, _ := tensor.View[float32](&resp.Outputs[0])
		if diff := cmp.Diff([]float32{2, 4, 6, 8}, y); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		id, _ := resp.Params[codec.ParamPrediction].(string)
		if digest, _ := resp.Params[codec.ParamDigest].(string); !strings.HasPrefix(digest, "sha256:") || len(id) != 32 {
			t.Errorf("parameters %v, want an identity", resp.Params)
		}
		ids[id] = true
	}
	stats, err := server.Statistics("addsub", "")
	if err != nil {
		t.Fatal(err)
	}
	st := stats[0].InferenceStats
	if got := [...]uint64{st.Success.Count, st.CacheHit.Count, st.CacheMiss.Count, stats[0].ExecutionCount}; got != [...]uint64{3, 2, 1, 1} {
		t.Errorf("successes, hits, misses and runs: %v, want 3, 2, 1 and 1", got)
	}
	if len(ids) != 3 || sink.inferences != 1 || sink.hits != 2 || sink.misses != 1 {
		t.Errorf("%d ids, %d inferences, %d hits, %d misses told, want 3, 1, 2 and 1", len(ids), sink.inferences, sink.hits, sink.misses)
	}
}

func TestWhatIsNotDeterministicIsNotKept(t *testing.T) {
	custom := testmodels.Identity(onnx.Float, 1)
	custom.Graph.Nodes[0].Op, custom.Graph.Nodes[0].Domain = "Oracle", "acme.example"
	random := testmodels.Identity(onnx.Float, 1)
	random.Graph.Nodes[0].Op = "RandomNormalLike"
	for name, m := range map[string]testmodels.Model{"RandomNormalLike": random, "Oracle": custom} {
		t.Run(name, func(t *testing.T) {
			dir := function(t, "models: [{path: m.onnx, cache: {maxBytes: 1MiB}}]\n")
			write(t, filepath.Join(dir, "m.onnx"), m.Bytes())
			eng := &recording{Engine: memengine.New(nil)}
			f, err := app.Open(dir, eng, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Load(t.Context())
			if err == nil || !strings.Contains(err.Error(), name) || fault.HintOf(err) == "" {
				t.Errorf("%v, want an error with a hint that names %s", err, name)
			}
			if code := fault.CodeOf(err); code != fault.BadConfig && code != fault.BadModel {
				t.Errorf("code %v", code)
			}
			if len(eng.opts) != 0 {
				t.Error("the engine was asked to open it")
			}
		})
	}
}
