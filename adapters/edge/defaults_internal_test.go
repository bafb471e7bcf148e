package edge

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What is documented as a default is the default.
func TestDefaults(t *testing.T) {
	for _, given := range []QueueOptions{{}, {MaxBytes: -1, MaxItems: -1, MaxAge: -1, Wait: -1, MaxWait: -1}} {
		given.Dir = t.TempDir()
		q, err := OpenQueue(&given)
		if err != nil {
			t.Fatal(err)
		}
		q.Close()
		want := QueueOptions{MaxBytes: 268435456, MaxItems: 100000, MaxAge: 168 * time.Hour, Wait: time.Second, MaxWait: 300 * time.Second}
		if diff := cmp.Diff(want, q.opts, cmpopts.IgnoreFields(QueueOptions{}, "Dir", "Forward", "Log")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	for _, given := range []*Options{nil, {}, {MaxBody: -1, MaxEvents: -1}} {
		got := given.withDefaults()
		want := Options{Path: "/events", MaxBody: 10485760, MaxEvents: 1000}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Options{}, "Auth", "Admit", "Log")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	given := Options{Path: "/in", MaxBody: 1, MaxEvents: 1}
	if got := given.withDefaults(); got.Path != "/in" || got.MaxBody != 1 || got.MaxEvents != 1 {
		t.Errorf("%+v, want what was given", got)
	}
}

// Since when a file waits: its own time, unless that cannot be right.
func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	set := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ written, want time.Time }{
		{now, now},
		{now.Add(-time.Hour), now.Add(-time.Hour)},
		{now.Add(1), now},
		{set, set},
		{set.Add(-1), now},
		{time.Unix(0, 0), now},
	} {
		if got := since(c.written, now); !got.Equal(c.want) {
			t.Errorf("written %v: since %v, want %v", c.written, got, c.want)
		}
	}
}

// Whoever asks for the counts does not wait for a disk that is slow.
func TestCountsWaitForNoDisk(t *testing.T) {
	q, err := OpenQueue(&QueueOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.Put(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	q.mu.Lock() // as while something is written
	defer q.mu.Unlock()
	if diff := cmp.Diff(Stats{Waiting: 1, Bytes: 4096}, q.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
