package cli

import (
	"fmt"
	"sync"
	"time"
)

// working shows on a terminal that something takes its time, from the first
// second on. The returned stop takes the line away again and may be called once.
func (p *program) working(what string) (stop func()) {
	if p.quiet || p.json || !p.onTerminal() {
		return func() {}
	}
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		start := time.Now()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(p.Stderr, "\r\x1b[K")
				return
			case <-tick.C:
				if d := time.Since(start); d >= time.Second {
					fmt.Fprintf(p.Stderr, "\r\x1b[K%s … %.1fs", what, d.Seconds())
				}
			}
		}
	})
	return func() {
		close(done)
		shown.Wait()
	}
}
