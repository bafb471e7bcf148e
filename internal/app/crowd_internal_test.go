package app

import (
	"slices"
	"testing"
)

type toldThreads chan bool

func (c toldThreads) patient(yes bool) { c <- yes }

// The threads are patient while any model refuses requests, and no longer.
func TestThreadsArePatientInACrowd(t *testing.T) {
	told := make(toldThreads, 10)
	c := &crowd{threads: told}
	step := func(now bool, want ...bool) {
		t.Helper()
		c.overloaded(now)
		c.applies.Wait()
		var got []bool
		for len(told) > 0 {
			got = append(got, <-told)
		}
		if !slices.Equal(got, want) {
			t.Errorf("overloaded(%v): want the threads told %v, got %v", now, want, got)
		}
	}
	step(true, true)
	step(true)
	step(false)
	step(false, false)
	step(true, true)
	c.stop()
	step(false)
}
