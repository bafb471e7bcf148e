//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// batchGoal is goal 7: rows that a saturated server answers, against the best
// static batch of the C loop.
func batchGoal(ctx context.Context, b *bench) ([]*figure, error) {
	p, err := b.server(ctx, "default")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, name := range []string{"wide", "medium"} {
		some, err := b.batch(ctx, p, name)
		figures = append(figures, some...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
	}
	return figures, nil
}

func (b *bench) batch(ctx context.Context, p *process, name string) ([]*figure, error) {
	if err := b.check(ctx, p, name, loadtest.Binary); err != nil {
		return nil, err
	}
	size, err := b.answerBytes(ctx, p, name, loadtest.Binary)
	if err != nil {
		return nil, err
	}
	noop, err := b.noop(size)
	if err != nil {
		return nil, err
	}
	defer noop.stop()
	l, err := b.loop(b.file(name), settings(b.cores)[0])
	if err != nil {
		return nil, err
	}
	defer l.close()
	best, bestRate, single := 1, 0.0, 0.0
	for rows := 1; rows <= 128; rows *= 2 {
		var rates []float64
		for range 3 {
			r, err := l.run(rows, b.time(200*time.Millisecond))
			if err != nil {
				return nil, err
			}
			rates = append(rates, r.runs*float64(rows)/r.cpu)
		}
		rate := spreadOf(rates).Median
		if rows == 1 {
			single = rate
		}
		if rate > bestRate {
			best, bestRate = rows, rate
		}
	}
	connections, err := b.unrefused(ctx, p, name, min(256, max(64, 2*b.cores*best)))
	if err != nil {
		return nil, err
	}
	d := b.time(2 * time.Second)
	var answered, overhead []float64
	served := func() (float64, error) { // CPU for a row, without what HTTP takes anyway
		before, err := p.cpu()
		if err != nil {
			return 0, err
		}
		r, err := b.load(ctx, p, name, loadtest.Options{Protocol: loadtest.Binary, Connections: connections, Duration: d})
		if err != nil {
			return 0, err
		}
		after, err := p.cpu()
		if err != nil {
			return 0, err
		}
		answered = append(answered, r.Achieved)
		route, err := b.cpuPer(ctx, noop, name, loadtest.Binary, connections, b.time(500*time.Millisecond))
		overhead = append(overhead, route)
		return float64(after-before)/float64(r.All) - route, err
	}
	if _, err := served(); err != nil { // once more with what the batcher has learned
		return nil, err
	}
	answered, overhead = nil, nil
	var raw []float64
	pairs, err := paired(ctx, b.pairs(10), served, func() (float64, error) {
		r, err := l.run(best, d)
		raw = append(raw, r.runs*float64(best)/r.wall*1e9)
		return r.cpu / (r.runs * float64(best)), err
	})
	if err != nil {
		return nil, err
	}
	rows, floor := spreadOf(answered).Median, spreadOf(raw).Median
	serving, err := b.serving(ctx, p, connections)
	if err != nil {
		return nil, err
	}
	perRow := each(pairs, floorOf).Median
	alone, err := b.alone(ctx, name, best, l)
	if err != nil {
		return nil, err
	}
	return []*figure{alone, {Goal: 7, What: "batching, " + name + ", served", How: fmt.Sprintf("%d connections, binary; C's CPU for a row at %d rows over the server's less no-op's", connections, best),
		Got: each(pairs, func(p pair) float64 { return p.Other / p.Ours }), Ship: least(0.90), Moonshot: least(0.97),
		Absolute: fmt.Sprintf("%s a row, C %s, no-op %s", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median), us(spreadOf(overhead).Median)),
		Note: fmt.Sprintf("a static batch of %d is %s times as cheap as single rows. By rate, with client, HTTP and server all on the same processors, the server answers %s rows/s of the C loop's %s (%s). Serving a row takes %s beyond the no-op (tiny at as many connections, less its run), so at most %s can be reached.",
			best, number(bestRate/single), number(rows), number(floor), number(rows/floor), us(serving), number(perRow/(perRow+serving)))}}, nil
}

// serving is the server's CPU for a request beside the run and what HTTP takes
// anyway, in ns: that of the model whose run is least, less no-op and run.
func (b *bench) serving(ctx context.Context, p *process, connections int) (float64, error) {
	size, err := b.answerBytes(ctx, p, "tiny", loadtest.Binary)
	if err != nil {
		return 0, err
	}
	noop, err := b.noop(size)
	if err != nil {
		return 0, err
	}
	defer noop.stop()
	l, err := b.loop(b.file("tiny"), settings(1)[0])
	if err != nil {
		return 0, err
	}
	defer l.close()
	var runs []float64
	cpu := func(p *process) func() (float64, error) {
		return func() (float64, error) {
			return b.cpuPer(ctx, p, "tiny", loadtest.Binary, connections, b.time(500*time.Millisecond))
		}
	}
	pairs, err := paired(ctx, b.pairs(8), func() (float64, error) {
		r, err := l.run(1, b.time(50*time.Millisecond))
		if err != nil {
			return 0, err
		}
		runs = append(runs, r.cpuPer())
		return cpu(p)()
	}, cpu(noop))
	return max(0, each(pairs, difference).Median-spreadOf(runs).Median), err
}

// leastBest keeps enough callers about where noise has made a small batch the
// best: with few of them nothing could come together.
const leastBest = 32

// alone measures the batcher without a server: callers in this process who
// each ask again as soon as they are answered, against the C loop l.
func (b *bench) alone(ctx context.Context, name string, best int, l *loop) (*figure, error) {
	callers := 2 * b.cores * max(best, leastBest)
	intraOp, runs, err := b.threadsOf(name)
	if err != nil {
		return nil, err
	}
	e := b.engineHere()
	m, err := infer.Load(ctx, e, b.file(name), &infer.Options{Name: name, Digest: "sha256:00",
		IntraOp: intraOp, Runs: runs, Queue: 2 * callers, Deterministic: true})
	if err != nil {
		return nil, err
	}
	defer m.Close(context.WithoutCancel(ctx))
	settle(ctx, e)
	requests := b.requests[name]
	if err := m.ProbeBatching(ctx, requests[:4]); err != nil {
		return nil, err
	}
	d := b.time(2 * time.Second)
	var refused atomic.Int64
	var cpu, floorCPU []float64
	rows := func() (float64, error) {
		var answered atomic.Int64
		var all errgroup
		used, err := selfCPU()
		if err != nil {
			return 0, err
		}
		start := time.Now()
		for i := range callers {
			all.run(func() error {
				for n := i; time.Since(start) < d; n++ {
					resp, err := m.Infer(ctx, requests[n%len(requests)])
					if fault.CodeOf(err) == fault.Unavailable && ctx.Err() == nil {
						refused.Add(1)
						time.Sleep(time.Millisecond)
						continue
					}
					if err != nil {
						return err
					}
					resp.Release()
					answered.Add(1)
				}
				return nil
			})
		}
		err = all.wait()
		after, _ := selfCPU()
		cpu = append(cpu, float64(after-used)/float64(answered.Load()))
		return float64(answered.Load()) / time.Since(start).Seconds(), err
	}
	if _, err := rows(); err != nil { // the batcher learns
		return nil, err
	}
	cpu = nil
	refused.Store(0)
	pairs, err := paired(ctx, b.pairs(8), rows, func() (float64, error) {
		r, err := l.run(best, d)
		floorCPU = append(floorCPU, r.cpu/(r.runs*float64(best)))
		return r.runs * float64(best) / r.wall * 1e9, err
	})
	if err != nil {
		return nil, err
	}
	ours, floor := spreadOf(cpu).Median, spreadOf(floorCPU).Median
	note := fmt.Sprintf("by CPU time for a row the ratio is %s (%s, C %s).", number(floor/ours), us(ours), us(floor))
	if n := refused.Load(); n > 0 {
		note += fmt.Sprintf(" %d requests were refused and asked again.", n)
	}
	return &figure{Goal: 7, What: "batching, " + name, Note: note, How: fmt.Sprintf("infer.Model in process, %d callers of one row each; its rows/s over the C loop's at %d rows", callers, best),
		Got: each(pairs, ratio), Ship: least(0.90), Moonshot: least(0.97),
		Absolute: fmt.Sprintf("%s rows/s, C %s rows/s", number(each(pairs, oursOf).Median), number(each(pairs, floorOf).Median))}, nil
}

// errgroup waits for goroutines and keeps their first error.
type errgroup struct {
	sync.WaitGroup
	once  sync.Once
	first error
}

func (g *errgroup) run(f func() error) {
	g.Go(func() {
		if err := f(); err != nil {
			g.once.Do(func() { g.first = err })
		}
	})
}

func (g *errgroup) wait() error { g.Wait(); return g.first }

// unrefused is the largest number of connections, most and halves of it, of
// which the server refuses at most one per cent: it bounds what waits.
func (b *bench) unrefused(ctx context.Context, p *process, name string, most int) (connections int, err error) {
	for connections = most; connections >= 2; connections /= 2 {
		for range 2 { // the first lets the batcher learn
			if _, err = b.load(ctx, p, name, loadtest.Options{Protocol: loadtest.Binary, Connections: connections, Duration: b.time(2 * time.Second)}); ctx.Err() != nil {
				return 0, ctx.Err()
			}
		}
		if err == nil {
			return connections, nil
		}
	}
	return 0, err
}

// neverHurtsGoal is goal 8: the same arrivals with batching as it comes and
// with batching off.
func neverHurtsGoal(ctx context.Context, b *bench) ([]*figure, error) {
	on, err := b.server(ctx, "default")
	if err != nil {
		return nil, err
	}
	off, err := b.server(ctx, "off")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, m := range models {
		if !m.five {
			continue
		}
		some, err := b.neverHurts(ctx, on, off, m.name)
		figures = append(figures, some...)
		if err != nil && ctx.Err() == nil {
			figures = append(figures, &figure{Goal: 8, What: "batching on/off, " + m.name, Missing: oneLine(err)})
		}
	}
	return figures, nil
}

func (b *bench) neverHurts(ctx context.Context, on, off *process, name string) ([]*figure, error) {
	connections, err := b.unrefused(ctx, off, name, 16)
	if err != nil {
		return nil, err
	}
	full, err := b.load(ctx, off, name, loadtest.Options{Protocol: loadtest.Binary, Connections: connections, Duration: b.time(2 * time.Second)})
	if err != nil {
		return nil, err
	}
	if _, err := b.unrefused(ctx, on, name, 16); err != nil { // the batcher learns
		return nil, err
	}
	var figures []*figure
	// Idle is a fiftieth of the load, but a slow model must be asked at all.
	idle := max(0.02, min(0.1, 2/full.Achieved))
	for _, load := range []float64{idle, 0.20, 0.50, 0.80} {
		rate := load * full.Achieved
		// As long as it takes for 200 requests, within limits: a p99 of fewer is a maximum.
		d := b.time(min(8*time.Second, max(3*time.Second, time.Duration(200/rate*float64(time.Second)))))
		pick := func(r *loadtest.Result) float64 { return float64(r.Latency.P99) }
		quantile, ship, moonshot := "p99", 1.05, 1.00
		if load == idle {
			quantile, ship = "p50", 1.03
			pick = func(r *loadtest.Result) float64 { return float64(r.Latency.P50) }
		}
		count, failed := math.Inf(1), int64(0)
		side := func(p *process) func() (float64, error) {
			return func() (float64, error) {
				o := loadtest.Options{Protocol: loadtest.Binary, Rate: rate, Duration: d, Connections: 128}
				r, err := b.load(ctx, p, name, o)
				if fault.CodeOf(err) == fault.Runtime { // the machine was elsewhere for half a second
					r, err = b.load(ctx, p, name, o)
				}
				if err != nil {
					return 0, err
				}
				failed += r.Sent - r.OK
				count = min(count, float64(r.OK))
				return pick(r), nil
			}
		}
		n := 4
		if b.quick {
			n = 8 // which b.pairs makes 2
		}
		pairs, err := paired(ctx, b.pairs(n), side(on), side(off))
		if err != nil {
			return figures, err
		}
		f := &figure{Goal: 8, What: fmt.Sprintf("batching on/off, %s, %s at %.0f %%", name, quantile, 100*load), How: "the same Poisson arrivals at both",
			Got: each(pairs, ratio), Ship: most(ship), Moonshot: most(moonshot),
			Absolute: fmt.Sprintf("%s, off %s, at %s/s", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median), number(rate))}
		if quantile == "p99" && count < 200 {
			f.Note = fmt.Sprintf("only %.0f requests in a block, so its p99 is nearly the slowest one.", count)
		}
		if failed > 0 {
			f.Note = strings.TrimSpace(f.Note + " " + fmt.Sprintf("%d requests failed, over all blocks of both sides; they are not in the latencies.", failed))
		}
		figures = append(figures, f)
	}
	return figures, nil
}
