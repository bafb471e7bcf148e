package infer

import (
	"slices"
	"sync"
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

// BatchStats is the compute time of runs with one number of rows.
type BatchStats struct {
	Rows    int
	Compute Duration
}

// Stats are a model's counters since it was loaded.
type Stats struct {
	LastInference time.Time // zero before the first
	Inferences    uint64    // rows answered
	Executions    uint64    // runs of the engine

	Success, Fail  Duration // whole requests
	Queue, Compute Duration // of the successful ones

	Batches []BatchStats // by rows, at most maxBatchStats of them
}

// maxBatchStats bounds what callers can make a server remember by sending
// every number of rows; further sizes count in the totals only.
const maxBatchStats = 64

type stats struct {
	mu sync.Mutex
	s  Stats
}

func (s *stats) failed(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Fail.add(took)
}

func (s *stats) succeeded(t Timing, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.LastInference = time.Now()
	s.s.Inferences += uint64(t.Rows)
	s.s.Executions++
	s.s.Success.add(took)
	s.s.Queue.add(t.Queue)
	s.s.Compute.add(t.Compute)
	i, found := slices.BinarySearchFunc(s.s.Batches, t.Rows, func(b BatchStats, rows int) int { return b.Rows - rows })
	if !found {
		if len(s.s.Batches) == maxBatchStats {
			return
		}
		s.s.Batches = slices.Insert(s.s.Batches, i, BatchStats{Rows: t.Rows})
	}
	s.s.Batches[i].Compute.add(t.Compute)
}

func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.s
	c.Batches = slices.Clone(c.Batches)
	return c
}
