package predict

import (
	"container/list"
	"sync"
	"sync/atomic"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// A kept answer is what a model said, in memory that the garbage collector
// owns. Nobody changes it.
type kept struct {
	outputs []tensor.Tensor
	timing  infer.Timing // of the run
}

// keep copies resp, whose memory its caller may release.
func keep(resp *infer.Response) *kept {
	a := &kept{outputs: make([]tensor.Tensor, len(resp.Outputs)), timing: resp.Timing}
	for i := range resp.Outputs {
		a.outputs[i] = resp.Outputs[i].Clone()
	}
	return a
}

// cost is what an entry takes besides its elements: key, list elements, maps
// and the headers of tensors, rounded up. A string has a header of its own.
const (
	costEntry  = 512
	costTensor = 128
	costString = 32
)

// weight is the memory that resp takes when it is kept.
func weight(resp *infer.Response) int64 {
	n := int64(costEntry)
	for i := range resp.Outputs {
		t := &resp.Outputs[i]
		n += costTensor + int64(t.Bytes()+costString*len(t.Strings)+8*len(t.Shape))
	}
	return n
}

// A cache keeps answers within a number of bytes, never more, not even for a
// moment. It is S3-FIFO (Yang et al., SOSP 2023): new answers wait in a short
// queue, and only those asked for again while they are there, or soon after
// they have left it, get into the long one. So a flood of requests that come
// once does not push out what is asked for all the time. It has no goroutine.
//
// Measured beside it, otter's W-TinyLFU finds 0.98 to 1.00 of what this finds in
// a Zipf trace, 0.96 to 0.97 with a flood and 0.91 to 0.97 where the popular
// keys change; and it evicts after it admits, in the background.
type cache struct {
	held atomic.Int64 // bytes that the entries take

	mu      sync.Mutex
	max     int64
	entries map[key]*entry
	short   queue
	long    queue
	// ghosts are the keys that left the short queue last, at most as many as
	// there are entries.
	ghosts map[key]*list.Element
	left   list.List // of key, newest first
}

type entry struct {
	key    key
	answer *kept
	weight int64
	used   uint8 // times asked for, at most mostUsed
}

const mostUsed = 3

// shortShare and largestShare are parts of the whole: of the short queue, and
// of the largest answer that is kept, so that one does not push out all others.
const (
	shortShare   = 10
	largestShare = 4
)

type queue struct {
	list  list.List // of *entry, newest first
	bytes int64
}

func (q *queue) push(e *entry) {
	q.list.PushFront(e)
	q.bytes += e.weight
}

func (q *queue) pop() *entry {
	e := q.list.Remove(q.list.Back()).(*entry)
	q.bytes -= e.weight
	return e
}

func newCache(max int64) *cache {
	return &cache{max: max, entries: map[key]*entry{}, ghosts: map[key]*list.Element{}}
}

// get returns the answer kept under k, nil without one.
func (c *cache) get(k key) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k]
	if e == nil {
		return nil
	}
	e.used = min(e.used+1, mostUsed)
	return e.answer
}

// fits tells whether an answer of so many bytes may be kept at all.
func (c *cache) fits(weight int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return weight <= c.max/largestShare
}

// put keeps an answer, unless it does not fit or one is there already.
func (c *cache) put(k key, a *kept, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[k] != nil || weight > c.max/largestShare {
		return
	}
	defer func() { c.held.Store(c.short.bytes + c.long.bytes) }()
	for c.short.bytes+c.long.bytes+weight > c.max {
		c.evict()
	}
	e := &entry{key: k, answer: a, weight: weight}
	c.entries[k] = e
	if ghost := c.ghosts[k]; ghost != nil {
		c.forget(ghost)
		c.long.push(e)
		return
	}
	c.short.push(e)
}

// evict lets one entry go, or moves one on towards that.
func (c *cache) evict() {
	if c.short.list.Len() > 0 && (c.short.bytes > c.max/shortShare || c.long.list.Len() == 0) {
		e := c.short.pop()
		if e.used > 0 {
			e.used = 0
			c.long.push(e)
			return
		}
		delete(c.entries, e.key)
		c.ghosts[e.key] = c.left.PushFront(e.key)
		for c.left.Len() > len(c.entries) {
			c.forget(c.left.Back())
		}
		return
	}
	e := c.long.pop()
	if e.used > 0 {
		e.used--
		c.long.push(e)
		return
	}
	delete(c.entries, e.key)
}

func (c *cache) forget(ghost *list.Element) {
	delete(c.ghosts, c.left.Remove(ghost).(key))
}

// close lets everything go, and keeps nothing from then on.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = 0
	clear(c.entries)
	clear(c.ghosts)
	c.short, c.long, c.left = queue{}, queue{}, list.List{}
	c.held.Store(0)
}
