package infer

import (
	"slices"
	"time"
)

// Duration counts events and adds their time up.
type Duration struct {
	Count uint64
	Total time.Duration
}

func (d *Duration) add(t time.Duration) {
	d.Count++
	d.Total += t
}

// BatchStats is the compute time of runs with one number of rows, each run counted once.
type BatchStats struct {
	Rows    int
	Compute Duration
}

// Stats are a model's counters since it was loaded.
type Stats struct {
	LastInference time.Time // zero before the first
	Inferences    uint64    // rows answered
	Executions    uint64    // runs of the engine; fewer than answers where these shared runs

	Success, Fail  Duration // whole requests, from when their checks were passed
	Queue, Compute Duration // of the successful ones
	// CacheHit are the requests answered from kept answers, which are not among
	// Inferences, and CacheMiss the looks for answers that were not there.
	CacheHit, CacheMiss Duration

	Batches []BatchStats // by rows, at most maxBatchStats of them
}

// maxBatchStats bounds what callers can make a server remember by sending
// every number of rows; further sizes count in the totals only.
const maxBatchStats = 64

// ran counts a run that succeeded and learns from it. m.mu is held.
func (m *Model) ran(rows int, took time.Duration, hidden bool) {
	if hidden {
		return
	}
	m.cost.observe(rows, took)
	s := &m.stats
	s.Executions++
	i, found := slices.BinarySearchFunc(s.Batches, rows, func(b BatchStats, rows int) int { return b.Rows - rows })
	if !found {
		if len(s.Batches) == maxBatchStats {
			return
		}
		s.Batches = slices.Insert(s.Batches, i, BatchStats{Rows: rows})
	}
	s.Batches[i].Compute.add(took)
}

// count counts a request and how it ended. m.mu is held.
func (m *Model) count(t *ticket, resp *Response, err error, now time.Time) {
	s := &m.stats
	switch {
	case t.hidden:
	case err != nil:
		s.Fail.add(now.Sub(t.start))
	default:
		s.LastInference = now
		s.Inferences += uint64(t.rows)
		s.Success.add(now.Sub(t.start))
		s.Queue.add(resp.Timing.Queue)
		s.Compute.add(resp.Timing.Compute)
	}
}
