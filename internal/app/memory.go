package app

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/quota"
)

const (
	// memoryEvery is how often the memory in use is looked at.
	memoryEvery = 100 * time.Millisecond
	// shedAbove and shedBelow are percentages of the limit: beyond the first,
	// new requests are refused, until less than the second is in use.
	shedAbove = 85
	shedBelow = 80
	// closeAbove is where nobody is let in. Up to there one request is for each
	// look: what an engine's arenas keep does not go away by waiting, and a
	// server that is idle and full must not stay closed.
	closeAbove = 95
	// freeEvery is how often free memory, Go's and the engine's, is given back
	// while memory is full.
	freeEvery = 5 * time.Second
	// trimEvery is how often else the engine's is, if it is at least trimLeast:
	// what it keeps after many runs at once, which few may need again.
	trimEvery = time.Minute
	trimLeast = 16 << 20
	// goMargin is the percentage of the limit that is left out of Go's share:
	// for the engine's arenas, which grow with the requests, and for what the
	// kernel counts besides.
	goMargin = 10
	// goLeast is what Go gets in any case: below it the collector would only
	// burn the CPU.
	goLeast = 32 << 20
)

// guard keeps the process below its memory limit: it tells Go's collector how
// much of the memory native code leaves, and refuses new requests before
// memory is full, since what happens then is that the process is killed.
// Without a limit, or a gauge, it only has the engine give back memory that
// nobody uses.
type guard struct {
	limit int64
	gauge *quota.Gauge
	// goLimit is false where the user has set GOMEMLIMIT.
	goLimit bool

	full    atomic.Bool
	trickle atomic.Bool       // whether one may pass although it is full
	freed   time.Time         // when memory was given back; of the goroutine
	trim    func(least int64) // the engine's
	trims   bool              // whether it is asked now and then: not where one request is all there is

	once sync.Once
	quit chan struct{}
	done sync.WaitGroup
}

func newGuard(eng driver.Engine, o *Options) *guard {
	g := &guard{limit: o.Quota.Memory, gauge: o.Memory, quit: make(chan struct{}),
		goLimit: debug.SetMemoryLimit(-1) == math.MaxInt64, trim: func(int64) {}}
	if t, ok := eng.(driver.Trimmer); ok {
		g.trim, g.trims = t.Trim, !o.Single
	}
	return g
}

func (g *guard) off() bool { return g.limit == 0 || g.gauge == nil }

// start begins to watch; stop ends it. What was stopped does not start again.
func (g *guard) start() {
	g.relimit()
	g.once.Do(func() {
		select {
		case <-g.quit:
			return
		default:
		}
		if !g.off() {
			g.look()
			g.done.Go(func() { g.every(memoryEvery, g.look) })
		}
		if g.trims {
			g.done.Go(func() { g.every(trimEvery, func() { g.trim(trimLeast) }) })
		}
	})
}

// every does something again and again, until stop.
func (g *guard) every(d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-g.quit:
			return
		case <-tick.C:
			do()
		}
	}
}

func (g *guard) stop() {
	select {
	case <-g.quit:
	default:
		close(g.quit)
	}
	g.done.Wait()
}

func (g *guard) look() {
	held := g.gauge.Read().Held
	switch {
	case held > g.limit/100*shedAbove:
		g.full.Store(true)
	case held < g.limit/100*shedBelow:
		g.full.Store(false)
	}
	full := g.full.Load()
	g.trickle.Store(full && held < g.limit/100*closeAbove)
	if full && time.Since(g.freed) >= freeEvery {
		debug.FreeOSMemory()
		g.trim(0)
		g.freed = time.Now()
	}
}

// admit refuses while memory is nearly full. It costs an atomic load.
func (g *guard) admit() error {
	if !g.full.Load() || g.trickle.CompareAndSwap(true, false) {
		return nil
	}
	return fault.New(fault.Unavailable, "app.Admit", "", "want less than %d%% of the memory in use, got more", shedAbove).
		WithHint("Retry in a moment.").WithRetry(time.Second)
}

// relimit gives Go what the rest of the process leaves of the limit, now that
// it is loaded.
func (g *guard) relimit() {
	if g.off() || !g.goLimit {
		return
	}
	outside := max(g.gauge.Read().Held-goMemory(), 0)
	debug.SetMemoryLimit(max(g.limit-outside-g.limit/100*goMargin, goLeast))
}

// goMemory is what SetMemoryLimit counts: all of the runtime's memory but what
// it has given back.
func goMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
