package simulate

import (
	"time"

	"godwit.dev/runtime/fault"
)

// Lambda has one request in an environment at a time. A request takes the
// environment that was used last among those that are idle; if there is none
// it has one started, waits for that one and no other, and is refused where no
// more may be started.
type Lambda struct {
	// KeepAlive is how long an idle environment stays, which AWS does not
	// promise. The zero value means 5 min at the median and 15 at the 99th
	// percentile.
	KeepAlive Dist
	// Provisioned is how many environments are always up. They are used first.
	Provisioned int
	// Max is the reserved concurrency, or what the account has left. 0 means 1000.
	Max int
	// Burst is how many environments may be started at once and in each Per
	// after that. 0 means 1000, and 10 s.
	Burst int
	Per   time.Duration
}

func (p Lambda) check() error {
	if p.Provisioned < 0 || p.Max < 0 || p.Burst < 0 || p.Per < 0 || p.Provisioned > p.withDefaults().Max {
		return fault.New(fault.BadConfig, "simulate.Run", "Lambda", "want nothing below 0, and no more provisioned than Max, got %+v", p)
	}
	return nil
}

func (p Lambda) withDefaults() Lambda {
	if k := &p.KeepAlive; k.P50 == 0 && len(k.Samples) == 0 {
		k.P50, k.P99 = 5*time.Minute, 15*time.Minute
	}
	if p.Max == 0 {
		p.Max = 1000
	}
	if p.Burst == 0 {
		p.Burst = 1000
	}
	if p.Per == 0 {
		p.Per = 10 * time.Second
	}
	return p
}

func (p Lambda) control(c *cell) controller {
	l := &lambda{Lambda: p.withDefaults(), cell: c}
	l.tokens = float64(l.Burst)
	return l
}

type lambda struct {
	Lambda
	cell   *cell
	always map[*instance]bool // provisioned ones
	rest   []*instance        // idle, the one used last behind
	tokens float64            // of Burst
	at     int64
	lives  map[*instance]int64 // until when an idle one stays
}

func (l *lambda) begin() {
	l.always, l.lives = map[*instance]bool{}, map[*instance]int64{}
	for range l.Provisioned {
		i := l.cell.warmed()
		l.always[i] = true
		l.rest = append(l.rest, i)
	}
}

func (l *lambda) arrive(r *request) {
	if n := len(l.rest); n > 0 {
		i := l.rest[n-1]
		l.rest = l.rest[:n-1]
		i.enter(r)
		return
	}
	c := l.cell
	l.tokens = min(float64(l.Burst), l.tokens+float64(c.now-l.at)/float64(l.Per)*float64(l.Burst))
	l.at = c.now
	if len(c.instances) >= l.Max || l.tokens < 1 {
		c.refuse(r)
		return
	}
	l.tokens--
	c.start().bound = r
}

func (l *lambda) ready(i *instance) {
	if r := i.bound; r != nil {
		i.bound = nil
		i.enter(r)
		return
	}
	l.left(i)
}

func (l *lambda) left(i *instance) {
	if i.inside > 0 || i.state != ready {
		return
	}
	l.rest = append(l.rest, i)
	if !l.always[i] {
		l.lives[i] = i.idle + l.KeepAlive.draw(l.cell.rng, 0)
		i.timer(l.lives[i])
	}
}

func (l *lambda) idle(i *instance) {
	switch until := l.lives[i]; {
	case i.inside > 0: // left sets the timer again
	case until > l.cell.now:
		i.timer(until)
	default:
		l.forget(i)
		l.cell.stop(i)
	}
}

func (l *lambda) gone(i *instance) {
	l.forget(i)
	if l.always[i] {
		delete(l.always, i)
		l.always[l.cell.start()] = true
	}
}

func (l *lambda) forget(i *instance) {
	delete(l.lives, i)
	for k, o := range l.rest {
		if o == i {
			l.rest = append(l.rest[:k], l.rest[k+1:]...)
			return
		}
	}
}

func (l *lambda) tick()     {}
func (l *lambda) want() int { return len(l.cell.instances) }
