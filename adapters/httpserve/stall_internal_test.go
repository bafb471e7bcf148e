package httpserve

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// counting counts the write deadlines that are set.
type counting struct {
	net.Conn
	set int
}

func (c *counting) SetWriteDeadline(at time.Time) error {
	c.set++
	return c.Conn.SetWriteDeadline(at)
}

// A peer that stops reading is given up, however long it has read before, and
// one that reads is never.
func TestWritesStall(t *testing.T) {
	const stall = 30 * time.Second
	for name, before := range map[string]time.Duration{"at once": 0, "after a while": stall - time.Second, "just before the deadline": 2*stall - 2*time.Second, "after an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				counted := &counting{Conn: ours}
				c := &conn{Conn: counted, stall: stall, onClose: func() {}}
				go io.CopyN(io.Discard, theirs, 100) // ends with the hundredth byte
				for range 100 {
					if _, err := c.Write([]byte("x")); err != nil {
						t.Fatalf("while the peer reads: %v", err)
					}
					<-time.After(before / 100)
				}
				if most := 1 + int(before/stall); counted.set > most {
					t.Errorf("%d deadlines set for 100 writes, want at most %d", counted.set, most)
				}
				begun := time.Now()
				_, err := c.Write([]byte("x"))
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("got %v, want a deadline", err)
				}
				if took := time.Since(begun); took < stall || took > 2*stall+time.Second {
					t.Errorf("given up after %v, want %v to twice that", took, stall)
				}
				_, _ = c.Close(), theirs.Close()
			})
		})
	}
}
