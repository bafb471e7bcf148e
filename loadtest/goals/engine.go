//go:build linux

package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/tensor"
)

// session opens a model with the engine in this process, as the server does.
func (b *bench) session(ctx context.Context, name string) (driver.Session, error) {
	return ort.New(&driver.Setup{Library: b.library}).Open(ctx, b.file(name), &driver.Options{IntraOp: 1, Runs: 1})
}

// engineGoal is goal 1: Session.Run in this process against the C loop in
// another, which sleeps meanwhile, in alternating blocks.
func engineGoal(ctx context.Context, b *bench) ([]*figure, error) {
	targets := map[string][2]target{
		"tiny":     {least(0.90), least(0.97)},
		"small":    {least(0.90), least(0.97)},
		"medium":   {least(0.97), least(0.99)},
		"wide":     {least(0.99), least(0.995)},
		"resnet50": {least(0.99), least(0.995)},
	}
	var figures []*figure
	for _, m := range models {
		if !m.five {
			continue
		}
		f, err := b.engine(ctx, &m)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", m.name, err)
		}
		f.Ship, f.Moonshot = targets[m.name][0], targets[m.name][1]
		figures = append(figures, f)
	}
	return figures, nil
}

func (b *bench) engine(ctx context.Context, m *model) (*figure, error) {
	s, err := b.session(ctx, m.name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	l, chosen, err := b.bestLoop(b.file(m.name), 1, 1)
	if err != nil {
		return nil, err
	}
	defer l.close()
	in := m.requests()[0].Inputs
	out := []tensor.Tensor{{Name: "y"}}
	d := b.time(150 * time.Millisecond)
	if m.name == "wide" || m.name == "resnet50" {
		d = b.time(400 * time.Millisecond)
	}
	var cpu []float64
	var floorCPU []float64
	// As the C program does: the clock is read once for some 20 µs.
	ours := func() (float64, error) {
		used, err := selfCPU()
		if err != nil {
			return 0, err
		}
		start := time.Now()
		runs, n := 0, 1
		for {
			for range n {
				if err := s.Run(ctx, in, out); err != nil {
					return 0, err
				}
			}
			runs += n
			took := time.Since(start)
			if took >= d {
				after, err := selfCPU()
				cpu = append(cpu, float64(after-used)/float64(runs))
				return float64(runs) / took.Seconds(), err
			}
			n = int(int64(runs)*20000/(took.Nanoseconds()+1)) + 1
		}
	}
	floor := func() (float64, error) {
		r, err := l.run(1, d)
		floorCPU = append(floorCPU, r.cpuPer())
		return r.runs / r.wall * 1e9, err
	}
	if _, err := ours(); err != nil { // not the first run ever
		return nil, err
	}
	cpu = nil
	runtime.GC()
	pairs, err := paired(ctx, b.pairs(24), ours, floor)
	out[0].Release()
	if err != nil {
		return nil, err
	}
	return &figure{Goal: 1, What: "engine, " + m.name, How: "runs in a second by Session.Run over those of the C loop",
		Got:      each(pairs, ratio),
		Absolute: fmt.Sprintf("%s a run, C %s", us(1e9/each(pairs, oursOf).Median), us(1e9/each(pairs, floorOf).Median)),
		Note: fmt.Sprintf("C loop: %s. By CPU time the ratio is %s.", chosen.name,
			number(spreadOf(floorCPU).Median/spreadOf(cpu).Median))}, nil
}
