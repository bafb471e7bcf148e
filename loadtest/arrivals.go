package loadtest

import (
	"math/rand/v2"
	"time"
)

// arrivals tells when requests are due.
type arrivals struct {
	gap      float64 // mean distance, in ns
	random   *rand.Rand
	constant bool
	at       float64
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
		return time.Duration(at)
	}
	a.at += a.gap * a.random.ExpFloat64()
	return time.Duration(a.at)
}
