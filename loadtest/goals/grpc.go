//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"time"

	"godwit.dev/loadtest"
)

// grpcGoal is goal 6: the server's CPU for a call, less the bare Run; beside
// it what grpc-go alone takes for calls of the same size.
func grpcGoal(ctx context.Context, b *bench) ([]*figure, error) {
	p, err := b.server(ctx, "default")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, c := range []struct {
		what, model    string
		connections    int
		ship, moonshot float64
	}{{"gRPC, small", "small", 16, 25, 18}, {"gRPC, 600 KB", "image", 4, 330, 250}} {
		f, err := b.grpcFigure(ctx, p, c.model, c.connections)
		if err != nil {
			return figures, err
		}
		f.Goal, f.What, f.Ship, f.Moonshot = 6, c.what, most(c.ship), most(c.moonshot)
		figures = append(figures, f)
	}
	return figures, nil
}

// grpcFigure measures p, the no-op and the bare run in turn.
func (b *bench) grpcFigure(ctx context.Context, p *process, model string, connections int) (*figure, error) {
	if err := b.check(ctx, p, model, loadtest.GRPC); err != nil {
		return nil, err
	}
	one, err := b.load(ctx, p, model, loadtest.Options{Protocol: loadtest.GRPC, Connections: 1, Count: 1, Duration: time.Minute})
	if err != nil {
		return nil, err
	}
	noop, err := b.startNoop(b.noopGRPCPath, int(one.BytesIn))
	if err != nil {
		return nil, err
	}
	defer noop.stop()
	l, _, err := b.bestLoop(b.file(model), 1, b.cores)
	if err != nil {
		return nil, err
	}
	defer l.close()
	d := b.time(1200 * time.Millisecond)
	for _, q := range []*process{p, noop} {
		if _, err := b.cpuPer(ctx, q, model, loadtest.GRPC, connections, b.time(time.Second)); err != nil {
			return nil, err
		}
	}
	var run []float64
	pairs, err := paired(ctx, b.pairs(12),
		func() (float64, error) { return b.cpuPer(ctx, p, model, loadtest.GRPC, connections, d) },
		func() (float64, error) {
			r, err := l.run(1, b.time(100*time.Millisecond))
			if err != nil {
				return 0, err
			}
			run = append(run, r.cpuPer())
			return b.cpuPer(ctx, noop, model, loadtest.GRPC, connections, d)
		})
	if err != nil {
		return nil, err
	}
	var values, ofNoop []float64
	for i, p := range pairs {
		values = append(values, (p.Ours-run[i])/1e3)
		ofNoop = append(ofNoop, (p.Ours-run[i])/p.Other)
	}
	return &figure{How: fmt.Sprintf("%d connections; server's CPU less C run's", connections), Unit: "µs", Got: spreadOf(values),
		Absolute: fmt.Sprintf("%s, run %s, grpc-go's no-op %s; less the run it is %s of the no-op", us(each(pairs, oursOf).Median), us(spreadOf(run).Median),
			us(each(pairs, floorOf).Median), number(spreadOf(ofNoop).Median))}, nil
}
