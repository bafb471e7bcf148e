//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"godwit.dev/loadtest"
)

func selfCPU() (time.Duration, error) { return cpuOf(os.Getpid()) }

// servedGoal is goal 2: what a saturated server answers of a model of some
// milliseconds, against the C loop on all cores.
func servedGoal(ctx context.Context, b *bench) ([]*figure, error) {
	l, chosen, err := b.bestLoop(b.file("wide"), 1, b.cores)
	if err != nil {
		return nil, err
	}
	defer l.close()
	var figures []*figure
	for _, c := range []struct{ function, what, note string }{
		{"default", "as it comes", "Requests that wait share a run, which the C loop has not: that is why it can be above 1."},
		{"off", "batching off", "Each request is a run, as in the C loop."},
	} {
		p, err := b.server(ctx, c.function)
		if err != nil {
			return figures, err
		}
		if err := b.check(ctx, p, "wide", loadtest.Binary); err != nil {
			return figures, err
		}
		d := b.time(2 * time.Second)
		served := func() (float64, error) {
			r, err := b.load(ctx, p, "wide", loadtest.Options{Protocol: loadtest.Binary, Connections: 2 * b.cores, Duration: d})
			if err != nil {
				return 0, err
			}
			return r.Achieved, nil
		}
		if _, err := served(); err != nil { // the batcher learns
			return figures, err
		}
		pairs, err := paired(ctx, b.pairs(12), served, func() (float64, error) {
			r, err := l.run(1, d)
			return r.runs / r.wall * 1e9, err
		})
		if err != nil {
			return figures, err
		}
		figures = append(figures, &figure{Goal: 2, What: "served throughput, wide, binary 4 KB, " + c.what, How: fmt.Sprintf("%d connections, %s, over the C loop", 2*b.cores, c.what),
			Got: each(pairs, ratio), Ship: least(0.97), Moonshot: least(0.985),
			Absolute: fmt.Sprintf("%s/s, C %s/s", number(each(pairs, oursOf).Median), number(each(pairs, floorOf).Median)),
			Note:     fmt.Sprintf("C loop: %s. The client runs on the same processors. %s", chosen.name, c.note)})
	}
	return figures, nil
}

// addedGoal is goal 3: the server's CPU for a request, less what the no-op
// route and the bare Run take.
func addedGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for _, c := range []struct {
		what           string
		protocol       loadtest.Protocol
		ship, moonshot float64
	}{{"added CPU, small, binary", loadtest.Binary, 12, 6}, {"added CPU, small, JSON of 64 numbers", loadtest.JSON, 15, 8}} {
		p, err := b.server(ctx, "default")
		if err != nil {
			return figures, err
		}
		added, sides, err := b.added(ctx, p, c.protocol, true)
		if err != nil {
			return figures, err
		}
		figures = append(figures, &figure{Goal: 3, What: c.what, How: "16 connections; server's CPU less no-op's less C run's", Unit: "µs",
			Got: added, Ship: most(c.ship), Moonshot: most(c.moonshot), Absolute: sides})
	}
	return figures, nil
}

// added measures the CPU of a request for small at p, of the no-op, and of the
// bare run unless the server makes none, in turn; in µs.
func (b *bench) added(ctx context.Context, p *process, protocol loadtest.Protocol, runs bool) (added spread, sides string, err error) {
	if err := b.check(ctx, p, "small", protocol); err != nil {
		return added, "", err
	}
	size, err := b.answerBytes(ctx, p, "small", protocol)
	if err != nil {
		return added, "", err
	}
	noop, err := b.noop(size)
	if err != nil {
		return added, "", err
	}
	defer noop.stop()
	// On all processors, as the server runs it: threads of one core share it.
	l, _, err := b.bestLoop(b.file("small"), 1, b.cores)
	if err != nil {
		return added, "", err
	}
	defer l.close()
	d := b.time(1200 * time.Millisecond)
	for _, q := range []*process{p, noop} { // warm: connections, pools, the batcher's table
		if _, err := b.cpuPer(ctx, q, "small", protocol, 16, b.time(time.Second)); err != nil {
			return added, "", err
		}
	}
	var run []float64
	pairs, err := paired(ctx, b.pairs(12),
		func() (float64, error) { return b.cpuPer(ctx, p, "small", protocol, 16, d) },
		func() (float64, error) {
			r, err := l.run(1, b.time(100*time.Millisecond))
			if err != nil {
				return 0, err
			}
			run = append(run, r.cpuPer())
			return b.cpuPer(ctx, noop, "small", protocol, 16, d)
		})
	if err != nil {
		return added, "", err
	}
	var values []float64
	for i, p := range pairs {
		v := difference(p)
		if runs {
			v -= run[i]
		}
		values = append(values, v/1e3)
	}
	sides = fmt.Sprintf("%s, no-op %s, run %s; added is %s of the no-op", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median),
		us(spreadOf(run).Median), number(1e3*spreadOf(values).Median/each(pairs, floorOf).Median))
	return spreadOf(values), sides, nil
}

// latencyGoal is goal 4: the median latency of one connection at a fifth of
// its capacity, less the no-op's at the same rate and the bare Run.
func latencyGoal(ctx context.Context, b *bench) ([]*figure, error) {
	p, err := b.server(ctx, "default")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, protocol := range []loadtest.Protocol{loadtest.Binary, loadtest.JSON} {
		size, err := b.answerBytes(ctx, p, "small", protocol)
		if err != nil {
			return figures, err
		}
		noop, err := b.noop(size)
		if err != nil {
			return figures, err
		}
		defer noop.stop()
		full, err := b.load(ctx, p, "small", loadtest.Options{Protocol: protocol, Connections: 1, Duration: b.time(time.Second)})
		if err != nil {
			return figures, err
		}
		l, _, err := b.bestLoop(b.file("small"), 1, 1)
		if err != nil {
			return figures, err
		}
		defer l.close()
		var run []float64
		median := func(p *process) func() (float64, error) {
			return func() (float64, error) {
				r, err := b.load(ctx, p, "small", loadtest.Options{Protocol: protocol, Connections: 1, Rate: full.Achieved / 5, Constant: true,
					Duration: b.time(2 * time.Second)})
				if err != nil {
					return 0, err
				}
				return float64(r.Latency.P50), nil
			}
		}
		pairs, err := paired(ctx, b.pairs(10), median(p), func() (float64, error) {
			r, err := l.run(1, b.time(100*time.Millisecond))
			if err != nil {
				return 0, err
			}
			run = append(run, r.perRun())
			return median(noop)()
		})
		if err != nil {
			return figures, err
		}
		var values []float64
		for i, p := range pairs {
			values = append(values, (difference(p)-run[i])/1e3)
		}
		figures = append(figures, &figure{Goal: 4, What: "added latency, small, " + string(protocol), Unit: "µs",
			How: "p50 of one connection at 20 % of its capacity, less no-op's less C run's",
			Got: spreadOf(values), Ship: most(20), Moonshot: most(10),
			Absolute: fmt.Sprintf("%s, no-op %s, run %s, at %s/s", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median),
				us(spreadOf(run).Median), number(full.Achieved/5))})
	}
	return figures, nil
}

// cacheGoal is goal 9: the CPU of a request whose answer is kept, less the no-op's.
func cacheGoal(ctx context.Context, b *bench) ([]*figure, error) {
	p, err := b.server(ctx, "cache")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, protocol := range []loadtest.Protocol{loadtest.Binary, loadtest.JSON} {
		hit, sides, err := b.added(ctx, p, protocol, false)
		if err != nil {
			return figures, err
		}
		f := &figure{Goal: 9, What: "cache hit, small, " + string(protocol), How: "16 connections; server's CPU less no-op's", Unit: "µs",
			Got: hit, Ship: most(3), Moonshot: most(1), Absolute: sides,
			Note: "64 requests in turn, all kept. The figure holds all of serving: routing, decoding, limits, metrics and log, not the look-up alone."}
		if other, err := b.server(ctx, "default"); err == nil {
			without, _, err := b.added(ctx, other, protocol, true)
			if err == nil {
				f.Note += fmt.Sprintf(" Without a cache all that takes %s µs (goal 3), so the look-up itself adds %s µs.", number(without.Median), number(hit.Median-without.Median))
			}
		}
		figures = append(figures, f)
	}
	return figures, nil
}
