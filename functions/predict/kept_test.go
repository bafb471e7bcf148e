package predict_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/functions/predict"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

func TestKeptAnswers(t *testing.T) {
	s := &scripted{before: func(context.Context, int64) error { return nil }}
	o := &observed{}
	models := load(t, s.model(), nil)
	h := predict.New(models, &predict.Options{Cache: megabyte, Observers: []predict.Observer{o}})
	ids := map[string]bool{}
	for i := range 4 {
		req := addsub(1, i%2 == 1)
		req.ID = fmt.Sprint(i)
		resp, err := h.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Cached != (i > 0) || resp.ID != req.ID {
			t.Errorf("answer %d: cached %v, id %q", i, resp.Cached, resp.ID)
		}
		if resp.Cached {
			if diff := cmp.Diff(infer.Timing{Rows: 1}, resp.Timing); diff != "" {
				t.Errorf("timing (-want +got):\n%s", diff)
			}
		}
		ids[resp.Prediction] = true
		if diff := cmp.Diff([]float32{2, 3, 4, 5}, sum(t, resp)); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		resp.Release() // takes nothing from those who come later
	}
	if got := s.runs.Load(); got != 1 || len(ids) != 4 || len(o.lines) != 4 {
		t.Errorf("%d runs, %d ids and %d observed, want 1, 4 and 4", got, len(ids), len(o.lines))
	}
	counted(t, models, [5]uint64{4, 1, 1, 3, 1})
}

// counted compares the model's statistics: successes, rows answered, runs of
// the engine, cache hits and misses.
func counted(t *testing.T, models *infer.Registry, want [5]uint64) {
	t.Helper()
	m, err := models.Lookup("m", "")
	if err != nil {
		t.Fatal(err)
	}
	st := m.Stats()
	got := [5]uint64{st.Success.Count, st.Inferences, st.Executions, st.CacheHit.Count, st.CacheMiss.Count}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("successes, inferences, executions, hits, misses (-want +got):\n%s", diff)
	}
}

// All forms in which a request may travel are one request.
func TestFormsOfARequestHitTheSameEntry(t *testing.T) {
	s := &scripted{before: func(context.Context, int64) error { return nil }}
	models := load(t, s.model(), nil)
	h := predict.New(models, &predict.Options{Cache: megabyte})
	asJSON, _, err := codec.EncodeRequest(nil, addsub(7, false), false)
	if err != nil {
		t.Fatal(err)
	}
	asBinary, header, err := codec.EncodeRequest(nil, addsub(7, true), true)
	if err != nil {
		t.Fatal(err)
	}
	asGRPC, err := codec.AppendInferRequestGRPC(nil, addsub(7, false), false)
	if err != nil {
		t.Fatal(err)
	}
	asRawGRPC, err := codec.AppendInferRequestGRPC(nil, addsub(7, true), true)
	if err != nil {
		t.Fatal(err)
	}
	spaced := bytes.ReplaceAll(asJSON, []byte(","), []byte(" ,\n"))
	spaced = bytes.ReplaceAll(spaced, []byte("7"), []byte("0.7e1"))
	forms := []func() (*infer.Request, error){
		func() (*infer.Request, error) { return codec.DecodeRequest(asJSON, -1, nil) },
		func() (*infer.Request, error) { return codec.DecodeRequest(spaced, -1, nil) },
		func() (*infer.Request, error) { return codec.DecodeRequest(asBinary, header, nil) },
		func() (*infer.Request, error) { return fromGRPC(asGRPC) },
		func() (*infer.Request, error) { return fromGRPC(asRawGRPC) },
	}
	for i, form := range forms {
		req, err := form()
		if err != nil {
			t.Fatal(i, err)
		}
		req.Model = "m"
		resp, err := h.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(i, err)
		}
		if resp.Cached != (i > 0) || sum(t, resp)[0] != 8 {
			t.Errorf("form %d: cached %v, answer %v", i, resp.Cached, sum(t, resp))
		}
	}
}

func fromGRPC(msg []byte) (*infer.Request, error) {
	req, _, err := codec.DecodeInferGRPC(msg, nil)
	return req, err
}

// sizes remembers what the sink was told last, by version.
type sizes struct {
	telemetry.Discard
	mu           sync.Mutex
	bytes        map[string]int64
	hits, misses int
}

func (s *sizes) Cache(e telemetry.CacheEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == nil {
		s.bytes = map[string]int64{}
	}
	s.bytes[e.Version] = e.Bytes
	s.hits += e.Hits
	s.misses += e.Misses
}

func TestDistinctRequestsStayWithinTheBound(t *testing.T) {
	s := &scripted{before: func(context.Context, int64) error { return nil }}
	sink := &sizes{}
	h := predict.New(load(t, s.model(), nil), &predict.Options{Sink: sink, Cache: func(*infer.Model) int64 { return 64 << 10 }})
	most := int64(0)
	for i := range 3000 {
		if _, err := h.Infer(t.Context(), addsub(i, false)); err != nil {
			t.Fatal(err)
		}
		most = max(most, sink.bytes["1"])
	}
	if most > 64<<10 || most < 48<<10 {
		t.Errorf("at most %d bytes were held, want up to 64 KiB", most)
	}
	if sink.hits != 0 || sink.misses != 3000 {
		t.Errorf("%d hits and %d misses, want 0 and 3000", sink.hits, sink.misses)
	}
	for range 2 { // the last one is there
		if _, err := h.Infer(t.Context(), addsub(2999, false)); err != nil {
			t.Fatal(err)
		}
	}
	if sink.hits != 2 {
		t.Errorf("%d hits, want 2", sink.hits)
	}
}

// A version's answers are its own, and go when it goes.
func TestVersionsKeepTheirOwn(t *testing.T) {
	plus := func(n float32) memengine.Model {
		m := memengine.Identity(tensor.FP32, -1, 4)
		m.Signature.Outputs[0].Name = "sum"
		m.Run = func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			x, _ := tensor.View[float32](&in[0])
			y := make([]float32, len(x))
			for i := range x {
				y[i] = x[i] + n
			}
			return []tensor.Tensor{tensor.Of("sum", in[0].Shape, y)}, nil
		}
		return m
	}
	det := &infer.Options{Deterministic: true}
	models := &infer.Registry{}
	old := open(t, plus(1), "1", "sha256:1", det)
	if err := models.Add(old); err != nil {
		t.Fatal(err)
	}
	sink := &sizes{}
	h := predict.New(models, &predict.Options{Cache: megabyte, Sink: sink})
	ask := func(version string, want float32, cached bool) {
		t.Helper()
		resp, err := h.Infer(t.Context(), &infer.Request{Model: "m", Version: version,
			Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 4}, []float32{1, 2, 3, 4})}})
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(t, resp)[0]; got != want || resp.Cached != cached {
			t.Errorf("version %q: answer %v cached %v, want %v and %v", version, got, resp.Cached, want, cached)
		}
	}
	ask("", 2, false)
	ask("", 2, true)
	if err := models.Add(open(t, plus(2), "2", "sha256:2", det)); err != nil {
		t.Fatal(err)
	}
	ask("", 3, false)
	ask("", 3, true)
	ask("1", 2, true)
	if sink.bytes["1"] == 0 || sink.bytes["2"] == 0 {
		t.Errorf("held: %v, want some for both", sink.bytes)
	}
	if err := models.Remove("m", "1")(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := models.Add(open(t, plus(3), "3", "sha256:3", det)); err != nil {
		t.Fatal(err)
	}
	ask("", 4, false)
	if sink.bytes["1"] != 0 || sink.bytes["2"] == 0 {
		t.Errorf("held: %v, want none for version 1 and some for 2", sink.bytes)
	}
	if err := models.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.Sweep()
	if diff := cmp.Diff(map[string]int64{"1": 0, "2": 0, "3": 0}, sink.bytes); diff != "" {
		t.Errorf("held after the models went (-want +got):\n%s", diff)
	}
}

// Whatever is asked, in whatever order, sharing and keeping give the bits that
// the model gives.
func TestAnswersAreBitEqual(t *testing.T) {
	both := memengine.Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{-1}}, {Name: "s", Type: tensor.Bytes, Shape: []int64{-1}}},
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{-1}}, {Name: "r", Type: tensor.Bytes, Shape: []int64{-1}}},
		},
		Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			y, r := in[0].Clone(), in[1].Clone()
			y.Name, r.Name = "y", "r"
			return []tensor.Tensor{y, r}, nil
		},
	}
	models := load(t, both, nil)
	plain, err := models.Lookup("m", "")
	if err != nil {
		t.Fatal(err)
	}
	odd := []uint32{0, 0x80000000, math.Float32bits(1), 0x7fc00000, 0x7fc00001, 0xffc00000, 0x7f800001, 0x7f800000}
	for _, opts := range []*predict.Options{
		{Cache: func(*infer.Model) int64 { return 16 << 10 }},
		{Cache: megabyte, Wrap: func(h infer.Handler) infer.Handler { return h }},
	} {
		h := predict.New(models, opts)
		rapid.Check(t, func(t *rapid.T) {
			for range rapid.IntRange(1, 20).Draw(t, "requests") {
				bits := rapid.SliceOfN(rapid.SampledFrom(odd), 0, 3).Draw(t, "x")
				x := tensor.Of("x", []int64{int64(len(bits))}, bits)
				x.Type = tensor.FP32
				texts := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "ab", "\xff"}), 0, 3).Draw(t, "s")
				s := tensor.OfStrings("s", []int64{int64(len(texts))}, texts...)
				req := &infer.Request{Model: "m", Inputs: []tensor.Tensor{x, s}}
				if rapid.Bool().Draw(t, "turned") {
					req.Inputs[0], req.Inputs[1] = s, x
				}
				for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"y", "r"}), 0, 2, rapid.ID).Draw(t, "outputs") {
					req.Outputs = append(req.Outputs, infer.OutputRequest{Name: name})
				}
				want, err := plain.Infer(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := h.Infer(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Outputs) != len(want.Outputs) {
					t.Fatalf("%d outputs, want %d", len(got.Outputs), len(want.Outputs))
				}
				for i := range want.Outputs {
					w, g := &want.Outputs[i], &got.Outputs[i]
					if diff := cmp.Diff([]any{w.Name, w.Type, w.Shape, w.Data, w.Strings}, []any{g.Name, g.Type, g.Shape, g.Data, g.Strings}); diff != "" {
						t.Fatalf("output %d (-want +got):\n%s", i, diff)
					}
				}
			}
		})
	}
}
