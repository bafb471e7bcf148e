package loadtest

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
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
	return int(e<<c.fine) + int(v>>e)
}

// middle is the value that a bucket stands for.
func (c *counts) middle(i int) time.Duration {
	if i < 2<<c.fine {
		return time.Duration(i)
	}
	e := uint(i>>c.fine) - 1
	low := uint64(i-int(e<<c.fine)) << e
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
	rank := rank(q, c.n)
	for i, n := range c.at {
		if rank -= int64(n); rank <= 0 && n > 0 {
			return min(c.middle(i), c.most)
		}
	}
	return 0
}

// rank is which of n ascending values the quantile is, from 1 on.
func rank(q float64, n int64) int64 {
	return min(max(int64(math.Ceil(q*float64(n)-1e-9)), 1), n)
}

func (c *counts) latencies() Latencies {
	l := Latencies{Count: c.n, Max: c.most}
	if c.n > 0 {
		l.Mean = c.sum / time.Duration(c.n)
	}
	l.P50, l.P90, l.P99, l.P999 = c.quantile(0.5), c.quantile(0.9), c.quantile(0.99), c.quantile(0.999)
	return l
}

// Histogram counts durations in buckets that are 0.8 % wide, and holds only
// those that are not empty. The zero value is empty. As text, and so in JSON, it is
// "MILLISECONDS:COUNT …" of the buckets' middles. It is for one goroutine at a
// time.
type Histogram struct {
	all []bucket // ascending
	n   int64
}

type bucket struct {
	index int32
	n     uint32
}

const windowFine = 7

// scale has the buckets of every Histogram.
var scale = counts{fine: windowFine}

// Add counts d n times; beyond ten minutes it is counted as ten minutes.
func (h *Histogram) Add(d time.Duration, n uint32) {
	if n == 0 {
		return
	}
	index := int32(scale.index(min(max(d, 0), longest)))
	at, found := slices.BinarySearchFunc(h.all, index, func(b bucket, i int32) int { return int(b.index - i) })
	if found {
		h.all[at].n += n
	} else {
		h.all = slices.Insert(h.all, at, bucket{index, n})
	}
	h.n += int64(n)
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
	for _, b := range h.all {
		if !yield(scale.middle(int(b.index)), b.n) {
			return
		}
	}
}

// Count is how many were added.
func (h *Histogram) Count() int64 { return h.n }

// Quantile is the duration that a share q, 0 to 1, is not above, to half of a
// bucket; 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := rank(q, h.n)
	for d, n := range h.Buckets {
		if rank -= int64(n); rank <= 0 {
			return d
		}
	}
	return 0
}

// Mean is the mean, to half of a bucket; 0 without any.
func (h *Histogram) Mean() time.Duration {
	sum := 0.0
	for d, n := range h.Buckets {
		sum += float64(d) * float64(n)
	}
	return time.Duration(sum / float64(max(h.n, 1)))
}

// Latencies are those of what was added.
func (h *Histogram) Latencies() Latencies {
	return Latencies{Count: h.n, Mean: h.Mean(), P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99), P999: h.Quantile(0.999), Max: h.Quantile(1)}
}

// MarshalText writes "MILLISECONDS:COUNT MILLISECONDS:COUNT …", ascending.
func (h Histogram) MarshalText() ([]byte, error) {
	text := []byte{}
	for d, n := range h.Buckets {
		if len(text) > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendFloat(text, float64(d)/1e6, 'f', -1, 64)
		text = append(text, ':')
		text = strconv.AppendUint(text, uint64(n), 10)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText writes. Errors: Invalid, where it is
// anything else.
func (h *Histogram) UnmarshalText(text []byte) error {
	var all Histogram
	for pair := range strings.FieldsSeq(string(text)) {
		value, number, ok := strings.Cut(pair, ":")
		v, err := strconv.ParseFloat(value, 64)
		n, err2 := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil || err2 != nil || !(v >= 0 && v <= float64(longest)/1e6) || n == 0 {
			return fault.New(fault.Invalid, "loadtest.Histogram", "", "want MILLISECONDS:COUNT up to 600000 ms and of at least 1, got %.40q", pair)
		}
		all.Add(time.Duration(math.Round(v*1e6)), uint32(n))
	}
	*h = all
	return nil
}
