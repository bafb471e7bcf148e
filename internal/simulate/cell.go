package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

const never = math.MaxInt64

// controller is a platform's side of one function.
type controller interface {
	// begin is called once, at time 0.
	begin()
	// arrive has a request that just came in.
	arrive(r *request)
	// ready is called when i has become ready, left when a request has left i,
	// which may be draining, and gone when i crashed.
	ready(i *instance)
	left(i *instance)
	gone(i *instance)
	// tick is called at cell.nextTick, which it must move.
	tick()
	// idle is called when i's timer fires.
	idle(i *instance)
	// want is how many instances the platform wants now.
	want() int
}

// cell is the world of one function: its instances, what waits before them,
// and a clock.
type cell struct {
	sim   *sim
	index int
	f     *Function
	ctl   controller
	rng   *rand.Rand

	now      int64
	seq      uint64
	events   events
	nextTick int64 // of the controller; never: none

	instances []*instance // that are not gone, the oldest first
	readyN    int         // of them, ready and not draining
	startingN int
	started   int   // instances that were ever asked for
	waiting   fifo  // before the instances
	limit     int64 // how long a request waits there; 0: as long as it takes
	patient   bool  // a patience event is pending

	inFlight int   // everywhere
	proxied  gauge // of them, those that an activator counts
	arrived  int64
	lastDone int64
	ran      int64 // by runs that have ended

	sum      sums
	nextStep int
}

// sums are a cell's Totals, in ns and with what checks them.
type sums struct {
	Totals
	ready, active, busy, inside int64
	billedInside, billedActive  int64
	phases                      [5]int64
	latency, cold               *histogram
	up                          int   // instances that are ready or drain
	integral, since             int64 // of up over time: what ready must be at the end
	held                        int   // requests found at the end
}

func (c *cell) push(kind uint8, at int64, i *instance, slot int, r *request) {
	c.seq++
	c.events.push(event{at: at, seq: c.seq, kind: kind, slot: int32(slot), inst: i, r: r})
}

// advance lets everything happen that happens until then.
func (c *cell) advance(to int64) {
	for {
		at, tick := c.nextTick, true
		if len(c.events) > 0 && c.events[0].at <= at {
			at, tick = c.events[0].at, false
		}
		if step := c.sim.stepAt(c.nextStep); step <= at && step <= to {
			c.now = max(c.now, step)
			c.sim.point(c, c.nextStep)
			c.nextStep++
			continue
		}
		if at > to {
			break
		}
		c.now = at
		if tick {
			c.ctl.tick()
			continue
		}
		e := c.events.pop()
		c.happen(&e)
	}
	c.now = to
}

func (c *cell) happen(e *event) {
	if e.inst != nil && e.inst.state == gone {
		return
	}
	switch e.kind {
	case runEnds:
		e.inst.runEnds(int(e.slot))
	case leaves:
		e.inst.leave(e.r, Served)
	case becomes:
		c.becomeReady(e.inst)
	case idles:
		e.inst.timed = false
		c.ctl.idle(e.inst)
	case crashes:
		c.crash(e.inst)
	case patience:
		c.giveUp()
	}
}

// arrive takes in a request now.
func (c *cell) arrive(service int64) {
	r := c.sim.lease()
	*r = request{at: c.now, service: service, counted: c.now >= c.sim.warm}
	c.arrived++
	c.inFlight++
	if r.counted {
		c.sum.Requests++
	}
	c.ctl.arrive(r)
}

// wait puts r before the instances.
func (c *cell) wait(r *request) {
	c.waiting.push(r)
	c.watch()
}

// watch has the first that waits looked at when its patience ends.
func (c *cell) watch() {
	if c.limit > 0 && !c.patient && c.waiting.n > 0 {
		c.patient = true
		c.push(patience, c.waiting.first.at+c.limit, nil, 0, nil)
	}
}

// giveUp refuses what has waited for too long.
func (c *cell) giveUp() {
	c.patient = false
	for c.waiting.n > 0 && c.waiting.first.at+c.limit <= c.now {
		c.refuse(c.waiting.pop())
	}
	c.watch()
}

// refuse ends r before an instance had it.
func (c *cell) refuse(r *request) {
	r.began = c.now
	c.end(r, Rejected)
}

// end counts r, whose time is over.
func (c *cell) end(r *request, status Status) {
	c.inFlight--
	if r.proxied {
		c.proxied.change(c.now, -1)
	}
	c.lastDone = c.now
	billed := int64(0)
	if status == Served {
		billed = c.sim.billing.of(c.now - r.began)
	}
	if r.counted {
		switch status {
		case Served:
			c.sum.Served++
			took := c.now - r.at
			c.sum.latency.add(took)
			if r.cold {
				c.sum.Cold++
				c.sum.cold.add(took)
			}
			c.sum.billedInside += billed
		case Rejected:
			c.sum.Rejected++
		case Failed:
			c.sum.Failed++
		}
	}
	if c.sim.observe != nil {
		c.sim.outcome = Outcome{
			Function: c.index, Arrived: time.Duration(r.at), Began: time.Duration(r.began), Done: time.Duration(c.now),
			Status: status, Cold: r.cold, Start: time.Duration(r.startTook), Billed: time.Duration(billed),
		}
		c.sim.observe(&c.sim.outcome)
	}
	c.sim.giveBack(r)
}

// level notes that the number of instances that are up changes by d.
func (c *cell) level(d int) {
	c.sum.integral += int64(c.sum.up) * (c.now - max(c.sum.since, min(c.sim.warm, c.now)))
	c.sum.since = c.now
	c.sum.up += d
}

// counted is the part of an interval that ends now which is not before Warm.
func (c *cell) counted(since int64) int64 {
	return max(0, c.now-max(since, c.sim.warm))
}
