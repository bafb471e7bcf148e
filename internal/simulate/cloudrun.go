package simulate

import (
	"math"
	"time"

	"godwit.dev/runtime/fault"
)

// CloudRun has many requests in an instance. It aims at a share of their most
// and of the processors over a minute, and keeps an idle instance for a while.
type CloudRun struct {
	Concurrency int // most requests in an instance; 0 means 80
	Min         int // instances that are always up
	Max         int // 0 means 100
	// Utilization is the share of Concurrency and of the runs that is aimed at.
	// 0 means 0.6.
	Utilization float64
	// Idle is how long an idle instance stays: "up to 15 minutes". 0 means 15 min.
	Idle time.Duration
	// Wait is how long a request waits for room; 0 means 10 s, and 3.5 times the
	// median start where that is longer.
	Wait time.Duration
}

func (p CloudRun) check() error {
	if p.Concurrency < 0 || p.Min < 0 || p.Max < 0 || !(p.Utilization >= 0 && p.Utilization <= 1) || p.Idle < 0 || p.Wait < 0 || p.Max > 0 && p.Min > p.Max {
		return fault.New(fault.BadConfig, "simulate.Run", "CloudRun", "want nothing below 0, a utilization of at most 1 and no more at least than at most, got %+v", p)
	}
	return nil
}

func (p CloudRun) control(c *cell) controller {
	limit, share := or(p.Concurrency, 80), or(p.Utilization, 0.6)
	wait := p.Wait
	if wait == 0 {
		l := &c.f.Start
		wait = max(10*time.Second, (l.Schedule.P50+l.Pull.P50+l.Start.P50+l.Load.P50+l.Probe.P50)*7/2)
	}
	c.limit = int64(wait)
	return &target{
		cell: c, limit: limit, aim: max(1, int(math.Round(share*float64(limit)))), share: share,
		least: p.Min, most: max(or(p.Max, 100), p.Min), idleFor: int64(or(p.Idle, 15*time.Minute)),
		every: int64(5 * time.Second), window: int64(time.Minute),
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
