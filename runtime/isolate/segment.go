package isolate

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/fault"
)

// segment is a piece of memory that both processes map. It is leased to one
// run at a time, and afterwards to the outputs that are views of it.
type segment struct {
	id   uint32
	fd   int
	mem  []byte
	refs int // guarded by the pool
	// worker is the number of the process that has mapped it; only the holder
	// of the lease looks.
	worker uint64
}

// The first bytes of a segment are a mark by which the worker says that it has
// begun with the run: what it had not even read cannot have crashed it.
const markSize = align

func (s *segment) unmark()     { mark(s.mem).Store(0) }
func (s *segment) begun() bool { return mark(s.mem).Load() != 0 }
func mark(mem []byte) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(mem)))
}

// pool lends segments. keep bounds what it holds idle, max what exists at all.
type pool struct {
	max, keep int
	drop      func(*segment) // is told of segments that are gone; not called with mu held

	mu          sync.Mutex
	free        []*segment
	idle, total int
	next        uint32
	closed      bool // nothing is held idle any more
}

// smallest is the size of the smallest segment: the tensors of most models fit.
const smallest = 64 << 10

// sizeClass rounds up so that segments fit many runs: to a power of two, and
// to whole MiB above 64 MiB.
func sizeClass(n int) int {
	size := smallest
	for size < n && size < 64<<20 {
		size *= 2
	}
	if size < n {
		size = (n + 1<<20 - 1) &^ (1<<20 - 1)
	}
	return size
}

// lease returns a segment of at least n bytes with one reference.
func (p *pool) lease(n int) (*segment, error) {
	p.mu.Lock()
	best := -1
	for i, s := range p.free {
		if len(s.mem) >= n && (best < 0 || len(s.mem) < len(p.free[best].mem)) {
			best = i
		}
	}
	if best >= 0 {
		s := p.free[best]
		p.free[best] = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.idle -= len(s.mem)
		s.refs = 1
		p.mu.Unlock()
		return s, nil
	}
	var gone []*segment
	if n > p.max {
		p.mu.Unlock()
		return nil, fault.New(fault.TooLarge, "isolate.Run", "", "the tensors need %d bytes of shared memory, want at most %d", n, p.max).
			WithHint("Send fewer rows at once.")
	}
	size := min(sizeClass(n), p.max)
	if p.total+size > p.max {
		gone = p.empty()
	}
	if p.total+size > p.max {
		p.mu.Unlock()
		p.destroy(gone)
		return nil, fault.New(fault.Unavailable, "isolate.Run", "", "want %d bytes of shared memory, got %d of %d in use", size, p.total, p.max).
			WithHint("Try again when other requests have ended.")
	}
	p.total += size
	p.next++
	id := p.next
	p.mu.Unlock()
	p.destroy(gone)
	s, err := newSegment(id, size)
	if err != nil {
		p.mu.Lock()
		p.total -= size
		p.mu.Unlock()
		return nil, err
	}
	return s, nil
}

func newSegment(id uint32, size int) (*segment, error) {
	fd, err := newMemory(size)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "isolate.Run", "", "no shared memory of %d bytes: %w", size, err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, fault.New(fault.Unavailable, "isolate.Run", "", "no shared memory of %d bytes: %w", size, err)
	}
	return &segment{id: id, fd: fd, mem: mem, refs: 1}, nil
}

// hold adds a reference for an output that is a view.
func (p *pool) hold(s *segment) {
	p.mu.Lock()
	s.refs++
	p.mu.Unlock()
}

// release takes a reference back; with the last one the segment is idle, or gone.
func (p *pool) release(s *segment) {
	p.mu.Lock()
	if s.refs--; s.refs > 0 {
		p.mu.Unlock()
		return
	}
	if !p.closed && p.idle+len(s.mem) <= p.keep {
		p.free = append(p.free, s)
		p.idle += len(s.mem)
		p.mu.Unlock()
		return
	}
	p.total -= len(s.mem)
	p.mu.Unlock()
	p.destroy([]*segment{s})
}

// empty takes all idle segments off the books; the caller has mu and destroys them without it.
func (p *pool) empty() []*segment {
	gone := p.free
	p.free, p.total, p.idle = nil, p.total-p.idle, 0
	return gone
}

func (p *pool) destroy(gone []*segment) {
	for _, s := range gone {
		p.drop(s)
		unix.Munmap(s.mem)
		unix.Close(s.fd)
	}
}

// shut gives all idle segments back, and from now on each as it is released,
// until open is called.
func (p *pool) shut() {
	p.mu.Lock()
	p.closed = true
	gone := p.empty()
	p.mu.Unlock()
	p.destroy(gone)
}

func (p *pool) open() {
	p.mu.Lock()
	p.closed = false
	p.mu.Unlock()
}
