package rows

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

const (
	// pqWhole is up to how many bytes of a row group are fetched in whole ranges,
	// while the row group before it is read. Larger ones are fetched in windows
	// of each column, of pqAhead bytes together.
	pqWhole = 32 << 20
	pqAhead = 64 << 20
	// pqGap is how many bytes between two columns are fetched rather than asked
	// for the next range: less than what a request to a store costs.
	pqGap = 128 << 10
	// pqRange is how long a range is at most, so that several are in flight.
	pqRange = 8 << 20
	// pqFlights is how many ranges are fetched at once.
	pqFlights = 6

	pqMinWindow = 64 << 10
)

// pqFetcher fetches the bytes of a part's row groups ahead of who reads them.
// Its goroutines end before close returns.
type pqFetcher struct {
	ctx     context.Context
	cancel  context.CancelFunc
	src     Source
	wait    sync.WaitGroup
	flights chan struct{}
	spare   *pqSpare
	whole   int64 // pqWhole
	ahead   int64 // pqAhead
}

func newFetcher(ctx context.Context, src Source, spare *pqSpare) *pqFetcher {
	f := &pqFetcher{src: src, flights: make(chan struct{}, pqFlights), spare: spare, whole: pqWhole, ahead: pqAhead}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

func (f *pqFetcher) close() {
	f.cancel()
	f.wait.Wait()
}

// pqSpare is memory that a file's readers have used and will again: new memory
// costs as much as decoding what comes into it.
type pqSpare struct {
	mu   sync.Mutex
	free [][]byte
	held int
}

const pqMaxSpare = 96 << 20

// take gives n bytes that may hold anything.
func (s *pqSpare) take(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := -1
	for i, b := range s.free {
		if cap(b) >= n && cap(b)/4 <= n && (best < 0 || cap(b) < cap(s.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, n)
	}
	b := s.free[best][:n]
	s.held -= cap(b)
	last := len(s.free) - 1
	s.free[best] = s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	return b
}

// give takes back what nobody refers to any more.
func (s *pqSpare) give(b []byte) {
	if cap(b) < 4<<10 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held+cap(b) <= pqMaxSpare && len(s.free) < 256 {
		s.held += cap(b)
		s.free = append(s.free, b)
	}
}

// pqFlight is bytes on their way. err and b are set when done is closed.
type pqFlight struct {
	b    []byte
	err  error
	done chan struct{}
}

// fly begins to read len(b) bytes.
func (f *pqFetcher) fly(offset int64, b []byte) *pqFlight {
	fl := &pqFlight{b: b, done: make(chan struct{})}
	f.wait.Go(func() {
		defer close(fl.done)
		select {
		case f.flights <- struct{}{}:
			defer func() { <-f.flights }()
			fl.err = readFull(f.ctx, f.src, offset, b)
		case <-f.ctx.Done():
			fl.err = f.ctx.Err()
		}
	})
	return fl
}

func (fl *pqFlight) land(ctx context.Context) error {
	select {
	case <-fl.done:
		return fl.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pqBytes are the bytes of one column chunk, in order. b is what has come.
type pqBytes struct {
	f      *pqFetcher
	b      []byte
	left   int64 // bytes of the chunk that are not in b
	offset int64 // of the first of them
	ranges []*pqFlight
	// window is how much is fetched at once where the row group is not fetched
	// as a whole; ahead is the next.
	window int64
	ahead  *pqFlight
	// memory is what b lies in. Of a range for several chunks the first has it,
	// and flights are all that go into it.
	memory  []byte
	flights []*pqFlight
}

// need makes sure of n bytes in b.
func (c *pqBytes) need(ctx context.Context, n int) error {
	if len(c.b) >= n {
		return nil
	}
	if left := c.left + c.flying(); int64(n-len(c.b)) > left {
		return fmt.Errorf("want %d bytes, and %d are left of it: it is cut off", n, int64(len(c.b))+left)
	}
	for _, fl := range c.ranges { // whole: left is what has not landed
		if err := fl.land(ctx); err != nil {
			return err
		}
		c.left = 0
	}
	if c.ranges != nil {
		c.b, c.ranges = c.b[:cap(c.b)], nil
		return nil
	}
	for len(c.b) < n {
		if c.ahead == nil {
			c.fetch(int64(n - len(c.b)))
		}
		fl := c.ahead
		if err := fl.land(ctx); err != nil {
			return err
		}
		c.ahead = nil
		// Nothing that was cut off b is in use: the page before has been read.
		b := fl.b
		if len(c.b) > 0 {
			b = c.f.spare.take(len(c.b) + len(fl.b))
			copy(b[copy(b, c.b):], fl.b)
			c.f.spare.give(fl.b)
		}
		c.f.spare.give(c.memory)
		c.b, c.memory = b, b
	}
	if c.left > 0 && c.ahead == nil {
		c.fetch(0)
	}
	return nil
}

// flying is how many bytes are under way.
func (c *pqBytes) flying() int64 {
	if c.ahead != nil {
		return int64(len(c.ahead.b))
	}
	return 0
}

// fetch begins the next window, of at least n bytes.
func (c *pqBytes) fetch(n int64) {
	n = min(max(n, c.window), c.left)
	c.ahead = c.f.fly(c.offset, c.f.spare.take(int(n)))
	c.offset += n
	c.left -= n
}

// done gives the memory of a chunk back that nobody reads any more. What is on
// its way keeps its own.
func (c *pqBytes) done() {
	if c.ahead != nil {
		select {
		case <-c.ahead.done:
			c.f.spare.give(c.ahead.b)
		default:
		}
	}
	if c.memory != nil && !c.shared() {
		c.f.spare.give(c.memory)
	}
	c.b, c.ahead, c.memory, c.ranges = nil, nil, nil, nil
}

// shared reports whether a range that is not there yet goes into memory.
func (c *pqBytes) shared() bool {
	for _, fl := range c.flights {
		select {
		case <-fl.done:
		default:
			return true
		}
	}
	return false
}

// group begins to fetch the chunks of a row group, those of columns that are
// read.
func (f *pqFetcher) group(g *pqGroup, columns []int) []*pqBytes {
	all := make([]*pqBytes, len(columns))
	order := make([]int, len(columns))
	var total int64
	for i, c := range columns {
		chunk := &g.chunks[c]
		all[i] = &pqBytes{f: f, left: chunk.size, offset: chunk.start()}
		order[i] = i
		total += chunk.size
	}
	if total > f.whole {
		window := min(max(f.ahead/2/int64(len(columns)), pqMinWindow), pqRange)
		for _, c := range all {
			c.window = window
		}
		return all
	}
	slices.SortFunc(order, func(a, b int) int {
		if d := all[a].offset - all[b].offset; d != 0 {
			return int(min(max(d, -1), 1))
		}
		return a - b
	})
	for len(order) > 0 {
		from := all[order[0]].offset
		to := from + all[order[0]].left
		n := 1
		for n < len(order) {
			c := all[order[n]]
			if c.offset < to || c.offset-to > pqGap {
				break
			}
			to = c.offset + c.left
			n++
		}
		b := f.spare.take(int(to - from))
		all[order[0]].memory = b
		var flights []*pqFlight
		for at := 0; at < len(b); at += pqRange {
			flights = append(flights, f.fly(from+int64(at), b[at:min(at+pqRange, len(b))]))
		}
		all[order[0]].flights = flights
		for _, i := range order[:n] {
			c := all[i]
			at := c.offset - from
			c.b = b[at : at : at+c.left]
			for k := at / pqRange; k*pqRange < at+c.left; k++ {
				c.ranges = append(c.ranges, flights[k])
			}
		}
		order = order[n:]
	}
	return all
}
