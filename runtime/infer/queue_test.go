package infer_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// traffic is one open loop: requests arrive at random whatever the answers do.
type traffic struct {
	seed     uint64
	rate     float64 // requests a second
	lasts    time.Duration
	deadline time.Duration // of each; 0: none
	caller   string
	priority infer.Priority

	mu        sync.Mutex
	latencies []time.Duration // of those that were answered
	refused   int
	late      int           // ended by their own deadline
	slowest   time.Duration // refusal
	missing   int           // refusals that do not say how long to wait
}

// send sends all requests and returns when the last has ended.
func (f *traffic) send(t *testing.T, m *infer.Model) {
	r := rand.New(rand.NewPCG(f.seed, 2))
	var all sync.WaitGroup
	begin := time.Now()
	for at := time.Duration(0); at < f.lasts; at += time.Duration(r.ExpFloat64() / f.rate * float64(time.Second)) {
		<-time.After(time.Until(begin.Add(at)))
		all.Go(func() { f.one(t, m) })
	}
	all.Wait()
}

func (f *traffic) one(t *testing.T, m *infer.Model) {
	ctx := context.Background()
	if f.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.deadline)
		defer cancel()
	}
	req := values(1)
	req.Caller, req.Priority = f.caller, f.priority
	start := time.Now()
	resp, err := m.Infer(ctx, req)
	took := time.Since(start)
	resp.Release()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch fault.CodeOf(err) {
	case fault.OK:
		f.latencies = append(f.latencies, took)
	case fault.Unavailable:
		f.refused++
		f.slowest = max(f.slowest, took)
		if fault.RetryOf(err) <= 0 {
			f.missing++
		}
	case fault.DeadlineExceeded:
		f.late++
	default:
		t.Error(err)
	}
}

func (f *traffic) p99() time.Duration {
	if len(f.latencies) == 0 {
		return 0
	}
	slices.Sort(f.latencies)
	return f.latencies[len(f.latencies)*99/100]
}

// together runs several kinds of traffic at once.
func together(t *testing.T, m *infer.Model, all ...*traffic) {
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(func() { f.send(t, m) })
	}
	wg.Wait()
}

// unshared loads d without shared runs.
func unshared(t *testing.T, d *timed, o *infer.Options) *infer.Model {
	return load(t, d.model(1), o)
}

// TestThreeTimesCapacity: what is answered is answered fast, the model stays
// busy, and the rest is told at once.
func TestThreeTimesCapacity(t *testing.T) {
	tests := []struct {
		name     string
		run      time.Duration
		runs     int
		deadline time.Duration
		times    time.Duration // the wanted p99, in runs
		lasts    time.Duration
	}{
		{"40ms", 40 * time.Millisecond, 1, 0, 2, time.Minute},
		{"40ms, two runs", 40 * time.Millisecond, 2, 0, 2, time.Minute},
		{"5ms", 5 * time.Millisecond, 2, 10 * time.Second, 2, 20 * time.Second},
		// Below the target of 5 ms the wait is the target.
		{"2ms", 2 * time.Millisecond, 2, 0, 4, 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []bool
				m := unshared(t, &timed{took: flat(tt.run)}, &infer.Options{Name: "m", Runs: tt.runs, Queue: 1 << 12,
					Overloaded: func(now bool) { told = append(told, now) }})
				capacity := float64(tt.runs) / tt.run.Seconds()
				f := &traffic{seed: 1, rate: 3 * capacity, lasts: tt.lasts, deadline: tt.deadline}
				f.send(t, m)
				goodput := float64(len(f.latencies)) / tt.lasts.Seconds()
				t.Logf("goodput %.2f of capacity, p99 %v, %d refused", goodput/capacity, f.p99(), f.refused)
				if goodput < 0.9*capacity {
					t.Errorf("goodput %.0f/s, want 90%% of %.0f/s", goodput, capacity)
				}
				if f.p99() > tt.times*tt.run {
					t.Errorf("p99 %v, want at most %d runs of %v", f.p99(), tt.times, tt.run)
				}
				if f.late != 0 || f.missing != 0 {
					t.Errorf("%d too late, %d refused without a time to wait; want none", f.late, f.missing)
				}
				// Only those that were there when it began to shed have waited.
				if f.slowest > 500*time.Millisecond {
					t.Errorf("a refusal took %v", f.slowest)
				}
				// Recovery: right after, an ordinary load is served without refusals.
				after := &traffic{seed: 2, rate: 0.3 * capacity, lasts: 5 * time.Second}
				after.send(t, m)
				if after.refused > 0 {
					t.Errorf("after the overload %d of %d refused", after.refused, after.refused+len(after.latencies))
				}
				if diff := cmp.Diff([]bool{true, false}, told); diff != "" {
					t.Errorf("what was told of the overload (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestBusyIsNotOverloaded: at 80 % of capacity random arrivals make long
// queues for a while; hardly anything is refused.
func TestBusyIsNotOverloaded(t *testing.T) {
	for _, run := range []time.Duration{2 * time.Millisecond, 40 * time.Millisecond} {
		t.Run(run.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := unshared(t, &timed{took: flat(run)}, nil)
				f := &traffic{seed: 3, rate: 0.8 / run.Seconds(), lasts: 6000 * run}
				f.send(t, m)
				if n := f.refused + len(f.latencies); f.refused*200 > n {
					t.Errorf("%d of %d refused, want less than 0.5%%", f.refused, n)
				}
			})
		})
	}
}

// TestABurstMayWait: many at once are all answered when nothing follows.
func TestABurstMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := unshared(t, &timed{took: flat(10 * time.Millisecond)}, nil)
		var all []<-chan result
		for range 100 {
			all = append(all, ask(t.Context(), m, values(1)))
		}
		for _, c := range all {
			get(t, <-c)
		}
	})
}

// TestAStepToTenTimes: the queue is bounded in number and in time.
func TestAStepToTenTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const run = 10 * time.Millisecond
		d := &timed{took: flat(run)}
		m := unshared(t, d, &infer.Options{Name: "m", Queue: 64})
		before := &traffic{seed: 4, rate: 50, lasts: 5 * time.Second}
		before.send(t, m)
		step := &traffic{seed: 5, rate: 1000, lasts: 5 * time.Second}
		step.send(t, m)
		slices.Sort(step.latencies)
		if slowest := step.latencies[len(step.latencies)-1]; slowest > 65*run {
			t.Errorf("one waited %v, want at most 64 before it", slowest)
		}
		if len(step.latencies) < 450 || step.refused < 4000 {
			t.Errorf("%d answered and %d refused, want about 500 and 4500", len(step.latencies), step.refused)
		}
		after := &traffic{seed: 6, rate: 50, lasts: 5 * time.Second}
		after.send(t, m)
		if after.refused > 0 || after.p99() > 2*before.p99() {
			t.Errorf("afterwards %d refused and p99 %v, before %v", after.refused, after.p99(), before.p99())
		}
	})
}

// TestTheModelBecomesSlower: what it may be asked for falls, and no timeouts pile up.
func TestTheModelBecomesSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		d := &timed{took: func(int) time.Duration {
			if slow {
				return 40 * time.Millisecond
			}
			return 20 * time.Millisecond
		}}
		m := unshared(t, d, nil)
		first := &traffic{seed: 7, rate: 40, lasts: 20 * time.Second, deadline: time.Second}
		first.send(t, m)
		slow = true // 40/s were 80 % of capacity and are 160 % now
		second := &traffic{seed: 8, rate: 40, lasts: 20 * time.Second, deadline: time.Second}
		second.send(t, m)
		if first.refused+first.late > 8 {
			t.Errorf("before: %d refused, %d late of %d", first.refused, first.late, len(first.latencies))
		}
		if second.late > 0 || second.p99() > 500*time.Millisecond {
			t.Errorf("after: %d timeouts and p99 %v, want none", second.late, second.p99())
		}
		if n := float64(len(second.latencies)) / 20; n < 0.9*25 {
			t.Errorf("after: %.0f answers a second, want 90%% of 25", n)
		}
	})
}

// TestARequestThatCannotMakeItIsRefusedAtOnce: the wait is known beforehand.
func TestARequestThatCannotMakeItIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Second)}
		m := unshared(t, d, nil)
		get(t, <-ask(t.Context(), m, values(1)))
		a := ask(t.Context(), m, values(1))
		synctest.Wait()
		b := ask(t.Context(), m, values(1))
		synctest.Wait()
		d.seen()
		for _, tt := range []struct {
			deadline time.Duration
			want     fault.Code
		}{{7900 * time.Millisecond, fault.Unavailable}, {8100 * time.Millisecond, fault.OK}} {
			ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
			start := time.Now()
			c := ask(ctx, m, values(1))
			synctest.Wait()
			if tt.want != fault.OK {
				r := <-c
				if fault.CodeOf(r.err) != tt.want || fault.RetryOf(r.err) != 2*time.Second || time.Since(start) != 0 {
					t.Errorf("deadline %v: %v after %v, want %v at once, with 2s to wait", tt.deadline, r.err, time.Since(start), tt.want)
				}
			} else {
				get(t, <-a)
				get(t, <-b)
				get(t, <-c)
			}
			cancel()
		}
		if runs := d.seen(); len(runs) != 2 {
			t.Errorf("%d further runs, want 2: not for the refused one", len(runs))
		}
	})
}

// TestOneCallerFloods: the others keep their share and their speed.
func TestOneCallerFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const run = 10 * time.Millisecond
		m := unshared(t, &timed{took: flat(run)}, &infer.Options{Name: "m", Queue: 64})
		flood := &traffic{seed: 9, rate: 1000, lasts: 20 * time.Second, caller: "flood"}
		small := &traffic{seed: 10, rate: 10, lasts: 20 * time.Second, caller: "small"}
		other := &traffic{seed: 11, rate: 10, lasts: 20 * time.Second, caller: "other"}
		together(t, m, flood, small, other)
		for _, f := range []*traffic{small, other} {
			n := f.refused + len(f.latencies)
			if f.refused*20 > n || f.p99() > 8*run {
				t.Errorf("%s: %d of %d refused, p99 %v; want hardly any, and a wait of few runs", f.caller, f.refused, n, f.p99())
			}
		}
		if n := len(flood.latencies); n < 1400 || n > 1700 {
			t.Errorf("the flood got %d answers, want the 80 a second that the others leave", n)
		}
	})
}

// TestCallersTakeTurns: in a queue that is there already.
func TestCallersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := unshared(t, &timed{took: flat(time.Second)}, &infer.Options{Name: "m", Queue: 6})
		holding := ask(t.Context(), m, values(0))
		synctest.Wait()
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		for _, caller := range []string{"a", "a", "a", "a", "a", "a", "b", "b", "c"} {
			all.Go(func() {
				req := values(1)
				req.Caller = caller
				resp, err := m.Infer(t.Context(), req)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					order = append(order, "-"+caller)
					return
				}
				resp.Release()
				order = append(order, caller)
			})
			synctest.Wait()
		}
		all.Wait()
		get(t, <-holding)
		// The queue of 6 is full of a's when b comes: the newest of a's go.
		if want := []string{"-a", "-a", "-a", "a", "b", "c", "a", "b", "a"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

// TestBatchWorkStaysOutOfTheWay: interactive requests hardly notice it, and it
// gets on all the same.
func TestBatchWorkStaysOutOfTheWay(t *testing.T) {
	const run, lasts = 10 * time.Millisecond, 30 * time.Second
	for _, runs := range []int{1, 2, 4} {
		for _, load := range []float64{0.2, 0.5, 0.8} {
			synctest.Test(t, func(t *testing.T) {
				p99 := func(batch bool) (time.Duration, int) {
					d := &timed{took: flat(run)}
					m := unshared(t, d, &infer.Options{Name: "m", Runs: runs, QueueShare: 100})
					f := &traffic{seed: 12, rate: load * float64(runs) / run.Seconds(), lasts: lasts}
					work := &traffic{seed: 13, rate: float64(runs) / run.Seconds(), lasts: lasts, priority: infer.Batch}
					if !batch {
						f.send(t, m)
						return f.p99(), 0
					}
					together(t, m, f, work)
					return f.p99(), len(work.latencies)
				}
				alone, _ := p99(false)
				with, done := p99(true)
				t.Logf("%d runs at %.0f%%: p99 %v alone, %v with batch work, of which %d a second", runs, 100*load, alone, with, done/30)
				if with > alone*12/10 {
					t.Errorf("%d runs at %.0f%%: p99 %v alone, %v with batch work; want at most a fifth more", runs, 100*load, alone, with)
				}
				if done < 20 {
					t.Errorf("%d runs at %.0f%%: only %d of the batch work done", runs, 100*load, done)
				}
			})
		}
	}
}

// TestBatchWorkHasAnIdleModelToItself: nothing is kept free for nobody.
func TestBatchWorkHasAnIdleModelToItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := unshared(t, &timed{took: flat(time.Second)}, &infer.Options{Name: "m", Runs: 2})
		req := values(1)
		req.Priority = infer.Batch
		start := time.Now()
		var all []<-chan result
		for range 10 {
			all = append(all, ask(t.Context(), m, req))
		}
		for _, c := range all {
			get(t, <-c)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("10 runs of 1s on two took %v, want 5s", took)
		}
	})
}
