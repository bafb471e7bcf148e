package cold

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
)

// Subject is what is started.
type Subject struct {
	Target string         // one of emulate.Targets
	Form   string         // of the platform's requests; "" is the usual one
	Launch emulate.Launch // what it writes goes to Log
	Env    []string       // what its user sets, KEY=VALUE
	Log    *Log
	// Request is asked, and its recorded answer wanted.
	Request *recorded.Request
	// Dir has the files that are to be read from the disk where the page cache
	// is evicted: all regular ones in it.
	Dir string
}

// Options of Run; nil means defaults.
type Options struct {
	// Starts is how many count in each state of the page cache; 0 means 20.
	Starts int
	// WarmOnly leaves the starts from the disk out.
	WarmOnly bool
	// Progress, if not nil, is told before each start, with the state's name.
	Progress func(done, all int, cache string)
}

// The states of the page cache.
const (
	Warm    = "warm"
	Evicted = "evicted"
)

// Report is what Run found; its JSON is documented in docs/cold.md.
type Report struct {
	Target  string   `json:"target"`
	Request string   `json:"request"`
	Starts  int      `json:"starts"`
	Warm    *State   `json:"warm"`
	Evicted *State   `json:"evicted,omitempty"`
	Cache   Eviction `json:"page_cache"`
	// Unproven says why there are no figures of starts from the disk.
	Unproven string `json:"unproven,omitempty"`
}

// State are the starts in one state of the page cache.
type State struct {
	Total  Figure   `json:"total"`
	Phases []Figure `json:"phases"` // that took any time, in the order of Phases
	// Memory is the largest resident memory, in bytes, of any of the starts.
	Memory int64 `json:"peak_memory_bytes,omitempty"`
	// TotalsMS are all starts, as they came.
	TotalsMS []float64 `json:"totals_ms"`
}

// Figure is a distribution over the starts, in milliseconds.
type Figure struct {
	Phase string  `json:"phase,omitempty"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
}

// Largest is the phase that takes most, by its 95th percentile.
func (s *State) Largest() Figure {
	if len(s.Phases) == 0 {
		return Figure{}
	}
	return slices.MaxFunc(s.Phases, func(a, b Figure) int { return cmp.Compare(a.P95, b.P95) })
}

// start is one start.
type start struct {
	total  time.Duration
	phases map[string]time.Duration
	memory int64
}

// patience is how long a function may answer that it is not ready yet.
const patience = time.Minute

// Run starts the subject once for nothing, so that what it reads is in memory,
// and then in turn from memory and from the disk. Errors: Invalid without a
// recorded answer, Mismatch for an answer that is not as recorded, Unavailable
// for a function that does not start or answer, and those of ctx.
func Run(ctx context.Context, s *Subject, opts *Options) (*Report, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Starts <= 0 {
		o.Starts = 20
	}
	if s.Request == nil || s.Request.Want == nil {
		return nil, fault.New(fault.Invalid, "cold.Run", s.Target, "want a recorded request with its answer, got none").
			WithHint("Record one: godwit init --sample, or put a request and its answer into requests/MODEL/.")
	}
	r := &Report{Target: s.Target, Request: path.Join(s.Request.Model, s.Request.Name), Starts: o.Starts}
	all, done := 1+2*o.Starts, 0
	step := func(cache string) {
		if o.Progress != nil {
			o.Progress(done, all, cache)
		}
		done++
	}
	if o.WarmOnly {
		all = 1 + o.Starts
	}
	step(Warm)
	if _, err := s.start(ctx); err != nil {
		return nil, err
	}
	var warm, evicted []start
	for range o.Starts {
		if !o.WarmOnly && r.Unproven == "" {
			e, err := Evict(s.Dir)
			if r.Cache.worst(&e); err != nil {
				r.Unproven = err.Error()
			} else if !e.Proven() {
				r.Unproven = fmt.Sprintf("%d of %d bytes stayed in memory, as on a file system that has no disk; TMPDIR may name a folder on another", e.Left, e.Size)
			}
			if r.Unproven == "" {
				step(Evicted)
				one, err := s.start(ctx)
				if err != nil {
					return nil, err
				}
				evicted = append(evicted, one)
			} else {
				all -= o.Starts
			}
		}
		step(Warm)
		one, err := s.start(ctx)
		if err != nil {
			return nil, err
		}
		warm = append(warm, one)
	}
	r.Warm = stateOf(warm)
	if r.Unproven == "" && !o.WarmOnly {
		r.Evicted = stateOf(evicted)
	}
	return r, nil
}

// Start starts the function once, kills it when it has answered, and returns how
// long it took until then. Errors: as Run's.
func (s *Subject) Start(ctx context.Context) (time.Duration, error) {
	one, err := s.start(ctx)
	return one.total, err
}

// start starts the function once, and kills it when it has answered.
func (s *Subject) start(ctx context.Context) (one start, err error) {
	req, err := s.Request.Decode()
	if err != nil {
		return one, err
	}
	s.Log.take()
	var begun time.Time
	launch := func(ctx context.Context, env []string) (emulate.Process, error) {
		begun = time.Now()
		return s.Launch(ctx, env)
	}
	i, err := emulate.Start(ctx, s.Target, launch, &emulate.Options{Variant: s.Form, Env: append(slices.Clone(s.Env), app.StartReport+"=1")})
	if err != nil {
		return one, err
	}
	admitted := time.Since(begun)
	killed := false
	kill := func() {
		if !killed {
			i.Kill() // which waits for all that it wrote
		}
		killed = true
	}
	defer kill()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		resp, code, err := i.Call(ctx, req, false)
		one.total = time.Since(begun)
		if err != nil {
			return one, err
		}
		if code == fault.OK {
			err := s.Request.Want.Check(resp)
			resp.Release()
			if err != nil {
				return one, err
			}
			break
		}
		if code != fault.Unavailable {
			return one, fault.New(code, "cold.Run", s.Target, "want an answer, got %v", code)
		}
		select {
		case <-tick.C:
		case <-i.Done():
			return one, fault.New(fault.Unavailable, "cold.Run", s.Target, "want an answer, got a function that ended")
		case <-ctx.Done():
			return one, fmt.Errorf("cold.Run: %w", ctx.Err())
		}
	}
	if i.PID() > 0 {
		if one.memory, err = Peak(i.PID()); err != nil {
			return one, err
		}
	}
	kill()
	one.phases = split(s.Log.take(), begun, admitted, one.total)
	return one, nil
}

func stateOf(starts []start) *State {
	s := &State{}
	var totals []time.Duration
	for _, one := range starts {
		totals = append(totals, one.total)
		s.TotalsMS = append(s.TotalsMS, milliseconds(one.total))
		s.Memory = max(s.Memory, one.memory)
	}
	s.Total = figure("", totals)
	for _, phase := range phases {
		var took []time.Duration
		for _, one := range starts {
			took = append(took, one.phases[phase])
		}
		if slices.Max(took) > 0 {
			s.Phases = append(s.Phases, figure(phase, took))
		}
	}
	return s
}

// figure gives percentiles by nearest rank: each is one that was measured.
func figure(phase string, took []time.Duration) Figure {
	took = slices.Sorted(slices.Values(took))
	at := func(p float64) float64 {
		return milliseconds(took[max(0, int(math.Ceil(p*float64(len(took))))-1)])
	}
	return Figure{Phase: phase, P50: at(0.50), P95: at(0.95)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
