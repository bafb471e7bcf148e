package loadtest

import (
	"encoding/json"
	"math/bits"
	"time"

	"godwit.dev/runtime/fault"
)

// counts is a histogram of durations: from 0 to longest, each bucket at most
// 2^-fine of its value wide. It costs a few instructions to add to, and what it
// takes does not depend on how much is added.
type counts struct {
	fine uint
	at   []uint32
	n    int64
	sum  time.Duration
	most time.Duration
}

// The finest bucket is a nanosecond; what is longer is counted as longest.
const longest = 10 * time.Minute

func newCounts(fine uint) *counts {
	c := &counts{fine: fine}
	c.at = make([]uint32, c.index(longest)+1)
	return c
}

// index is d's bucket: below 2^fine each value has its own, above each power of
// two has 2^fine of them.
func (c *counts) index(d time.Duration) int {
	v := uint64(d)
	if v < 1<<c.fine {
		return int(v)
	}
	e := uint(bits.Len64(v)) - 1 - c.fine
	return int(e)<<c.fine + int(v>>e)
}

// middle is the value that a bucket stands for.
func (c *counts) middle(i int) time.Duration {
	if i < 2<<c.fine {
		return time.Duration(i)
	}
	e := uint(i>>c.fine) - 1
	low := uint64(i-int(e)<<c.fine) << e
	return time.Duration(low + (uint64(1)<<e-1)/2)
}

func (c *counts) add(d time.Duration, n uint32) {
	d = min(max(d, 0), longest)
	c.at[c.index(d)] += n
	c.n += int64(n)
	c.sum += d * time.Duration(n)
	c.most = max(c.most, d)
}

func (c *counts) reset() {
	clear(c.at)
	c.n, c.sum, c.most = 0, 0, 0
}

// quantile is the value that a share q of what was added is not above; 0
// without any.
func (c *counts) quantile(q float64) time.Duration {
	rank := int64(q * float64(c.n))
	if float64(rank) < q*float64(c.n) {
		rank++
	}
	rank = min(max(rank, 1), c.n)
	for i, n := range c.at {
		if rank -= int64(n); rank <= 0 && n > 0 {
			return min(c.middle(i), c.most)
		}
	}
	return 0
}

func (c *counts) latencies() Latencies {
	l := Latencies{Count: c.n, Max: c.most}
	if c.n > 0 {
		l.Mean = c.sum / time.Duration(c.n)
	}
	l.P50, l.P90, l.P99, l.P999 = c.quantile(0.5), c.quantile(0.9), c.quantile(0.99), c.quantile(0.999)
	return l
}

// Histogram counts durations in buckets that are 0.8 % wide. The zero value is
// empty. As JSON it is an array of [milliseconds, count], ascending, without
// empty buckets. It is for one goroutine at a time.
type Histogram struct{ c *counts }

const windowFine = 7

// Add counts d n times; beyond ten minutes it is counted as ten minutes.
func (h *Histogram) Add(d time.Duration, n uint32) {
	if h.c == nil {
		h.c = newCounts(windowFine)
	}
	h.c.add(d, n)
}

// Merge adds all of o.
func (h *Histogram) Merge(o *Histogram) {
	for d, n := range o.Buckets {
		h.Add(d, n)
	}
}

// Buckets yields the middle of each bucket that is not empty, ascending, and
// its count.
func (h *Histogram) Buckets(yield func(time.Duration, uint32) bool) {
	if h.c == nil {
		return
	}
	for i, n := range h.c.at {
		if n > 0 && !yield(h.c.middle(i), n) {
			return
		}
	}
}

// Count is how many were added.
func (h *Histogram) Count() int64 {
	if h.c == nil {
		return 0
	}
	return h.c.n
}

// Quantile is the duration that a share q, 0 to 1, is not above; 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.c == nil {
		return 0
	}
	return h.c.quantile(q)
}

// Mean is the mean; 0 without any.
func (h *Histogram) Mean() time.Duration {
	if h.c == nil || h.c.n == 0 {
		return 0
	}
	return h.c.sum / time.Duration(h.c.n)
}

// MarshalJSON writes [[milliseconds, count], …].
func (h Histogram) MarshalJSON() ([]byte, error) {
	pairs := [][2]float64{}
	for d, n := range h.Buckets {
		pairs = append(pairs, [2]float64{float64(d) / 1e6, float64(n)})
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON writes. Errors: Invalid, where it is
// anything else.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var pairs [][2]float64
	if err := json.Unmarshal(text, &pairs); err != nil {
		return fault.New(fault.Invalid, "loadtest.Histogram", "", "want [[milliseconds, count], …]: %w", err)
	}
	var all Histogram
	for _, p := range pairs {
		if !(p[0] >= 0 && p[0] <= float64(longest)/1e6) || !(p[1] >= 1 && p[1] <= 1<<31) || p[1] != float64(uint32(p[1])) {
			return fault.New(fault.Invalid, "loadtest.Histogram", "", "want 0 to 600000 milliseconds and a count of at least 1, got %g and %g", p[0], p[1])
		}
		all.Add(time.Duration(p[0]*1e6+0.5), uint32(p[1]))
	}
	*h = all
	return nil
}
