package loadtest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder counts what ends. Its methods may be called concurrently.
type recorder struct {
	from, end time.Time
	waited    atomic.Int64

	mu                    sync.Mutex
	latency, service, lag *hdrhistogram.Histogram // of what was answered; of what was sent at once
	errors                map[string]int64
	ok, failed, later     int64 // of what counts
	okAll, failedAll      int64 // with the warm-up
	inWindow              int64 // answers that came while it counted, whenever they were due
	bytesIn, bytesOut     int64
	last                  time.Time
}

// The histograms' range; what is beyond is recorded as the end.
const (
	shortest = 100 * time.Nanosecond
	longest  = 10 * time.Minute
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(shortest), int64(longest), 3)
}

func newRecorder() *recorder {
	return &recorder{latency: newHistogram(), service: newHistogram(), lag: newHistogram(), errors: map[string]int64{}}
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
	if counts {
		r.bytesIn += int64(a.in)
		r.bytesOut += int64(a.out)
		if a.later {
			r.later++
		}
		if a.ok {
			r.ok++
			add(r.latency, latency)
			add(r.service, ended.Sub(sent))
		} else {
			r.failed++
			r.errors[a.outcome]++
		}
		if !j.waited {
			add(r.lag, sent.Sub(j.due))
		}
	}
	r.mu.Unlock()
	if counts && o.Observe != nil {
		o.Observe(Observation{Due: j.due.Sub(r.from), Latency: latency, Outcome: a.outcome})
	}
}

func (r *recorder) counts() (ok, failed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.okAll, r.failedAll
}

func add(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(int64(min(max(d, 0), longest))) // in range, so there is no error
}
