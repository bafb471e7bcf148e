// Package claimtest says whether a table of claims keeps store.Table's promises.
package claimtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Run runs every case on a table of its own. open returns one that is empty;
// what it needs ends with the test.
func Run(t *testing.T, open func(t *testing.T) store.Table) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			table := open(t)
			c.run(t, table)
			if err := table.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	t.Run("like the model", func(t *testing.T) { likeModel(t, open(t)) })
}

var cases = []struct {
	name string
	run  func(*testing.T, store.Table)
}{
	{"one work in its time", oneWork},
	{"times that pass", times},
	{"no time left", noTime},
	{"only the owner", onlyOwner},
	{"what comes late", late},
	{"one of many", oneOfMany},
	{"one of many takes over", takeOver},
	{"bytes and keys", odd},
	{"a caller who is gone", gone},
}

// start is where the suite's time begins: with a fraction, as clocks have it.
var start = time.Date(2026, 3, 29, 0, 59, 59, 123456789, time.UTC)

// claim is work in progress, for a minute, kept for a day.
func claim(key, owner string) *store.Claim {
	return &store.Claim{Key: key, Status: store.InProgress, Owner: owner, Validation: "v-" + key, Until: start.Add(time.Minute), Expires: start.Add(24 * time.Hour)}
}

func completed(key, owner, answer string) *store.Claim {
	c := claim(key, owner)
	c.Status, c.Answer = store.Completed, []byte(answer)
	return c
}

// rounded is c as a table has it.
func rounded(c *store.Claim) *store.Claim {
	r := *c
	r.Until = r.Until.Truncate(time.Millisecond)
	if s := r.Expires.Truncate(time.Second); s.Before(r.Expires) {
		r.Expires = s.Add(time.Second)
	}
	return &r
}

// takes wants the write to have happened.
func takes(t testing.TB, what string) func(*store.Claim, error) {
	return func(there *store.Claim, err error) {
		t.Helper()
		if err != nil || there != nil {
			t.Fatalf("%s: want it written, got %+v, %v", what, there, err)
		}
	}
}

// refuses wants there to be want, which is not overwritten.
func refuses(t testing.TB, what string, want *store.Claim) func(*store.Claim, error) {
	return func(there *store.Claim, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(rounded(want), there, sameBytes, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Fatalf("%s: what is there (-want +got):\n%s", what, diff)
		}
	}
}

var sameBytes = cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) })

func oneWork(t *testing.T, table store.Table) {
	ctx := t.Context()
	a, b := claim("k", "a"), claim("k", "b")
	takes(t, "the first claim")(table.Claim(ctx, a, start))
	refuses(t, "a second while it goes on", a)(table.Claim(ctx, b, start.Add(time.Second)))
	takes(t, "another key")(table.Claim(ctx, claim("other", "b"), start))
	takes(t, "the same again, as after an answer that was lost")(table.Claim(ctx, a, start))
	a.Until = start.Add(2 * time.Minute)
	takes(t, "an extension")(table.Update(ctx, a))
	refuses(t, "a second in the time that was added", a)(table.Claim(ctx, b, start.Add(90*time.Second)))
	done := completed("k", "a", `{"y": 1}`)
	takes(t, "the answer")(table.Update(ctx, done))
	takes(t, "the answer again, as after an answer that was lost")(table.Update(ctx, done))
	refuses(t, "a claim of what is done", done)(table.Claim(ctx, b, start.Add(23*time.Hour)))
	if err := table.Release(ctx, "k", "a"); err != nil {
		t.Fatal(err)
	}
	refuses(t, "a claim of what is done, after a release", done)(table.Claim(ctx, b, start))
}

func times(t *testing.T, table store.Table) {
	ctx := t.Context()
	a, b, c := claim("k", "a"), claim("k", "b"), claim("k", "c")
	takes(t, "the first claim")(table.Claim(ctx, a, start))
	refuses(t, "a millisecond before its end", a)(table.Claim(ctx, b, a.Until.Truncate(time.Millisecond).Add(-time.Millisecond)))
	b.Until = a.Until.Add(time.Minute)
	takes(t, "at its end")(table.Claim(ctx, b, a.Until))
	done := completed("k", "b", "1")
	takes(t, "the answer")(table.Update(ctx, done))
	end := done.Expires.Truncate(time.Second).Add(time.Second)
	refuses(t, "a second before it expires", done)(table.Claim(ctx, c, end.Add(-time.Second)))
	c.Until, c.Expires, c.Validation = end.Add(time.Hour), end.Add(2*time.Hour), "other"
	takes(t, "when it has expired")(table.Claim(ctx, c, end))
	refuses(t, "the one that replaced it", c)(table.Claim(ctx, a, end))
	d := claim("k", "d")
	d.Until, d.Expires = c.Expires.Add(2*time.Hour), c.Expires.Add(3*time.Hour)
	takes(t, "work in progress whose claim has expired")(table.Claim(ctx, d, c.Expires.Add(time.Second)))
}

// No time left is a time: whoever comes next has the claim at once.
func noTime(t *testing.T, table store.Table) {
	ctx := t.Context()
	for i, left := range []time.Duration{0, -time.Second, -50 * 365 * 24 * time.Hour} {
		key := fmt.Sprint("k", i)
		a, b := claim(key, "a"), claim(key, "b")
		a.Until = start.Add(left)
		takes(t, "a claim without time")(table.Claim(ctx, a, start))
		takes(t, "the next one's")(table.Claim(ctx, b, start))
	}
}

func onlyOwner(t *testing.T, table store.Table) {
	ctx := t.Context()
	a, b := claim("k", "a"), claim("k", "b")
	refuses(t, "an extension of nothing", &store.Claim{})(table.Update(ctx, a))
	refuses(t, "an answer to nothing", &store.Claim{})(table.Update(ctx, completed("k", "a", "1")))
	if err := table.Release(ctx, "k", "a"); err != nil {
		t.Fatalf("a release of nothing: %v", err)
	}
	takes(t, "the claim")(table.Claim(ctx, a, start))
	refuses(t, "another's extension", a)(table.Update(ctx, b))
	refuses(t, "another's answer", a)(table.Update(ctx, completed("k", "b", "2")))
	if err := table.Release(ctx, "k", "b"); err != nil {
		t.Fatal(err)
	}
	refuses(t, "a claim after another's release", a)(table.Claim(ctx, b, start))
	if err := table.Release(ctx, "k", "a"); err != nil {
		t.Fatal(err)
	}
	takes(t, "a claim after the owner's release")(table.Claim(ctx, b, start))
	// a's time had passed, and b has it now: what a makes of it is refused.
	refuses(t, "the answer of who lost it", b)(table.Update(ctx, completed("k", "a", "1")))
	// Nobody else came: being late does not matter.
	takes(t, "an answer after the claim's time")(table.Update(ctx, completed("k", "b", "2")))
	refuses(t, "the answer of who lost it, after the other's", completed("k", "b", "2"))(table.Update(ctx, completed("k", "a", "1")))
}

// A request that was given up may still arrive, after what its sender did next.
func late(t *testing.T, table store.Table) {
	ctx := t.Context()
	a, done := claim("k", "a"), completed("k", "a", "1")
	takes(t, "the claim")(table.Claim(ctx, a, start))
	takes(t, "the answer")(table.Update(ctx, done))
	refuses(t, "an extension that comes late", done)(table.Update(ctx, a))
	refuses(t, "a claim that comes late", done)(table.Claim(ctx, a, start))
	refuses(t, "what is there in the end", done)(table.Claim(ctx, claim("k", "b"), start))
}

func oneOfMany(t *testing.T, table store.Table) {
	race(t, table, "k", start)
}

func takeOver(t *testing.T, table store.Table) {
	takes(t, "the claim of who gives up")(table.Claim(t.Context(), claim("k", "gone"), start.Add(-time.Hour)))
	race(t, table, "k", start.Add(time.Minute))
}

// race has many claim at once, and work of one be refused by none but him.
func race(t *testing.T, table store.Table, key string, now time.Time) {
	var won atomic.Int32
	var mu sync.Mutex
	var winner string
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			c := claim(key, fmt.Sprint("owner-", i))
			c.Until = now.Add(time.Minute)
			there, err := table.Claim(t.Context(), c, now)
			if err != nil {
				t.Errorf("owner %d: %v", i, err)
			} else if there == nil {
				won.Add(1)
				mu.Lock()
				winner = c.Owner
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("want 1 of 32 to have the claim, got %d", won.Load())
	}
	there, err := table.Claim(t.Context(), claim(key, "late"), now)
	if err != nil || there == nil || there.Owner != winner {
		t.Fatalf("want the claim of %s there, got %+v, %v", winner, there, err)
	}
	// Many answers at once: the owner's counts.
	for i := range 32 {
		all.Go(func() {
			owner := fmt.Sprint("owner-", i)
			there, err := table.Update(t.Context(), completed(key, owner, owner))
			if err != nil || (there == nil) != (owner == winner) {
				t.Errorf("the answer of %s, when %s has the claim: %+v, %v", owner, winner, there, err)
			}
		})
	}
	all.Wait()
	refuses(t, "the answer", completed(key, winner, winner))(table.Claim(t.Context(), claim(key, "late"), now))
}

func odd(t *testing.T, table store.Table) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, key := range []string{"k", "a/b//../c", "arn:aws:sqs:eu-west-1:1:q/1-2", "ü€😀", `"\{}`, "a b\tc", strings.Repeat("k", 1024), "K"} {
		for name, answer := range map[string][]byte{"none": {}, "every byte": every, "256 KiB": bytes.Repeat(every, 1024)} {
			if i > 0 && name == "256 KiB" {
				continue
			}
			c := completed(key+name, "a", string(answer))
			c.Validation, c.Object = "sha256:"+strings.Repeat("0", 64), "claims/ü b.json"
			c.Key = c.Key[max(0, len(c.Key)-1024):]
			takes(t, "a claim")(table.Claim(t.Context(), claim(c.Key, "a"), start))
			takes(t, "its answer")(table.Update(t.Context(), c))
			refuses(t, "what is there", c)(table.Claim(t.Context(), claim(c.Key, "b"), start))
		}
	}
}

func gone(t *testing.T, table store.Table) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := table.Claim(ctx, claim("k", "a"), start)
	_, updated := table.Update(ctx, claim("k", "a"))
	for _, err := range []error{err, updated, table.Release(ctx, "k", "a")} {
		if code := fault.CodeOf(err); code != fault.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("want Canceled, got %v: %v", code, err)
		}
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := table.Claim(ctx, claim("k", "a"), start); fault.CodeOf(err) != fault.DeadlineExceeded {
		t.Errorf("want DeadlineExceeded, got %v", err)
	}
	takes(t, "the claim of somebody who is there")(table.Claim(t.Context(), claim("k", "b"), start))
}

// likeModel has random calls answered as by the table in memory.
func likeModel(t *testing.T, table store.Table) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		ctx, model, now := context.Background(), &store.MemoryTable{}, start
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 999, 1000, 30_000, 61_000}).Draw(t, "ms")) * time.Millisecond)
			key, owner := fmt.Sprint(run, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "key")), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner")
			c := claim(key, owner)
			c.Until, c.Expires = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 60_000}).Draw(t, "lease"))*time.Millisecond), now.Add(100*time.Second)
			var want, got *store.Claim
			var err, modelErr error
			call := rapid.SampledFrom([]string{"claim", "claim", "extend", "complete", "release"}).Draw(t, "call")
			switch call {
			case "claim":
				want, modelErr = model.Claim(ctx, c, now)
				got, err = table.Claim(ctx, c, now)
			case "extend", "complete":
				if call == "complete" {
					c.Status, c.Answer = store.Completed, []byte(owner)
				}
				want, modelErr = model.Update(ctx, c)
				got, err = table.Update(ctx, c)
			case "release":
				modelErr = model.Release(ctx, key, owner)
				err = table.Release(ctx, key, owner)
			}
			if err != nil || modelErr != nil {
				t.Fatalf("%s: %v, and in the model %v", call, err, modelErr)
			}
			if diff := cmp.Diff(want, got, sameBytes, cmp.Comparer(time.Time.Equal)); diff != "" {
				t.Fatalf("%s of %s by %s: what is there (-model +table):\n%s", call, key, owner, diff)
			}
		}
	})
}
