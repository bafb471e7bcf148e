//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/ort/cloop"
	_ "godwit.dev/runtime/ort/monitor" // as the programs that are shipped have it
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/tensor"
)

// session opens a model with the engine in this process, as the server does,
// but for threads.
func (b *bench) session(ctx context.Context, name string) (driver.Session, error) {
	read, err := onnx.Read(b.file(name), nil)
	if err != nil {
		return nil, err
	}
	e := b.engineHere()
	s, err := e.Open(ctx, b.file(name), &driver.Options{IntraOp: 1, Runs: 1, NoArena: app.Lean(read)})
	if err == nil {
		settle(ctx, e)
	}
	return s, err
}

func (b *bench) engineHere() driver.Engine { return ort.New(&driver.Setup{Library: b.library}) }

// settle is what the server does once its models serve.
func settle(ctx context.Context, e driver.Engine) {
	if s, ok := e.(driver.Settler); ok {
		s.Settle(ctx)
	}
}

// threadsOf is how the server shares the processors for a model.
func (b *bench) threadsOf(name string) (intraOp, runs int, err error) {
	read, err := onnx.Read(b.file(name), nil)
	if err != nil {
		return 0, 0, err
	}
	q := quota.Read(quota.Source{FS: os.DirFS("/"), Getenv: func(string) string { return "" }, CPUs: b.cores})
	if app.Streams(read, q) {
		return b.cores, 1, nil
	}
	return 1, b.cores, nil
}

// engineGoal is goal 1: Session.Run against the C loop in the same process, in
// alternating blocks.
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

// engineRounds is how often both sides are opened anew: where the weights come
// to lie in memory makes up to a fifth of a run that reads all of them.
const engineRounds = 4

func (b *bench) engine(ctx context.Context, m *model) (*figure, error) {
	d := b.time(100 * time.Millisecond)
	if m.name == "wide" || m.name == "resnet50" {
		d = b.time(400 * time.Millisecond)
	}
	request := m.requests()[0].Inputs
	arena, err := b.bestArena(m, request, d)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	var cpu, floorCPU []float64
	rounds := min(engineRounds, b.pairs(24))
	for range rounds {
		some, err := b.engineRound(ctx, m, request, arena, b.pairs(24)/rounds, d, &cpu, &floorCPU)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, some...)
	}
	other, err := b.otherProcess(ctx, m, request, d)
	if err != nil {
		return nil, err
	}
	return &figure{Goal: 1, What: "engine, " + m.name, How: "runs in a second by Session.Run over those of the C loop in the same process",
		Got:      each(pairs, ratio),
		Absolute: fmt.Sprintf("%s a run, C %s", us(1e9/each(pairs, oursOf).Median), us(1e9/each(pairs, floorOf).Median)),
		Note: fmt.Sprintf("C loop: one thread, %s. Both sides were opened anew %d times. By CPU time the ratio is %s; over the C program, in a process without Go, it is %s (%s–%s, n=%d).",
			map[bool]string{true: "with the arena", false: "no arena"}[arena], rounds,
			number(spreadOf(floorCPU).Median/spreadOf(cpu).Median), number(other.Median), number(other.Min), number(other.Max), other.N)}, nil
}

// engineRound opens both sides and measures them in turn.
func (b *bench) engineRound(ctx context.Context, m *model, in []tensor.Tensor, arena bool, n int, d time.Duration, cpu, floorCPU *[]float64) ([]pair, error) {
	s, err := b.session(ctx, m.name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	l, err := b.cloop(m, in, arena) // after ours has settled: its memory is as the C library gives it
	if err != nil {
		return nil, err
	}
	defer l.Close()
	out := []tensor.Tensor{{Name: "y"}}
	defer func() { out[0].Release() }()
	ours, floor := sessionLoop(ctx, s, in, out), l.Run
	for _, run := range []func(int) error{ours, floor} { // not the first run ever
		if _, _, err := blockOf(d/4, run); err != nil {
			return nil, err
		}
	}
	if y, _ := tensor.View[float32](&out[0]); !slices.Equal(y, l.Output()) {
		return nil, fmt.Errorf("the engine answers %.60v, the C loop %.60v", y, l.Output())
	}
	runtime.GC()
	side := func(run func(int) error, used *[]float64) func() (float64, error) {
		return func() (float64, error) {
			rate, each, err := blockOf(d, run)
			*used = append(*used, each)
			return rate, err
		}
	}
	return paired(ctx, max(n, 1), side(ours, cpu), side(floor, floorCPU))
}

// otherProcess is the ratio over the C program, which has a process to itself.
func (b *bench) otherProcess(ctx context.Context, m *model, in []tensor.Tensor, d time.Duration) (spread, error) {
	s, err := b.session(ctx, m.name)
	if err != nil {
		return spread{}, err
	}
	defer s.Close()
	l, _, err := b.bestLoop(b.file(m.name), 1, 1)
	if err != nil {
		return spread{}, err
	}
	defer l.close()
	out := []tensor.Tensor{{Name: "y"}}
	defer func() { out[0].Release() }()
	run := sessionLoop(ctx, s, in, out)
	if _, _, err := blockOf(d/4, run); err != nil {
		return spread{}, err
	}
	pairs, err := paired(ctx, b.pairs(8), func() (float64, error) {
		rate, _, err := blockOf(d, run)
		return rate, err
	}, func() (float64, error) {
		r, err := l.run(1, d)
		return r.runs / r.wall * 1e9, err
	})
	return each(pairs, ratio), err
}

func sessionLoop(ctx context.Context, s driver.Session, in, out []tensor.Tensor) func(int) error {
	return func(n int) error {
		for range n {
			if err := s.Run(ctx, in, out); err != nil {
				return err
			}
		}
		return nil
	}
}

func (b *bench) cloop(m *model, in []tensor.Tensor, arena bool) (*cloop.Loop, error) {
	x, _ := tensor.View[float32](&in[0])
	return cloop.Open(b.library, b.file(m.name), "x", in[0].Shape, x, "y", m.answer, arena)
}

// bestArena is whether the C loop is faster with the arena; within 2 % it has it.
func (b *bench) bestArena(m *model, in []tensor.Tensor, d time.Duration) (bool, error) {
	var rates [2][]float64
	var loops [2]*cloop.Loop
	for i := range loops {
		var err error
		if loops[i], err = b.cloop(m, in, i == 1); err != nil {
			return false, err
		}
		defer loops[i].Close()
	}
	for range 4 {
		for i, l := range loops {
			rate, _, err := blockOf(d/2, l.Run)
			if err != nil {
				return false, err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	return spreadOf(rates[0][1:]).Median <= 1.02*spreadOf(rates[1][1:]).Median, nil
}

// blockOf calls run for d: the runs in a second, and the CPU time of one in
// ns. The clock is read once for about a millisecond, and then other
// goroutines may go on, as between a server's requests: Go takes the processor
// from who never lets go of it.
func blockOf(d time.Duration, run func(n int) error) (rate, cpu float64, err error) {
	used, err := selfCPU()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	runs, n := 0, 1
	for {
		if err := run(n); err != nil {
			return 0, 0, err
		}
		runs += n
		took := time.Since(start)
		if took >= d {
			after, err := selfCPU()
			return float64(runs) / took.Seconds(), float64(after-used) / float64(runs), err
		}
		n = int(int64(runs)*int64(time.Millisecond)/(took.Nanoseconds()+1)) + 1
		runtime.Gosched()
	}
}
