package kpa

import (
	"math"
	"time"
)

// Bucket is how finely the windows tell times apart.
const Bucket = time.Second

const (
	second = int64(Bucket)
	// unwritten is before every time, by more than any window.
	unwritten = math.MinInt64 / 2
)

// Averager is a window: Window or Weighted.
type Averager interface {
	// Record adds v to the bucket of now.
	Record(now int64, v float64)
	// Average is the mean of the buckets that have been written in the window
	// before now, and 0 where none has.
	Average(now int64) float64
	// Empty reports whether nothing was written for longer than the window.
	Empty(now int64) bool
	// Still reports whether all that the window holds are zeros, up to the last
	// write.
	Still() bool
	// Idle records a 0 in each second from the last write up to now, at once,
	// where the window is Still.
	Idle(now int64)
}

// Window has the plain average: TimedFloat64Buckets.
type Window struct {
	buckets     []float64
	window      int64
	first, last int64 // writes, as whole seconds in ns
	lastValue   int64 // second of the last write that was not 0
	total       float64
}

// NewWindow has a bucket for each second of window, the last one shorter if it
// is no multiple.
func NewWindow(window time.Duration) *Window {
	n := int(math.Ceil(float64(window) / float64(Bucket)))
	return &Window{buckets: make([]float64, n), window: int64(window), first: unwritten, last: unwritten, lastValue: unwritten}
}

func truncate(now int64) int64 { return now - now%second }

// Empty implements Averager.
func (w *Window) Empty(now int64) bool { return truncate(now)-w.last > w.window }

// Record implements Averager. What is older than the window is ignored.
func (w *Window) Record(now int64, v float64) {
	at := truncate(now)
	n := int64(len(w.buckets))
	index := at / second
	if w.last != at {
		if at+w.window <= w.last {
			return
		}
		if w.first == unwritten || w.first > at {
			w.first = at
		}
		if at > w.last {
			if at-w.last >= w.window {
				w.first = at
				clear(w.buckets)
				w.total = 0
			} else {
				for i := w.last/second + 1; i <= index; i++ {
					b := &w.buckets[i%n]
					w.total -= *b
					*b = 0
				}
			}
			w.last = at
		}
	}
	w.buckets[index%n] += v
	w.total += v
	if v != 0 {
		w.lastValue = max(w.lastValue, at)
	}
}

// Average implements Averager.
func (w *Window) Average(now int64) float64 {
	at := truncate(now)
	n := int64(len(w.buckets))
	switch d := at - w.last; {
	case d <= 0:
		written := math.Min(float64((w.last-w.first)/second)+1, float64(n))
		return rounded(w.total / written)
	case d < w.window:
		from, to := w.last/second, at/second
		total := w.total
		for i := from + 1; i <= to; i++ {
			total -= w.buckets[i%n]
		}
		written := math.Min(float64((w.last-w.first)/second)+1, float64(n-(to-from)))
		return rounded(total / written)
	}
	return 0
}

// Still implements Averager.
func (w *Window) Still() bool {
	return w.last != unwritten && w.last-w.lastValue >= int64(len(w.buckets))*second
}

// Idle implements Averager.
func (w *Window) Idle(now int64) {
	if w.Still() {
		w.last = max(w.last, truncate(now))
	}
}

// rounded is to six digits behind the point.
func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// Weighted has an average in which newer buckets weigh more, exponentially:
// WeightedFloat64Buckets.
type Weighted struct {
	Window
	decay float64
}

// NewWeighted is like NewWindow. The weights of the window's buckets add up to
// 0.9999 or more.
func NewWeighted(window time.Duration) *Weighted {
	w := NewWindow(window)
	return &Weighted{Window: *w, decay: math.Max(1-math.Pow(1-0.9999, 1/float64(len(w.buckets))), 0.2)}
}

// Average implements Averager.
func (w *Weighted) Average(now int64) float64 {
	if w.Empty(now) {
		return 0
	}
	at := truncate(now)
	n := int64(len(w.buckets))
	weight, left := w.decay, n
	if at > w.last {
		none := (at - w.last) / second
		weight *= math.Pow(1-w.decay, float64(none))
		left -= none
	}
	from := w.last/second + n
	sum := 0.0
	for i := range left {
		v := w.buckets[(from-i)%n] * weight
		sum += v
		weight *= 1 - w.decay
	}
	return sum
}
