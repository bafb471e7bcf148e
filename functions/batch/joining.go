package batch

import (
	"bufio"
	"context"
	"errors"

	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// joining makes the one object of the parts while later ones are scored, by a
// goroutine of its own: joined afterwards, it is a tenth of all that a small
// model's object takes. It vouches for nothing. Whatever goes wrong, the parts
// are joined as they are when all are there, and that tells why.
type joining struct {
	t      *task
	cancel context.CancelFunc
	scored chan struct{} // has a value when a part has come to be there
	all    chan struct{} // closed when all are
	ended  chan struct{} // closed when the goroutine has
	o      *once
	err    error // set when ended is closed; nil: o has all that the object has
}

// joinAhead begins, if this run is to join the parts and there is more than one.
// nil is none.
func (t *task) joinAhead(ctx context.Context) *joining {
	if t.place.single == "" || len(t.mine) < len(t.parts) || len(t.parts) < 2 {
		return nil
	}
	j := &joining{t: t, scored: make(chan struct{}, 1), all: make(chan struct{}), ended: make(chan struct{})}
	ctx, j.cancel = context.WithCancel(ctx)
	go func() {
		defer close(j.ended)
		j.err = guarded(func() error { return j.run(ctx) })
	}()
	return j
}

// run writes the object, but for making it there.
func (j *joining) run(ctx context.Context) error {
	var err error
	if j.o, err = j.t.once(ctx, j.t.place.single, true); err != nil {
		return err
	}
	w := bufio.NewWriterSize(j.o, outBuffer)
	joiner, err := j.t.joiner(w)
	if err != nil {
		return err
	}
	for i := range j.t.parts {
		f, err := j.wait(ctx, i)
		if err != nil {
			return err
		}
		if err := joiner.Add(ctx, j.t.scoredPart(f)); err != nil {
			return err
		}
	}
	if err := joiner.Close(); err != nil {
		return err
	}
	return w.Flush()
}

// errMissing is told where all parts are there, and one is not.
var errMissing = errors.New("a part is missing")

// wait gives the file of part i when it is there.
func (j *joining) wait(ctx context.Context, i int) (*File, error) {
	if j.t.there[i] { // before this run
		m, err := j.t.markAt(ctx, i)
		if err != nil {
			return nil, err
		}
		return m.File, nil
	}
	for last := false; ; {
		if m, ok := j.t.known.Load(i); ok {
			return m.(*ManifestPart).File, nil
		}
		if last {
			return nil, errMissing
		}
		select {
		case <-j.scored:
		case <-j.all:
			last = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// part tells that a part has come to be there. j may be nil.
func (j *joining) part() {
	if j == nil {
		return
	}
	select {
	case j.scored <- struct{}{}:
	default: // it will look at all of them
	}
}

// end waits until the object is written, all parts being there, and gives it;
// nil if it has to be made afresh.
func (j *joining) end() *once {
	if j == nil {
		return nil
	}
	close(j.all)
	<-j.ended
	if j.err != nil {
		return nil
	}
	o := j.o
	j.o = nil
	return o
}

// close ends the goroutine and leaves nothing behind, unless end has given it away.
func (j *joining) close() {
	if j == nil {
		return
	}
	j.cancel()
	<-j.ended
	if j.o != nil {
		j.o.abort()
	}
}

// joiner writes parts as one file.
func (t *task) joiner(w *bufio.Writer) (rows.Joiner, error) {
	_, compression := rows.Detect(t.place.single, nil)
	return rows.NewJoiner(w, t.format, &rows.JoinOptions{To: compression})
}

// scoredPart is the scores of a part, to be read.
func (t *task) scoredPart(f *File) rows.Source {
	return &source{bucket: t.out, object: &store.Object{Key: t.place.dir + f.Name, Size: f.Bytes}}
}
