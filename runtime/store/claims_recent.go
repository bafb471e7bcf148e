package store

import (
	"container/list"
	"sync"
	"time"
)

// recent is the completed claims that this process saw last, bounded by their
// bytes. It never holds one in progress: that is only the table's to say.
type recent struct {
	max int

	mu    sync.Mutex
	bytes int
	byKey map[string]*list.Element // of *Claim
	used  list.List                // the last used first
}

// weight is about what a claim takes in memory, in bytes.
func weight(c *Claim) int { return len(c.Answer) + 2*len(c.Key) + len(c.Validation) + 256 }

// get returns a copy of the claim of key, or nil.
func (r *recent) get(key string, now time.Time) *Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.byKey[key]
	if !ok {
		return nil
	}
	c := *e.Value.(*Claim)
	if c.Free(now) {
		r.drop(e)
		return nil
	}
	r.used.MoveToFront(e)
	return &c
}

func (r *recent) put(c *Claim) {
	kept := *c
	if kept.Answer == nil {
		kept.Answer = []byte{} // so that what is remembered is never read from an object again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.byKey[c.Key]; ok {
		r.drop(e)
	}
	if weight(&kept) > r.max {
		return
	}
	if r.byKey == nil {
		r.byKey = map[string]*list.Element{}
	}
	r.byKey[c.Key] = r.used.PushFront(&kept)
	for r.bytes += weight(&kept); r.bytes > r.max; {
		r.drop(r.used.Back())
	}
}

func (r *recent) drop(e *list.Element) {
	c := r.used.Remove(e).(*Claim)
	delete(r.byKey, c.Key)
	r.bytes -= weight(c)
}

// fuse keeps the many items of a delivery from each waiting for a table that
// is away: after three failures in a row nobody asks for a second, then for two,
// four, at most sixteen.
type fuse struct {
	mu    sync.Mutex
	row   int
	until time.Time
}

func (f *fuse) wait(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.until.Sub(now)
}

func (f *fuse) good() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.row, f.until = 0, time.Time{}
}

func (f *fuse) bad(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until.After(now) {
		return // of those that were under way already
	}
	if f.row++; f.row >= 3 {
		f.until = now.Add(time.Second << min(f.row-3, 4))
	}
}
