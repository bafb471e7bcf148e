package app

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// pace makes Go's collector wait for a fixed amount of garbage beyond what its
// percentage asks for. A server's live heap is a few MB, because models and
// tensors are native memory; at 100 % of that the collector would run many
// times a second, and take a tenth of the CPU of small requests.
type pace struct {
	garbage int64 // bytes

	mu      sync.Mutex
	stopped bool
	percent int // in force
}

// What the pace is made of.
const (
	paceGarbage = 32 << 20
	paceShare   = 16 // of the memory limit, garbage is at most one part in so many
	goPercent   = 100
)

// newPace begins to pace the collector, for a process with that memory limit, 0
// being none. Where the user has set GOGC it stays as it is, and nil is returned.
func newPace(limit int64) *pace {
	if was := debug.SetGCPercent(goPercent); was != goPercent {
		debug.SetGCPercent(was)
		return nil
	}
	p := &pace{garbage: paceGarbage, percent: goPercent}
	if limit > 0 {
		p.garbage = min(p.garbage, limit/paceShare)
	}
	p.collected()
	return p
}

// startPace paces the collector of a process that serves.
func (f *Function) startPace() {
	if !f.opts.Single {
		f.pace.Store(newPace(f.opts.Quota.Memory))
	}
}

// collected is called after each collection: the live heap may have changed.
func (p *pace) collected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	if want := p.want(liveHeap()); 8*abs(want-p.percent) > p.percent { // setting it stops the world
		p.percent = want
		debug.SetGCPercent(want)
	}
	// What nothing refers to any more is found by the next collection.
	runtime.SetFinalizer(new(collection), func(*collection) { p.collected() })
}

// collection is there to be collected. It is not empty, so that it is no part
// of other memory.
type collection struct{ _ *byte }

// want is the percentage with which the heap grows by garbage beyond 100 %.
func (p *pace) want(live int64) int {
	return goPercent + int(100*p.garbage/max(live, 1<<20))
}

// stop leaves the collector as it was.
func (p *pace) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	debug.SetGCPercent(goPercent)
}

// liveHeap is what the last collection left, in bytes.
func liveHeap() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func abs(n int) int { return max(n, -n) }
