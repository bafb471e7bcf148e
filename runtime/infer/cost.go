package infer

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// How t(B), the time of a run of B rows, is learned and used.
const (
	costBuckets = 16 // runs of up to 2^15 rows are told apart
	costTrusted = 3  // runs after which a bucket is believed
	costLast    = 8  // of a bucket's runs count
	costFollow  = 1.0 / 8
	// costSlack is how much dearer a row may be in the batch that is chosen than
	// in the best one: smaller batches answer sooner.
	costSlack = 1.04
	// costSplit is how much dearer a row may be for the next run to get its part
	// of what waits. Without it one run takes all, and the callers that are left
	// keep the others busy one by one.
	costSplit = 1.15
	// costMargin is the gain that makes sharing a run worth it: below it, a
	// batch only makes its first request wait for the others.
	costMargin = 0.90
	// costProbe is after how many batches that were cut short one has another
	// size, to see whether the size still is right. Where several rows gain
	// nothing the probe makes its first request wait for others, so it is rare:
	// one request in 500 does not move a p99.
	costProbe     = 32
	costProbeRare = 500
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
	rows, mean float64           // decayed means of rows and ns
	last       [costLast]float64 // ns of a row, of the last runs
	middle     float64           // their median, if sorted
	sorted     bool
}

// point is a run: its rows and its time in ns.
type point struct{ rows, took float64 }

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
	if b.n == 0 {
		b.rows, b.mean = r, t
	}
	b.rows += (r - b.rows) * costFollow
	b.mean += (t - b.mean) * costFollow
	b.last[b.n%costLast] = t / r
	b.n++
	b.sorted = false
}

// row is what a row usually costs in ns: the median of few. The least time is
// that of a lucky moment, which a size that is used more often has more of,
// and the mean that of an unlucky one. It is computed only where requests
// wait, so that an idle model does not pay for it.
func (b *bucket) row() float64 {
	if !b.sorted {
		sorted := b.last
		all := sorted[:min(b.n, costLast)]
		slices.Sort(all)
		b.middle, b.sorted = all[(len(all)-1)/2], true
	}
	return b.middle
}

func (b *bucket) usual() point  { return point{b.rows, b.mean} }
func (b *bucket) median() point { return point{b.rows, b.row() * b.rows} }

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
			largest, best = k, min(best, b.row())
		}
	}
	for k := range c.buckets {
		if b := &c.buckets[k]; b.n >= costTrusted && b.row() <= best*costSlack {
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

// other is called for a batch that limit cuts short; now and then it gives
// another limit.
func (c *cost) other(limit int) int {
	c.cut++
	if c.cut < costProbe || limit == 1 && c.cut < costProbeRare {
		return limit
	}
	c.cut = 0
	c.probes++
	switch {
	case limit == 1:
		return 2 << (c.probes % 3)
	case c.probes%2 == 0:
		return limit / 2
	}
	return limit * 2
}

// split is the most rows for one of several runs when rows wait.
func (c *cost) split(rows, limit, runs int) int {
	part := (rows + runs - 1) / runs
	if part >= limit {
		return limit
	}
	each := func(n int) float64 { return c.predict(n, (*bucket).median) / float64(n) }
	if each(part) > each(min(rows, limit))*costSplit {
		return limit
	}
	return part
}

// gains reports whether a run of a+b rows is cheaper than two. What has not
// been seen is tried.
func (c *cost) gains(a, b int) bool {
	if c.buckets[bucketOf(a+b)].n < costTrusted {
		return true
	}
	together := c.predict(a+b, (*bucket).median)
	apart := c.predict(a, (*bucket).median) + c.predict(b, (*bucket).median)
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
	return time.Duration(c.buckets[knee].row())
}

// full predicts the time of a run of the size that limit aims at.
func (c *cost) full() time.Duration {
	if knee, _ := c.knee(); knee >= 0 {
		return time.Duration(c.buckets[knee].median().took)
	}
	return time.Duration(c.run)
}
