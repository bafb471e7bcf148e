package simulate

import (
	"time"

	"godwit.dev/runtime/fault"
)

// AzureFlex is the Flex Consumption plan: HTTP requests up to a number in each
// instance, always-ready instances, and instances added step by step.
type AzureFlex struct {
	// Concurrency is the HTTP concurrency of an instance. 0 means 16, which Azure
	// takes for 2048 MB.
	Concurrency int
	AlwaysReady int
	Max         int // 0 means 100
	// Grow is how many instances may be added in a second. Azure promises no
	// number for this plan; 0 means 1, which is what it says of the older one.
	Grow int
	// Idle is how long an idle instance stays. 0 means 1 min. Not published.
	Idle time.Duration
	// Wait is how long a request waits for room. 0 means 230 s, the front end's limit.
	Wait time.Duration
}

func (p AzureFlex) check() error {
	if p.Concurrency < 0 || p.AlwaysReady < 0 || p.Max < 0 || p.Grow < 0 || p.Idle < 0 || p.Wait < 0 || p.Max > 0 && p.AlwaysReady > p.Max {
		return fault.New(fault.BadConfig, "simulate.Run", "AzureFlex", "want nothing below 0, and no more always ready than at most, got %+v", p)
	}
	return nil
}

func (p AzureFlex) control(c *cell) controller {
	limit := or(p.Concurrency, 16)
	c.limit = int64(or(p.Wait, 230*time.Second))
	return &target{
		cell: c, limit: limit, aim: limit,
		least: p.AlwaysReady, most: max(or(p.Max, 100), p.AlwaysReady), idleFor: int64(or(p.Idle, time.Minute)),
		every: int64(time.Second), window: int64(10 * time.Second), grow: or(p.Grow, 1),
	}
}
