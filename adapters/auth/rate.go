package auth

import (
	"sync"
	"time"
)

// maxCallers bounds the callers whose rate is remembered; the ones that rested
// longest are forgotten, and begin again with a whole burst.
const maxCallers = 16384

// limiter is a token bucket for each caller, in the form of the generic cell
// rate algorithm: one time for each caller, by the monotonic clock, which no
// one can set.
type limiter struct {
	every time.Duration // one request at the steady rate
	burst time.Duration // how far ahead of the steady rate a caller may be
	epoch time.Time

	mu sync.Mutex
	// next is when each caller's bucket is full again, after epoch.
	next recent[string, time.Duration]
}

func newLimiter(every time.Duration, burst int) *limiter {
	every = max(every, 1)
	return &limiter{every: every, burst: every * time.Duration(burst), epoch: time.Now(), next: recent[string, time.Duration]{max: maxCallers}}
}

// take counts one request of the caller. It returns 0, or how long the caller
// has to wait until one would be let through; that one is not counted.
func (l *limiter) take(caller string) time.Duration {
	now := time.Since(l.epoch)
	l.mu.Lock()
	defer l.mu.Unlock()
	next, _ := l.next.get(caller)
	next = max(next, now) + l.every
	if wait := next - now - l.burst; wait > 0 {
		return wait
	}
	l.next.put(caller, next)
	return 0
}
