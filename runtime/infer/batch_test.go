package infer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// timed is a model y = 2x of [-1 cols] whose runs of B rows take took(B), and
// that remembers the rows of its runs.
type timed struct {
	took func(rows int) time.Duration
	fail func(in []tensor.Tensor) error // may be nil

	mu   sync.Mutex
	runs []int
}

func (d *timed) model(cols int64) memengine.Model {
	info := func(name string) []driver.TensorInfo {
		return []driver.TensorInfo{{Name: name, Type: tensor.FP32, Shape: []int64{-1, cols}, Symbols: []string{"N", ""}}}
	}
	return memengine.Model{
		Signature: driver.Signature{Inputs: info("x"), Outputs: info("y")},
		Run: func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			rows := int(in[0].Shape[0])
			d.mu.Lock()
			d.runs = append(d.runs, rows)
			d.mu.Unlock()
			timer := time.NewTimer(d.took(rows))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if d.fail != nil {
				if err := d.fail(in); err != nil {
					return nil, err
				}
			}
			x, _ := tensor.View[float32](&in[0])
			y := make([]float32, len(x))
			for i := range x {
				y[i] = 2 * x[i]
			}
			return []tensor.Tensor{tensor.Of("y", in[0].Shape, y)}, nil
		},
	}
}

// seen returns and forgets the rows of the runs so far.
func (d *timed) seen() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	runs := d.runs
	d.runs = nil
	return runs
}

// flat is a run that costs the same whatever its rows; linear one that gains nothing.
func flat(t time.Duration) func(int) time.Duration { return func(int) time.Duration { return t } }
func linear(t time.Duration) func(int) time.Duration {
	return func(n int) time.Duration { return time.Duration(n) * t }
}

func values(v ...float32) *infer.Request {
	return &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{int64(len(v)), 1}, v)}}
}

// shared loads d with one column and turns shared runs on.
func shared(t testing.TB, d *timed, opts *infer.Options) *infer.Model {
	t.Helper()
	m := load(t, d.model(1), opts)
	if err := m.ProbeBatching(t.Context(), []*infer.Request{values(1, 2), values(3)}); err != nil {
		t.Fatal(err)
	}
	d.seen()
	return m
}

// learn lets m see runs of up to rows rows, by holding its one run while more wait.
func learn(t testing.TB, m *infer.Model, rows int) {
	t.Helper()
	var all sync.WaitGroup
	for range 3 * rows * 8 {
		all.Go(func() {
			if resp, err := m.Infer(context.Background(), values(1)); err != nil {
				t.Error(err)
			} else {
				resp.Release()
			}
		})
	}
	all.Wait()
}

type result struct {
	resp *infer.Response
	err  error
}

// ask asks in the background.
func ask(ctx context.Context, m *infer.Model, req *infer.Request) <-chan result {
	c := make(chan result, 1)
	go func() {
		resp, err := m.Infer(ctx, req)
		c <- result{resp, err}
	}()
	return c
}

// get is the one output of r as numbers, released.
func get(t testing.TB, r result) []float32 {
	t.Helper()
	if r.err != nil {
		t.Error(r.err)
		return nil
	}
	v, _ := tensor.View[float32](&r.resp.Outputs[0])
	v = slices.Clone(v)
	r.resp.Release()
	return v
}

func TestWhatWaitsSharesARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Second)}
		m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 10, QueueShare: 100})
		learn(t, m, 16)
		d.seen()
		before := m.Stats()

		start := time.Now()
		first := ask(t.Context(), m, values(1))
		synctest.Wait()
		if runs := d.seen(); !slices.Equal(runs, []int{1}) {
			t.Fatalf("an idle model ran %v, want the one request at once", runs)
		}
		two, three := ask(t.Context(), m, values(2, 3)), ask(t.Context(), m, values(4, 5, 6))
		synctest.Wait()
		if got := get(t, <-first); !slices.Equal(got, []float32{2}) {
			t.Errorf("first answer %v, want [2]", got)
		}
		r := <-two
		if r.err == nil && (r.resp.Timing.Rows != 2 || r.resp.Timing.BatchRows != 5 || r.resp.Timing.Queue != time.Second || r.resp.Timing.Compute != time.Second) {
			t.Errorf("timing %+v, want 2 rows of a run of 5, 1s in the queue and 1s of run", r.resp.Timing)
		}
		if diff := cmp.Diff([]int64{2, 1}, r.resp.Outputs[0].Shape); diff != "" {
			t.Errorf("shape (-want +got):\n%s", diff)
		}
		got := append(get(t, r), get(t, <-three)...)
		if diff := cmp.Diff([]float32{4, 6, 8, 10, 12}, got); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want two runs: 2s", took)
		}
		if runs := d.seen(); !slices.Equal(runs, []int{5}) {
			t.Errorf("ran %v, want one run of 5 rows", runs)
		}
		after := m.Stats()
		if n, e, ok := after.Inferences-before.Inferences, after.Executions-before.Executions, after.Success.Count-before.Success.Count; n != 6 || e != 2 || ok != 3 {
			t.Errorf("counted %d rows, %d runs, %d answers; want 6, 2, 3", n, e, ok)
		}
		i := slices.IndexFunc(after.Batches, func(b infer.BatchStats) bool { return b.Rows == 5 })
		if i < 0 || after.Batches[i].Compute.Count == 0 || after.Batches[i].Compute.Total%time.Second != 0 {
			t.Errorf("statistics by rows %+v, want runs of 5", after.Batches)
		}
	})
}

// A run that keeps its processor, as native code does, leaves the callers who
// are ready to ask behind it. They come together all the same.
func TestCallersBehindARunComeTogether(t *testing.T) {
	d := &timed{took: flat(time.Nanosecond)}
	model := d.model(1)
	answer := model.Run
	model.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		for begun := time.Now(); time.Since(begun) < 100*time.Microsecond; { // nothing in here lets go of the processor
			continue
		}
		return answer(ctx, in)
	}
	m := load(t, model, &infer.Options{Name: "m", Runs: 2})
	if err := m.ProbeBatching(t.Context(), []*infer.Request{values(1), values(2)}); err != nil {
		t.Fatal(err)
	}
	// Where others take the processor now and then, a shared run looks like one
	// that gains nothing, and is not made for a while: one round of some shows it.
	const callers, each, rounds = 64, 100, 10
	runs := int64(0)
	for range rounds {
		before := m.Stats()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range each {
					resp, err := m.Infer(context.Background(), values(3))
					if err != nil {
						t.Error(err)
						return
					}
					resp.Release()
				}
			})
		}
		all.Wait()
		after := m.Stats()
		if n := after.Inferences - before.Inferences; n != callers*each {
			t.Fatalf("%d rows, want %d", n, callers*each)
		}
		if runs = int64(after.Executions - before.Executions); runs <= callers*each/4 {
			return
		}
	}
	t.Errorf("%d rows in %d runs in the last of %d rounds, want at least four rows a run", callers*each, runs, rounds)
}

// Two runs, two requests, no sharing.
func TestNothingWaitsForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Second)}
		m := shared(t, d, &infer.Options{Name: "m", Runs: 2})
		start := time.Now()
		a, b := ask(t.Context(), m, values(1)), ask(t.Context(), m, values(2))
		get(t, <-a)
		get(t, <-b)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
		if runs := d.seen(); !slices.Equal(runs, []int{1, 1}) {
			t.Errorf("ran %v, want each alone", runs)
		}
	})
}

func alone(req *infer.Request) *infer.Request {
	req.Alone = true
	return req
}

func TestOnlyWhatFitsSharesARun(t *testing.T) {
	req := func(rows, cols int) *infer.Request {
		v := make([]float32, rows*cols)
		for i := range v {
			v[i] = float32(i)
		}
		return &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{int64(rows), int64(cols)}, v)}}
	}
	tests := []struct {
		name string
		reqs []*infer.Request
		want []int
	}{
		{"other width", []*infer.Request{req(1, 2), req(1, 3), req(1, 2), req(1, 3)}, []int{2, 2}},
		{"alone", []*infer.Request{alone(req(1, 2)), req(1, 2), req(1, 2)}, []int{1, 2}},
		{"no rows", []*infer.Request{req(0, 2), req(1, 2), req(1, 2)}, []int{0, 2}},
		{"more rows than the bound", []*infer.Request{req(9, 1), req(1, 1), req(1, 1)}, []int{9, 2}},
		{"rows together beyond the bound", []*infer.Request{req(5, 1), req(4, 1), req(3, 1)}, []int{8, 4}},
		{"bytes together beyond the bound", []*infer.Request{req(1, 40), req(1, 40), req(1, 40)}, []int{1, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// [-1 -1]: the second dimension must agree too.
				d := &timed{took: flat(time.Second)}
				m := load(t, d.model(-1), &infer.Options{Name: "m", QueueShare: 100, Batch: infer.Batching{MaxRows: 8, MaxBytes: 256}})
				if err := m.ProbeBatching(t.Context(), []*infer.Request{req(2, 2)}); err != nil {
					t.Fatal(err)
				}
				learn(t, m, 8)
				holding := ask(t.Context(), m, values(1))
				synctest.Wait()
				d.seen()
				var waiting []<-chan result
				for _, r := range tt.reqs {
					waiting = append(waiting, ask(t.Context(), m, r))
					synctest.Wait()
				}
				get(t, <-holding)
				for i, w := range waiting {
					x, _ := tensor.View[float32](&tt.reqs[i].Inputs[0])
					want := make([]float32, len(x))
					for j := range x {
						want[j] = 2 * x[j]
					}
					if diff := cmp.Diff(want, append([]float32{}, get(t, <-w)...)); diff != "" {
						t.Errorf("answer %d (-want +got):\n%s", i, diff)
					}
				}
				if got := d.seen(); !slices.Equal(got, tt.want) {
					t.Errorf("ran %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestOneBadRequestFailsAlone: a run that fails is halved until the culprit is alone.
func TestOneBadRequestFailsAlone(t *testing.T) {
	for _, code := range []fault.Code{fault.Invalid, fault.Unprocessable, fault.Internal} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &timed{took: flat(time.Second)}
				m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 10, QueueShare: 100})
				learn(t, m, 16)
				d.fail = func(in []tensor.Tensor) error {
					if x, _ := tensor.View[float32](&in[0]); slices.Contains(x, 666) {
						return fault.New(code, "memengine.Run", "", "beast")
					}
					return nil
				}
				holding := ask(t.Context(), m, values(0))
				synctest.Wait()
				d.seen()
				var waiting []<-chan result
				for i := range 8 {
					v := float32(i)
					if i == 5 {
						v = 666
					}
					waiting = append(waiting, ask(t.Context(), m, values(v)))
				}
				<-holding
				for i, w := range waiting {
					r := <-w
					if i == 5 {
						if fault.CodeOf(r.err) != code {
							t.Errorf("the bad request: %v, want %v", r.err, code)
						}
					} else if got := get(t, r); !slices.Equal(got, []float32{2 * float32(i)}) {
						t.Errorf("neighbour %d got %v", i, got)
					}
				}
				if runs := d.seen(); len(runs) > 15 || runs[0] != 8 {
					t.Errorf("ran %v, want 8 rows and then halves, at most 15 runs", runs)
				}
			})
		})
	}
}

func TestAPanicOfTheEngineFailsOnlyItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Second)}
		m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 10, QueueShare: 100})
		learn(t, m, 4)
		d.fail = func(in []tensor.Tensor) error {
			if x, _ := tensor.View[float32](&in[0]); slices.Contains(x, 666) {
				panic("beast")
			}
			return nil
		}
		for range 3 {
			func() {
				defer func() { _ = recover() }()
				m.Infer(t.Context(), values(666)) // alone, on this goroutine
			}()
			holding := ask(t.Context(), m, values(0))
			synctest.Wait()
			bad, good := ask(t.Context(), m, values(666)), ask(t.Context(), m, values(1))
			get(t, <-holding)
			if r := <-bad; fault.CodeOf(r.err) != fault.Internal {
				t.Errorf("the bad request: %v, want Internal", r.err)
			}
			if got := get(t, <-good); !slices.Equal(got, []float32{2}) {
				t.Errorf("its neighbour got %v", got)
			}
		}
	})
}

// TestARunEndsWithTheLastThatLeaves: those who leave get away at once, and the
// run is stopped only when nobody waits for it.
func TestARunEndsWithTheLastThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Hour)}
		var stopped atomic.Int32
		model := d.model(1)
		inner := model.Run
		model.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			out, err := inner(ctx, in)
			if err != nil {
				stopped.Add(1)
			}
			return out, err
		}
		m := load(t, model, &infer.Options{Name: "m", QueueShare: 100})
		if err := m.ProbeBatching(t.Context(), []*infer.Request{values(1, 2)}); err != nil {
			t.Fatal(err)
		}
		learn(t, m, 4)
		hold, release := context.WithCancel(t.Context())
		holding := ask(hold, m, values(0))
		synctest.Wait()
		var cancels []context.CancelFunc
		var waiting []<-chan result
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			waiting = append(waiting, ask(ctx, m, values(float32(i))))
			synctest.Wait()
		}
		d.seen()
		release()
		<-holding
		synctest.Wait()
		if runs := d.seen(); !slices.Equal(runs, []int{3}) {
			t.Fatalf("ran %v, want one run of 3", runs)
		}
		n := stopped.Load()
		for i, cancel := range cancels {
			start := time.Now()
			cancel()
			if r := <-waiting[i]; fault.CodeOf(r.err) != fault.Canceled || time.Since(start) != 0 {
				t.Errorf("request %d: %v after %v, want Canceled at once", i, r.err, time.Since(start))
			}
			synctest.Wait()
			if got, want := stopped.Load()-n, int32(i/2); got != want {
				t.Errorf("after %d of 3 have left: %d runs stopped, want %d", i+1, got, want)
			}
		}
		// The run is free again.
		next, cancel := context.WithCancel(t.Context())
		r := ask(next, m, values(1))
		synctest.Wait()
		if runs := d.seen(); !slices.Equal(runs, []int{1}) {
			t.Errorf("then ran %v, want the next request", runs)
		}
		cancel()
		<-r
	})
}

// TestLinearModelsKeepRunsToThemselves: sharing turns itself off where it
// gains nothing, and only now and then tries again.
func TestLinearModelsKeepRunsToThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: linear(time.Millisecond)}
		m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 12, QueueShare: 100})
		var all sync.WaitGroup
		for range 2 {
			for range 700 {
				all.Go(func() { get(t, <-ask(t.Context(), m, values(1))) })
			}
			all.Wait()
		}
		single, many := 0, 0
		for _, rows := range d.seen() {
			if rows == 1 {
				single++
			} else {
				many++
			}
		}
		if many < 3 || many > 12 || single < 1300 {
			t.Errorf("%d runs alone and %d shared, want the shared ones to be a few probes", single, many)
		}
		if on, why := m.Batching(); !on || !strings.Contains(why, "gained nothing") {
			t.Errorf("Batching() = %v, %q; want on, but gaining nothing", on, why)
		}
	})
}

// TestTheKneeIsFound: more rows than are worth it are not put together.
func TestTheKneeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A row of 8 is a seventh cheaper than one of 4; beyond, nothing is gained.
		d := &timed{took: func(rows int) time.Duration {
			return time.Duration(max(400, 300+25*rows, 62*rows)) * time.Microsecond
		}}
		m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 12, QueueShare: 100})
		learn(t, m, 32)
		d.seen()
		learn(t, m, 32)
		most := map[int]int{}
		for _, rows := range d.seen() {
			most[rows]++
		}
		if most[8] < 90 || most[4]+most[16]+most[32] > 10 {
			t.Errorf("runs by rows %v, want nearly all of 8", most)
		}
	})
}

// TestDeadlinesBoundABatch: no request is made to miss its deadline by others
// that join it.
func TestDeadlinesBoundABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: func(rows int) time.Duration { return time.Second + time.Duration(rows)*100*time.Millisecond }}
		m := shared(t, d, &infer.Options{Name: "m", Queue: 1 << 12, QueueShare: 100})
		learn(t, m, 16)
		holding := ask(t.Context(), m, values(0))
		synctest.Wait()
		d.seen()
		ctx, cancel := context.WithTimeout(t.Context(), 2650*time.Millisecond) // 1.1 s to wait, 1.55 s to run
		defer cancel()
		var waiting []<-chan result
		waiting = append(waiting, ask(ctx, m, values(1)))
		synctest.Wait()
		for range 12 {
			waiting = append(waiting, ask(t.Context(), m, values(1)))
		}
		<-holding
		for _, w := range waiting {
			get(t, <-w)
		}
		if runs := d.seen(); len(runs) < 2 || runs[0] < 3 || runs[0] > 5 {
			t.Errorf("ran %v, want about 5 rows first", runs)
		}
	})
}

// TestSharedAnswersAreTheSame is a property: whatever mix of requests waits,
// each gets what it gets alone.
func TestSharedAnswersAreTheSame(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1))
				m := mixed(t)
				type one struct {
					req  *infer.Request
					want []tensor.Tensor
				}
				all := make([]one, 150)
				for i := range all {
					all[i].req = randomRequest(r)
					resp, err := m.Infer(t.Context(), all[i].req)
					if err != nil {
						t.Fatal(err)
					}
					if resp.Timing.BatchRows != resp.Timing.Rows {
						t.Fatalf("timing %+v of a request alone", resp.Timing)
					}
					all[i].want = clones(resp)
					resp.Release()
				}
				var wg sync.WaitGroup
				sharedRuns := atomic.Int32{}
				for i := range all {
					delay := time.Duration(r.IntN(40)) * time.Millisecond
					quit := r.IntN(10) == 0
					wg.Go(func() {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						<-time.After(delay)
						if quit {
							time.AfterFunc(delay, cancel)
						}
						resp, err := m.Infer(ctx, all[i].req)
						if err != nil {
							if !quit || fault.CodeOf(err) != fault.Canceled {
								t.Error(err)
							}
							return
						}
						if resp.Timing.BatchRows > resp.Timing.Rows {
							sharedRuns.Add(1)
						}
						if diff := cmp.Diff(all[i].want, clones(resp), cmp.AllowUnexported(tensor.Tensor{})); diff != "" {
							t.Errorf("request %d (-alone +shared):\n%s", i, diff)
						}
						resp.Release()
					})
				}
				wg.Wait()
				if sharedRuns.Load() < 50 {
					t.Errorf("only %d of 150 requests shared a run", sharedRuns.Load())
				}
			})
		})
	}
}

func clones(resp *infer.Response) []tensor.Tensor {
	all := make([]tensor.Tensor, len(resp.Outputs))
	for i := range all {
		all[i] = resp.Outputs[i].Clone()
	}
	return all
}

// mixed has inputs and outputs of several types and a dynamic width: "n" INT64
// [N W], "s" BYTES [N], → "n1" = n+1, "s1" = s, "sum" INT64 [N], the sum of each row.
func mixed(t *testing.T) *infer.Model {
	t.Helper()
	info := func(name string, d tensor.DType, shape ...int64) driver.TensorInfo {
		return driver.TensorInfo{Name: name, Type: d, Shape: shape}
	}
	m := load(t, memengine.Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{info("n", tensor.Int64, -1, -1), info("s", tensor.Bytes, -1)},
			Outputs: []driver.TensorInfo{info("n1", tensor.Int64, -1, -1), info("s1", tensor.Bytes, -1), info("sum", tensor.Int64, -1)},
		},
		Run: func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			<-time.After(time.Millisecond)
			n, _ := tensor.View[int64](&in[0])
			width := int(in[0].Shape[1])
			n1, sum := make([]int64, len(n)), make([]int64, in[0].Shape[0])
			for i, v := range n {
				n1[i] = v + 1
				sum[i/width] += v
			}
			s1 := in[1].Clone()
			s1.Name = "s1"
			return []tensor.Tensor{tensor.Of("n1", in[0].Shape, n1), s1, tensor.Of("sum", in[1].Shape, sum)}, nil
		},
	}, &infer.Options{Name: "m", Runs: 2, QueueShare: 100, Batch: infer.Batching{MaxRows: 16}})
	r := rand.New(rand.NewPCG(7, 7))
	if err := m.ProbeBatching(t.Context(), []*infer.Request{randomRequest(r), randomRequest(r), randomRequest(r)}); err != nil {
		t.Fatal(err)
	}
	return m
}

func randomRequest(r *rand.Rand) *infer.Request {
	rows, width := 1+r.IntN(4), 1+r.IntN(2)
	n, s := make([]int64, rows*width), make([]string, rows)
	for i := range n {
		n[i] = r.Int64N(1000)
	}
	for i := range s {
		s[i] = strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(9))
	}
	req := &infer.Request{Inputs: []tensor.Tensor{
		tensor.Of("n", []int64{int64(rows), int64(width)}, n), tensor.OfStrings("s", []int64{int64(rows)}, s...)}}
	req.Outputs = [][]infer.OutputRequest{nil, {{Name: "sum"}}, {{Name: "s1"}, {Name: "n1"}}}[r.IntN(3)]
	return req
}

// TestInputsOfDifferentRowsRunAlone: a model that repeats one row for all
// others would silently take another request's.
func TestInputsOfDifferentRowsRunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info := func(name string) driver.TensorInfo {
			return driver.TensorInfo{Name: name, Type: tensor.FP32, Shape: []int64{-1}}
		}
		m := load(t, memengine.Model{
			Signature: driver.Signature{Inputs: []driver.TensorInfo{info("a"), info("b")}, Outputs: []driver.TensorInfo{info("y")}},
			Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
				<-time.After(time.Second)
				a, _ := tensor.View[float32](&in[0])
				b, _ := tensor.View[float32](&in[1])
				y := make([]float32, max(len(a), len(b)))
				for i := range y {
					y[i] = a[i%len(a)] + b[i%len(b)]
				}
				return []tensor.Tensor{tensor.Of("y", []int64{int64(len(y))}, y)}, nil
			},
		}, &infer.Options{Name: "m", QueueShare: 100})
		req := func(a, b []float32) *infer.Request {
			return &infer.Request{Inputs: []tensor.Tensor{
				tensor.Of("a", []int64{int64(len(a))}, a), tensor.Of("b", []int64{int64(len(b))}, b)}}
		}
		if err := m.ProbeBatching(t.Context(), []*infer.Request{req([]float32{1, 2}, []float32{3, 4})}); err != nil {
			t.Fatal(err)
		}
		for range 4 { // the first rounds learn
			holding := ask(t.Context(), m, req([]float32{1}, []float32{1}))
			synctest.Wait()
			var waiting []<-chan result
			for _, r := range []*infer.Request{
				req([]float32{1}, []float32{10}), req([]float32{2, 3}, []float32{20}), req([]float32{4}, []float32{30, 40}), req([]float32{5}, []float32{50}),
			} {
				waiting = append(waiting, ask(t.Context(), m, r))
				synctest.Wait()
			}
			get(t, <-holding)
			var got [][]float32
			for _, w := range waiting {
				got = append(got, get(t, <-w))
			}
			if diff := cmp.Diff([][]float32{{11}, {22, 23}, {34, 44}, {55}}, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		}
	})
}
