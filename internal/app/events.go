package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// Events is what deliveries go to, or nil for a function without triggers.
func (f *Function) Events() trigger.Handler {
	if len(f.Spec.Triggers) == 0 {
		return nil
	}
	return batch.New(f.Handler, &batch.Options{
		Sink: f.sink(), Limits: CodecLimits(&f.Spec.Limits), NaN: nanPolicy(f.Spec.Models), Log: f.opts.Logger,
		Objects: f.scored, Claims: f.claims, Split: f.split, Dead: f.dead(f.scored),
	})
}

// sink is where answers go: where the spec wants scores and to Options.Answers;
// nil where neither says anything.
func (f *Function) sink() batch.Sink {
	output := f.output()
	switch {
	case f.opts.Answers == nil:
		return output
	case output == nil:
		return f.opts.Answers
	}
	return both{output, f.opts.Answers}
}

// both keeps answers in two places. Whoever puts one again, because the second
// failed, changes nothing in the first.
type both [2]batch.Sink

func (b both) Put(ctx context.Context, name string, answer []byte) error {
	if err := b[0].Put(ctx, name, answer); err != nil {
		return err
	}
	return b[1].Put(ctx, name, answer)
}

// output is where the spec wants scores, or nil where it says nothing.
func (f *Function) output() batch.Sink {
	if f.Spec.Batch == nil {
		return nil
	}
	url := f.below(f.Spec.Batch.Output)
	if url == "" {
		return nowhere{f.Spec.Batch.Output, f.opts.Target}
	}
	return &prefix{f.opts.Stores, url}
}

// below is the URL or path of a prefix of the spec, ending in a slash: a
// relative one is below Options.Output, else the function's folder where that is
// a place that lasts, and "" elsewhere.
func (f *Function) below(of string) string {
	base := f.opts.Output
	if base == "" && (f.opts.Target == Local || f.opts.Target == "edge") {
		base = f.Dir
	}
	switch {
	case strings.Contains(of, "://"), filepath.IsAbs(of):
		return strings.TrimSuffix(of, "/") + "/"
	case base == "":
		return ""
	case strings.Contains(base, "://"):
		return strings.TrimSuffix(base, "/") + "/" + keys(of)
	}
	return filepath.Join(base, filepath.FromSlash(of)) + "/"
}

// nowhere is a place for scores that cannot be written to.
type nowhere struct{ output, target string }

func (n nowhere) Put(context.Context, string, []byte) error {
	return fault.New(fault.Unsupported, "app.Events", n.output, "scores cannot be written there on %s: a folder of the function is gone with the process", n.target).
		WithHint("Write batch.output as s3://BUCKET/PREFIX/, gs:// or azblob://, or name a mounted folder or such a prefix in GODWIT_OUTPUT.")
}

// prefix keeps scores as objects below a prefix, each written whole under its
// name or not at all.
type prefix struct {
	stores *store.Set
	url    string
}

// Put writes an object that is there to stay when it returns. One of that name
// is left as it is.
func (p *prefix) Put(ctx context.Context, name string, answer []byte) error {
	bucket, key, err := p.stores.Open(ctx, p.url+name)
	if err != nil {
		return err
	}
	w, err := bucket.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(answer); err != nil {
		w.Abort()
		return err
	}
	if err := w.Commit(ctx); err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}
