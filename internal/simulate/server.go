package simulate

import (
	"math/bits"
	"slices"
)

// The constants of runtime/infer's queue, in ns.
const (
	queueTarget = 5_000_000
	queueBurst  = 100_000_000
	burstRuns   = 10
	queuePerRun = 256
	// keepsProcessor is the run from which on callers come together before one
	// of them takes a run that is free.
	keepsProcessor = 20_000
)

// server is what runtime/infer does in an instance for one caller whose
// requests have one row and no deadline: its runs, its queue, who is let in and
// which requests share a run. TestServerIsInfer holds it to the original.
type server struct {
	runs  []run
	queue fifo
	limit int // of queue; -1: none, and nobody is refused early
	most  int // rows of a run
	cost  cost

	standingSince, refused int64 // -1: not
	shedding               bool
}

// run is one of the runs that may go on at once.
type run struct {
	busy            bool
	began, expected int64
	batch           fifo
}

func (s *server) open(f *Function) {
	s.runs = make([]run, max(f.Runs, 1))
	s.most = max(f.MaxBatch, 1)
	s.limit = f.Queue
	if f.Queue == 0 {
		s.limit = queuePerRun * len(s.runs)
	}
	s.standingSince, s.refused = -1, -1
}

// take begins a run for r, puts it into the queue, or says no.
func (s *server) take(i *instance, r *request) bool {
	if k := s.free(); k >= 0 && s.queue.n == 0 {
		if s.most > 1 && s.busy() && s.cost.run >= keepsProcessor {
			s.admit(0, i.cell.now) // it is queued for a moment
		}
		s.runs[k].batch.push(r)
		s.begin(i, k)
		return true
	}
	if s.limit < 0 {
		s.queue.push(r)
		return true
	}
	now := i.cell.now
	wait := s.firstFree(now) + s.work(s.queue.n)
	admitted, evicted := s.admit(wait, now)
	if admitted && s.queue.n < s.limit {
		s.queue.push(r)
	} else {
		admitted = false
	}
	for evicted.n > 0 {
		i.leave(evicted.pop(), Rejected)
	}
	return admitted
}

func (s *server) free() int {
	for k := range s.runs {
		if !s.runs[k].busy {
			return k
		}
	}
	return -1
}

func (s *server) busy() bool {
	for k := range s.runs {
		if s.runs[k].busy {
			return true
		}
	}
	return false
}

// begin starts the run k, whose batch is there.
func (s *server) begin(i *instance, k int) {
	c := i.cell
	w := &s.runs[k]
	rows := w.batch.n
	took := w.batch.first.service
	if took == 0 {
		took = c.f.Service.draw(c.rng, rows)
	}
	w.busy, w.began, w.expected = true, c.now, int64(s.cost.mean(rows))
	c.push(runEnds, c.now+took, i, k, nil)
}

// runEnds answers what was in the run k and begins the next.
func (i *instance) runEnds(k int) {
	c, s := i.cell, &i.server
	w := &s.runs[k]
	took := c.now - w.began
	c.ran += took
	c.sum.busy += c.counted(w.began)
	if c.now >= c.sim.warm {
		c.sum.Runs++
		c.sum.Rows += int64(w.batch.n)
	}
	s.cost.observe(w.batch.n, took)
	for w.batch.n > 0 {
		i.done(w.batch.pop())
	}
	w.busy = false
	if s.queue.n > 0 && i.state != gone {
		s.gather(k, c.now)
		s.begin(i, k)
	}
}

// gather takes what runs next out of the queue.
func (s *server) gather(k int, now int64) {
	b := &s.runs[k].batch
	r := s.queue.pop()
	b.push(r)
	if s.most > 1 && r.service == 0 && s.queue.n > 0 {
		limit := min(s.cost.limit(), s.most)
		if s.queue.n+1 > limit {
			limit = s.cost.other(limit)
		}
		limit = s.cost.split(1+s.queue.n, min(limit, s.most), len(s.runs))
		for s.queue.n > 0 && b.n < limit && s.queue.first.service == 0 && s.joins(b.n) {
			b.push(s.queue.pop())
		}
	}
	s.noteQueue(s.work(s.queue.n), max(queueTarget, s.oneRun()), now)
}

// joins reports whether one more should join a batch of rows.
func (s *server) joins(rows int) bool {
	return rows > 1 && bucketOf(rows+1) == bucketOf(rows) || s.cost.gains(rows, 1)
}

// admit keeps a standing queue from growing; what it evicts is no longer in it.
func (s *server) admit(wait, now int64) (ok bool, evicted fifo) {
	run := s.oneRun()
	target, burst := max(queueTarget, run), max(queueBurst, burstRuns*run)
	standing := s.work(s.queue.n)
	s.noteQueue(standing, target, now)
	switch {
	case !s.shedding:
		if standing <= burst || s.standingSince >= 0 && now-s.standingSince < queueBurst || s.most > 1 && s.cost.young() {
			return true, evicted
		}
		s.refused, s.shedding = now, true
		evicted = s.cut(target)
		wait = s.firstFree(now) + s.work(s.queue.n)
	case now-s.refused > burst && wait <= target:
		s.shedding = false
		return true, evicted
	}
	if wait <= target {
		return true, evicted
	}
	s.refused = now
	return false, evicted
}

// cut takes the newest out of the queue until what is left is worked off in target.
func (s *server) cut(target int64) (out fifo) {
	keep := s.queue.n
	for keep > 0 && s.work(keep) > target {
		keep--
	}
	var kept fifo
	for s.queue.n > 0 {
		if r := s.queue.pop(); kept.n < keep {
			kept.push(r)
		} else {
			out.push(r)
		}
	}
	s.queue = kept
	return out
}

func (s *server) noteQueue(standing, target, now int64) {
	if standing <= target {
		s.standingSince = -1
	} else if s.standingSince < 0 {
		s.standingSince = now
	}
}

// work is the time that n waiting requests take on all runs together.
func (s *server) work(n int) int64 {
	each := int64(s.cost.run)
	if s.most > 1 {
		each = s.cost.each()
	}
	return int64(n) * each / int64(len(s.runs))
}

// firstFree predicts when a run becomes free.
func (s *server) firstFree(now int64) int64 {
	first := int64(-1)
	for k := range s.runs {
		w := &s.runs[k]
		if !w.busy {
			return 0
		}
		left := w.expected - (now - w.began)
		if left < 0 {
			left = -left
		}
		if first < 0 || left < first {
			first = left
		}
	}
	return first
}

func (s *server) oneRun() int64 {
	if s.most > 1 {
		return s.cost.full()
	}
	return int64(s.cost.run)
}

// abort ends everything in the server, whose instance i has crashed.
func (s *server) abort(i *instance) {
	for k := range s.runs {
		w := &s.runs[k]
		if w.busy {
			i.cell.ran += i.cell.now - w.began
			i.cell.sum.busy += i.cell.counted(w.began)
		}
		for w.batch.n > 0 {
			i.end(w.batch.pop(), Failed)
		}
		w.busy = false
	}
	for s.queue.n > 0 {
		i.end(s.queue.pop(), Failed)
	}
}

// What runtime/infer's cost.go learns and how, with the same constants.
const (
	costBuckets   = 16
	costTrusted   = 3
	costLast      = 8
	costFollow    = 1.0 / 8
	costSlack     = 1.04
	costSplit     = 1.15
	costMargin    = 0.90
	costProbe     = 32
	costProbeRare = 500
	costYoung     = costBuckets * costTrusted
)

// cost is what runs were seen to take, by rows.
type cost struct {
	buckets     [costBuckets]bucket
	run         float64 // decayed mean of all runs, ns
	runs        int
	cut, probes int
}

type bucket struct {
	n          int
	rows, mean float64
	last       [costLast]float64
	middle     float64
	sorted     bool
}

func bucketOf(rows int) int {
	if rows <= 1 {
		return 0
	}
	return min(bits.Len(uint(rows-1)), costBuckets-1)
}

func (c *cost) observe(rows int, took int64) {
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

// row is what a row usually takes: the median of the last runs.
func (b *bucket) row() float64 {
	if !b.sorted {
		last := b.last
		all := last[:min(b.n, costLast)]
		slices.Sort(all)
		b.middle, b.sorted = all[(len(all)-1)/2], true
	}
	return b.middle
}

func (c *cost) mean(rows int) float64 { return c.predict(rows, false) }

// predict interpolates between the buckets: their means, or their medians.
func (c *cost) predict(rows int, median bool) float64 {
	want := float64(max(rows, 1))
	var lowRows, low float64
	for k := range c.buckets {
		b := &c.buckets[k]
		if b.n == 0 {
			continue
		}
		took := b.mean
		if median {
			took = b.row() * b.rows
		}
		if b.rows <= want {
			lowRows, low = b.rows, took
			continue
		}
		if lowRows == 0 {
			return took
		}
		return low + (took-low)*(want-lowRows)/(b.rows-lowRows)
	}
	if lowRows == 0 {
		return 0
	}
	return low * want / lowRows
}

// knee is the bucket of the smallest runs whose rows are as cheap as any seen,
// and the largest that is believed; -1: none.
func (c *cost) knee() (knee, largest int) {
	best := -1.0
	knee, largest = -1, -1
	for k := range c.buckets {
		if b := &c.buckets[k]; b.n >= costTrusted {
			largest = k
			if row := b.row(); best < 0 || row < best {
				best = row
			}
		}
	}
	for k := range c.buckets {
		if b := &c.buckets[k]; b.n >= costTrusted && b.row() <= best*costSlack {
			return k, largest
		}
	}
	return knee, largest
}

func (c *cost) limit() int {
	knee, largest := c.knee()
	if knee == largest {
		knee++
	}
	return 1 << min(max(knee, 0), costBuckets-1)
}

// other is another limit now and then, for a batch that limit cuts short.
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
	each := func(n int) float64 { return c.predict(n, true) / float64(n) }
	if each(part) > each(min(rows, limit))*costSplit {
		return limit
	}
	return part
}

// gains reports whether a run of a+b rows is cheaper than two.
func (c *cost) gains(a, b int) bool {
	if c.buckets[bucketOf(a+b)].n < costTrusted {
		return true
	}
	return c.predict(a+b, true) <= (c.predict(a, true)+c.predict(b, true))*costMargin
}

func (c *cost) young() bool { return c.runs < costYoung }

func (c *cost) each() int64 {
	if knee, _ := c.knee(); knee >= 0 {
		return int64(c.buckets[knee].row())
	}
	return int64(c.run)
}

func (c *cost) full() int64 {
	if knee, _ := c.knee(); knee >= 0 {
		b := &c.buckets[knee]
		return int64(b.row() * b.rows)
	}
	return int64(c.run)
}
