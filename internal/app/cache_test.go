package app_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

type cacheSink struct {
	telemetry.Discard
	last   telemetry.CacheEvent
	events int
}

func (s *cacheSink) Cache(e telemetry.CacheEvent) { s.last, s.events = e, s.events+1 }

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
