package kpa

import (
	"math"
	"time"
)

// Max is the largest of what was recorded in a window: the delay of scaling
// down. Times must not go back.
type Max struct {
	step  int64
	ring  []peak // falling values at rising steps, from first on
	first int
	n     int
}

type peak struct {
	value int32
	step  int64
}

// NewMax has a window of as many steps as window has, rounded up.
func NewMax(window, step time.Duration) *Max {
	return &Max{step: int64(step), ring: make([]peak, int(math.Ceil(float64(window)/float64(step))))}
}

func (m *Max) at(k int) *peak { return &m.ring[(m.first+k)%len(m.ring)] }

// Record adds v at now. Of several values in one step the largest counts.
func (m *Max) Record(now int64, v int32) {
	step := now / m.step
	for m.n > 0 && v >= m.at(m.n-1).value {
		m.n--
	}
	for m.n > 0 && step-m.at(0).step >= int64(len(m.ring)) {
		m.first = (m.first + 1) % len(m.ring)
		m.n--
	}
	if m.n > 0 && m.at(m.n-1).step == step {
		v = max(v, m.at(m.n-1).value)
		m.n--
	}
	*m.at(m.n) = peak{v, step}
	m.n++
}

// Current is the largest value in the window that ends with the last Record.
func (m *Max) Current() int32 { return m.ring[m.first].value }
