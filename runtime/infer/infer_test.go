package infer_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load loads one model of Go code.
func load(t testing.TB, m memengine.Model, opts *infer.Options) *infer.Model {
	t.Helper()
	eng := memengine.New(map[string]memengine.Model{"m": m})
	o := infer.Options{Name: "m", Digest: "sha256:0"}
	if opts != nil {
		o = *opts
		o.Digest = "sha256:0"
	}
	model, err := infer.Load(t.Context(), eng, "m", &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := model.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := eng.Sessions(); n != 0 {
			t.Errorf("%d sessions still open", n)
		}
	})
	return model
}

func floats(name string, shape ...int64) tensor.Tensor {
	n, _ := tensor.Elements(shape)
	return tensor.Of(name, shape, make([]float32, n))
}

func TestChecksNameTensorWantedAndGot(t *testing.T) {
	m := load(t, memengine.AddSub(), nil)
	a, b := floats("a", 2, 4), floats("b", 2, 4)
	tests := []struct {
		name string
		req  infer.Request
		want []string // in the message; none: no error
	}{
		{"right", infer.Request{Inputs: []tensor.Tensor{a, b}}, nil},
		{"any order", infer.Request{Inputs: []tensor.Tensor{b, a}}, nil},
		{"zero rows", infer.Request{Inputs: []tensor.Tensor{floats("a", 0, 4), floats("b", 0, 4)}}, nil},
		{"missing", infer.Request{Inputs: []tensor.Tensor{a}}, []string{`input "b"`, "want FP32 [-1 4]", "got no such input"}},
		{"unknown", infer.Request{Inputs: []tensor.Tensor{a, b, floats("c", 1)}}, []string{`input "c"`, `want one of "a", "b"`}},
		{"twice", infer.Request{Inputs: []tensor.Tensor{a, a, b}}, []string{`input "a"`, "got it twice"}},
		{"type", infer.Request{Inputs: []tensor.Tensor{a, tensor.Of("b", []int64{1, 4}, make([]float64, 4))}},
			[]string{`input "b"`, "want FP32 [-1 4], got FP64 [1 4]", "Send this input as FP32."}},
		{"fixed dimension", infer.Request{Inputs: []tensor.Tensor{a, floats("b", 3, 5)}},
			[]string{`input "b": want FP32 [-1 4], got FP32 [3 5]`, "Send rows of 4."}},
		{"rank", infer.Request{Inputs: []tensor.Tensor{a, floats("b", 4)}}, []string{"want FP32 [-1 4], got FP32 [4]"}},
		{"data too short", infer.Request{Inputs: []tensor.Tensor{a, {Name: "b", Type: tensor.FP32, Shape: []int64{2, 4}, Data: make([]byte, 8)}}},
			[]string{`input "b"`, "want 32 bytes", "got 8"}},
		{"overflowing shape", infer.Request{Inputs: []tensor.Tensor{a, {Name: "b", Type: tensor.FP32, Shape: []int64{1 << 62, 4}}}},
			[]string{`input "b"`}},
		{"every problem", infer.Request{Inputs: []tensor.Tensor{floats("a", 1, 5)}}, []string{`input "a"`, "[1 5]", `input "b"`, "no such input"}},
		{"unknown output", infer.Request{Inputs: []tensor.Tensor{a, b}, Outputs: []infer.OutputRequest{{Name: "z"}}},
			[]string{`output "z"`, `want one of "sum", "diff"`}},
		{"output twice", infer.Request{Inputs: []tensor.Tensor{a, b}, Outputs: []infer.OutputRequest{{Name: "sum"}, {Name: "sum"}}},
			[]string{`output "sum"`, "got it twice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := m.Infer(t.Context(), &tt.req)
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if got := fault.CodeOf(err); got != fault.Invalid {
				t.Fatalf("code %v, want Invalid: %v", got, err)
			}
			text := fault.Public(err)
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("message %q lacks %q", text, want)
				}
			}
		})
	}
	s := m.Stats()
	if s.Success.Count != 3 || s.Fail.Count != uint64(len(tests)-3) || s.Inferences != 4 {
		t.Errorf("stats = %d answered, %d failed, %d rows; want 3, %d, 4", s.Success.Count, s.Fail.Count, s.Inferences, len(tests)-3)
	}
}

func TestOutputsInTheOrderWanted(t *testing.T) {
	m := load(t, memengine.AddSub(), nil)
	in := []tensor.Tensor{tensor.Of("a", []int64{1, 4}, []float32{5, 6, 7, 8}), tensor.Of("b", []int64{1, 4}, []float32{1, 2, 3, 4})}
	resp, err := m.Infer(t.Context(), &infer.Request{ID: "7", Inputs: in, Outputs: []infer.OutputRequest{{Name: "diff"}, {Name: "sum"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Release()
	got := map[string][]float32{}
	for i := range resp.Outputs {
		got[resp.Outputs[i].Name], _ = tensor.View[float32](&resp.Outputs[i])
	}
	if diff := cmp.Diff(map[string][]float32{"diff": {4, 4, 4, 4}, "sum": {6, 8, 10, 12}}, got); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if resp.Outputs[0].Name != "diff" || resp.ID != "7" || resp.Digest != "sha256:0" || resp.Timing.Rows != 1 {
		t.Errorf("response = %+v", resp)
	}
}

// gate is a model whose runs wait until they are let through.
func gate(through <-chan struct{}) memengine.Model {
	m := memengine.Identity(tensor.FP32, -1)
	answer := m.Run
	m.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		select {
		case <-through:
			return answer(ctx, in)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return m
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		through := make(chan struct{})
		m := load(t, gate(through), &infer.Options{Name: "m", Runs: 1, Queue: 2})
		req := &infer.Request{Inputs: []tensor.Tensor{floats("x", 1)}}
		results := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := m.Infer(context.Background(), req)
				results <- err
			}()
		}
		synctest.Wait()
		if _, err := m.Infer(t.Context(), req); fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
			t.Errorf("fourth request: %v, want Unavailable with a hint", err)
		}
		close(through)
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("a queued request failed: %v", err)
			}
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := load(t, gate(nil), &infer.Options{Name: "m", Runs: 1})
		req := &infer.Request{Inputs: []tensor.Tensor{floats("x", 1)}}
		check := func(name string, ctx context.Context, want fault.Code) {
			t.Helper()
			start := time.Now()
			_, err := m.Infer(ctx, req)
			if fault.CodeOf(err) != want {
				t.Errorf("%s: %v, want code %v", name, err, want)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: held for %v", name, took)
			}
		}
		short := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			t.Cleanup(cancel)
			return ctx
		}
		check("before the queue", short(0), fault.DeadlineExceeded)
		check("during the run", short(time.Second), fault.DeadlineExceeded)
		running := make(chan struct{})
		go func() {
			defer close(running)
			m.Infer(short(time.Hour/2), req)
		}()
		synctest.Wait()
		check("in the queue", short(time.Second), fault.Unavailable)
		start := time.Now()
		check("a quarter of the time in the queue", short(40*time.Second), fault.Unavailable)
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v of 40s in the queue, want 10s", waited)
		}
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		check("caller gone", canceled, fault.Canceled)
		<-running
	})
}

func TestCloseWaitsForRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		through := make(chan struct{})
		m := load(t, gate(through), nil)
		req := &infer.Request{Inputs: []tensor.Tensor{floats("x", 1)}}
		answered := make(chan error, 1)
		go func() {
			_, err := m.Infer(context.Background(), req)
			answered <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Close(ctx); fault.CodeOf(err) != fault.DeadlineExceeded {
			t.Errorf("Close during a run: %v, want DeadlineExceeded", err)
		}
		if _, err := m.Infer(t.Context(), req); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("Infer on a closing model: %v, want Unavailable", err)
		}
		close(through)
		if err := <-answered; err != nil {
			t.Errorf("the run in flight failed: %v", err)
		}
	})
}

func TestLoadRefusesBadNames(t *testing.T) {
	eng := memengine.New(map[string]memengine.Model{"m": memengine.AddSub()})
	for _, name := range []string{"..", "a/b", `a\b`, "a b", "-a", "a\x00", strings.Repeat("a", 129), "ａ"} {
		for _, o := range []infer.Options{{Name: name}, {Name: "m", Version: name}} {
			o.Digest = "sha256:0"
			if _, err := infer.Load(t.Context(), eng, "m", &o); fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("Load(%q): %v, want BadConfig", name, err)
			}
		}
	}
}

func TestDigestComesFromTheFile(t *testing.T) {
	model := testmodels.AddSub()
	path := model.File(t, "m")
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{path: memengine.AddSub()}), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(model.Bytes())); m.Digest() != want {
		t.Errorf("digest = %s, want %s", m.Digest(), want)
	}
	if m.Name() != "m" || m.Version() != "1" {
		t.Errorf("named %q version %q, want m and 1", m.Name(), m.Version())
	}
}

func TestUnrankedInputTakesAnyShape(t *testing.T) {
	any := memengine.Identity(tensor.FP32)
	any.Signature.Inputs = []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Unranked: true}}
	m := load(t, any, nil)
	for _, shape := range [][]int64{{}, {3}, {2, 0, 4}} {
		if _, err := m.Infer(t.Context(), &infer.Request{Inputs: []tensor.Tensor{floats("x", shape...)}}); err != nil {
			t.Errorf("shape %v: %v", shape, err)
		}
	}
}

func TestBoolsAreZeroOrOne(t *testing.T) {
	m := load(t, memengine.Identity(tensor.Bool, -1), nil)
	bad := tensor.Tensor{Name: "x", Type: tensor.Bool, Shape: []int64{2}, Data: []byte{1, 2}}
	if _, err := m.Infer(t.Context(), &infer.Request{Inputs: []tensor.Tensor{bad}}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "element 1") {
		t.Errorf("BOOL of 2: %v, want Invalid that names element 1", err)
	}
}
