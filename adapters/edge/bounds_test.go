package edge_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/edge"
	"godwit.dev/runtime/fault"
)

// onDisk are the names of the answers in a folder of a queue, the oldest first.
func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "0*-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var names []string
	for _, f := range files {
		_, name, _ := strings.Cut(filepath.Base(f), "-")
		names = append(names, name)
	}
	return names
}

// blocks is an answer that takes so many blocks of 4 KiB with its digest, and
// not a byte less.
func blocks(n int) []byte { return make([]byte, (n-1)*4096-32+1) }

// To stay within its bounds a queue lets the oldest go.
func TestFullQueuesDropTheOldest(t *testing.T) {
	one, two, three := make([]byte, 4096-32), blocks(2), blocks(3)
	for _, c := range []struct {
		name    string
		options edge.QueueOptions
		answers [][]byte // named a, b, …
		want    []string
		stats   edge.Stats
	}{
		{"as many as may", edge.QueueOptions{MaxItems: 2}, [][]byte{nil, nil}, []string{"a", "b"}, edge.Stats{Waiting: 2, Bytes: 8192}},
		{"one more", edge.QueueOptions{MaxItems: 2}, [][]byte{nil, nil, nil}, []string{"b", "c"}, edge.Stats{Waiting: 2, Bytes: 8192, Crowded: 1}},
		{"as much as may", edge.QueueOptions{MaxBytes: 3 * 4096}, [][]byte{one, two}, []string{"a", "b"}, edge.Stats{Waiting: 2, Bytes: 3 * 4096}},
		{"a byte more", edge.QueueOptions{MaxBytes: 3*4096 - 1}, [][]byte{one, two}, []string{"b"}, edge.Stats{Waiting: 1, Bytes: 8192, Crowded: 1}},
		{"one goes for one", edge.QueueOptions{MaxBytes: 3 * 4096}, [][]byte{one, two, one}, []string{"b", "c"}, edge.Stats{Waiting: 2, Bytes: 3 * 4096, Crowded: 1}},
		{"all go for one", edge.QueueOptions{MaxBytes: 3 * 4096}, [][]byte{one, one, three}, []string{"c"}, edge.Stats{Waiting: 1, Bytes: 3 * 4096, Crowded: 2}},
	} {
		dir := t.TempDir()
		c.options.Dir = dir
		q := open(t, &c.options)
		for i, answer := range c.answers {
			if err := q.Put(t.Context(), string(rune('a'+i)), answer); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if diff := cmp.Diff(c.want, onDisk(t, dir)); diff != "" {
			t.Errorf("%s: on disk (-want +got)\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.stats, q.Stats()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
		// Another process counts the same.
		q.Close()
		c.stats.Crowded = 0
		if diff := cmp.Diff(c.stats, open(t, &c.options).Stats()); diff != "" {
			t.Errorf("%s: opened again (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestAnswersLargerThanTheQueue(t *testing.T) {
	q := open(t, &edge.QueueOptions{Dir: t.TempDir(), MaxBytes: 2 * 4096})
	put(t, q, "a", "b")
	if err := q.Put(t.Context(), "c", blocks(3)); fault.CodeOf(err) != fault.TooLarge || fault.HintOf(err) == "" || q.Len() != 2 {
		t.Errorf("%v, %d wait; want TooLarge with a hint, and nothing goes for it", err, q.Len())
	}
	if err := q.Put(t.Context(), "c", blocks(2)); err != nil || q.Len() != 1 {
		t.Errorf("%v, %d wait; want it alone", err, q.Len())
	}
	put(t, q, "a") // it comes again, as a new one
	if diff := cmp.Diff(edge.Stats{Waiting: 1, Bytes: 4096, Crowded: 3}, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What nobody takes goes before what may be taken, also for bounds that have
// become less.
func TestRefusedAnswersGoFirst(t *testing.T) {
	dir := t.TempDir()
	never := fault.New(fault.TooLarge, "test", "", "never")
	r := &receiver{fails: map[string]error{"x": never, "y": never}}
	o := &edge.QueueOptions{Dir: dir, MaxItems: 4, Forward: r.forward}
	q := open(t, o)
	put(t, q, "x", "y")
	drain(t, q, r)
	put(t, q, "a", "b")
	if diff := cmp.Diff(edge.Stats{Waiting: 2, Refused: 2, Bytes: 4 * 4096}, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	put(t, q, "c")
	if diff := cmp.Diff(edge.Stats{Waiting: 3, Refused: 1, Bytes: 4 * 4096, Crowded: 1}, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"y"}, onDisk(t, filepath.Join(dir, "refused"))); diff != "" {
		t.Errorf("set aside (-want +got)\n%s", diff)
	}
	q.Close()
	o.MaxItems = 2
	q = open(t, o)
	if diff := cmp.Diff(edge.Stats{Waiting: 2, Bytes: 2 * 4096, Crowded: 2}, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "c"}, onDisk(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An answer that made room while it was sent is not confused with the next.
func TestDroppedWhileItIsSent(t *testing.T) {
	for name, verdict := range map[string]error{"taken": nil, "refused": fault.New(fault.Invalid, "test", "", "never")} {
		dir := t.TempDir()
		sending, sent := make(chan struct{}), make(chan error)
		q := open(t, &edge.QueueOptions{Dir: dir, MaxItems: 1, Forward: func(context.Context, string, []byte) error {
			sending <- struct{}{}
			return <-sent
		}})
		put(t, q, "a")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); q.Run(ctx) }()
		<-sending
		put(t, q, "b") // there is room for one
		sent <- verdict
		<-sending // the other one
		want := edge.Stats{Waiting: 1, Bytes: 4096, Crowded: 1}
		if verdict == nil {
			want.Sent = 1
		}
		if diff := cmp.Diff(want, q.Stats()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		cancel()
		sent <- ctx.Err()
		<-ended
		if diff := cmp.Diff([]string{"b"}, onDisk(t, dir)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if aside := onDisk(t, filepath.Join(dir, "refused")); aside != nil {
			t.Errorf("%s: %v were set aside", name, aside)
		}
	}
}

// Answers wait for as long as they may and no longer, whether they are tried or
// were refused.
func TestOldAnswersGo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, MaxAge: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		wait := func(d time.Duration) { <-time.After(d) } // of the bubble's clock
		put(t, q, "a")
		wait(30 * time.Minute)
		put(t, q, "b")
		wait(30 * time.Minute)
		put(t, q, "c")
		if diff := cmp.Diff(edge.Stats{Waiting: 3, Bytes: 3 * 4096}, q.Stats()); diff != "" {
			t.Errorf("after its time to the nanosecond (-want +got)\n%s", diff)
		}
		wait(1)
		put(t, q, "d")
		if diff := cmp.Diff(edge.Stats{Waiting: 3, Bytes: 3 * 4096, Aged: 1}, q.Stats()); diff != "" {
			t.Errorf("a nanosecond later (-want +got)\n%s", diff)
		}
	})
	if diff := cmp.Diff([]string{"b", "c", "d"}, onDisk(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// While there is no network they go too; what was refused goes when the next
	// answer is looked at.
	dir = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, MaxAge: time.Hour, Forward: func(_ context.Context, name string, _ []byte) error {
			if name == "broken" {
				return fault.New(fault.Invalid, "test", "", "never")
			}
			return fault.New(fault.Unavailable, "test", "", "no network")
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		put(t, q, "broken", "a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		q.Run(ctx)
		if diff := cmp.Diff(edge.Stats{Aged: 3}, q.Stats()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	if left := append(onDisk(t, dir), onDisk(t, filepath.Join(dir, "refused"))...); left != nil {
		t.Errorf("%v are left on disk", left)
	}
}

// A process that comes later goes by the files' times, unless these cannot be right.
func TestAnswersOfAnotherProcessAge(t *testing.T) {
	dir := t.TempDir()
	o := &edge.QueueOptions{Dir: dir, MaxAge: time.Hour}
	q := open(t, o)
	put(t, q, "old", "young", "future", "unset")
	q.Close()
	now := time.Now()
	for i, at := range []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Minute), now.Add(24 * time.Hour), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		file, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("%016x-*", i)))
		if err != nil || len(file) != 1 {
			t.Fatal(file, err)
		}
		if err := os.Chtimes(file[0], at, at); err != nil {
			t.Fatal(err)
		}
	}
	q = open(t, o)
	if diff := cmp.Diff([]string{"young", "future", "unset"}, onDisk(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := q.Stats(); got.Aged != 1 || got.Crowded != 0 {
		t.Errorf("%+v, want one that was too old", got)
	}
}

// counts is a log that counts its lines.
type counts struct {
	slog.Handler
	lines *atomic.Int32
}

func (c counts) Enabled(context.Context, slog.Level) bool { return true }
func (c counts) Handle(context.Context, slog.Record) error {
	c.lines.Add(1)
	return nil
}

// A full queue loses one with each answer that comes: the log is told, at most
// once a minute, and of the rest at the end.
func TestTheLogIsNotFlooded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := counts{slog.DiscardHandler, new(atomic.Int32)}
		q, err := edge.OpenQueue(&edge.QueueOptions{Dir: dir, MaxItems: 1, Log: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		step := func(what string, after time.Duration, puts int, want int32) {
			t.Helper()
			<-time.After(after)
			for i := range puts {
				put(t, q, fmt.Sprint(what, i))
			}
			if got := log.lines.Load(); got != want {
				t.Errorf("%s: %d lines, want %d", what, got, want)
			}
		}
		step("fits", 0, 1, 0)
		step("first", 0, 5, 1)
		step("soon", time.Minute-1, 5, 1)
		step("later", 1, 1, 2)
		step("quiet", time.Hour, 0, 2)
		step("last", 0, 2, 3)
		q.Close()
		step("closed", 0, 0, 4)
	})
}
