package trigger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

const (
	retry, done, permanent = trigger.Retry, trigger.Done, trigger.Permanent
	unavailable, invalid   = fault.Unavailable, fault.Invalid
)

func event(order trigger.Order, groups ...string) *trigger.Event {
	ev := &trigger.Event{Source: "queue", Kind: "test", Order: order}
	for i, g := range groups {
		ev.Items = append(ev.Items, trigger.Item{ID: fmt.Sprint(i), Group: g})
	}
	return ev
}

// answers is a handler that returns fixed outcomes.
func answers(states ...trigger.State) trigger.Handler {
	return trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(states))
		for i, s := range states {
			out[i] = trigger.Outcome{State: s, Result: []byte{byte(i)}}
			switch s {
			case retry:
				out[i].Err = fault.New(unavailable, "", "", "later")
			case permanent:
				out[i].Err = fault.New(invalid, "", "", "never")
			}
		}
		return out
	})
}

// view is an outcome as a test looks at it.
type view struct {
	State trigger.State
	Code  fault.Code
}

func views(out []trigger.Outcome) []view {
	all := make([]view, len(out))
	for i, o := range out {
		all[i] = view{o.State, fault.CodeOf(o.Err)}
	}
	return all
}

func TestRun(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ok, later, never, broken := view{done, fault.OK}, view{retry, unavailable}, view{permanent, invalid}, view{retry, fault.Internal}
	held, unsupported, late := view{retry, unavailable}, view{permanent, fault.Unsupported}, view{retry, fault.DeadlineExceeded}
	panics := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { panic(errors.New("x")) })
	raw := func(out ...trigger.Outcome) trigger.Handler {
		return trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { return out })
	}
	for _, c := range []struct {
		name  string
		ctx   context.Context
		h     trigger.Handler
		event *trigger.Event
		want  []view
	}{
		{"as the handler says", t.Context(), answers(done, retry, permanent, done), event(trigger.Unordered, "", "", "", ""), []view{ok, later, never, ok}},
		{"no handler", t.Context(), nil, event(trigger.Unordered, "", ""), []view{unsupported, unsupported}},
		{"no time", ended, answers(done, done), event(trigger.Unordered, "", ""), []view{late, late}},
		{"no handler and no time", ended, nil, event(trigger.Ordered, "", ""), []view{unsupported, unsupported}},
		{"a panic", t.Context(), panics, event(trigger.Unordered, "", ""), []view{broken, broken}},
		{"too few outcomes", t.Context(), answers(done), event(trigger.Unordered, "", ""), []view{broken, broken}},
		{"too many outcomes", t.Context(), answers(done, done, done), event(trigger.Unordered, "", ""), []view{broken, broken}},
		{"no outcomes", t.Context(), answers(), event(trigger.Unordered, "", ""), []view{broken, broken}},
		{"nobody decided", t.Context(), raw(trigger.Outcome{}, trigger.Outcome{State: permanent}), event(trigger.Unordered, "", ""), []view{broken, {permanent, fault.Internal}}},
		{"done with an error", t.Context(), raw(trigger.Outcome{State: done, Err: errors.New("x")}), event(trigger.Unordered, ""), []view{ok}},
		{"no state", t.Context(), raw(trigger.Outcome{State: 7}), event(trigger.Unordered, ""), []view{broken}},

		{"ordered, all done", t.Context(), answers(done, done), event(trigger.Ordered, "", ""), []view{ok, ok}},
		{"ordered, nothing overtakes", t.Context(), answers(done, retry, done, permanent), event(trigger.Ordered, "a", "b", "c", "d"), []view{ok, later, held, held}},
		{"ordered, what goes aside holds nobody up", t.Context(), answers(permanent, done), event(trigger.Ordered, "", ""), []view{never, ok}},
		{"grouped, only the group waits", t.Context(), answers(retry, done, done, done), event(trigger.Grouped, "a", "b", "a", ""), []view{later, ok, held, ok}},
		{"grouped, no group is one", t.Context(), answers(retry, done, done), event(trigger.Grouped, "", "", "a"), []view{later, held, ok}},
		{"ordered and broken", t.Context(), panics, event(trigger.Ordered, "", ""), []view{broken, held}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, views(trigger.Run(c.ctx, c.h, c.event))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRunHandsOverWhatItGot(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	ev := event(trigger.Unordered, "")
	out := trigger.Run(ctx, trigger.HandlerFunc(func(got context.Context, e *trigger.Event) []trigger.Outcome {
		if got.Value(key{}) != 1 || e != ev {
			t.Error("want the caller's context and event")
		}
		return []trigger.Outcome{{State: done, Result: []byte("r")}}
	}), ev)
	if string(out[0].Result) != "r" {
		t.Errorf("want the handler's result, got %q", out[0].Result)
	}
}

// TestOf walks all codes: what the same bytes always repeat is permanent.
func TestOf(t *testing.T) {
	want := map[fault.Code]trigger.State{
		fault.Invalid: permanent, fault.NotFound: permanent, fault.TooLarge: permanent, fault.UnsupportedMedia: permanent,
		fault.Unprocessable: permanent, fault.Unsupported: permanent, fault.Denied: permanent, fault.Mismatch: permanent,
		fault.Unauthenticated: retry, fault.RateLimited: retry, fault.Unavailable: retry, fault.DeadlineExceeded: retry, fault.Canceled: retry,
		fault.BadModel: retry, fault.BadConfig: retry, fault.Runtime: retry, fault.Usage: retry, fault.Internal: retry,
	}
	for _, code := range fault.Codes() {
		state, known := want[code]
		if !known {
			t.Errorf("%v: this table says nothing of it", code)
		}
		err := fmt.Errorf("around: %w", fault.New(code, "op", "", "x"))
		if got := trigger.Of(err); got.State != state || !errors.Is(got.Err, err) {
			t.Errorf("%v: want %v with its error, got %v with %v", code, state, got.State, got.Err)
		}
	}
	for _, c := range []struct {
		err  error
		want trigger.State
	}{{nil, done}, {errors.New("x"), retry}, {context.Canceled, retry}, {context.DeadlineExceeded, retry}} {
		if got := trigger.Of(c.err); got.State != c.want || !errors.Is(got.Err, c.err) {
			t.Errorf("%v: want %v, got %v", c.err, c.want, got)
		}
	}
}

// TestOrder: whatever a handler answers, nothing that must not overtake an item
// to be delivered again is gone, and nothing else is held up.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]trigger.Order{trigger.Unordered, trigger.Ordered, trigger.Grouped}).Draw(t, "order")
		groups := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b"}), 1, 12).Draw(t, "groups")
		states := rapid.SliceOfN(rapid.SampledFrom([]trigger.State{done, done, retry, permanent}), len(groups), len(groups)).Draw(t, "states")
		out := trigger.Run(t.Context(), answers(states...), event(order, groups...))
		if len(out) != len(groups) {
			t.Fatalf("want %d outcomes, got %d", len(groups), len(out))
		}
		for i := range out {
			together := func(j int) bool {
				return order == trigger.Ordered || order == trigger.Grouped && groups[j] == groups[i]
			}
			waits := slices.ContainsFunc(indexes(i), func(j int) bool { return together(j) && states[j] == retry })
			want := states[i]
			if waits {
				want = retry
			}
			if out[i].State != want {
				t.Fatalf("item %d: want %v, got %v", i, want, out[i].State)
			}
			if (out[i].Err == nil) != (want == done) {
				t.Fatalf("item %d is %v with error %v", i, want, out[i].Err)
			}
		}
	})
}

// indexes are the numbers below n.
func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestNames(t *testing.T) {
	for s, want := range map[trigger.State]string{done: "done", permanent: "permanent", retry: "retry"} {
		if got := s.String(); got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
	o := &trigger.Object{Store: "azblob", Bucket: "acct/c", Key: "in/a b.npy", Version: "1"}
	if got, want := o.URL(), "azblob://acct/c/in/a b.npy"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}
