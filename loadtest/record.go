package loadtest

import (
	"sync"
	"sync/atomic"
	"time"
)

// recorder counts what ends. Its methods may be called concurrently.
type recorder struct {
	from, end time.Time
	waited    atomic.Int64

	mu                    sync.Mutex
	latency, service, lag *counts // of what was answered; of what was sent at once
	errors                map[string]int64
	ok, failed, later     int64 // of what counts
	okAll, failedAll      int64 // with the warm-up
	inWindow              int64 // answers that came while it counted, whenever they were due
	bytesIn, bytesOut     int64
	last                  time.Time

	// The window under way and the one behind it: what ends after windowEnd, before
	// the former has been taken. nil where nobody asks for windows.
	window, behind *tally
	windowEnd      time.Time

	burst *Cold // the burst from zero that is under way
}

// tally is what ended in a window.
type tally struct {
	latency *counts
	ok      int64
	errors  map[string]int64
}

func newTally() *tally { return &tally{latency: newCounts(windowFine), errors: map[string]int64{}} }

func (t *tally) add(latency time.Duration, a *answer) {
	if a.ok {
		t.ok++
		t.latency.add(latency, 1)
	} else {
		t.errors[a.outcome]++
	}
}

func (t *tally) reset() {
	t.latency.reset()
	t.ok = 0
	clear(t.errors)
}

// totalFine is three digits.
const totalFine = 10

func newRecorder() *recorder {
	return &recorder{latency: newCounts(totalFine), service: newCounts(totalFine), lag: newCounts(totalFine),
		errors: map[string]int64{}}
}

func (r *recorder) record(o *Options, j job, sent, ended time.Time, a answer) {
	latency := ended.Sub(j.due)
	counts := !j.due.Before(r.from)
	r.mu.Lock()
	if a.ok {
		r.okAll++
		if !ended.Before(r.from) && !ended.After(r.end) {
			r.inWindow++
		}
	} else {
		r.failedAll++
	}
	if ended.After(r.last) {
		r.last = ended
	}
	if r.window != nil && (counts || ended.Before(r.from)) {
		if ended.Before(r.windowEnd) {
			r.window.add(latency, &a)
		} else {
			r.behind.add(latency, &a)
		}
	}
	if r.burst != nil {
		r.burst.record(ended.Sub(r.burst.begun), latency, a.ok)
	}
	if counts {
		r.bytesIn += int64(a.in)
		r.bytesOut += int64(a.out)
		if a.later {
			r.later++
		}
		if a.ok {
			r.ok++
			r.latency.add(latency, 1)
			r.service.add(ended.Sub(sent), 1)
		} else {
			r.failed++
			r.errors[a.outcome]++
		}
		if !j.waited {
			r.lag.add(sent.Sub(j.due), 1)
		}
	}
	r.mu.Unlock()
	if counts && o.Observe != nil {
		o.Observe(Observation{Due: j.due.Sub(r.from), Latency: latency, Service: ended.Sub(sent), Outcome: a.outcome})
	}
}

func (r *recorder) counts() (ok, failed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.okAll, r.failedAll
}
