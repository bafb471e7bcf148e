package cli

import (
	"fmt"
	"strings"
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

// bar shows on a terminal how far something of known size has come.
type bar struct {
	p     *program
	what  string
	all   int64
	begun time.Time
	shown time.Time // when it was drawn last; zero: never
}

// progress begins a bar of all bytes. Its methods are called by one goroutine at
// a time.
func (p *program) progress(what string, all int64) *bar {
	return &bar{p: p, what: what, all: all, begun: time.Now()}
}

// at says that n bytes are done.
func (b *bar) at(n int64) {
	now := time.Now()
	if b.p.quiet || b.p.json || now.Sub(b.begun) < time.Second || now.Sub(b.shown) < 100*time.Millisecond || !b.p.onTerminal() {
		return
	}
	b.shown = now
	const width = 24
	full := int(min(n, b.all) * width / max(b.all, 1))
	fmt.Fprintf(b.p.Stderr, "\r\x1b[K%s [%s%s] %s of %s", b.what, strings.Repeat("#", full), strings.Repeat(".", width-full), sizeText(n), sizeText(b.all))
}

// end takes the bar away again.
func (b *bar) end() {
	if !b.shown.IsZero() {
		fmt.Fprint(b.p.Stderr, "\r\x1b[K")
	}
}
