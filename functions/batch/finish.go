package batch

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// finish writes the manifest if all parts are there. ahead has joined them, if it
// is not nil.
func (t *task) finish(ctx context.Context, resumed int, ahead *joining) (*Result, error) {
	res := &Result{Output: t.place.url, Scored: t.progress.scored, Rows: t.progress.rows, Bad: t.progress.bad}
	if len(t.mine) < len(t.parts) { // others may have scored theirs meanwhile
		if err := t.marks(ctx); err != nil {
			return nil, err
		}
		if res.Missing = len(t.parts) - len(t.there); res.Missing > 0 {
			return res, nil
		}
	}
	m, err := t.collect(ctx)
	if err != nil {
		return nil, err
	}
	if share := float64(m.Bad); m.Bad > 0 && share > max(t.o.MaxBad, 0)*float64(m.Rows+m.Bad) {
		return nil, fault.New(fault.Unprocessable, "batch.Score", t.url, "want at most %v%% bad rows, got %d of %d", 100*max(t.o.MaxBad, 0), m.Bad, m.Rows+m.Bad).
			WithHint("The files of bad rows below %s say what is wrong with each.", t.place.url)
	}
	if t.place.single != "" {
		if err := t.join(ctx, m, ahead); err != nil {
			return nil, err
		}
	}
	m.Timings = &Timings{Begun: t.progress.begun.UTC(), Ended: time.Now().UTC(), Seconds: seconds(time.Since(t.progress.begun)), Resumed: resumed, Rows: t.asks()}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fault.New(fault.Internal, "batch.Score", t.place.manifest(), "%w", err)
	}
	there, err := t.put(ctx, t.place.manifest(), append(text, '\n'))
	if err != nil {
		return nil, err
	}
	if res.Manifest, err = t.ours(there); err != nil {
		return nil, err
	}
	if t.place.single != "" {
		return res, t.forget(ctx)
	}
	return res, nil
}

// asks is how many rows the model is asked for at once.
func (t *task) asks() int {
	if t.many {
		return t.rows
	}
	return 1
}

// collect makes the manifest of all marks.
func (t *task) collect(ctx context.Context) (*Manifest, error) {
	m := &Manifest{Godwit: 1, Input: ManifestInput{URL: t.url, Version: t.src.object.Version, Size: t.src.Size(), Format: string(t.file.Format)},
		Model: t.model, Settings: t.settings, Format: string(t.format), Columns: t.columns(), Parts: make([]ManifestPart, len(t.parts))}
	if c := t.file.Compression; c != rows.None {
		m.Input.Compression = string(c)
	}
	var group sync.WaitGroup
	errs := make([]error, len(t.parts))
	free := make(chan struct{}, 8)
	for i := range t.parts {
		if mark, ok := t.known.Load(i); ok {
			m.Parts[i] = *mark.(*ManifestPart)
			continue
		}
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			p, err := t.markAt(ctx, i)
			if err == nil {
				m.Parts[i] = *p
			}
			errs[i] = err
		})
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, err
		}
		p := &m.Parts[i]
		m.Rows += p.Rows
		m.Bad += p.Bad
		m.Lines += p.Lines
		m.Bytes += p.File.Bytes
	}
	return m, nil
}

// columns are those of the scores.
func (t *task) columns() []ManifestColumn {
	all := []ManifestColumn{}
	if t.plan == nil {
		return all
	}
	for _, name := range t.plan.Pass {
		all = append(all, ManifestColumn{Name: name})
	}
	for i := range t.plan.Outputs {
		o := &t.plan.Outputs[i]
		all = append(all, ManifestColumn{Name: o.Name, Type: o.Type.String(), Shape: append([]int64{}, o.Shape...)})
	}
	return all
}

// join makes one object of the parts, and one of their bad rows.
func (t *task) join(ctx context.Context, m *Manifest, ahead *joining) error {
	if m.Bad > 0 {
		bad, err := t.written(ctx, t.place.single+".bad.jsonl", func(w *bufio.Writer) error {
			for i := range m.Parts {
				if f := m.Parts[i].BadFile; f != nil {
					if err := t.copy(ctx, w, t.place.dir+f.Name); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		m.BadFile = bad
	}
	var file *File
	var err error
	if o := ahead.end(); o != nil {
		file, err = t.whole(ctx, o)
	} else {
		file, err = t.written(ctx, t.place.single, func(w *bufio.Writer) error { return t.together(ctx, w, m) })
	}
	if err != nil {
		return err
	}
	m.File, m.Bytes = file, file.Bytes
	for i := range m.Parts {
		m.Parts[i].File, m.Parts[i].BadFile = nil, nil
	}
	return nil
}

// together writes the scores of all parts as one file.
func (t *task) together(ctx context.Context, w *bufio.Writer, m *Manifest) error {
	if len(t.parts) == 0 {
		if t.plan == nil {
			return nil
		}
		_, compression := rows.Detect(t.place.single, nil)
		rw, err := rows.NewWriter(w, t.format, t.schema, t.plan.Outputs, &rows.WriteOptions{Compression: compression})
		if err != nil {
			return err
		}
		return rw.Close()
	}
	j, err := t.joiner(w)
	if err != nil {
		return err
	}
	for i := range m.Parts {
		if err := j.Add(ctx, t.scoredPart(m.Parts[i].File)); err != nil {
			return err
		}
	}
	return j.Close()
}

func (t *task) copy(ctx context.Context, w io.Writer, key string) error {
	r, err := t.out.Open(ctx, key, "", 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return store.Fault("batch.Score", key, err)
}

// written writes an object that nobody else has written, unless it was us.
func (t *task) written(ctx context.Context, key string, write func(*bufio.Writer) error) (*File, error) {
	o, err := t.once(ctx, key, true)
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(o, outBuffer)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err != nil {
		o.abort()
		return nil, store.Fault("batch.Score", key, err)
	}
	return t.whole(ctx, o)
}

// whole makes an object there that is written.
func (t *task) whole(ctx context.Context, o *once) (*File, error) {
	defer o.abort()
	f, there, err := o.keep(ctx)
	if err == nil && there && f.SHA256 != o.sha256() {
		return nil, t.taken()
	}
	return f, err
}
