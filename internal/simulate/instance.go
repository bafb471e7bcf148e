package simulate

import "math"

// State of an instance.
const (
	starting uint8 = iota
	ready
	draining // gets no more requests, and goes with the last
	gone
)

// instance is one instance of a function: a server with its runs and its queue.
type instance struct {
	cell  *cell
	id    int
	state uint8
	asked int64    // when it was asked for
	since int64    // when it became ready
	timed bool     // an idles event is pending
	bound *request // that waits for it and no other

	phases [5]int64 // of its start

	inside  int   // requests
	active  int64 // since when inside > 0
	idle    int64 // since when inside == 0
	leaving int   // of inside: their answers are being encoded

	outer fifo // before the server, where the platform keeps more from it
	server

	direct reporter // of inside, what no activator counts
}

// start asks for an instance.
func (c *cell) start() *instance {
	i := &instance{cell: c, id: int(c.seq), asked: c.now}
	c.startingN++
	c.instances = append(c.instances, i)
	c.sum.Peak = max(c.sum.Peak, len(c.instances))
	l, took := &c.f.Start, int64(0)
	var phase [5]int64
	for k, d := range [...]*Dist{&l.Schedule, &l.Pull, &l.Start, &l.Load, &l.Probe} {
		phase[k] = d.draw(c.rng, c.started)
		took += phase[k]
	}
	i.phases = phase
	c.started++
	c.push(becomes, c.now+took, i, 0, nil)
	return i
}

// warmed is an instance that is there from the beginning.
func (c *cell) warmed() *instance {
	i := &instance{cell: c, id: int(c.seq), asked: c.now}
	c.startingN++
	c.instances = append(c.instances, i)
	c.sum.Peak = max(c.sum.Peak, len(c.instances))
	c.up(i)
	return i
}

func (c *cell) up(i *instance) {
	i.state, i.since, i.idle = ready, c.now, c.now
	c.startingN--
	c.readyN++
	c.level(+1)
	i.server.open(c.f)
	i.direct.begin(c.now)
	if c.f.Crash > 0 {
		c.push(crashes, c.now+int64(c.rng.ExpFloat64()*float64(c.f.Crash)), i, 0, nil)
	}
}

func (c *cell) becomeReady(i *instance) {
	c.up(i)
	if c.now >= c.sim.warm {
		c.sum.Starts++
		for k, d := range i.phases {
			c.sum.phases[k] += d
		}
	}
	c.ctl.ready(i)
}

// stop has i go: at once where it is idle or still starts, else with its last
// request.
func (c *cell) stop(i *instance) {
	switch {
	case i.state == starting:
		c.startingN--
		i.state = gone
		c.forget(i)
	case i.state == ready:
		c.readyN--
		i.state = draining
		if i.inside == 0 {
			c.remove(i)
		}
	}
}

// remove takes i, which is draining or crashed, out of the world.
func (c *cell) remove(i *instance) {
	c.sum.ready += c.counted(i.since)
	c.level(-1)
	if c.now >= c.sim.warm {
		c.sum.Stops++
	}
	i.state = gone
	c.forget(i)
}

func (c *cell) forget(i *instance) {
	for k, o := range c.instances {
		if o == i {
			copy(c.instances[k:], c.instances[k+1:])
			c.instances[len(c.instances)-1] = nil
			c.instances = c.instances[:len(c.instances)-1]
			return
		}
	}
}

// crash ends i with what is in it.
func (c *cell) crash(i *instance) {
	if i.state == ready {
		c.readyN--
	}
	i.state = draining
	for i.outer.n > 0 {
		i.end(i.outer.pop(), Failed)
	}
	i.server.abort(i)
	for k := 0; k < len(c.events); k++ { // answers that were being encoded
		if e := &c.events[k]; e.inst == i && e.kind == leaves {
			i.leaving--
			i.end(e.r, Failed)
		}
	}
	c.remove(i)
	c.ctl.gone(i)
}

// enter gives r to i, which is up.
func (i *instance) enter(r *request) { i.enterBehind(r, math.MaxInt) }

// enterBehind gives r to i, before whose server requests wait while limit are
// in it.
func (i *instance) enterBehind(r *request, limit int) {
	c := i.cell
	if i.inside == 0 {
		i.active = c.now
	}
	i.inside++
	if !r.proxied {
		i.direct.change(c.now, 1)
	}
	if r.at < i.since {
		r.cold, r.startTook = true, i.since-i.asked
	}
	r.began = c.now
	if i.inside-i.outer.n > limit {
		i.outer.push(r)
		return
	}
	i.serve(r)
}

// serve gives r to the server, which may refuse it.
func (i *instance) serve(r *request) {
	if !i.server.take(i, r) {
		i.leave(r, Rejected)
	}
}

// done is called when r's run has ended.
func (i *instance) done(r *request) {
	if d := int64(i.cell.f.Overhead); d > 0 {
		i.leaving++
		i.cell.push(leaves, i.cell.now+d, i, 0, r)
		return
	}
	i.finish(r, Served)
}

// leave ends r, which is inside.
func (i *instance) leave(r *request, status Status) {
	if status == Served {
		i.leaving--
	}
	i.finish(r, status)
}

func (i *instance) finish(r *request, status Status) {
	i.end(r, status)
	c := i.cell
	if i.outer.n > 0 {
		i.serve(i.outer.pop())
	}
	if i.state == draining && i.inside == 0 {
		c.remove(i)
	}
	c.ctl.left(i)
}

// end counts r, which is inside and goes.
func (i *instance) end(r *request, status Status) {
	c := i.cell
	if !r.proxied {
		i.direct.change(c.now, -1)
	}
	i.inside--
	c.sum.inside += c.counted(r.began)
	if i.inside == 0 {
		i.idle = c.now
		if d := c.counted(i.active); d > 0 {
			c.sum.active += d
			c.sum.billedActive += c.sim.billing.of(d)
		}
	}
	c.end(r, status)
}

// timer has idle called at that time, or later where a timer is pending.
func (i *instance) timer(at int64) {
	if !i.timed {
		i.timed = true
		i.cell.push(idles, at, i, 0, nil)
	}
}

// gauge is a number of requests, its integral over time, and how many came.
type gauge struct {
	n        int
	area, at int64
	came     int64
}

func (g *gauge) change(now int64, d int) {
	g.area += int64(g.n) * (now - g.at)
	g.at = now
	g.n += d
	if d > 0 {
		g.came++
	}
}

// mean is the average since then, where the last reset was.
func (g *gauge) mean(now, from int64) float64 {
	g.change(now, 0)
	if now <= from {
		return 0
	}
	return float64(g.area) / float64(now-from)
}

func (g *gauge) reset(now int64) { g.area, g.at, g.came = 0, now, 0 }

// reporter is what a pod's proxy counts: at the end of each second since it
// began, how many requests it had on average in it and how many came. Who
// scrapes it gets the last whole second.
type reporter struct {
	n        int
	start    int64 // of the second that goes on
	area, at int64 // of it
	came     int64
	mean     float64 // of the last one
	reported int64
}

func (g *reporter) begin(now int64) { g.start, g.at = now, now }

func (g *reporter) change(now int64, d int) {
	g.clock(now)
	g.n += d
	if d > 0 {
		g.came++
	}
}

func (g *reporter) clock(now int64) {
	const second = 1_000_000_000
	if end := g.start + second; now >= end {
		g.area += int64(g.n) * (end - g.at)
		g.mean, g.reported = float64(g.area)/second, g.came
		g.start, g.came = end, 0
		if whole := (now - end) / second; whole > 0 { // in which nothing changed
			g.mean, g.reported = float64(g.n), 0
			g.start += whole * second
		}
		g.area, g.at = 0, g.start
	}
	g.area += int64(g.n) * (now - g.at)
	g.at = now
}

// scrape is the last report.
func (g *reporter) scrape(now int64) (mean float64, came int64) {
	g.clock(now)
	return g.mean, g.reported
}
