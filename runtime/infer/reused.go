package infer

import "time"

// Reused counts an answer for which no run of its own was made, and which
// therefore did not come from Infer: one that was Cached, or Shared with the
// request that made the run. took is the whole request's time.
func (m *Model) Reused(resp *Response, took time.Duration) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.stats
	s.LastInference = now
	s.Success.add(took)
	if resp.Cached {
		s.CacheHit.add(took)
		return
	}
	s.Inferences += uint64(resp.Timing.Rows)
	s.Queue.add(resp.Timing.Queue)
	s.Compute.add(resp.Timing.Compute)
}

// Missed counts a request whose answer was looked for among those kept, and
// was not there. took is the time of the look.
func (m *Model) Missed(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.CacheMiss.add(took)
}
