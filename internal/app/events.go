package app

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// Events is what deliveries go to, or nil for a function without triggers.
func (f *Function) Events() trigger.Handler {
	if len(f.Spec.Triggers) == 0 {
		return nil
	}
	return batch.New(f.Handler, &batch.Options{
		Sink: f.sink(), Limits: CodecLimits(&f.Spec.Limits), NaN: nanPolicy(f.Spec.Models), Log: f.opts.Logger,
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
	b := f.Spec.Batch
	switch {
	case b == nil:
		return nil
	case strings.Contains(b.Output, "://"), f.opts.Output == "" && f.opts.Target != Local && f.opts.Target != "edge":
		return nowhere{b.Output, f.opts.Target}
	}
	return &folder{filepath.Join(cmp.Or(f.opts.Output, f.Dir), filepath.FromSlash(b.Output))}
}

// nowhere is a place for scores that cannot be written to yet.
type nowhere struct{ output, target string }

func (n nowhere) Put(context.Context, string, []byte) error {
	return fault.New(fault.Unsupported, "app.Events", n.output, "scores cannot be written there on %s yet", n.target)
}

// folder keeps scores as files, each written whole under its name or not at all.
type folder struct{ dir string }

// Put writes a file that is there to stay when it returns. A file of that name
// is left as it is.
func (f *folder) Put(_ context.Context, name string, answer []byte) (err error) {
	fail := func(err error) error { return fault.New(fault.Unavailable, "app.Events", f.dir, "%w", err) }
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	if _, err := root.Lstat(name); err == nil {
		return nil
	}
	file, err := os.CreateTemp(f.dir, ".writing-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(answer)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fail(err)
	}
	// A link, unlike a rename, never replaces what another delivery has written.
	if err := root.Link(filepath.Base(file.Name()), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	return syncFolder(f.dir)
}

// syncFolder makes a new name in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fault.New(fault.Unavailable, "app.Events", dir, "%w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fault.New(fault.Unavailable, "app.Events", dir, "%w", err)
	}
	return nil
}
