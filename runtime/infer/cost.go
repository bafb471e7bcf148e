package infer

import (
	"math"
	"math/bits"
	"time"
)

// How t(B), the time of a run of B rows, is learned and used.
const (
	costBuckets = 16 // runs of up to 2^15 rows are told apart
	costTrusted = 3  // runs after which a bucket's least time is believed
	costFollow  = 1.0 / 8
	costForget  = 1.0 / 32 // of the way from the least time to the mean, for each run
	// costSlack is how much dearer a row may be in the batch that is chosen than
	// in the best one: smaller batches answer sooner.
	costSlack = 1.03
	// costMargin is the gain that makes sharing a run worth it: below it, a
	// batch only makes its first request wait for the others.
	costMargin = 0.90
	// costProbe is after how many batches that were cut short one may be larger,
	// to see whether that still is right. One request in 500 does not move a p99.
	costProbe = 500
	// costYoung is how many runs it takes to see every size of batch often
	// enough. Until then what waits looks like more work than it is.
	costYoung = costBuckets * costTrusted
)

// cost is what a model's runs were seen to cost, by rows. Bucket k has the
// runs of more than 2^(k-1) and at most 2^k rows.
type cost struct {
	buckets [costBuckets]bucket
	run     float64 // decayed mean of all runs, ns
	runs    int

	cut    int // batches cut short since the last probe
	probes int
}

type bucket struct {
	n          int
	rows, mean float64 // decayed means of rows and ns
	least      point   // the cheapest row, slowly forgotten
}

// point is one run: its rows and its time in ns.
type point struct{ rows, took float64 }

func (p point) each() float64 { return p.took / p.rows }

func bucketOf(rows int) int {
	if rows <= 1 {
		return 0
	}
	return min(bits.Len(uint(rows-1)), costBuckets-1)
}

func (c *cost) observe(rows int, took time.Duration) {
	t, r := float64(max(took, 1)), float64(max(rows, 1))
	if c.run == 0 {
		c.run = t
	}
	c.run += (t - c.run) * costFollow
	c.runs++
	b := &c.buckets[bucketOf(rows)]
	b.n++
	if b.n == 1 {
		b.rows, b.mean, b.least = r, t, point{r, t}
		return
	}
	b.rows += (r - b.rows) * costFollow
	b.mean += (t - b.mean) * costFollow
	if p := (point{r, t}); p.each() <= b.least.each() {
		b.least = p
	} else if usual := b.mean / b.rows * b.least.rows; usual > b.least.took {
		b.least.took += (usual - b.least.took) * costForget
	}
}

func (b *bucket) usual() point    { return point{b.rows, b.mean} }
func (b *bucket) cheapest() point { return b.least }

// mean predicts the usual time of a run of rows; 0 when nothing is known.
func (c *cost) mean(rows int) time.Duration {
	return time.Duration(c.predict(rows, (*bucket).usual))
}

// predict interpolates between the buckets' points. Below the first a run
// costs as much as there, above the last in proportion.
func (c *cost) predict(rows int, of func(*bucket) point) float64 {
	r := float64(max(rows, 1))
	var below point
	for k := range c.buckets {
		b := &c.buckets[k]
		if b.n == 0 {
			continue
		}
		p := of(b)
		switch {
		case p.rows <= r:
			below = p
			continue
		case below.rows == 0:
			return p.took
		}
		return below.took + (p.took-below.took)*(r-below.rows)/(p.rows-below.rows)
	}
	if below.rows == 0 {
		return 0
	}
	return below.took * r / below.rows
}

// knee is the bucket of the smallest runs whose rows are as cheap as any seen,
// and the largest bucket that has been seen often enough; -1 when none has.
func (c *cost) knee() (knee, largest int) {
	best := math.Inf(1)
	knee, largest = -1, -1
	for k := range c.buckets {
		if b := &c.buckets[k]; b.n >= costTrusted {
			largest, best = k, min(best, b.least.each())
		}
	}
	for k := range c.buckets {
		if b := &c.buckets[k]; b.n >= costTrusted && b.least.each() <= best*costSlack {
			return k, largest
		}
	}
	return knee, largest
}

// limit is the most rows that a batch should have. Where the largest runs seen
// were the cheapest by row, it is twice as many, to see more.
func (c *cost) limit() int {
	knee, largest := c.knee()
	if knee == largest {
		knee++
	}
	return 1 << min(max(knee, 0), costBuckets-1)
}

// wider is called for a batch that limit cuts short; now and then it gives
// leave to go beyond.
func (c *cost) wider(limit int) int {
	if c.cut++; c.cut < costProbe {
		return limit
	}
	c.cut = 0
	c.probes++
	return limit << (1 + c.probes%3)
}

// gains reports whether a run of a+b rows is cheaper than two. What has not
// been seen is tried.
func (c *cost) gains(a, b int) bool {
	if c.buckets[bucketOf(a+b)].n < costTrusted {
		return true
	}
	together := c.predict(a+b, (*bucket).cheapest)
	apart := c.predict(a, (*bucket).cheapest) + c.predict(b, (*bucket).cheapest)
	return together <= apart*costMargin
}

// young reports whether sharing runs may still turn out to be much cheaper.
func (c *cost) young() bool { return c.runs < costYoung }

// each predicts what a row costs in a queue that is worked off in batches.
func (c *cost) each() time.Duration {
	knee, _ := c.knee()
	if knee < 0 {
		return time.Duration(c.run)
	}
	return time.Duration(c.buckets[knee].usual().each())
}

// full predicts the time of a run of the size that limit aims at.
func (c *cost) full() time.Duration {
	if knee, _ := c.knee(); knee >= 0 {
		return time.Duration(max(c.buckets[knee].mean, 0))
	}
	return time.Duration(c.run)
}
