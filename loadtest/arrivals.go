package loadtest

import (
	"iter"
	"math/rand/v2"
	"time"

	"godwit.dev/runtime/fault"
)

// Burst is load that comes and goes: On with the whole rate, then Off with none.
type Burst struct{ On, Off time.Duration }

// arrivals tells when requests are due.
type arrivals struct {
	gap      float64 // mean distance, in ns
	random   *rand.Rand
	constant bool
	at       float64 // of the load without its breaks
	burst    *Burst
}

func newArrivals(rate float64, constant bool, seed uint64) *arrivals {
	return &arrivals{gap: 1e9 / rate, constant: constant, random: rand.New(rand.NewPCG(seed, 0x6172726976616c73))}
}

// next is when the next request is due, after the start. The first of a
// Poisson process comes after a random while, like all others.
func (a *arrivals) next() time.Duration {
	at := a.at
	if a.constant {
		a.at += a.gap
	} else {
		a.at += a.gap * a.random.ExpFloat64()
		at = a.at
	}
	d := time.Duration(at)
	if a.burst != nil {
		d += d / a.burst.On * a.burst.Off
	}
	return d
}

// schedule yields when each request is due. stop must be called; more is false
// after the last one.
func (o *Options) schedule() (next func() (due time.Duration, more bool, err error), stop func()) {
	if o.Offsets == nil {
		a := newArrivals(o.Rate, o.Constant, o.Seed)
		if o.Burst != nil && o.Zero == nil {
			a.burst = o.Burst
		}
		return func() (time.Duration, bool, error) { return a.next(), true, nil }, func() {}
	}
	pull, stop := iter.Pull2(o.Offsets)
	var last time.Duration
	return func() (time.Duration, bool, error) {
		at, err, more := pull()
		if more && err == nil && at < last {
			err = fault.New(fault.Invalid, "loadtest.Run", "trace", "want offsets that do not fall, got %v after %v", at, last)
		}
		last = at
		return at, more, err
	}, stop
}
