package infer

import "time"

// lines is what waits of one priority: a line for each caller, which take turns.
type lines struct {
	byCaller map[string]*line
	order    []*line // those that are not empty; order[turn] is next
	turn     int
	n, rows  int
}

// line is what waits of one caller, the oldest first.
type line struct {
	caller      string
	first, last *ticket
	n, rows     int
}

func (l *lines) push(t *ticket) {
	own := l.byCaller[t.caller]
	if own == nil {
		if l.byCaller == nil {
			l.byCaller = map[string]*line{}
		}
		own = &line{caller: t.caller}
		l.byCaller[t.caller] = own
		// Behind those that have had their turn in this round, so that nobody
		// jumps ahead by coming back.
		l.order = append(l.order, nil)
		copy(l.order[l.turn+1:], l.order[l.turn:])
		l.order[l.turn] = own
		l.turn = (l.turn + 1) % len(l.order)
	}
	t.line, t.prev, t.next = own, own.last, nil
	if own.last == nil {
		own.first = t
	} else {
		own.last.next = t
	}
	own.last = t
	own.n++
	own.rows += t.weight
	l.n++
	l.rows += t.weight
}

func (l *lines) remove(t *ticket) {
	own := t.line
	if t.prev == nil {
		own.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		own.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.line, t.prev, t.next = nil, nil, nil
	own.n--
	own.rows -= t.weight
	l.n--
	l.rows -= t.weight
	if own.n > 0 {
		return
	}
	delete(l.byCaller, own.caller)
	for i, o := range l.order {
		if o != own {
			continue
		}
		l.order = append(l.order[:i], l.order[i+1:]...)
		if i < l.turn {
			l.turn--
		}
		break
	}
	if l.turn >= len(l.order) {
		l.turn = 0
	}
}

// passTurn makes the caller after own the next one.
func (l *lines) passTurn(own *line) {
	if len(l.order) > 0 && l.order[l.turn] == own {
		l.turn = (l.turn + 1) % len(l.order)
	}
}

// ahead counts what goes before a further request of caller.
func (l *lines) ahead(caller string) (n, rows int) {
	turns := 1
	if own := l.byCaller[caller]; own != nil {
		turns += own.n
	}
	for _, o := range l.order {
		k := min(o.n, turns)
		if o.caller == caller {
			k = o.n
		}
		n += k
		rows += o.rows * k / o.n
	}
	return n, rows
}

// longest is the caller's line with most requests; caller's own if it is one
// of the longest.
func (l *lines) longest(caller string) *line {
	most := l.byCaller[caller]
	for _, o := range l.order {
		if most == nil || o.n > most.n {
			most = o
		}
	}
	return most
}

// patience is how long a request of caller may wait where several callers do:
// the queue then is what gives each its turn. Who has fewer requests there than
// somebody else may wait longer than who has most.
func (l *lines) patience(caller string, burst time.Duration) time.Duration {
	own := 0
	if o := l.byCaller[caller]; o != nil {
		own = o.n
	}
	most := l.longest(caller)
	switch {
	case most == nil || most.n == l.n && own > 0:
		return 0 // nobody else waits
	case own < most.n:
		return burst
	}
	return burst / 2
}
