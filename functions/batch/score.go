package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// Score scores one object: it reads parts, asks the model, and writes scores,
// all at the same time. It returns when every part that the job names is there
// to stay, and whoever writes the last of all parts writes the manifest.
//
// Whatever ends it, also the end of the process, what has been written stays,
// and the next call goes on from there. Several may score the same object at a
// time, in one process or many: each part is kept once. When ctx has a
// deadline, no part begins for which there is likely no time.
//
// Errors: NotFound without the object, Invalid and Unsupported for what cannot
// be read as rows or does not fit the model, Unprocessable when more rows are
// bad than Objects.MaxBad or another object is where the scores go, BadConfig
// for settings that contradict each other, DeadlineExceeded when there is no
// time for another part, Canceled, and Unavailable for what may pass.
func (h *Handler) Score(ctx context.Context, job *Job) (*Result, error) {
	begun := time.Now()
	t, err := h.open(ctx, job)
	if err != nil {
		return nil, err
	}
	// One job at a time for the same scores: the second finds what is done.
	leave, err := h.turns.take(ctx, t.out, t.place.dir)
	if err != nil {
		return nil, store.Fault("batch.Score", t.url, err)
	}
	defer leave()
	t.progress.begin(job, t.src, begun)
	res, err := t.score(ctx)
	t.progress.end()
	if err != nil {
		return nil, t.reason(ctx, err)
	}
	return res, nil
}

// reason is what a caller is told: an object that was written again while it
// was read is one to come back to, and a context's end is not the store's fault.
func (t *task) reason(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, errStopped) {
		return fault.New(fault.CodeOf(cause), "batch.Score", t.url, "%w", err)
	}
	if f := fault.Of(err); f != nil && f.Code == fault.Mismatch {
		return fault.New(fault.Unavailable, "batch.Score", t.url, "it was written again while it was read: %w", err)
	}
	if fault.CodeOf(err) == fault.DeadlineExceeded && !errors.Is(err, errStopped) {
		return fault.New(fault.DeadlineExceeded, "batch.Score", t.url, "there was no time for a whole part: %w", err).
			WithHint("Give deliveries more time under batch.timeout, or the function more processors; parts that are scored stay.")
	}
	if fault.Of(err) == nil {
		return fault.New(fault.CodeOf(err), "batch.Score", t.url, "%w", err)
	}
	return err
}

// score is work, unless the scores are complete. Where one object is made of the
// parts, another process may have made it meanwhile and removed them: what this
// one then fails by means nothing.
func (t *task) score(ctx context.Context) (*Result, error) {
	done, err := t.finished(ctx)
	if err != nil || done != nil {
		return done, err
	}
	if t.gone != nil {
		return nil, t.gone
	}
	res, err := t.work(ctx)
	if err == nil || t.place.single == "" || ctx.Err() != nil {
		return res, err
	}
	if done, other := t.finished(ctx); other != nil || done != nil {
		return done, other
	}
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.New(fault.Unavailable, "batch.Score", t.url, "parts were removed meanwhile: %w", err)
	}
	return nil, err
}

func (t *task) work(ctx context.Context) (*Result, error) {
	if t.job.Fresh {
		if err := t.forget(ctx); err != nil {
			return nil, err
		}
	}
	if err := t.read(ctx); err != nil {
		return nil, err
	}
	if err := t.choose(); err != nil {
		return nil, err
	}
	if err := t.marks(ctx); err != nil {
		return nil, err
	}
	if err := t.room(ctx); err != nil {
		return nil, err
	}
	var todo []int
	resumed := 0
	for _, i := range t.mine {
		if t.there[i] {
			resumed++
		} else {
			todo = append(todo, i)
		}
	}
	t.progress.plan(len(t.parts), len(t.there), resumed, len(t.mine))
	var ahead *joining
	if len(todo) > 0 {
		ahead = t.joinAhead(ctx)
		defer ahead.close()
	}
	if err := t.all(ctx, todo, ahead); err != nil {
		return nil, err
	}
	return t.finish(ctx, resumed, ahead)
}

// finished is the result where the manifest is there.
func (t *task) finished(ctx context.Context) (*Result, error) {
	text, err := readAll(ctx, t.out, t.place.manifest(), 64<<20)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := t.ours(text)
	if err != nil {
		return nil, err
	}
	if t.place.single != "" { // what a crash may have left
		if err := t.forget(ctx); err != nil {
			return nil, err
		}
	}
	return &Result{Manifest: m, Output: t.place.url, Already: true}, nil
}

// ours reads a manifest and wants it to be of this job.
func (t *task) ours(text []byte) (*Manifest, error) {
	m := &Manifest{}
	err := json.Unmarshal(text, m)
	want := t.settings
	switch {
	case err == nil && m.Input.URL == t.url && m.Input.Version == t.src.object.Version && m.Model.Digest == t.model.Digest && sameSettings(&m.Settings, &want):
		return m, nil
	case err == nil:
		err = fmt.Errorf("it is of %s, version %q, by model %s (%s)", m.Input.URL, m.Input.Version, m.Model.Name, m.Model.Digest)
	}
	return nil, fault.New(fault.Unprocessable, "batch.Score", t.place.url, "want no other scores there, got a manifest: %w", err).
		WithHint("Name another place for the scores, or remove what is there.")
}

func sameSettings(a, b *ManifestSettings) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// room wants no other object where the scores go, before hours are spent on
// them. One that is there when all parts are is what they were joined to
// before a crash.
func (t *task) room(ctx context.Context) error {
	if t.place.single == "" || len(t.there) == len(t.parts) {
		return nil
	}
	_, err := t.out.Stat(ctx, t.place.single)
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	if err == nil {
		// Another process may have joined them since the parts were looked for. It
		// removes none before the manifest is there, which score then finds.
		err = t.marks(ctx)
	}
	switch {
	case err != nil:
		return err
	case len(t.there) == len(t.parts):
		return nil
	case len(t.there) == 0:
		return errors.Join(t.taken(), t.forget(ctx))
	}
	return t.taken()
}

func (t *task) taken() error {
	return fault.New(fault.Unprocessable, "batch.Score", t.place.url, "want no object there, got one that is not these scores").
		WithHint("Name another place for the scores, or remove what is there.")
}

// errStopped ends a job that has no time for another part.
var errStopped = errors.New("there is no time left for another part")

// partTries is how often a part is tried while what keeps it may pass.
const partTries = 4

// all scores the parts that are to do, several at a time.
func (t *task) all(ctx context.Context, todo []int, ahead *joining) error {
	if len(todo) == 0 {
		return nil
	}
	n := min(t.o.Parallel, len(todo))
	start := 0
	switch {
	case t.file.Compression != rows.None:
		n = 1 // one stream, read once from its begin
	case ahead == nil: // else they are joined in order, while others are scored
		// Deliveries of one object at the same time begin at different parts, and
		// find what the others have done.
		start = t.h.pick(len(todo))
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if at, ok := ctx.Deadline(); ok { // a reply needs some time too
		var end context.CancelFunc
		inner, end = context.WithDeadline(inner, at.Add(-t.h.opts.Spare/2))
		defer end()
	}
	var next atomic.Int64
	var group sync.WaitGroup
	var mu sync.Mutex
	var first error
	for range n {
		group.Go(func() {
			w := newWorker(t)
			for {
				k := int(next.Add(1)) - 1
				if k >= len(todo) {
					return
				}
				err := t.one(inner, w, todo[(start+k)%len(todo)])
				ahead.part()
				if err != nil {
					mu.Lock()
					if first == nil || errors.Is(first, errStopped) {
						first = err
					}
					mu.Unlock()
					next.Add(int64(len(todo))) // nobody begins another
					if !errors.Is(err, errStopped) {
						cancel(err)
					}
					return
				}
			}
		})
	}
	group.Wait()
	return first
}

// one scores part i if it is not there, and waits out what may pass.
func (t *task) one(ctx context.Context, w *worker, i int) error {
	select {
	case t.h.slots <- struct{}{}:
		defer func() { <-t.h.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for tries := 0; ; tries++ {
		if err := t.time(ctx); err != nil {
			return err
		}
		begun := time.Now()
		m, scored, err := t.try(ctx, w, i)
		if err == nil {
			t.known.Store(i, m)
			t.progress.part(m, scored)
			t.learn(time.Since(begun))
			return nil
		}
		if code := fault.CodeOf(err); code != fault.Unavailable && code != fault.RateLimited || tries+1 >= partTries || errors.Is(err, errReplaced) {
			return err
		}
		if pause(ctx, max(min(fault.RetryOf(err), 10*time.Second), time.Second<<tries)) != nil {
			return err
		}
	}
}

// try scores part i if nobody has.
func (t *task) try(ctx context.Context, w *worker, i int) (m *ManifestPart, scored bool, err error) {
	key := t.place.mark(i)
	there, err := readAll(ctx, t.out, key, 1<<20)
	switch {
	case err == nil:
		m, err = parseMark(key, there)
		return m, false, err
	case fault.CodeOf(err) != fault.NotFound:
		return nil, false, err
	}
	m, err = w.part(ctx, i)
	return m, true, err
}

// time wants time for another part: as much as the longest took so far.
func (t *task) time(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	at, ok := ctx.Deadline()
	if longest := time.Duration(t.took.Load()); !ok || time.Until(at) > longest {
		return nil
	}
	return fault.New(fault.DeadlineExceeded, "batch.Score", t.url, "%w", errStopped)
}

// learn remembers the longest part.
func (t *task) learn(took time.Duration) {
	for {
		old := t.took.Load()
		if int64(took) <= old || t.took.CompareAndSwap(old, int64(took)) {
			return
		}
	}
}
