package predict_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/functions/predict"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is memengine.AddSub with code that runs before each run.
type scripted struct {
	runs   atomic.Int64
	before func(ctx context.Context, run int64) error
}

func (s *scripted) model() memengine.Model {
	m := memengine.AddSub()
	add := m.Run
	m.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		if err := s.before(ctx, s.runs.Add(1)); err != nil {
			return nil, err
		}
		return add(ctx, in)
	}
	return m
}

// native is an engine whose outputs are gone once they are released, as those
// in an engine's own memory are.
type native struct{ driver.Engine }

func (n native) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	s, err := n.Engine.Open(ctx, path, opts)
	return nativeSession{s}, err
}

type nativeSession struct{ driver.Session }

func (n nativeSession) Run(ctx context.Context, in, out []tensor.Tensor) error {
	if err := n.Session.Run(ctx, in, out); err != nil {
		return err
	}
	for i := range out {
		data := out[i].Data
		out[i].SetFree(func() {
			for j := range data {
				data[j] = 0xff
			}
		})
	}
	return nil
}

// load returns a registry with m as "m", deterministic unless opts say more.
func load(t testing.TB, m memengine.Model, opts *infer.Options) *infer.Registry {
	t.Helper()
	if opts == nil {
		opts = &infer.Options{Deterministic: true}
	}
	r := &infer.Registry{}
	if err := r.Add(open(t, m, "1", "sha256:1", opts)); err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t testing.TB, m memengine.Model, version, digest string, opts *infer.Options) *infer.Model {
	t.Helper()
	o := *opts
	o.Name, o.Version, o.Digest = "m", version, digest
	model, err := infer.Load(t.Context(), native{memengine.New(map[string]memengine.Model{"m": m})}, "m", &o)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func megabyte(*infer.Model) int64 { return 1 << 20 }

// addsub asks for n..n+3 plus and minus 1; swapped changes the order of the inputs.
func addsub(n int, swapped bool) *infer.Request {
	shape := []int64{1, 4}
	in := []tensor.Tensor{
		tensor.Of("a", shape, []float32{float32(n), float32(n + 1), float32(n + 2), float32(n + 3)}),
		tensor.Of("b", shape, []float32{1, 1, 1, 1}),
	}
	if swapped {
		in[0], in[1] = in[1], in[0]
	}
	return &infer.Request{Model: "m", Inputs: in}
}

// sum is the answer's first output.
func sum(t testing.TB, resp *infer.Response) []float32 {
	t.Helper()
	y, ok := tensor.View[float32](&resp.Outputs[0])
	if !ok || resp.Outputs[0].Name != "sum" {
		t.Fatalf("outputs %v, want sum first", resp.Outputs)
	}
	return y
}

// asked is a request under way.
type asked struct {
	cancel context.CancelFunc
	done   chan struct{}
	resp   *infer.Response
	err    error
}

// ask has h answer req and waits until it has gone as far as it can: callers
// are in a synctest bubble.
func ask(t *testing.T, h infer.Handler, req *infer.Request, timeout time.Duration) *asked {
	ctx, cancel := context.WithCancel(t.Context())
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(t.Context(), timeout)
	}
	a := &asked{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer cancel()
		a.resp, a.err = h.Infer(ctx, req)
	}()
	synctest.Wait()
	return a
}

func (a *asked) answered(t *testing.T, want float32) {
	t.Helper()
	<-a.done
	if a.err != nil {
		t.Errorf("want an answer, got %v", a.err)
		return
	}
	if got := sum(t, a.resp)[0]; got != want {
		t.Errorf("answer %v, want %v", got, want)
	}
}

func (a *asked) failed(t *testing.T, want fault.Code) {
	t.Helper()
	<-a.done
	if got := fault.CodeOf(a.err); got != want {
		t.Errorf("code %v, want %v: %v", got, want, a.err)
	}
}

func TestEqualRequestsShareOneRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts predict.Options
		// runs of 1,000 requests, which end when all are there.
		runs  int64
		stats [5]uint64
	}{
		{"shared", predict.Options{}, 1, [5]uint64{1000, 1000, 1, 0, 0}},
		{"and kept", predict.Options{Cache: megabyte}, 1, [5]uint64{1000, 1000, 1, 0, 1000}},
		{"not", predict.Options{NoShare: true}, 1000, [5]uint64{1000, 1000, 1000, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				s := &scripted{before: func(context.Context, int64) error { <-release; return nil }}
				models := load(t, s.model(), &infer.Options{Deterministic: true, Runs: 1000})
				h := predict.New(models, &tt.opts)
				answers := make([]*infer.Response, 1000)
				var wg sync.WaitGroup
				for i := range answers {
					wg.Go(func() {
						req := addsub(5, i%2 == 1)
						req.ID, req.Caller, req.Priority = fmt.Sprint(i), fmt.Sprint(i%7), infer.Priority(i%2)
						req.Params = infer.Params{"timeout": int64(i)}
						resp, err := h.Infer(t.Context(), req)
						if err != nil {
							t.Error(err)
							return
						}
						answers[i] = resp
					})
				}
				synctest.Wait()
				close(release)
				wg.Wait()
				if got := s.runs.Load(); got != tt.runs {
					t.Errorf("%d runs, want %d", got, tt.runs)
				}
				counted(t, models, tt.stats)
				own, ids := int64(0), map[string]bool{}
				for i, resp := range answers {
					if resp == nil {
						continue
					}
					if diff := cmp.Diff([]float32{6, 7, 8, 9}, sum(t, resp)); diff != "" {
						t.Fatalf("answer (-want +got):\n%s", diff)
					}
					if resp.ID != fmt.Sprint(i) || resp.Model != "m" || resp.Version != "1" || resp.Digest != "sha256:1" {
						t.Errorf("answer to %d is for %q of model %q version %q %s", i, resp.ID, resp.Model, resp.Version, resp.Digest)
					}
					if resp.Timing.Rows != 1 {
						t.Errorf("%d rows, want 1", resp.Timing.Rows)
					}
					ids[resp.Prediction] = true
					if !resp.Shared && !resp.Cached {
						own++
					}
				}
				if own != tt.runs || len(ids) != len(answers) {
					t.Errorf("%d answers with a run of their own and %d ids, want %d and %d", own, len(ids), tt.runs, len(answers))
				}
			})
		})
	}
}

func TestRequestsThatDifferDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(context.Context, int64) error { <-release; return nil }}
		h := predict.New(load(t, s.model(), &infer.Options{Deterministic: true, Runs: 9}), nil)
		zero, minus := addsub(0, false), addsub(0, false)
		minus.Inputs[0].Data[3] = 0x80 // -0
		diff := addsub(1, false)
		diff.Outputs = []infer.OutputRequest{{Name: "diff"}}
		turned := addsub(1, false)
		turned.Outputs = []infer.OutputRequest{{Name: "diff"}, {Name: "sum"}}
		named := addsub(1, false) // asks for what it would get anyway
		named.Outputs = []infer.OutputRequest{{Name: "sum", Params: infer.Params{"binary_data": true}}, {Name: "diff"}}
		var all []*asked
		for _, req := range []*infer.Request{zero, minus, addsub(1, false), diff, turned, named} {
			all = append(all, ask(t, h, req, 0))
		}
		close(release)
		for _, a := range all {
			<-a.done
			if a.err != nil {
				t.Error(a.err)
			}
		}
		if got := s.runs.Load(); got != 5 {
			t.Errorf("%d runs, want 5: only the last request has an equal", got)
		}
	})
}

func TestRandomModelsShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(context.Context, int64) error { <-release; return nil }}
		h := predict.New(load(t, s.model(), &infer.Options{Runs: 3}), &predict.Options{Cache: megabyte})
		a, b := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)
		close(release)
		a.answered(t, 2)
		b.answered(t, 2)
		ask(t, h, addsub(1, false), 0).answered(t, 2)
		if got := s.runs.Load(); got != 3 {
			t.Errorf("%d runs, want 3", got)
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	tests := []struct {
		code fault.Code
		runs int64 // until the error is told and an answer is there
	}{
		{fault.Internal, 2},    // all three get it, the next request runs
		{fault.Invalid, 2},     //
		{fault.Unavailable, 2}, // one gets it; another one runs for the rest, and that is kept
	}
	for _, tt := range tests {
		t.Run(tt.code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				s := &scripted{before: func(_ context.Context, run int64) error {
					<-release
					if run == 1 {
						return fault.New(tt.code, "test", "", "the first")
					}
					return nil
				}}
				h := predict.New(load(t, s.model(), nil), &predict.Options{Cache: megabyte})
				first := ask(t, h, addsub(1, false), 0)
				second, third := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)
				close(release)
				first.failed(t, tt.code)
				if tt.code == fault.Unavailable {
					second.answered(t, 2)
					third.answered(t, 2)
				} else {
					second.failed(t, tt.code)
					third.failed(t, tt.code)
				}
				ask(t, h, addsub(1, false), 0).answered(t, 2)
				if got := s.runs.Load(); got != tt.runs {
					t.Errorf("%d runs, want %d", got, tt.runs)
				}
			})
		})
	}
}

// The caller who began a run leaves; the run goes on for those who wait.
func TestTheRunOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(ctx context.Context, _ int64) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		h := predict.New(load(t, s.model(), nil), nil)
		leader := ask(t, h, addsub(1, false), 0)
		follower, late := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), time.Second)
		leader.cancel()
		late.failed(t, fault.DeadlineExceeded)
		select {
		case <-leader.done:
			t.Error("the leader returned while the run reads its tensors")
		case <-follower.done:
			t.Errorf("the follower's run ended with its leader's: %v", follower.err)
		default:
		}
		joined := ask(t, h, addsub(1, false), 0)
		close(release)
		leader.failed(t, fault.Canceled)
		follower.answered(t, 2)
		joined.answered(t, 2)
		if got := s.runs.Load(); got != 1 {
			t.Errorf("%d runs, want 1", got)
		}
	})
}

func TestTheRunEndsWithTheLastWhoWaits(t *testing.T) {
	for _, leaderFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("leader first %v", leaderFirst), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				s := &scripted{before: func(ctx context.Context, run int64) error {
					if run > 1 {
						return nil
					}
					<-ctx.Done()
					<-ended // an engine cannot stop at once
					return ctx.Err()
				}}
				h := predict.New(load(t, s.model(), &infer.Options{Deterministic: true, Runs: 2}), nil)
				order := []*asked{ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)}
				if !leaderFirst {
					order[0], order[1] = order[1], order[0]
				}
				order[0].cancel()
				synctest.Wait()
				order[1].cancel()
				synctest.Wait()
				// Nobody joins a run that ends.
				ask(t, h, addsub(1, false), 0).answered(t, 2)
				close(ended)
				order[0].failed(t, fault.Canceled)
				order[1].failed(t, fault.Canceled)
				if got := s.runs.Load(); got != 2 {
					t.Errorf("%d runs, want 2", got)
				}
			})
		})
	}
}

// Where runs are short the run ends with its leader, and the next who waits
// begins it again.
func TestShortRunsAreBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(ctx context.Context, run int64) error {
			if run == 1 {
				<-time.After(500 * time.Microsecond) // of the bubble's clock: what is learned
				return nil
			}
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		h := predict.New(load(t, s.model(), nil), nil)
		first := ask(t, h, addsub(0, false), 0)
		first.answered(t, 1)
		leader := ask(t, h, addsub(1, false), 0)
		followers := []*asked{ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)}
		leader.cancel()
		leader.failed(t, fault.Canceled)
		synctest.Wait()
		close(release)
		for _, f := range followers {
			f.answered(t, 2)
		}
		if got := s.runs.Load(); got != 3 {
			t.Errorf("%d runs, want 3: the first, the leader's and one for those who wait", got)
		}
	})
}

// The leader gets no place in the time that its own deadline leaves; who waits
// without a deadline is not refused with it.
func TestTheLeadersDeadlineIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(context.Context, int64) error { <-release; return nil }}
		h := predict.New(load(t, s.model(), nil), nil)
		other := ask(t, h, addsub(9, false), 0) // has the only run
		leader := ask(t, h, addsub(1, false), time.Second)
		follower := ask(t, h, addsub(1, false), 0)
		leader.failed(t, fault.Unavailable)
		close(release)
		other.answered(t, 10)
		follower.answered(t, 2)
	})
}

func TestAPanicEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(_ context.Context, run int64) error {
			<-release
			if run == 1 {
				panic("in the model")
			}
			return nil
		}}
		// The panic takes the model's only run with it, hence two.
		h := predict.New(load(t, s.model(), &infer.Options{Deterministic: true, Runs: 2}), &predict.Options{Cache: megabyte})
		a, b := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)
		close(release)
		a.failed(t, fault.Internal)
		b.failed(t, fault.Internal)
		ask(t, h, addsub(1, false), 0).answered(t, 2)
	})
}

// The user's code runs for every request, and what it changes is its caller's.
func TestWrapGetsTensorsOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{before: func(context.Context, int64) error { <-release; return nil }}
		calls := atomic.Int64{}
		h := predict.New(load(t, s.model(), nil), &predict.Options{Cache: megabyte, Wrap: func(next infer.Handler) infer.Handler {
			return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
				calls.Add(1)
				resp, err := next.Infer(ctx, req)
				if err == nil {
					y := sum(t, resp)
					for i := range y {
						y[i] *= 10
					}
				}
				return resp, err
			})
		}})
		a, b := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)
		close(release)
		a.answered(t, 20)
		b.answered(t, 20)
		for range 3 {
			ask(t, h, addsub(1, false), 0).answered(t, 20)
		}
		if runs, calls := s.runs.Load(), calls.Load(); runs != 1 || calls != 5 {
			t.Errorf("%d runs and %d calls of the user's code, want 1 and 5", runs, calls)
		}
	})
}

// Callers come and go at random and reuse their memory at once. The race
// detector sees a run that still reads it; every answer is the right one.
func TestCallersReuseTheirMemory(t *testing.T) {
	for _, cache := range []func(*infer.Model) int64{nil, megabyte} {
		m := memengine.AddSub()
		add := m.Run
		m.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			before := in[0].Clone()
			select {
			case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
			case <-ctx.Done():
			}
			if string(before.Data) != string(in[0].Data) {
				return nil, fault.New(fault.Internal, "test", "", "the input changed under the run")
			}
			return add(ctx, in)
		}
		h := predict.New(load(t, m, &infer.Options{Deterministic: true, Runs: 4, Queue: 1000}), &predict.Options{Cache: cache})
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(g)))
				for range 60 {
					n := random.IntN(3)
					req := addsub(n, random.IntN(2) == 0)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3000))*time.Microsecond)
					resp, err := h.Infer(ctx, req)
					cancel()
					for i := range req.Inputs {
						clear(req.Inputs[i].Data)
					}
					code := fault.CodeOf(err)
					switch {
					case err == nil && sum(t, resp)[0] != float32(n+1):
						t.Errorf("answer %v, want %d", sum(t, resp)[0], n+1)
					case code != fault.OK && code != fault.DeadlineExceeded && code != fault.Canceled && code != fault.Unavailable:
						t.Error(err)
					}
					resp.Release()
				}
			})
		}
		wg.Wait()
	}
}

func TestErrorsOfUnequalInputsStayTheModels(t *testing.T) {
	s := &scripted{before: func(context.Context, int64) error { return nil }}
	h := predict.New(load(t, s.model(), nil), &predict.Options{Cache: megabyte})
	missing, twice, short := addsub(1, false), addsub(1, false), addsub(1, false)
	missing.Inputs = missing.Inputs[:1]
	twice.Inputs[1].Name = "a"
	short.Inputs[0].Data = short.Inputs[0].Data[:4]
	for _, req := range []*infer.Request{missing, twice, short, {Model: "m"}} {
		for range 2 {
			if _, err := h.Infer(t.Context(), req); fault.CodeOf(err) != fault.Invalid || errors.Is(err, context.Canceled) {
				t.Errorf("%v, want Invalid", err)
			}
		}
	}
	if got := s.runs.Load(); got != 0 {
		t.Errorf("%d runs, want none", got)
	}
}

// Who joins a run halfway has waited for half of it.
func TestWhatFollowersWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{before: func(context.Context, int64) error { <-time.After(10 * time.Millisecond); return nil }}
		h := predict.New(load(t, s.model(), nil), nil)
		other := ask(t, h, addsub(9, false), 0)
		leader, early := ask(t, h, addsub(1, false), 0), ask(t, h, addsub(1, false), 0)
		<-time.After(14 * time.Millisecond)
		late := ask(t, h, addsub(1, false), 0)
		const ms = time.Millisecond
		for _, tt := range []struct {
			name           string
			who            *asked
			queue, compute time.Duration
		}{{"other", other, 0, 10 * ms}, {"leader", leader, 10 * ms, 10 * ms}, {"early", early, 10 * ms, 10 * ms}, {"late", late, 0, 6 * ms}} {
			<-tt.who.done
			if tt.who.err != nil {
				t.Fatal(tt.who.err)
			}
			if got := tt.who.resp.Timing; got.Queue != tt.queue || got.Compute != tt.compute || got.Rows != 1 {
				t.Errorf("%s: %+v, want %v in the queue and %v of compute", tt.name, got, tt.queue, tt.compute)
			}
		}
	})
}
