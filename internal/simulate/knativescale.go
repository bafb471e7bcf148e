package simulate

import (
	"time"

	"godwit.dev/internal/simulate/kpa"
)

// epoch is virtual time 0 for package kpa, whose times are positive.
const epoch = int64(1_000_000 * time.Second)

// late is how late the autoscaler's clock ticks at most.
const late = int64(time.Millisecond)

// next sets the time of the next report, scrape or decision.
func (k *knative) next() { k.cell.nextTick = min(k.nextReport, k.nextScrape, k.nextDecide) }

func (k *knative) tick() {
	now := k.cell.now
	if k.nextReport <= now {
		k.report()
		k.nextReport += int64(time.Second)
	}
	if k.nextScrape <= now {
		k.scrape()
		k.nextScrape += int64(time.Second)
	}
	if k.nextDecide <= now {
		before := k.applied
		k.decide()
		k.nextDecide += int64(kpa.Tick)
		if k.applied == before && k.asleep() {
			k.cell.nextTick = never
			return
		}
	}
	k.next()
}

// asleep reports whether every tick until the next request would change
// nothing: all is still, and all that the windows hold is 0, or they are empty
// and nothing is written to them.
func (k *knative) asleep() bool {
	c := k.cell
	if c.sim.opts.awake || c.inFlight > 0 || len(c.instances) != c.readyN || k.known || k.scaler.Panicking() && k.burst == -1 || k.desired < 0 {
		return false
	}
	if c.readyN == 0 {
		return k.applied == 0 && k.stable.Empty(epoch+c.now)
	}
	return c.readyN == k.applied && c.readyN <= max(k.MinScale, 1) && (c.readyN == k.MinScale || k.KeepOne) && !k.scaler.Panicking() &&
		k.ScaleDownDelay == 0 && k.lastStable == 0 && k.lastPanic == 0 && k.stable.Still()
}

// wake catches up with the ticks that were left out.
func (k *knative) wake() {
	c := k.cell
	if c.nextTick != never {
		return
	}
	second := int64(time.Second)
	k.nextReport += skipped(k.nextReport, c.now, second)
	k.nextScrape += skipped(k.nextScrape, c.now, second)
	k.nextDecide += skipped(k.nextDecide, c.now, int64(kpa.Tick))
	if c.readyN > 0 {
		k.stable.Idle(epoch + k.nextScrape - second)
		k.panic.Idle(epoch + k.nextScrape - second)
	}
	k.next()
}

// skipped is how far a periodic moment is moved to be behind now.
func skipped(at, now, period int64) int64 {
	if at > now {
		return 0
	}
	return ((now-at)/period + 1) * period
}

// poke is the activator's first request after a time without any: it reports
// at once, and a revision at zero is decided on at once.
func (k *knative) poke() {
	c := k.cell
	k.known, k.first, k.reported = true, 1, c.now
	c.proxied.reset(c.now)
	c.proxied.came = 1
	k.record(1, 1)
	if k.desired == 0 {
		k.decide()
	}
}

// report is the activator's, each second.
func (k *knative) report() {
	c := k.cell
	if !k.known {
		return
	}
	mean := c.proxied.mean(c.now, k.reported)
	came := float64(c.proxied.came)
	k.record(max(mean-k.first, 0), came-k.first)
	k.first, k.reported = 0, c.now
	c.proxied.reset(c.now)
	if mean == 0 {
		k.known = false
	}
}

// scrape reads some of the pods, as many as their number asks for, and takes
// the rest to be like them. What came through the activator it has reported.
func (k *knative) scrape() {
	c := k.cell
	if c.readyN == 0 {
		return
	}
	sample, left := sampleSize(c.readyN), c.readyN
	mean, came := 0.0, 0.0
	for _, i := range c.instances {
		if i.state != ready {
			continue
		}
		m, n := i.direct.scrape(c.now)
		if sample == left || c.rng.IntN(left) < sample {
			sample--
			mean += m
			came += float64(n)
		}
		left--
	}
	if n := sampleSize(c.readyN); n < c.readyN {
		mean *= float64(c.readyN) / float64(n)
		came *= float64(c.readyN) / float64(n)
	}
	k.record(mean, came)
}

// sampleSize is how many of n pods are scraped: enough to know the mean of a
// population with a variance of 100 within 5, at 95 %.
func sampleSize(n int) int {
	if n <= 3 {
		return n
	}
	const size = 1.96 * 1.96 * 100 / 25
	f := float64(n) * size / (float64(n) + size - 1)
	if s := int(f); float64(s) < f {
		return s + 1
	}
	return int(f)
}

func (k *knative) record(concurrency, came float64) {
	v := concurrency
	if k.RPS {
		v = came
	}
	k.stable.Record(epoch+k.cell.now, v)
	k.panic.Record(epoch+k.cell.now, v)
}

// decide asks the autoscaler and does what it says.
func (k *knative) decide() {
	c := k.cell
	now := epoch + c.now + k.lateness()
	if k.stable.Empty(now) && k.burst != -1 {
		k.reconcile() // no data: what was decided stays
		return
	}
	k.lastStable, k.lastPanic = k.stable.Average(now), k.panic.Average(now)
	r := k.scaler.Scale(now, c.readyN, k.lastStable, k.lastPanic)
	k.desired, k.excess = int(r.Desired), r.Excess
	k.reconcile()
	c.decided(&Decision{
		Stable: k.lastStable, Panic: k.lastPanic, Panicking: k.scaler.Panicking(), Desired: k.desired, Applied: k.applied,
	})
}

// lateness is by how much a tick is late: not much, but it decides whether a
// panic ends with the tick that is just a stable window behind its last reason,
// or with the next one. It follows from the tick's time, so that ticks that are
// left out change nothing for later ones.
func (k *knative) lateness() int64 {
	x := (uint64(k.cell.now) ^ k.salt) * 0x9e3779b97f4a7c15
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return int64((x >> 32) % uint64(late))
}

// reconcile brings the number of pods and the path to what is desired: the
// controller's part, with its rules for the way to zero.
func (k *knative) reconcile() {
	c := k.cell
	want, apply := k.desired, true
	want = max(want, k.MinScale)
	if k.MaxScale > 0 {
		want = min(want, k.MaxScale)
	}
	if want == 0 {
		want, apply = k.toZero()
	}
	proxied := want <= 0 || k.excess < 0
	if proxied && !k.proxied {
		k.proxySince = c.now
	}
	k.proxied = proxied
	if apply {
		k.scaleTo(want)
	}
	state := k.state
	switch {
	case want == 0:
		state = inactive
	case want > 0 && c.readyN < max(k.MinScale, 1):
		state = activating
	case want > 0:
		state = active
	}
	if state != k.state {
		k.state, k.stateSince = state, c.now
	}
}

// toZero is what becomes of the wish for no pods: none, while it activates;
// one, until it has been active for a stable window; then none, as soon as the
// activator has been in the path for the grace period.
func (k *knative) toZero() (want int, apply bool) {
	since := time.Duration(k.cell.now - k.stateSince)
	switch {
	case k.KeepOne:
		return 1, true
	case k.state == activating:
		return -1, false
	case k.state == active && since < k.StableWindow:
		return 1, true
	case k.state == active:
		return 0, false
	case since >= max(k.Grace, k.Retention):
		return 0, true
	case since < k.Retention:
		return 0, false
	}
	return 0, k.proxied && time.Duration(k.cell.now-k.proxySince) >= k.Grace
}

// scaleTo starts pods, or has go first what still starts and then what became
// ready last.
func (k *knative) scaleTo(n int) {
	c := k.cell
	k.applied = n
	for c.readyN+c.startingN < n {
		c.start()
	}
	for c.readyN+c.startingN > n {
		c.stop(k.leastWanted())
	}
}

func (k *knative) leastWanted() (least *instance) {
	for _, i := range k.cell.instances {
		switch {
		case i.state == draining:
		case least == nil, i.state < least.state, i.state == least.state && i.since >= least.since:
			least = i
		}
	}
	return least
}
