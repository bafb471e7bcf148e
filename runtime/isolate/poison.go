package isolate

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/tensor"
)

// poison remembers which inputs were in flight when a worker crashed. The hash
// is seeded, so that nobody can make inputs that share one with other people's.
type poison struct {
	hold time.Duration // how long inputs are remembered
	seed maphash.Seed

	any atomic.Bool // table is not empty; saves hashing every run

	mu    sync.Mutex
	table map[uint64]suspect
}

type suspect struct {
	crashes int
	until   time.Time
}

// maxSuspects bounds the table: each entry cost a crash, so it fills slowly.
const maxSuspects = 1024

// enough crashes quarantine the inputs that were there at each.
const enough = 2

func newPoison(hold time.Duration) *poison {
	return &poison{hold: hold, seed: maphash.MakeSeed(), table: map[uint64]suspect{}}
}

// key identifies the inputs of a model.
func (p *poison) key(model string, in []tensor.Tensor) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	number := func(n int64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	number(int64(len(model)))
	h.WriteString(model)
	for i := range in {
		t := &in[i]
		number(int64(t.Type))
		number(int64(len(t.Shape)))
		for _, n := range t.Shape {
			number(n)
		}
		h.Write(t.Data)
		for _, s := range t.Strings {
			number(int64(len(s)))
			h.Write(s)
		}
	}
	return h.Sum64()
}

// refused reports whether the inputs are quarantined.
func (p *poison) refused(model string, in []tensor.Tensor) bool {
	if !p.any.Load() {
		return false
	}
	key := p.key(model, in)
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.table[key]
	if ok && time.Now().After(s.until) {
		p.forget(key)
		return false
	}
	return ok && s.crashes >= enough
}

// crashed counts one crash for the inputs and reports whether they are
// quarantined now.
func (p *poison) crashed(model string, in []tensor.Tensor) bool {
	key := p.key(model, in)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.table[key]
	if now.After(s.until) {
		s.crashes = 0
	}
	if !known && len(p.table) >= maxSuspects {
		p.evict(now)
	}
	s.crashes++
	s.until = now.Add(p.hold)
	p.table[key] = s
	p.any.Store(true)
	return s.crashes >= enough
}

// absolve forgets inputs that a worker survived alone.
func (p *poison) absolve(model string, in []tensor.Tensor) {
	key := p.key(model, in)
	p.mu.Lock()
	p.forget(key)
	p.mu.Unlock()
}

func (p *poison) forget(key uint64) {
	delete(p.table, key)
	p.any.Store(len(p.table) > 0)
}

// evict makes room: what is over, or else the oldest.
func (p *poison) evict(now time.Time) {
	var oldest uint64
	first := true
	for key, s := range p.table {
		if now.After(s.until) {
			delete(p.table, key)
			continue
		}
		if first || s.until.Before(p.table[oldest].until) {
			oldest, first = key, false
		}
	}
	if len(p.table) >= maxSuspects {
		delete(p.table, oldest)
	}
}
