package simulate

import (
	"math"
	"time"
)

// target is what platforms do that aim at a number of requests in an instance
// and take idle ones away after a time: CloudRun and AzureFlex. What they do
// inside is not published; this is the simplest rule that does what their
// documents say. Instances are filled to the target in the order in which they
// were started, then up to the limit, so that those that are not needed fall
// idle; who finds all full waits, and has instances started for all who wait.
type target struct {
	cell       *cell
	limit, aim int     // requests in an instance
	share      float64 // of the runs of an instance that may be busy; 0: not looked at
	least      int
	most       int
	idleFor    int64
	every      int64 // between two looks
	window     int64
	grow       int // instances that may be started at a look and between two; 0: any number
	grown      int

	area, at int64 // integral of requests over time
	busy     int64 // of cell.sum.busyNow at the last look
	mean     float64
	runs     float64
	needed   int // by the mean load
	desired  int
}

// spare is the part of an instance that is not worth one: what is left of a
// mean after a while.
const spare = 0.05

func (t *target) begin() {
	for range t.least {
		t.cell.warmed()
	}
	t.desired = t.least
}

func (t *target) arrive(r *request) {
	c := t.cell
	t.clock(-1)
	if c.nextTick == never {
		c.nextTick = c.now + t.every
	}
	if i := t.choose(); i != nil && c.waiting.n == 0 {
		i.enter(r)
		return
	}
	c.wait(r)
	t.scaleFor()
}

// clock brings the integral up to now, before which there were d more.
func (t *target) clock(d int) {
	c := t.cell
	t.area += int64(c.inFlight+d) * (c.now - t.at)
	t.at = c.now
}

// scaleFor starts instances for those who wait.
func (t *target) scaleFor() {
	c := t.cell
	for c.waiting.n > c.startingN*t.limit && t.startOne() {
	}
}

func (t *target) startOne() bool {
	c := t.cell
	if c.readyN+c.startingN >= t.most || t.grow > 0 && t.grown >= t.grow {
		return false
	}
	t.grown++
	c.start()
	t.desired = max(t.desired, c.readyN+c.startingN)
	return true
}

// choose is the first instance below the target, else the emptiest below the limit.
func (t *target) choose() *instance {
	for _, i := range t.cell.instances {
		if i.state == ready && i.inside < t.aim {
			return i
		}
	}
	return t.cell.emptiest(t.limit)
}

func (t *target) hand() {
	c := t.cell
	for c.waiting.n > 0 {
		i := t.choose()
		if i == nil {
			return
		}
		i.enter(c.waiting.pop())
	}
}

func (t *target) ready(i *instance) {
	t.hand()
	if i.inside == 0 {
		i.timer(t.cell.now + t.idleFor)
	}
}

func (t *target) left(i *instance) {
	t.clock(+1)
	t.hand()
	if i.inside == 0 && i.state == ready {
		i.timer(t.cell.now + t.idleFor)
	}
}

func (t *target) idle(i *instance) {
	switch {
	case i.inside > 0 || i.state != ready: // left sets the timer again
	case i.idle+t.idleFor > t.cell.now:
		i.timer(i.idle + t.idleFor)
	case t.cell.readyN > max(t.least, t.needed):
		t.cell.stop(i)
		t.desired = min(t.desired, t.cell.readyN+t.cell.startingN)
	default:
		i.timer(t.cell.now + t.every)
	}
}

func (t *target) gone(*instance) {
	for t.cell.readyN+t.cell.startingN < t.least {
		t.cell.start()
	}
	t.scaleFor()
}

// tick looks at the mean load of the window, decayed, and starts what is
// missing. Fewer instances come of idleness alone.
func (t *target) tick() {
	c := t.cell
	t.clock(0)
	t.grown = 0
	f := min(1, float64(t.every)/float64(t.window))
	t.mean += (float64(t.area)/float64(t.every) - t.mean) * f
	t.area = 0
	n := math.Ceil(t.mean/float64(t.aim) - spare)
	if t.share > 0 {
		busy := c.busyNow()
		t.runs += (float64(busy-t.busy)/float64(t.every) - t.runs) * f
		t.busy = busy
		n = max(n, math.Ceil(t.runs/(t.share*float64(max(c.f.Runs, 1)))-spare))
	}
	t.needed = min(max(int(n), 0), t.most)
	t.desired = max(t.needed, t.least)
	c.decided(&Decision{Stable: t.mean, Desired: int(n), Applied: t.desired})
	for c.inFlight > 0 && c.readyN+c.startingN < t.desired && t.startOne() {
	}
	t.scaleFor()
	c.nextTick = c.now + t.every
	if len(c.instances) <= t.least && c.inFlight == 0 && t.mean < 1e-6 {
		c.nextTick, t.mean, t.runs = never, 0, 0
	}
}

func (t *target) want() int { return t.desired }

// busyNow is the time that runs have taken until now, those that go on too.
func (c *cell) busyNow() int64 {
	busy := c.ran
	for _, i := range c.instances {
		for k := range i.runs {
			if i.runs[k].busy {
				busy += c.now - i.runs[k].began
			}
		}
	}
	return busy
}

// decided tells of a decision of the cell's autoscaler.
func (c *cell) decided(d *Decision) {
	if f := c.sim.opts.Decided; f != nil {
		d.Function, d.At, d.Ready = c.index, time.Duration(c.now), c.readyN
		f(d)
	}
}
