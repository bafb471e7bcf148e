package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// tally is work that answers with how often it was done.
type tally struct{ n atomic.Int32 }

func (c *tally) work(context.Context) ([]byte, error) {
	return fmt.Appendf(nil, "answer %d", c.n.Add(1)), nil
}

// hooked is a table whose calls fail as a test says; nil errors go to the table.
type hooked struct {
	store.Table
	calls atomic.Int32
	fail  func(ctx context.Context, call string) error
	after func(call string) error // for writes whose answer is lost
}

func (h *hooked) do(ctx context.Context, call string, fn func() (*store.Claim, error)) (*store.Claim, error) {
	h.calls.Add(1)
	if h.fail != nil {
		if err := h.fail(ctx, call); err != nil {
			return nil, err
		}
	}
	there, err := fn()
	if h.after != nil {
		if err := h.after(call); err != nil {
			return nil, err
		}
	}
	return there, err
}

func (h *hooked) Claim(ctx context.Context, c *store.Claim, now time.Time) (*store.Claim, error) {
	return h.do(ctx, "claim", func() (*store.Claim, error) { return h.Table.Claim(ctx, c, now) })
}
func (h *hooked) Update(ctx context.Context, c *store.Claim) (*store.Claim, error) {
	call := "extend"
	if c.Status == store.Completed {
		call = "complete"
	}
	return h.do(ctx, call, func() (*store.Claim, error) { return h.Table.Update(ctx, c) })
}
func (h *hooked) Release(ctx context.Context, key, owner string) error {
	_, err := h.do(ctx, "release", func() (*store.Claim, error) { return nil, h.Table.Release(ctx, key, owner) })
	return err
}

func away(ctx context.Context, _ string) error {
	return fault.New(fault.Unavailable, "test", "", "away")
}

// Work that comes again has one effect: in this process, in others, and after
// whoever did it went down before it could say so.
func TestWorkIsDoneOnce(t *testing.T) {
	table, c := &hooked{Table: &store.MemoryTable{}}, &tally{}
	here, other := store.NewClaims(table, nil), store.NewClaims(table, nil)
	for i, claims := range []*store.Claims{here, here, other, other, store.NewClaims(table, nil)} {
		answer, err := claims.Do(t.Context(), "k", "v", c.work)
		if err != nil || string(answer) != "answer 1" {
			t.Fatalf("time %d: %q, %v; want the first answer", i+1, answer, err)
		}
	}
	if n := table.calls.Load(); n != 4 {
		t.Errorf("want 4 calls (two for the work, one each for two other processes), got %d", n)
	}
	if answer, err := here.Do(t.Context(), "k2", "v", c.work); err != nil || string(answer) != "answer 2" {
		t.Errorf("another key: %q, %v", answer, err)
	}
	for _, claims := range []*store.Claims{here, store.NewClaims(table, nil)} {
		if _, err := claims.Do(t.Context(), "k", "other", c.work); fault.CodeOf(err) != fault.Mismatch {
			t.Errorf("another payload under the key: want Mismatch, got %v", err)
		}
	}
	if n := c.n.Load(); n != 2 {
		t.Errorf("want work done twice, got %d", n)
	}
}

func TestWorkAtTheSameTime(t *testing.T) {
	table, c := &store.MemoryTable{}, &tally{}
	begun, end := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		answer, err := store.NewClaims(table, nil).Do(t.Context(), "k", "v", func(ctx context.Context) ([]byte, error) {
			close(begun)
			<-end
			return c.work(ctx)
		})
		if err != nil || string(answer) != "answer 1" {
			t.Errorf("%q, %v", answer, err)
		}
	})
	<-begun
	second := store.NewClaims(table, nil)
	_, err := second.Do(t.Context(), "k", "v", c.work)
	if fault.CodeOf(err) != fault.Unavailable || fault.RetryOf(err) < time.Second || fault.RetryOf(err) > time.Minute {
		t.Errorf("want Unavailable and when to come again, got %v, %s", err, fault.RetryOf(err))
	}
	if _, err := second.Do(t.Context(), "k", "other", c.work); fault.CodeOf(err) != fault.Mismatch {
		t.Errorf("another payload under the key: want Mismatch, got %v", err)
	}
	close(end)
	all.Wait()
	if answer, err := second.Do(t.Context(), "k", "v", c.work); err != nil || string(answer) != "answer 1" {
		t.Errorf("afterwards: %q, %v", answer, err)
	}
}

// What failed is there to be done again, at once.
func TestWorkThatFails(t *testing.T) {
	table, c := &store.MemoryTable{}, &tally{}
	claims := store.NewClaims(table, nil)
	broken := fault.New(fault.Invalid, "test", "", "no")
	if _, err := claims.Do(t.Context(), "k", "v", func(context.Context) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("want the work's error, got %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "told to" {
				t.Errorf("want the work's panic, got %v", p)
			}
		}()
		_, _ = claims.Do(t.Context(), "k", "v", func(context.Context) ([]byte, error) { panic("told to") })
	}()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := claims.Do(ctx, "k", "v", func(context.Context) ([]byte, error) { cancel(); return nil, ctx.Err() }); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want Canceled, got %v", err)
	}
	if answer, err := store.NewClaims(table, nil).Do(t.Context(), "k", "other validation", c.work); err != nil || string(answer) != "answer 1" {
		t.Errorf("afterwards: %q, %v", answer, err)
	}
}

// Whoever goes down in the middle of work holds it up for the lease and no longer.
func TestWorkThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, c := &store.MemoryTable{}, &tally{}
		claims := store.NewClaims(table, &store.ClaimOptions{Lease: 20 * time.Second})
		now := time.Now()
		if _, err := table.Claim(t.Context(), &store.Claim{Key: "k", Status: store.InProgress, Owner: "gone", Validation: "v", Until: now.Add(20 * time.Second), Expires: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
		_, err := claims.Do(t.Context(), "k", "v", c.work)
		if wait := fault.RetryOf(err); wait != 20*time.Second {
			t.Fatalf("want to wait for 20s, got %s: %v", wait, err)
		}
		<-time.After(20 * time.Second)
		if answer, err := claims.Do(t.Context(), "k", "v", c.work); err != nil || string(answer) != "answer 1" {
			t.Errorf("afterwards: %q, %v", answer, err)
		}
	})
}

// A claim is extended for as long as work goes on, and never beyond the
// deadline of whoever works.
func TestClaimsAreExtended(t *testing.T) {
	for _, c := range []struct {
		name        string
		lease, time time.Duration // time: until the deadline; 0: none
		runs        time.Duration
		extends     int
		heldAt      time.Duration // from the start
	}{
		{"no deadline", time.Minute, 0, 599 * time.Second, 29, 598 * time.Second},
		{"a deadline within the lease", time.Minute, 40 * time.Second, 30 * time.Second, 0, 29 * time.Second},
		{"a deadline beyond the lease", time.Minute, 150 * time.Second, 149 * time.Second, 7, 148 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				extends := 0
				table := &hooked{Table: &store.MemoryTable{}, fail: func(_ context.Context, call string) error {
					if call == "extend" {
						extends++
					}
					return nil
				}}
				ctx := t.Context()
				if c.time > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.time)
					defer cancel()
				}
				begun, work := time.Now(), &tally{}
				var all sync.WaitGroup
				all.Go(func() {
					answer, err := store.NewClaims(table, &store.ClaimOptions{Lease: c.lease}).Do(ctx, "k", "v", func(ctx context.Context) ([]byte, error) {
						select {
						case <-time.After(c.runs):
						case <-ctx.Done():
							return nil, context.Cause(ctx)
						}
						return work.work(ctx)
					})
					if err != nil || string(answer) != "answer 1" {
						t.Errorf("%q, %v", answer, err)
					}
				})
				<-time.After(c.heldAt)
				now := time.Now()
				there, err := table.Claim(t.Context(), &store.Claim{Key: "k", Status: store.InProgress, Owner: "other", Until: now, Expires: now.Add(time.Hour)}, now)
				if err != nil || there == nil {
					t.Fatalf("want the claim held after %s, got %+v, %v", c.heldAt, there, err)
				}
				if c.time > 0 && there.Until.After(begun.Add(c.time)) {
					t.Errorf("want the claim held until the deadline at most, got %s after it", there.Until.Sub(begun.Add(c.time)))
				}
				all.Wait()
				if extends != c.extends {
					t.Errorf("want %d extensions, got %d", c.extends, extends)
				}
			})
		})
	}
}

// stolen does work that stands still for so long that another has its claim:
// as a machine does that was frozen. The other then finishes or not.
func stolen(t *testing.T, finishes bool) (answer []byte, err error, cause error) {
	table := &store.MemoryTable{}
	frozen := &hooked{Table: table}
	frozen.fail = func(ctx context.Context, call string) error {
		if call != "extend" {
			return nil
		}
		now := time.Now() // the network is back, and another has been here
		other := &store.Claim{Key: "k", Status: store.InProgress, Owner: "other", Validation: "v", Until: now.Add(2 * time.Hour), Expires: now.Add(3 * time.Hour)}
		if there, err := table.Claim(t.Context(), other, now.Add(time.Hour)); err != nil || there != nil {
			return nil // twice
		}
		if finishes {
			other.Status, other.Answer = store.Completed, []byte("the other's")
			_, _ = table.Update(t.Context(), other)
		}
		return nil
	}
	answer, err = store.NewClaims(frozen, nil).Do(t.Context(), "k", "v", func(ctx context.Context) ([]byte, error) {
		select {
		case <-ctx.Done():
			cause = context.Cause(ctx)
		case <-time.After(time.Hour):
		}
		return []byte("ours"), nil // which does not listen
	})
	return answer, err, cause
}

// A claim that is lost ends the work, and what comes of it counts for nothing.
func TestClaimsThatAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, err, cause := stolen(t, true)
		if err != nil || string(answer) != "the other's" || !errors.Is(cause, store.ErrLost) {
			t.Errorf("the other has finished: %q, %v, ended by %v; want the other's answer", answer, err, cause)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		answer, err, cause := stolen(t, false)
		if answer != nil || !errors.Is(err, store.ErrLost) || fault.CodeOf(err) != fault.Unavailable || !errors.Is(cause, store.ErrLost) {
			t.Errorf("the other is at it: %q, %v, ended by %v; want Unavailable and no answer", answer, err, cause)
		}
	})
}

// While the table is away nothing is done, lost or done twice; with Open it is
// done without.
func TestTableIsAway(t *testing.T) {
	for name, fail := range map[string]func(context.Context, string) error{
		"down":        away,
		"uncoded":     func(context.Context, string) error { return errors.New("connection refused") },
		"not there":   func(context.Context, string) error { return fault.New(fault.NotFound, "test", "", "no table") },
		"not allowed": func(context.Context, string) error { return fault.New(fault.Denied, "test", "", "no rights") },
		"throttled":   func(context.Context, string) error { return fault.New(fault.RateLimited, "test", "", "slow down") },
		"hangs":       func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		"hangs, coded": func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return fault.New(fault.CodeOf(ctx.Err()), "", "", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, c := &hooked{Table: &store.MemoryTable{}, fail: fail}, &tally{}
				claims, begun := store.NewClaims(table, nil), time.Now()
				for i := range 200 { // a delivery's items, one after the other
					_, err := claims.Do(t.Context(), fmt.Sprint("k", i), "v", c.work)
					if code := fault.CodeOf(err); code != fault.Unavailable && code != fault.RateLimited {
						t.Fatalf("want a code that may pass, got %v: %v", code, err)
					}
				}
				if took := time.Since(begun); took > 30*time.Second {
					t.Errorf("200 items waited for %s", took)
				}
				if c.n.Load() != 0 {
					t.Errorf("work was done %d times without a claim", c.n.Load())
				}
				open := store.NewClaims(table, &store.ClaimOptions{Open: true})
				if answer, err := open.Do(t.Context(), "k0", "v", c.work); err != nil || string(answer) != "answer 1" {
					t.Errorf("open: %q, %v", answer, err)
				}
				<-time.After(time.Minute)
				table.fail = nil // it is back
				if answer, err := claims.Do(t.Context(), "k0", "v", c.work); err != nil || string(answer) != "answer 2" {
					t.Errorf("afterwards: %q, %v", answer, err)
				}
			})
		})
	}
}

// A table that goes away while work is done: what cannot be kept counts for
// nothing and is done again, unless it was kept after all.
func TestTableGoesAway(t *testing.T) {
	for _, c := range []struct {
		name  string
		table *hooked
		want  string // what the next one gets, after the lease
	}{
		{"before the answer", &hooked{fail: func(_ context.Context, call string) error {
			if call == "claim" {
				return nil
			}
			return errors.New("away")
		}}, "answer 2"},
		{"with the answer", &hooked{after: func(call string) error {
			if call == "complete" {
				return errors.New("away")
			}
			return nil
		}}, "answer 1"},
		{"with the claim", &hooked{after: func(call string) error {
			if call == "claim" {
				return errors.New("away")
			}
			return nil
		}}, "answer 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, work := &store.MemoryTable{}, &tally{}
				c.table.Table = table
				if _, err := store.NewClaims(c.table, nil).Do(t.Context(), "k", "v", work.work); fault.CodeOf(err) != fault.Unavailable {
					t.Fatalf("want Unavailable, got %v", err)
				}
				<-time.After(time.Minute)
				if answer, err := store.NewClaims(table, nil).Do(t.Context(), "k", "v", work.work); err != nil || string(answer) != c.want {
					t.Errorf("afterwards: %q, %v; want %q", answer, err, c.want)
				}
			})
		})
	}
}

// While a table is away work goes on, and counts if nobody else came.
func TestTableIsAwayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(5 * time.Minute)
		table := &hooked{Table: &store.MemoryTable{}, fail: func(_ context.Context, call string) error {
			if call == "extend" && time.Now().Before(until) {
				return errors.New("away")
			}
			return nil
		}}
		answer, err := store.NewClaims(table, nil).Do(t.Context(), "k", "v", func(ctx context.Context) ([]byte, error) {
			<-time.After(6 * time.Minute)
			return []byte("ours"), ctx.Err()
		})
		if err != nil || string(answer) != "ours" {
			t.Errorf("%q, %v", answer, err)
		}
	})
}

func TestNoTimeIsLeft(t *testing.T) {
	table, c := &hooked{Table: &store.MemoryTable{}}, &tally{}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := store.NewClaims(table, nil).Do(ctx, "k", "v", c.work); fault.CodeOf(err) != fault.DeadlineExceeded {
		t.Errorf("want DeadlineExceeded, got %v", err)
	}
	if table.calls.Load() != 0 || c.n.Load() != 0 {
		t.Errorf("%d calls and %d runs, want none", table.calls.Load(), c.n.Load())
	}
}

// Answers too large for the table are objects, the same for everyone.
func TestLargeAnswers(t *testing.T) {
	table, objects := &store.MemoryTable{}, memory{}
	place := func(context.Context) (store.Bucket, string, error) { return objects, "claims/", nil }
	large := strings.Repeat("y", 1001)
	work := func(context.Context) ([]byte, error) { return []byte(large), nil }
	if _, err := store.NewClaims(table, &store.ClaimOptions{MaxAnswer: 1000}).Do(t.Context(), "k", "v", work); fault.CodeOf(err) != fault.TooLarge || fault.HintOf(err) == "" {
		t.Errorf("without objects: want TooLarge and a hint, got %v", err)
	}
	for range 2 {
		claims := store.NewClaims(table, &store.ClaimOptions{MaxAnswer: 1000, Objects: place})
		for range 2 {
			if answer, err := claims.Do(t.Context(), "k", "v", work); err != nil || string(answer) != large {
				t.Errorf("%q, %v", answer, err)
			}
		}
	}
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	if len(names) != 1 || !strings.HasPrefix(names[0], "claims/k.") {
		t.Errorf("want one object below claims/, got %q", names)
	}
	clear(objects)
	if _, err := store.NewClaims(table, &store.ClaimOptions{Objects: place}).Do(t.Context(), "k", "v", work); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("an answer that is gone: want Unavailable, got %v", err)
	}
}

// What this process remembers is bounded.
func TestRememberedAnswers(t *testing.T) {
	table := &hooked{Table: &store.MemoryTable{}}
	claims := store.NewClaims(table, &store.ClaimOptions{CacheBytes: 10 * 2000})
	answer := func(context.Context) ([]byte, error) { return make([]byte, 1000), nil }
	ask := func(i int) int {
		before := table.calls.Load()
		if _, err := claims.Do(t.Context(), fmt.Sprintf("k%02d", i), "v", answer); err != nil {
			t.Fatal(err)
		}
		return int(table.calls.Load() - before)
	}
	var calls []int
	for _, i := range []int{0, 1, 0} {
		calls = append(calls, ask(i))
	}
	for i := 2; i < 20; i++ {
		ask(i)
		ask(0) // which is used all the time
	}
	for _, i := range []int{0, 1, 19} {
		calls = append(calls, ask(i))
	}
	if diff := cmp.Diff([]int{2, 2, 0, 0, 1, 0}, calls); diff != "" {
		t.Errorf("calls of the table (-want +got):\n%s", diff)
	}
}

// memory is as much of a bucket as large answers need.
type memory map[string][]byte

func (m memory) Stat(context.Context, string) (*store.Object, error)          { panic("not used") }
func (m memory) List(context.Context, string) iter.Seq2[*store.Object, error] { panic("not used") }
func (m memory) Delete(context.Context, string) error                         { panic("not used") }
func (m memory) Close() error                                                 { return nil }
func (m memory) Create(_ context.Context, key string) (store.Writer, error) {
	return &memoryWriter{m: m, key: key}, nil
}
func (m memory) Open(_ context.Context, key, _ string, _, _ int64) (io.ReadCloser, error) {
	b, ok := m[key]
	if !ok {
		return nil, fault.New(fault.NotFound, "test", key, "no such object")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

type memoryWriter struct {
	bytes.Buffer
	m   memory
	key string
}

func (w *memoryWriter) Commit(context.Context) error {
	if _, ok := w.m[w.key]; ok {
		return store.ErrExists
	}
	w.m[w.key] = w.Bytes()
	return nil
}
func (w *memoryWriter) Abort() {}
