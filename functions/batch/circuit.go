package batch

import (
	"sync"
	"time"

	"godwit.dev/runtime/fault"
)

// circuit keeps a handler from work whose answers could not be kept: when the
// place for them is away, everything that a platform delivers again at once
// would be read, scored and lost again. After a few failures without a success
// between them nothing is begun for a while, and then one item tries.
type circuit struct {
	mu     sync.Mutex
	failed int       // since the last success
	until  time.Time // nothing begins before; zero: all may
	wait   time.Duration
	tries  bool  // one item has begun to see whether it has passed
	err    error // of the last failure
}

const (
	circuitFails = 3
	circuitWait  = time.Second
	circuitMax   = 30 * time.Second
)

// closed is nil when an item may begin.
func (c *circuit) closed(subject string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		return nil
	}
	left := time.Until(c.until)
	if left <= 0 {
		c.tries, c.until = true, time.Now().Add(c.wait) // the others wait for what comes of it
		return nil
	}
	return fault.New(fault.Unavailable, "batch.Handle", subject, "it was not begun: %w", c.err).WithRetry(left)
}

// note takes how an item ended that had begun.
func (c *circuit) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.failed, c.until, c.wait, c.tries = 0, time.Time{}, 0, false
		return
	case fault.CodeOf(err) != fault.Unavailable:
		return // a row that is wrong says nothing of the place, nor does a deadline
	}
	c.err = err
	c.failed++
	// Of what had begun together, the rest says nothing new.
	if c.tries || c.failed == circuitFails {
		c.wait = min(max(2*c.wait, circuitWait), circuitMax)
		c.tries, c.until = false, time.Now().Add(c.wait)
	}
}
