package cold

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Percentiles are starts that there were: of twenty the 95th is the nineteenth.
func TestStateOf(t *testing.T) {
	var starts []start
	for i := range 20 {
		d := time.Duration((i*7)%20+1) * time.Millisecond // 1 to 20 ms, in no order
		starts = append(starts, start{total: d + 5*time.Millisecond, phases: map[string]time.Duration{"session": d, "exec": 5 * time.Millisecond}, memory: int64(d)})
	}
	s := stateOf(starts)
	if len(s.TotalsMS) != 20 || s.TotalsMS[1] != 13 {
		t.Errorf("want every start as it came, got %v", s.TotalsMS)
	}
	s.TotalsMS = nil
	want := &State{
		Total:  Figure{P50: 15, P95: 24},
		Phases: []Figure{{"exec", 5, 5}, {"session", 10, 19}},
		Memory: int64(20 * time.Millisecond),
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := stateOf(starts[:3]).Total, (Figure{P50: 13, P95: 20}); got != want {
		t.Errorf("of three starts: want %v, got %v", want, got)
	}
}

// The largest phase is the one that takes most where a budget is judged.
func TestLargest(t *testing.T) {
	s := &State{Phases: []Figure{{"exec", 30, 31}, {"session", 10, 50}, {"answer", 20, 21}}}
	if got := s.Largest().Phase; got != "session" {
		t.Errorf("want session, got %s", got)
	}
	if got := new(State).Largest(); got != (Figure{}) {
		t.Errorf("want none of nothing, got %v", got)
	}
}

// What a report says of the page cache is the worst of its starts.
func TestWorstEviction(t *testing.T) {
	var worst Eviction
	for _, e := range []Eviction{{100, 90, 0}, {100, 80, 3}, {100, 100, 1}} {
		worst.worst(&e)
	}
	if want := (Eviction{100, 80, 3}); worst != want {
		t.Errorf("want %+v, got %+v", want, worst)
	}
	for left, want := range map[int64]bool{0: true, 1: true, 2: false} {
		if e := (Eviction{Size: 100, Before: 100, Left: left}); e.Proven() != want {
			t.Errorf("%d of 100 bytes left: want %v, got %v", left, want, !want)
		}
	}
}
