//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/measure"
)

// durations of one kind of run: full, or quick.
type durations struct {
	sweep, sweepWarm    time.Duration // a block of the sweep, and the load before it
	sweepPairs          int
	block, slowBlock    time.Duration // a block of throughput, and of one with large requests
	pairs               int
	warm, jitWarm       time.Duration // at least
	warmMost            time.Duration // beyond that, until three windows agree
	window              time.Duration
	latency             time.Duration
	latencyPairs        int
	cold                time.Duration // for all cold starts
	coldLeast, coldMost int
	patience            time.Duration // until the first answer
	loading             time.Duration // until a second model answers too
	whole               time.Duration // for one peer: what is not measured by then is left out
}

var (
	full = durations{sweep: 400 * time.Millisecond, sweepWarm: time.Second, sweepPairs: 3, block: time.Second, slowBlock: 1500 * time.Millisecond, pairs: 8,
		warm: 5 * time.Second, jitWarm: 20 * time.Second, warmMost: 5 * time.Second, window: time.Second, latency: 1500 * time.Millisecond, latencyPairs: 2,
		cold: 12 * time.Second, coldLeast: 3, coldMost: 12, patience: 90 * time.Second, loading: 20 * time.Second, whole: 5 * time.Minute}
	quick = durations{sweep: 300 * time.Millisecond, sweepWarm: 500 * time.Millisecond, sweepPairs: 1, block: 500 * time.Millisecond, slowBlock: 800 * time.Millisecond, pairs: 3,
		warm: 2 * time.Second, jitWarm: 5 * time.Second, warmMost: time.Second, window: 500 * time.Millisecond, latency: 700 * time.Millisecond, latencyPairs: 1,
		cold: 3 * time.Second, coldLeast: 2, coldMost: 2, patience: 90 * time.Second, loading: 20 * time.Second, whole: 6 * time.Minute}
)

// estimate is about how long measuring p takes.
func (d *durations) estimate(p *peer) time.Duration {
	t := time.Duration(len(p.settings)+1) * (p.start + 3*time.Second)
	t += time.Duration(len(p.settings)) * (d.sweepWarm + time.Duration(2*d.sweepPairs)*d.sweep)
	t += d.warming(p) + d.warmMost/2
	t += time.Duration(2*d.pairs*len(p.speaks))*d.block + time.Duration(d.pairs)*d.slowBlock
	t += time.Duration(len(points)*2*d.latencyPairs) * d.latency
	return t + max(d.cold, time.Duration(d.coldLeast)*p.start)
}

func (d *durations) warming(p *peer) time.Duration {
	if p.jit {
		return d.jitWarm
	}
	return d.warm
}

// duel is ours and a peer, both ready.
type duel struct {
	b           *bench
	p           *peer
	d           *durations
	ours, other *server
	result      *peerResult
}

// compare measures one peer. What was measured before an error is in the result.
func (b *bench) compare(ctx context.Context, p *peer) *peerResult {
	began := time.Now()
	r := &peerResult{Name: p.name, Title: p.title, Language: p.language, Note: p.note}
	fail := func(err error) *peerResult {
		r.Seconds = time.Since(began).Seconds()
		if len(r.Figures) > 0 {
			r.Partly = strings.TrimSpace(r.Partly + " " + oneLine(err))
		} else {
			r.Missing = oneLine(err)
		}
		return r
	}
	home, versions, err := b.installed(ctx, p)
	r.Versions = versions
	if err != nil {
		return fail(fmt.Errorf("it cannot be installed: %w", err))
	}
	began = time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, b.durations.whole, fmt.Errorf("%v for one peer were over", b.durations.whole))
	defer cancel()
	d := &duel{b: b, p: p, d: b.durations, result: r}
	best, err := d.sweep(ctx, home)
	if err != nil {
		return fail(fmt.Errorf("it gives no figure: %w", err))
	}
	r.Setting = best.Name
	if err := d.measure(ctx, home, best); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fail(err)
	}
	r.Seconds = time.Since(began).Seconds()
	return r
}

func (b *bench) ours() *launch {
	return &launch{name: "godwit", samePort: true, dir: b.dir, argv: func(http, _ int) (argv, env []string) {
		return []string{b.subject, "serve", b.function, "--listen", fmt.Sprintf("127.0.0.1:%d", http)}, []string{"GODWIT_ONNXRUNTIME=" + b.library}
	}}
}

func (b *bench) theirs(p *peer, home string, s *setting) *launch {
	return &launch{name: p.name, dir: filepath.Join(home, "src"), argv: func(http, grpc int) (argv, env []string) {
		env = append(s.env(b.models, b.library, http, grpc), "OMP_NUM_THREADS=1", "PYTHONPYCACHEPREFIX="+filepath.Join(home, "pycache"),
			"NODE_COMPILE_CACHE="+filepath.Join(home, "compiled"), "NO_PROXY=127.0.0.1,localhost",
			"TMPDIR="+b.scratch, "RAY_TMPDIR="+b.scratch, "PYTRITON_HOME="+b.scratch)
		env = append(env, p.env...)
		if p.port != "" {
			env = append(env, fmt.Sprintf("%s=%d", p.port, http))
		}
		return p.argv(home, s), env
	}}
}

// started starts a side and waits for its first right answer; took is since exec.
func (b *bench) started(ctx context.Context, l *launch) (s *server, took time.Duration, err error) {
	began := time.Now()
	if s, err = b.start(l); err != nil {
		return nil, 0, err
	}
	if took, err = s.ready(ctx, b.load(smallJSON), began, b.durations.patience); err != nil {
		s.stop(0)
		return nil, took, fmt.Errorf("%s: %w", l.name, err)
	}
	return s, took, nil
}

const polite = 5 * time.Second // for a server to end by itself

// sweep tries the peer's settings in turn, each against ours in the same
// moments, and gives the one that is best by throughput.
func (d *duel) sweep(ctx context.Context, home string) (*setting, error) {
	ours, _, err := d.b.started(ctx, d.b.ours())
	if err != nil {
		return nil, err
	}
	defer ours.stop(polite)
	l := d.b.load(smallJSON)
	var best *setting
	least := 0.0
	for i := range d.p.settings {
		s := &d.p.settings[i]
		tried, err := d.try(ctx, home, s, ours, l)
		if err != nil {
			var wrong *wrongAnswer
			if errors.As(err, &wrong) || ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			tried.Missing = oneLine(err)
		} else if best == nil || tried.Ratio < least {
			best, least = s, tried.Ratio
		}
		d.result.Sweep = append(d.result.Sweep, tried)
	}
	if best == nil {
		return nil, fmt.Errorf("no setting works: %s", d.result.Sweep[0].Missing)
	}
	return best, nil
}

func (d *duel) try(ctx context.Context, home string, s *setting, ours *server, l *load) (t tried, err error) {
	t.Setting = s.Name
	other, _, err := d.b.started(ctx, d.b.theirs(d.p, home, s))
	if err != nil {
		return t, err
	}
	defer other.stop(polite)
	if err := other.verify(ctx, l); err != nil {
		return t, err
	}
	for _, side := range []*server{ours, other} {
		if _, err := closed(ctx, side, l, d.d.sweepWarm); err != nil {
			return t, err
		}
	}
	rates, cpu, err := d.turns(ctx, ours, other, l, d.d.sweepPairs, d.d.sweep)
	if err != nil {
		return t, err
	}
	t.Rate, t.CPU = measure.Each(rates, measure.Pair.Second).Median, measure.Each(cpu, measure.Pair.Second).Median
	t.Ratio = measure.Each(rates, measure.Pair.Ratio).Median
	return t, nil
}

// block is what one block of a closed loop gave.
type block struct{ rate, cpu float64 } // answers in a second; µs of the server's CPU for one

const connections = 16

// closed puts a closed loop on the side.
func closed(ctx context.Context, s *server, l *load, d time.Duration) (block, error) {
	before, err := s.cpu()
	if err != nil {
		return block{}, err
	}
	var last atomic.Int64 // when the last answer came, after the start
	r, err := loadtest.Run(ctx, &loadtest.Options{Target: s.target(l.protocol), Model: l.model, Protocol: l.protocol, Requests: l.requests, Payloads: -1,
		Unchecked: true, Connections: connections, Duration: d, Timeout: 30 * time.Second, Observe: func(o loadtest.Observation) {
			for at := int64(o.Due + o.Latency); ; {
				if old := last.Load(); at <= old || last.CompareAndSwap(old, at) {
					return
				}
			}
		}})
	if err != nil {
		return block{}, err
	}
	// One per cent may fail: it hardly moves what is divided by all.
	if float64(r.OK) < 0.99*float64(r.Sent) || r.OK == 0 {
		return block{}, fmt.Errorf("%s: %d of %d requests failed: %v", l.name, r.Sent-r.OK, r.Sent, r.Errors)
	}
	// Where few answers come within the block, when it ends decides how many: all
	// are counted then, over the time until the last.
	if r.Achieved*r.Seconds < 3*connections {
		r.Achieved = float64(r.OK) / time.Duration(last.Load()).Seconds()
	}
	after, err := s.cpu()
	return block{r.Achieved, float64(after-before) / float64(r.All) / 1e3}, err
}

// turns measures throughput and CPU of both sides, in the same blocks.
func (d *duel) turns(ctx context.Context, ours, other *server, l *load, n int, t time.Duration) (rates, cpu []measure.Pair, err error) {
	var used [2][]float64
	side := func(i int, s *server) func() (float64, error) {
		return func() (float64, error) {
			b, err := closed(ctx, s, l, t)
			used[i] = append(used[i], b.cpu)
			return b.rate, err
		}
	}
	if rates, err = measure.InTurn(ctx, n, side(0, ours), side(1, other)); err != nil {
		return nil, nil, err
	}
	for i := range rates {
		cpu = append(cpu, measure.Pair{Ours: used[0][i], Other: used[1][i]})
	}
	return rates, cpu, nil
}

// measure takes all figures of the peer in setting s.
func (d *duel) measure(ctx context.Context, home string, s *setting) (err error) {
	d.result.Command = d.p.argv(home, s)
	theirs := d.b.theirs(d.p, home, s)
	if d.ours, _, err = d.b.started(ctx, d.b.ours()); err != nil {
		return err
	}
	defer d.ours.stop(polite)
	if d.other, _, err = d.b.started(ctx, theirs); err != nil {
		return err
	}
	defer d.other.stop(polite)
	var loads []*load
	for _, l := range d.b.loads {
		if slices.Contains(d.p.speaks, l.protocol) {
			loads = append(loads, l)
		}
	}
	// Every answer of both sides is compared before anything is timed.
	for _, l := range loads {
		for _, side := range []*server{d.ours, d.other} {
			if err := side.verify(ctx, l); err != nil {
				return err
			}
		}
	}
	if d.result.Settled, err = d.warm(ctx); err != nil {
		return err
	}
	for _, l := range loads {
		err := d.throughput(ctx, l)
		if err != nil && l.name != smallJSON && ctx.Err() == nil { // what follows needs none of this
			d.result.Partly = strings.TrimSpace(d.result.Partly + " " + oneLine(err) + ".")
		} else if err != nil {
			return err
		}
	}
	if err := d.latencies(ctx); err != nil {
		return err
	}
	if err := d.memory(); err != nil {
		return err
	}
	d.ours.stop(polite)
	d.other.stop(polite)
	return d.cold(ctx, theirs)
}

// warm puts the main load on both sides until three windows of the peer agree
// within three per cent, for as long as its kind needs at least. settled is
// false where they never did.
func (d *duel) warm(ctx context.Context) (settled bool, err error) {
	l := d.b.load(smallJSON)
	if _, err := closed(ctx, d.ours, l, 2*d.d.window); err != nil {
		return false, err
	}
	var windows []float64
	least := d.d.warming(d.p)
	for began := time.Now(); ; {
		b, err := closed(ctx, d.other, l, d.d.window)
		if err != nil {
			return false, err
		}
		windows = append(windows, b.rate)
		switch took := time.Since(began); {
		case took >= least && measure.Steady(windows, 0.03):
			return true, nil
		case took >= least+d.d.warmMost:
			return false, nil
		}
	}
}

func (d *duel) throughput(ctx context.Context, l *load) error {
	n, t := d.d.pairs, d.d.block
	if l.model == "image" {
		n, t = max(2, n/2), d.d.slowBlock
	}
	for _, side := range []*server{d.ours, d.other} { // connections, pools, what this load alone needs
		b, err := closed(ctx, side, l, t)
		if err != nil {
			return err
		}
		const enough = 3 * connections // of few answers one more or less is much
		t = max(t, min(4*t, time.Duration(enough/b.rate*float64(time.Second))))
	}
	rates, cpu, err := d.turns(ctx, d.ours, d.other, l, n, t)
	if err != nil {
		return err
	}
	d.result.add(throughput, l.name, "/s", rates, false)
	d.result.add(cpuTime, l.name, "µs", cpu, true)
	return nil
}

// point is one load of the open loop: a share of each side's own capacity, or
// of the smaller one for both.
type point struct {
	name   string
	share  float64
	common bool
}

var points = []point{
	{"20 % of its own capacity", 0.2, false}, {"50 % of its own capacity", 0.5, false}, {"80 % of its own capacity", 0.8, false},
	{"half the peer's capacity for both", 0.5, true},
}

// latencies measures p50 and p99 of an open loop with Poisson arrivals.
func (d *duel) latencies(ctx context.Context) error {
	l := d.b.load(smallJSON)
	capacity := d.result.figure(throughput, l.name)
	for _, at := range points {
		ours, other := at.share*capacity.Ours.Median, at.share*capacity.Other.Median
		if at.common {
			ours = min(ours, other)
			other = ours
		}
		var slow [2][]float64
		side := func(i int, s *server, rate float64) func() (float64, error) {
			return func() (float64, error) {
				r, err := loadtest.Run(ctx, &loadtest.Options{Target: s.target(l.protocol), Model: l.model, Requests: l.requests, Payloads: -1, Unchecked: true,
					Rate: rate, Connections: 64, Duration: d.d.latency, Seed: uint64(1 + len(slow[i]))})
				if err != nil {
					return 0, err
				}
				if r.OK == 0 || float64(r.OK) < 0.9*float64(r.Sent) {
					return 0, fmt.Errorf("%s, %.0f requests in a second: %d of %d failed: %v", at.name, rate, r.Sent-r.OK, r.Sent, r.Errors)
				}
				slow[i] = append(slow[i], float64(r.Latency.P99)/1e6)
				return float64(r.Latency.P50) / 1e6, nil
			}
		}
		half, err := measure.InTurn(ctx, d.d.latencyPairs, side(0, d.ours, ours), side(1, d.other, other))
		if err != nil {
			return err
		}
		var tail []measure.Pair
		for i := range half {
			tail = append(tail, measure.Pair{Ours: slow[0][i], Other: slow[1][i]})
		}
		d.result.add(p50, at.name, "ms", half, true)
		d.result.add(p99, at.name, "ms", tail, true)
	}
	return nil
}

// memory is the peak of all processes of each side, after all loads.
func (d *duel) memory() error {
	ours, err := d.ours.peak()
	if err != nil {
		return err
	}
	other, err := d.other.peak()
	if err != nil {
		return err
	}
	d.result.add(memory, "after all loads", "MB", []measure.Pair{{Ours: ours / 1e6, Other: other / 1e6}}, true)
	return nil
}

// cold measures exec to the first right answer, files in the page cache.
func (d *duel) cold(ctx context.Context, theirs *launch) error {
	once := func(l *launch) func() (float64, error) {
		return func() (float64, error) {
			s, took, err := d.b.started(ctx, l)
			if err != nil {
				return 0, err
			}
			s.stop(2 * time.Second)
			return float64(took) / 1e6, nil
		}
	}
	var pairs []measure.Pair
	for began := time.Now(); len(pairs) < d.d.coldMost && (len(pairs) < d.d.coldLeast || time.Since(began) < d.d.cold); {
		// Two at a time, so that each side is first once.
		more, err := measure.InTurn(ctx, min(2, d.d.coldMost-len(pairs)), once(d.b.ours()), once(theirs))
		if err != nil {
			return err
		}
		pairs = append(pairs, more...)
	}
	d.result.add(coldStart, "exec to the first answer", "ms", pairs, true)
	return nil
}
