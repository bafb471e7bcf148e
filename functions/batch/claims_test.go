package batch_test

import (
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

// dice is a model that never answers the same twice.
type dice struct {
	runs   atomic.Int32
	digest string
	before func(ctx context.Context, n int32) error
}

func (d *dice) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	n := d.runs.Add(1)
	if d.before != nil {
		if err := d.before(ctx, n); err != nil {
			return nil, err
		}
	}
	return &infer.Response{Model: "doubles", Digest: stdcmp.Or(d.digest, "sha256:aa"), Outputs: []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{float32(n)})}}, nil
}

// claimer is a handler of a process of its own, over a table that all share.
func claimer(t *testing.T, d *dice, table store.Table, sink batch.Sink, o *store.ClaimOptions) *batch.Handler {
	return batch.New(d, &batch.Options{Sink: sink, Claims: &batch.Claims{Store: store.NewClaims(table, o), Models: registry(t, false, nil), Scope: "function"}})
}

func delivery(keys ...string) *trigger.Event {
	ev := &trigger.Event{Kind: "test", Replies: true}
	for i, key := range keys {
		ev.Items = append(ev.Items, trigger.Item{ID: fmt.Sprint(i), Key: key, Data: payload("1")})
	}
	return ev
}

// results are the answers of items, or the codes of their errors.
func results(out []trigger.Outcome) []string {
	var all []string
	for _, o := range out {
		if o.Err != nil {
			all = append(all, o.State.String()+" "+fault.CodeOf(o.Err).String())
			continue
		}
		all = append(all, string(o.Result))
	}
	return all
}

// An item that is delivered again has one effect and one answer: in the same
// process, in another after one that went down before it could reply, and beside
// an item of the same payload.
func TestItemsAreScoredOnce(t *testing.T) {
	table, d, sink := &store.MemoryTable{}, &dice{}, &kept{}
	first := claimer(t, d, table, sink, nil)
	want := results(trigger.Run(t.Context(), first, delivery("a", "b")))
	there := maps.Clone(sink.all)
	for _, h := range []*batch.Handler{first, claimer(t, d, table, sink, nil), claimer(t, d, table, sink, nil)} {
		if diff := cmp.Diff(want, results(trigger.Run(t.Context(), h, delivery("a", "b")))); diff != "" {
			t.Errorf("delivered again (-first +again):\n%s", diff)
		}
	}
	if diff := cmp.Diff(there, sink.all); diff != "" || len(there) != 2 {
		t.Errorf("what is kept (-first +again):\n%s", diff)
	}
	if n := d.runs.Load(); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
	if again := results(trigger.Run(t.Context(), first, delivery("c"))); again[0] == want[0] || again[0] == want[1] {
		t.Errorf("another item has the answer %s", again[0])
	}
}

// Delivered to many at once, one scores; whoever comes meanwhile has it delivered
// again, and then gets the same answer.
func TestItemsDeliveredInParallel(t *testing.T) {
	table, d := &store.MemoryTable{}, &dice{}
	begun, end := make(chan struct{}), make(chan struct{})
	d.before = func(context.Context, int32) error {
		close(begun) // which panics if it is called twice
		<-end
		return nil
	}
	var all sync.WaitGroup
	var answer []string
	first := claimer(t, d, table, nil, nil)
	all.Go(func() { answer = results(trigger.Run(t.Context(), first, delivery("a"))) })
	<-begun
	others := make([]*batch.Handler, 8)
	for i := range others {
		others[i] = claimer(t, d, table, nil, nil)
		if got := results(trigger.Run(t.Context(), others[i], delivery("a"))); got[0] != "retry unavailable" {
			t.Errorf("meanwhile: %s, want it delivered again", got)
		}
	}
	close(end)
	all.Wait()
	for _, h := range others {
		if diff := cmp.Diff(answer, results(trigger.Run(t.Context(), h, delivery("a")))); diff != "" {
			t.Errorf("afterwards (-first +other):\n%s", diff)
		}
	}
}

// One key for two payloads is a sender's mistake: the second is refused for good
// and never scored, while the first goes on and afterwards.
func TestOneKeyForTwoPayloads(t *testing.T) {
	table, d := &store.MemoryTable{}, &dice{}
	other := func(change func(*trigger.Item)) *trigger.Event {
		ev := delivery("a")
		change(&ev.Items[0])
		return ev
	}
	h := claimer(t, d, table, nil, nil)
	refused := func() {
		t.Helper()
		for name, ev := range map[string]*trigger.Event{
			"data":    other(func(i *trigger.Item) { i.Data = payload("2") }),
			"model":   other(func(i *trigger.Item) { i.Attributes = map[string]string{batch.Model: "doubles"} }),
			"version": other(func(i *trigger.Item) { i.Attributes = map[string]string{batch.ModelVersion: "1"} }),
		} {
			if got := results(trigger.Run(t.Context(), claimer(t, d, table, nil, nil), ev)); got[0] != "permanent mismatch" {
				t.Errorf("another %s: %s, want permanent mismatch", name, got)
			}
		}
	}
	d.before = func(context.Context, int32) error { refused(); return nil }
	want := results(trigger.Run(t.Context(), h, delivery("a")))
	d.before = nil
	refused()
	if diff := cmp.Diff(want, results(trigger.Run(t.Context(), h, delivery("a")))); diff != "" || d.runs.Load() != 1 {
		t.Errorf("the first one (-first +again), after %d runs:\n%s", d.runs.Load(), diff)
	}
}

// broken is a table that is away, or slow, while a test says so.
type broken struct {
	store.Table
	how func(ctx context.Context) error
}

func (b *broken) Claim(ctx context.Context, c *store.Claim, now time.Time) (*store.Claim, error) {
	if b.how != nil {
		if err := b.how(ctx); err != nil {
			return nil, err
		}
	}
	return b.Table.Claim(ctx, c, now)
}

// While claims cannot be made, nothing is lost and nothing is scored twice: all
// comes again. Only where it is wanted is it scored without.
func TestClaimsAreAway(t *testing.T) {
	for name, how := range map[string]func(context.Context) error{
		"down":      func(context.Context) error { return errors.New("connection refused") },
		"slow":      func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"throttled": func(context.Context) error { return fault.New(fault.RateLimited, "test", "", "slow down") },
		"gone":      func(context.Context) error { return fault.New(fault.NotFound, "test", "", "no such table") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, d := &broken{&store.MemoryTable{}, how}, &dice{}
				h, keys := claimer(t, d, table, nil, nil), make([]string, 500)
				for i := range keys {
					keys[i] = fmt.Sprint(i)
				}
				begun := time.Now()
				out := trigger.Run(t.Context(), h, delivery(keys...))
				for i := range out {
					if out[i].State != trigger.Retry {
						t.Fatalf("item %d: %v, %v; want it delivered again", i, out[i].State, out[i].Err)
					}
				}
				if d.runs.Load() != 0 || time.Since(begun) > 30*time.Second {
					t.Errorf("%d runs in %s, want none, soon", d.runs.Load(), time.Since(begun))
				}
				open := claimer(t, d, table, nil, &store.ClaimOptions{Open: true})
				if got := states(trigger.Run(t.Context(), open, delivery("a", "b"))); !cmp.Equal(got, []string{"done", "done"}) {
					t.Errorf("open: %v", got)
				}
				<-time.After(time.Minute)
				table.how = nil
				if got := states(trigger.Run(t.Context(), h, delivery(keys...))); len(got) != 500 || got[0] != "done" || got[499] != "done" {
					t.Errorf("afterwards: %v", got)
				}
			})
		})
	}
}

// A claim lives as long as the item is scored, however long that takes, and an
// answer of whoever has lost it is not given to anybody.
func TestClaimsLastWhileItemsAreScored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, d := &store.MemoryTable{}, &dice{}
		d.before = func(ctx context.Context, _ int32) error {
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
			return ctx.Err()
		}
		var all sync.WaitGroup
		first := claimer(t, d, table, nil, nil)
		all.Go(func() {
			if got := states(trigger.Run(t.Context(), first, delivery("a"))); got[0] != "done" {
				t.Errorf("scored for an hour: %v", got)
			}
		})
		second := claimer(t, d, table, nil, nil)
		for range 59 {
			<-time.After(time.Minute)
			if got := results(trigger.Run(t.Context(), second, delivery("a"))); got[0] != "retry unavailable" {
				t.Errorf("meanwhile: %s", got)
			}
		}
		all.Wait()
		if d.runs.Load() != 1 {
			t.Errorf("%d runs, want 1", d.runs.Load())
		}
	})
	synctest.Test(t, func(t *testing.T) { // the process stands still for longer than its claim lasts
		table, d := &store.MemoryTable{}, &dice{}
		frozen, release := &broken{Table: table}, make(chan struct{})
		d.before = func(_ context.Context, n int32) error {
			if n == 1 {
				<-release // deaf to its context
			}
			return nil
		}
		slow := claimer(t, d, &still{frozen}, nil, nil)
		var all sync.WaitGroup
		var late []string
		all.Go(func() { late = results(trigger.Run(t.Context(), slow, delivery("a"))) })
		<-time.After(2 * time.Minute)
		now := results(trigger.Run(t.Context(), claimer(t, d, table, nil, nil), delivery("a")))
		close(release)
		all.Wait()
		if diff := cmp.Diff(now, late); diff != "" || d.runs.Load() != 2 {
			t.Errorf("whoever lost the claim answers (-other +late), after %d runs:\n%s", d.runs.Load(), diff)
		}
	})
}

// still is a table whose claims nobody extends, as that of a frozen process.
type still struct{ store.Table }

func (s *still) Update(ctx context.Context, c *store.Claim) (*store.Claim, error) {
	if c.Status == store.InProgress {
		return nil, errors.New("frozen")
	}
	return s.Table.Update(ctx, c)
}

// An answer of another model than the one that was claimed is no answer.
func TestModelReplacedMeanwhile(t *testing.T) {
	table, d := &store.MemoryTable{}, &dice{digest: "sha256:bb"}
	h := claimer(t, d, table, nil, nil)
	if got := results(trigger.Run(t.Context(), h, delivery("a"))); got[0] != "retry unavailable" {
		t.Errorf("got %s, want it delivered again", got)
	}
	d.digest = "sha256:aa"
	if got := states(trigger.Run(t.Context(), h, delivery("a"))); got[0] != "done" {
		t.Errorf("afterwards: %v", got)
	}
}

// What cannot be scored costs no claim, and what failed holds nobody up.
func TestFailedItemsLeaveNoClaims(t *testing.T) {
	table, d := &broken{Table: &store.MemoryTable{}}, &dice{}
	claims := 0
	table.how = func(context.Context) error { claims++; return nil }
	h := claimer(t, d, table, nil, nil)
	bad := delivery("a")
	bad.Items[0].Data = []byte("{")
	if got := results(trigger.Run(t.Context(), h, bad)); got[0] != "permanent invalid" || claims != 0 {
		t.Errorf("no request: %s with %d claims", got, claims)
	}
	d.before = func(_ context.Context, n int32) error {
		switch n {
		case 1:
			return fault.New(fault.Unavailable, "test", "", "full")
		case 2:
			panic("told to")
		}
		return nil
	}
	for _, want := range []string{"retry unavailable", "retry internal", `{"model_name":"doubles"`} {
		got := results(trigger.Run(t.Context(), claimer(t, d, table, nil, nil), delivery("a")))[0]
		if got[:min(len(got), len(want))] != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	before := claims
	if got := results(h.Handle(ctx, delivery("z"))); got[0] != "retry deadline-exceeded" && got[0] != "retry deadline_exceeded" || claims != before {
		t.Errorf("no time is left: %s with %d claims", got, claims-before)
	}
}
