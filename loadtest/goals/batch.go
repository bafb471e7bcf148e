package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
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
		f, err := b.batch(ctx, p, name)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (b *bench) batch(ctx context.Context, p *process, name string) (*figure, error) {
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
	return &figure{Goal: 7, What: "batching, " + name, How: fmt.Sprintf("%d connections, binary; C's CPU for a row at %d rows over the server's less no-op's", connections, best),
		Got: each(pairs, func(p pair) float64 { return p.floor / p.ours }), Ship: least(0.90), Moonshot: least(0.97),
		Absolute: fmt.Sprintf("%s a row, C %s, no-op %s", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median), us(spreadOf(overhead).Median)),
		Note: fmt.Sprintf("a static batch of %d is %s times as cheap as single rows. By rate, with client, HTTP and server all on the same processors, the server answers %s rows/s of the C loop's %s (%s).",
			best, number(bestRate/single), number(rows), number(floor), number(rows/floor))}, nil
}

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
	for _, load := range []float64{0.02, 0.20, 0.50, 0.80} {
		rate := load * full.Achieved
		// As long as it takes for 200 requests, within limits: a p99 of fewer is a maximum.
		d := b.time(min(8*time.Second, max(3*time.Second, time.Duration(200/rate*float64(time.Second)))))
		pick := func(r *loadtest.Result) float64 { return float64(r.Latency.P99) }
		quantile, ship, moonshot := "p99", 1.05, 1.00
		if load < 0.1 {
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
			f.Note += fmt.Sprintf(" %d requests failed, over all blocks of both sides; they are not in the latencies.", failed)
		}
		figures = append(figures, f)
	}
	return figures, nil
}
