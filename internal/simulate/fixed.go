package simulate

import (
	"time"

	"godwit.dev/runtime/fault"
)

// Fixed is a fleet that is always on: a managed endpoint, machines of one's own.
// Requests go to the instance with the fewest.
type Fixed struct {
	Instances int // 0 means 1
	// Concurrency is how many requests one instance gets at once; more wait
	// before all of them. 0: they are handed out at once and wait in the
	// instances, each for its own.
	Concurrency int
	// Queue is how many may wait before the instances, and Wait how long. 0: as
	// many and as long as it takes.
	Queue int
	Wait  time.Duration
}

func (p Fixed) check() error {
	if p.Instances < 0 || p.Concurrency < 0 || p.Queue < 0 || p.Wait < 0 {
		return fault.New(fault.BadConfig, "simulate.Run", "Fixed", "want nothing below 0, got %+v", p)
	}
	return nil
}

func (p Fixed) control(c *cell) controller {
	c.limit = int64(p.Wait)
	return &fixed{cell: c, Fixed: p}
}

type fixed struct {
	Fixed
	cell *cell
}

func (p *fixed) begin() {
	for range max(p.Instances, 1) {
		p.cell.warmed()
	}
}

func (p *fixed) arrive(r *request) {
	c := p.cell
	switch i := c.emptiest(p.Concurrency); {
	case i != nil && c.waiting.n == 0:
		i.enter(r)
	case p.Queue > 0 && c.waiting.n >= p.Queue:
		c.refuse(r)
	default:
		c.wait(r)
	}
}

func (p *fixed) left(*instance) { p.hand() }

func (p *fixed) ready(*instance) { p.hand() }

// hand gives what waits to instances with room.
func (p *fixed) hand() {
	c := p.cell
	for c.waiting.n > 0 {
		i := c.emptiest(p.Concurrency)
		if i == nil {
			return
		}
		i.enter(c.waiting.pop())
	}
}

func (p *fixed) gone(*instance) { p.cell.start() }
func (p *fixed) tick()          {}
func (p *fixed) idle(*instance) {}
func (p *fixed) want() int      { return max(p.Instances, 1) }

// emptiest is the ready instance with the fewest requests, of those with fewer
// than limit; 0: any. nil when there is none.
func (c *cell) emptiest(limit int) *instance {
	var best *instance
	for _, i := range c.instances {
		if i.state == ready && (limit <= 0 || i.inside < limit) && (best == nil || i.inside < best.inside) {
			if best = i; i.inside == 0 {
				return i
			}
		}
	}
	return best
}
