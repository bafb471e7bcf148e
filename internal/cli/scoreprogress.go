package cli

import (
	"fmt"
	"strings"
	"time"

	"godwit.dev/functions/batch"
)

// scoring shows on a terminal how far a file has come: how much of it is done,
// rows, rows a second, how long it will take, and the bad ones.
type scoring struct {
	p     *program
	what  string
	shown time.Duration // when it was drawn last; zero: never
}

func (p *program) scoring(what string) *scoring { return &scoring{p: p, what: what} }

// at draws how far it is, not too often. It is called by one goroutine at a time.
func (s *scoring) at(now batch.Progress) {
	s.draw(now.Elapsed, func() string { return s.line(&now) })
}

// prefix draws how far the objects of a prefix are.
func (s *scoring) prefix(now batch.PrefixProgress) {
	s.draw(now.Elapsed, func() string {
		done := 0.0
		if now.Bytes > 0 {
			done = float64(now.Settled) / float64(now.Bytes)
		}
		return fmt.Sprintf("%s of %s objects: ", grouped(int64(now.Done)), grouped(int64(now.Objects))) + s.text(done, now.Rows, now.Bad, now.Elapsed)
	})
}

func (s *scoring) draw(elapsed time.Duration, line func() string) {
	if s.p.quiet || s.p.json || elapsed < time.Second || elapsed-s.shown < 100*time.Millisecond || !s.p.onTerminal() {
		return
	}
	s.shown = elapsed
	fmt.Fprint(s.p.Stderr, "\r\x1b[K"+line())
}

func (s *scoring) line(now *batch.Progress) string {
	return s.text(now.Fraction(), now.Rows, now.Bad, now.Elapsed)
}

// text is how much is done, of 1, with rows, their rate, the time that is left
// and the bad ones.
func (s *scoring) text(done float64, rows, bad int64, elapsed time.Duration) string {
	const width = 24
	done = min(max(done, 0), 1)
	full := int(done * width)
	seen := rows + bad
	line := fmt.Sprintf("%s [%s%s] %.0f%%, %s rows, %s/s", s.what, strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done,
		grouped(seen), grouped(int64(float64(seen)/max(elapsed.Seconds(), 1e-3))))
	if done > 0 && done < 1 {
		left := time.Duration(float64(elapsed) * (1 - done) / done)
		line += ", " + left.Round(time.Second).String() + " left"
	}
	if bad > 0 {
		line += ", " + grouped(bad) + " bad"
	}
	return line
}

// end takes the line away again.
func (s *scoring) end() {
	if s.shown > 0 {
		fmt.Fprint(s.p.Stderr, "\r\x1b[K")
	}
}

// counting shows on a terminal how many are done of which nobody knows how many
// there are, and how many stay.
type counting struct {
	p            *program
	what         string
	begun, shown time.Time
}

func (p *program) counting(what string) *counting {
	return &counting{p: p, what: what, begun: time.Now()}
}

// at draws how many there are, not too often.
func (c *counting) at(done, stay int) {
	now := time.Now()
	if c.p.quiet || c.p.json || now.Sub(c.begun) < time.Second || now.Sub(c.shown) < 100*time.Millisecond || !c.p.onTerminal() {
		return
	}
	c.shown = now
	fmt.Fprintf(c.p.Stderr, "\r\x1b[K%s: %s done, %s stay, %s/s", c.what, grouped(int64(done)), grouped(int64(stay)), grouped(int64(float64(done+stay)/now.Sub(c.begun).Seconds())))
}

// end takes the line away again.
func (c *counting) end() {
	if !c.shown.IsZero() {
		fmt.Fprint(c.p.Stderr, "\r\x1b[K")
	}
}

// grouped is a number with its thousands apart, as people read them.
func grouped(n int64) string {
	if n < 0 {
		return "-" + grouped(-n)
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
