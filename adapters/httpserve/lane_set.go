package httpserve

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/adapters/oip"
)

// laneSet is all lanes of a server and what they share.
type laneSet struct {
	server  *server
	handler http.Handler
	base    context.Context
	start   time.Time
	buffers oip.Buffers
	parsers sync.Pool // of *parser
	dates

	mu  sync.Mutex
	all []*lane

	closing atomic.Bool   // idle ones are closed
	ended   chan struct{} // closed when Serve is about to return

	asleep atomic.Bool // the watcher waits for wake
	wake   chan struct{}
}

func newLaneSet(s *server, base context.Context, h http.Handler) *laneSet {
	return &laneSet{server: s, handler: h, base: base, start: time.Now(), ended: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (s *laneSet) add(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.index = len(s.all)
	s.all = append(s.all, l)
}

func (s *laneSet) remove(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.all[len(s.all)-1]
	s.all[l.index], last.index = last, l.index
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
}

// begin counts a request whose handler is about to be called.
func (s *laneSet) begin() {
	s.server.inFlight.Add(1)
	if s.asleep.Load() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// settle closes idle lanes, now and as they become idle, and waits until none
// reads a header any more: each is then either given to net/http, which must
// still take connections, or answers its last request.
func (s *laneSet) settle(ctx context.Context) {
	s.closing.Store(true)
	s.until(ctx, func() bool {
		reading := 0
		s.each(func(l *lane) {
			switch state := l.state.Load(); {
			case state == laneIdle && l.state.CompareAndSwap(laneIdle, laneClosed):
				_ = l.c.Conn.Close()
			case state == laneIdle, state == laneHead:
				reading++
			}
		})
		return reading == 0
	})
}

// drained waits until every request is answered, or ctx ends.
func (s *laneSet) drained(ctx context.Context) {
	s.until(ctx, func() bool {
		busy := 0
		s.each(func(l *lane) {
			if l.state.Load() != laneClosed {
				busy++
			}
		})
		return busy == 0
	})
}

// close ends all lanes and waits for them, but for handlers that do not end.
func (s *laneSet) close() {
	s.closing.Store(true)
	close(s.ended)
	s.cut(context.Canceled)
	s.each(func(l *lane) { _ = l.c.Conn.Close() })
	s.until(context.Background(), func() bool {
		ending := 0
		s.each(func(l *lane) {
			if l.state.Load() != laneBusy {
				ending++
			}
		})
		return ending == 0
	})
}

// cut ends the contexts of all requests.
func (s *laneSet) cut(err error) {
	s.each(func(l *lane) {
		if x := l.current.Load(); x != nil {
			x.end(err)
		}
	})
}

func (s *laneSet) each(do func(*lane)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.all {
		do(l)
	}
}

func (s *laneSet) until(ctx context.Context, ready func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// The watcher looks every laneWatch at requests that take longer than that,
// and sleeps when there were none for laneRest rounds. A deadline nearer than
// nearDeadline is left to a timer.
const (
	laneWatch    = 10 * time.Millisecond
	laneRest     = 100
	laneSeldom   = 8 // rounds between two looks at a caller, in the long run
	nearDeadline = time.Second
)

// watch ends the contexts of requests whose callers hang up or whose time is
// over, until the set is closed. net/http keeps a goroutine reading for each
// request instead, which is woken for every next one.
func (s *laneSet) watch() {
	timer := time.NewTimer(laneWatch)
	defer timer.Stop()
	var look []*lane
	for idle := 0; ; {
		select {
		case <-timer.C:
		case <-s.ended:
			return
		}
		now := int64(time.Since(s.start))
		look = look[:0]
		s.each(func(l *lane) {
			x := l.current.Load()
			switch {
			case x == nil || x != l.seen:
				l.seen, l.age = x, 0
				return
			case x.until.Load() != 0 && x.until.Load() <= now:
				x.end(context.DeadlineExceeded)
			}
			// Often at first, when most hang up, and then now and then.
			if l.age++; x.ended.Load() && (l.age&(l.age-1) == 0 || l.age%laneSeldom == 0) {
				look = append(look, l)
			}
		})
		for i, l := range look {
			if x := l.current.Load(); x != nil && x == l.seen && hungUp(l.raw) {
				x.end(context.Canceled)
			}
			look[i] = nil
		}
		if idle++; s.server.inFlight.Load() > 0 {
			idle = 0
		}
		if idle > laneRest {
			s.asleep.Store(true)
			if s.server.inFlight.Load() == 0 {
				select {
				case <-s.wake:
				case <-s.ended:
					return
				}
			}
			s.asleep.Store(false)
			idle = 0
		}
		timer.Reset(laneWatch)
	}
}
