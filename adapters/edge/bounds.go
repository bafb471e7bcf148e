package edge

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// trim removes what is too old, then as many answers as one more of that size
// needs room for; of size 0 it is none. The caller holds mu, or has the queue
// for itself.
func (q *Queue) trim(size int64) error {
	more := 0
	if size > 0 {
		more = 1
	}
	now := time.Now()
	old := func(all []entry) bool { return len(all) > 0 && now.Sub(all[0].at) > q.opts.MaxAge }
	full := func() bool {
		return len(q.waiting)+len(q.refused)+more > q.opts.MaxItems || q.stats.Bytes+size > q.opts.MaxBytes
	}
	defer q.sayGone()
	for {
		var err error
		switch {
		case old(q.refused):
			err = q.drop(&q.refused, refusedDir, &q.stats.Aged)
		case old(q.waiting):
			err = q.drop(&q.waiting, "", &q.stats.Aged)
		case full() && len(q.refused) > 0:
			err = q.drop(&q.refused, refusedDir, &q.stats.Crowded)
		case full() && len(q.waiting) > 0:
			err = q.drop(&q.waiting, "", &q.stats.Crowded)
		default:
			return nil
		}
		if err != nil {
			return q.fail("%w", err)
		}
	}
}

// drop removes the oldest of all, which lie in dir, and counts it.
func (q *Queue) drop(all *[]entry, dir string, count *int) error {
	e := (*all)[0]
	if err := os.Remove(filepath.Join(q.opts.Dir, dir, e.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	*all = (*all)[1:]
	q.stats.Bytes -= e.size
	*count++
	if dir == "" {
		delete(q.names, e.name)
	}
	q.show()
	return nil
}

// sayEvery is how often the log is told that answers went: a full queue loses
// one with each that comes.
const sayEvery = time.Minute

// sayGone tells the log of answers that went unsent since it was last told.
func (q *Queue) sayGone() {
	s := &q.stats
	if now := time.Now(); (s.Aged != q.told.Aged || s.Crowded != q.told.Crowded) && !now.Before(q.tell) {
		q.opts.Log.Error("answers were dropped before they could be sent on",
			"too_old", s.Aged-q.told.Aged, "no_room", s.Crowded-q.told.Crowded, "too_old_total", s.Aged, "no_room_total", s.Crowded)
		q.told, q.tell = *s, now.Add(sayEvery)
	}
}

// oldest is what waits longest and is not too old.
func (q *Queue) oldest() (e entry, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.trim(0); err != nil {
		return entry{}, false, err
	}
	if len(q.waiting) == 0 {
		return entry{}, false, nil
	}
	return q.waiting[0], true, nil
}

// left is what becomes of the oldest.
type left uint8

const (
	sent    left = iota
	lost         // the disk did not keep it
	refused      // it lies aside
)

// done forgets an answer that was the oldest, unless it has gone meanwhile to
// make room: then it is false. What was sent all the same counts as both.
func (q *Queue) done(e *entry, how left) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.show()
	if how == sent {
		q.stats.Sent++
	}
	if len(q.waiting) == 0 || q.waiting[0].seq != e.seq {
		return false
	}
	q.waiting = q.waiting[1:]
	delete(q.names, e.name)
	switch how {
	case refused:
		q.refused = append(q.refused, *e)
		return true
	case lost:
		q.stats.Lost++
	}
	q.stats.Bytes -= e.size
	return true
}
