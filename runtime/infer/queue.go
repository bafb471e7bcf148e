package infer

import (
	"context"
	"time"

	"godwit.dev/runtime/fault"
)

// The queue's constants of time.
const (
	// queueTarget is the wait that an overloaded model allows at least; a run is
	// allowed where that is longer, because less would leave the model idle.
	queueTarget = 5 * time.Millisecond
	// queueBurst is the wait, and how long it may stand, before what is more
	// than the target is shed: the longer of queueBurst and burstRuns runs.
	queueBurst = 100 * time.Millisecond
	burstRuns  = 10
	// interactiveFor is how long after an interactive request runs are kept
	// free for the next ones.
	interactiveFor = 2 * time.Second
	// keepsProcessor is the time in ns that native code may take before Go's
	// scheduler gives its processor to other goroutines.
	keepsProcessor = 20_000
	// batchShare is how much of a run's time batch work gets all the same, as 1/batchShare: so little that it is out of sight of a p99.
	batchShare = 200
	// probeShare is that of ProbeBatching: a model with one run, asked without a
	// break from the start, would else not share runs for a minute.
	probeShare = 4
)

// slot is one of the runs that may go on at once.
type slot struct {
	busy     bool
	priority Priority
	began    time.Time
	expected time.Duration
}

// startNow takes a run for t if one is free and t is next. m.mu is held, as in
// all of this file.
func (m *Model) startNow(t *ticket, now time.Time) (s *slot, ok bool) {
	if t.priority == Interactive {
		m.lastInteractive = now
	}
	if m.lines[t.priority].n > 0 {
		return nil, false
	}
	s = m.freeSlot()
	if s == nil || t.priority == Batch && !m.batchMayTake(s, now) {
		return nil, false
	}
	m.occupy(s, t.priority, t.rows, now)
	return s, true
}

func (m *Model) freeSlot() *slot {
	for i := range m.slots {
		if !m.slots[i].busy {
			return &m.slots[i]
		}
	}
	return nil
}

func (m *Model) occupy(s *slot, p Priority, rows int, now time.Time) {
	*s = slot{busy: true, priority: p, began: now, expected: m.cost.mean(rows)}
}

// batchMayTake reports whether batch work may run in s, which is free or about
// to be. While interactive requests are about it leaves most of the runs
// free, and one at least, but for a share so small that none of them notices.
func (m *Model) batchMayTake(s *slot, now time.Time) bool {
	free := 0
	for i := range m.slots {
		if other := &m.slots[i]; other != s && !other.busy {
			free++
		}
	}
	return free >= max(1, len(m.slots)*3/4) || m.closed || !now.Before(m.batchFrom())
}

// batchFrom is when batch work may have a run that is kept free.
func (m *Model) batchFrom() time.Time {
	quiet := m.lastInteractive.Add(interactiveFor)
	if share := m.shareFrom(); share.Before(quiet) {
		return share
	}
	return quiet
}

// shareFrom is when batch work may have its share of the runs.
func (m *Model) shareFrom() time.Time {
	if m.probing > 0 {
		return m.batchEnded.Add(m.batchTook * probeShare)
	}
	return m.batchEnded.Add(m.batchTook * batchShare)
}

// vacate ends the run in s. Who had it calls next or frees it.
func (m *Model) vacate(s *slot, now time.Time) {
	if s.priority == Batch {
		m.batchEnded, m.batchTook = now, now.Sub(s.began)
	}
	s.busy = false
}

// handOn gives the free run s to what waits, if anything does.
func (m *Model) handOn(s *slot, now time.Time) {
	if b := m.next(s, now); b != nil {
		m.inUse++
		go m.serve(b)
	}
}

// next takes the run s for what goes next; nil when nothing may.
func (m *Model) next(s *slot, now time.Time) *batch {
	due := m.lines[Batch].n > 0 && !now.Before(m.shareFrom())
	if due && m.batchMayTake(s, now) {
		if b := m.gatherTickets(Batch, now); b != nil {
			return m.begin(b, s, now)
		}
	}
	if b := m.gatherTickets(Interactive, now); b != nil {
		return m.begin(b, s, now)
	}
	switch {
	case m.lines[Batch].n == 0:
		return nil
	case !m.batchMayTake(s, now):
		m.wakeForBatch(now)
		return nil
	}
	if b := m.gatherTickets(Batch, now); b != nil {
		return m.begin(b, s, now)
	}
	return nil
}

func (m *Model) begin(b *batch, s *slot, now time.Time) *batch {
	b.slot, b.began = s, now
	m.occupy(s, b.priority, b.rows, now)
	return b
}

// wakeForBatch has the queue looked at again when batch work may have a run.
func (m *Model) wakeForBatch(now time.Time) {
	d := max(m.batchFrom().Sub(now), 0)
	if m.alarm == nil {
		m.alarm = time.AfterFunc(d, m.lookAgain)
		return
	}
	m.alarm.Reset(d)
}

func (m *Model) lookAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fill()
}

// fill hands every free run on.
func (m *Model) fill() {
	now := time.Now()
	for i := range m.slots {
		if s := &m.slots[i]; !s.busy {
			m.handOn(s, now)
		}
	}
}

// join puts t into the queue, or says why not: the deadline would pass there,
// the model has been asked for more than it can do for a while, or the queue
// is full.
func (m *Model) join(t *ticket, now time.Time) error {
	p := t.priority
	t.queued, t.size = true, 0
	for i := range t.in {
		t.size += t.in[i].Bytes()
	}
	t.weight = t.rows
	if t.size == 0 {
		t.weight = 1
	}
	t.alone = t.alone || t.rows < 1 || t.rows > m.opts.Batch.MaxRows || int64(t.size) > m.opts.Batch.MaxBytes || !sameRows(t.in)
	wait := m.wait(t, now)
	if deadline, ok := t.ctx.Deadline(); ok {
		t.deadline = deadline
		left := deadline.Sub(now)
		if m.opts.QueueShare < 100 {
			t.latest = now.Add(left * time.Duration(m.opts.QueueShare) / 100)
			left = t.latest.Sub(now)
		}
		if wait > left {
			return m.full(wait, "want a run within %v, which is %d%% of the request's time, but that would take about %v",
				round(left), m.opts.QueueShare, round(wait))
		}
	}
	if p == Interactive {
		if err := m.admit(t, wait, now); err != nil {
			return err
		}
	}
	if m.lines[Interactive].n+m.lines[Batch].n >= m.opts.Queue && !m.makeRoom(t, wait) {
		return m.full(wait, "want at most %d requests waiting, and they are there", m.opts.Queue)
	}
	t.state = waiting
	m.lines[p].push(t)
	if p == Batch && m.freeSlot() != nil {
		m.wakeForBatch(now)
	}
	return nil
}

// admit keeps a standing queue from growing: once the wait has been over the
// target for long and is long, only what need not wait longer than the target
// is let in, until for a while nothing had to be refused. A short burst may
// wait as long as its deadlines permit.
func (m *Model) admit(t *ticket, wait time.Duration, now time.Time) error {
	run := m.oneRun()
	target, burst := max(queueTarget, run), max(queueBurst, burstRuns*run)
	standing := m.standing()
	m.noteQueue(standing, target, now)
	switch {
	case !m.shedding:
		if standing <= burst || now.Sub(m.standingSince) < queueBurst || m.sharing.on && m.cost.young() {
			return nil
		}
		m.refused = now
		m.shed(true)
		for l := &m.lines[Interactive]; l.n > 0 && m.standing() > target; {
			m.evict(l.longest("").last, m.standing())
		}
		wait = m.wait(t, now)
	case now.Sub(m.refused) > burst && wait <= target:
		m.shed(false)
		return nil
	}
	if wait <= target || wait <= m.lines[Interactive].patience(t.caller, burst) {
		return nil
	}
	m.refused = now
	return m.full(wait, "the model is asked for more than it can do, and a request would wait for about %v", round(wait))
}

// shed begins or ends the time in which requests are refused.
func (m *Model) shed(on bool) {
	if on != m.shedding && m.opts.Overloaded != nil {
		m.opts.Overloaded(on)
	}
	m.shedding = on
}

// noteQueue remembers since when the queue has been over the target.
func (m *Model) noteQueue(standing, target time.Duration, now time.Time) {
	if standing <= target {
		m.standingSince = time.Time{}
	} else if m.standingSince.IsZero() {
		m.standingSince = now
	}
}

// makeRoom refuses another request than t if t is not one of those that fill
// the queue: first batch work, then the newest of the caller that has most.
func (m *Model) makeRoom(t *ticket, wait time.Duration) bool {
	l := &m.lines[t.priority]
	if t.priority == Interactive && m.lines[Batch].n > 0 {
		l = &m.lines[Batch]
		m.evict(l.longest("").last, wait)
		return true
	}
	most := l.longest(t.caller)
	if most == nil || most.caller == t.caller {
		return false
	}
	if own := l.byCaller[t.caller]; own != nil && own.n+1 >= most.n {
		return false
	}
	m.evict(most.last, wait)
	return true
}

func (m *Model) evict(t *ticket, wait time.Duration) {
	m.answerWaiting(t, m.full(wait, "the queue is full, and others go first"))
}

// answerWaiting ends a ticket that still waits.
func (m *Model) answerWaiting(t *ticket, err error) {
	m.lines[t.priority].remove(t)
	t.state, t.err = answered, err
	t.done <- struct{}{}
}

// wait predicts how long t will wait for its run: what goes first is the work
// of higher priority and, of its own, what the callers' turns put before it.
func (m *Model) wait(t *ticket, now time.Time) time.Duration {
	n, rows := m.lines[t.priority].ahead(t.caller)
	if t.priority == Batch {
		n, rows = n+m.lines[Interactive].n, rows+m.lines[Interactive].rows
	}
	return m.firstFree(now) + m.work(n, rows)
}

// standing is how much work waits. A run that goes on is not counted: one that
// is held up for a moment is no reason to refuse anybody.
func (m *Model) standing() time.Duration {
	l := &m.lines[Interactive]
	return m.work(l.n, l.rows)
}

// work is the time that waiting requests take on all runs together.
func (m *Model) work(n, rows int) time.Duration {
	each := time.Duration(m.cost.run)
	if m.sharing.on {
		n, each = rows, m.cost.each()
	}
	return time.Duration(n) * each / time.Duration(len(m.slots))
}

// firstFree predicts when a run becomes free. One that has taken longer than
// expected is believed to take as much again.
func (m *Model) firstFree(now time.Time) time.Duration {
	first := time.Duration(-1)
	for i := range m.slots {
		s := &m.slots[i]
		if !s.busy {
			return 0
		}
		left := s.expected - now.Sub(s.began)
		if left < 0 {
			left = -left
		}
		if first < 0 || left < first {
			first = left
		}
	}
	return first
}

// oneRun is what a run takes when many wait.
func (m *Model) oneRun() time.Duration {
	if m.sharing.on {
		return m.cost.full()
	}
	return time.Duration(m.cost.run)
}

func (m *Model) full(wait time.Duration, format string, args ...any) *fault.Error {
	return m.fail(fault.Unavailable, format, args...).WithRetry(max(wait, time.Millisecond)).
		WithHint("Retry later, or give the function more instances.")
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// await waits for t's answer. It returns with an error as soon as nothing of
// the caller's is used any more; then no answer comes.
func (m *Model) await(ctx context.Context, t *ticket) error {
	var late <-chan time.Time // never, without a deadline
	if !t.latest.IsZero() {
		if t.timer == nil {
			t.timer = time.NewTimer(time.Until(t.latest))
		} else {
			t.timer.Reset(time.Until(t.latest))
		}
		defer t.timer.Stop()
		late = t.timer.C
	}
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return m.leave(ctx, t)
	case <-late:
	}
	m.mu.Lock()
	if t.state == waiting {
		m.answerWaiting(t, m.full(m.wait(t, time.Now()), "no run became free within %d%% of the request's time", m.opts.QueueShare))
	}
	m.mu.Unlock()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return m.leave(ctx, t)
	}
}

// leave takes t out of the queue or out of its run, which ends with the last
// that leaves it.
func (m *Model) leave(ctx context.Context, t *ticket) error {
	m.mu.Lock()
	switch {
	case t.state == waiting:
		m.lines[t.priority].remove(t)
		t.state = answered
		m.mu.Unlock()
		return m.ended(ctx)
	case t.state == running && t.batch.shared():
		t.state = left
		b := t.batch
		if b.staying--; b.staying == 0 {
			b.cancel()
		}
		m.mu.Unlock()
		<-b.copied // until then the run reads the caller's tensors
		return m.ended(ctx)
	}
	m.mu.Unlock()
	<-t.done // alone: the engine watches ctx itself
	return nil
}
