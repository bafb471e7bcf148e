package bake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// Options of Model; nil means defaults.
type Options struct {
	// Name is the model's, and Path what the spec calls its file, with slashes;
	// forms lie beside it in the package. Default: the file's own name.
	Name, Path string
	// Arch is the architecture that the form is for. Default: this machine's,
	// which is the only one that a form can be proven on.
	Arch string
	// Provider is where operators will run: "" and "cpu" are the CPU, and no
	// other is baked for.
	Provider string
	// Requests are the recorded ones; those of other models are left aside.
	Requests []recorded.Request
	// Cold says that processes start for few requests, which come one at a time:
	// then the load counts for more than a run. Otherwise a form is never slower
	// to run than the model itself.
	Cold bool
	// Processor adds a form for this machine's class of processors, if it is
	// another than the one that is right everywhere and a request is recorded
	// with its answer. It takes as much room again.
	Processor bool
}

// Form is a baked form and its files.
type Form struct {
	Baked manifest.Baked
	// Files are where the files are now, by their path in the package.
	Files map[string]string
}

// Model bakes the model at file into the folder dir, which must exist and
// belong to the caller, and proves each form against the model: on every
// recorded request within its tolerance, or, where none is recorded, on made-up
// ones within the usual one. The same model, options and engine give the same
// bytes.
//
// Errors: Unsupported when the model cannot be baked or not be proven, so that
// it is to be packaged as it is: another architecture or provider, an engine
// that does not bake, answers that differ from run to run, no request that it
// answers. Mismatch when a form answers differently: tensor, difference and
// tolerance are in the message. Otherwise those of loading and of running.
func Model(ctx context.Context, eng driver.Engine, file, dir string, opts *Options) ([]Form, error) {
	b, err := newBaker(eng, file, dir, opts)
	if err != nil {
		return nil, err
	}
	extended, err := b.form(ctx, driver.Extended)
	if err != nil {
		return nil, err
	}
	forms := []Form{*extended}
	var blocked bool
	var all *Form
	if !b.o.Cold || b.o.Processor {
		if blocked, all, err = b.laidOut(ctx, extended); err != nil {
			return nil, err
		}
	}
	// Where the processor's own layout makes runs faster, a process that lives
	// for long lets the engine make it at each load, over a graph that has its
	// other optimisations already; a short one has no time for that.
	b.graph.Optimized = b.o.Cold || !blocked
	b.graph.Unpacked = b.o.Cold && b.graph.Dense
	if err := b.describe(&forms[0]); err != nil {
		return nil, err
	}
	p, err := b.ask(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.prove(ctx, &forms[0], p); err != nil {
		return nil, err
	}
	if !b.o.Processor || !blocked || !p.recorded {
		return forms, drop(all)
	}
	b.graph.Optimized = true
	all.Baked.CPU = app.Processor()
	if err := b.describe(all); err != nil {
		return nil, err
	}
	if err := b.prove(ctx, all, p); err != nil {
		return nil, err
	}
	return append([]Form{*all}, forms...), nil
}

type baker struct {
	eng       driver.Engine
	make      driver.Baker
	o         Options
	file, dir string
	digest    string
	graph     *app.Graph
}

func newBaker(eng driver.Engine, file, dir string, opts *Options) (*baker, error) {
	b := &baker{eng: eng, file: file, dir: dir}
	if opts != nil {
		b.o = *opts
	}
	if b.o.Path == "" {
		b.o.Path = filepath.Base(file)
	}
	if b.o.Name == "" {
		b.o.Name = "model"
	}
	no := func(format string, args ...any) (*baker, error) {
		return nil, fault.New(fault.Unsupported, "bake.Model", file, format, args...)
	}
	if a := b.o.Arch; a != "" && a != runtime.GOARCH {
		return no("want %s, where a form for it could be proven, got %s", a, runtime.GOARCH)
	}
	if p := b.o.Provider; p != "" && p != "cpu" {
		return no("want a model that runs on the CPU, got provider %q, which optimises it itself", p)
	}
	var can bool
	if b.make, can = eng.(driver.Baker); !can {
		return no("want an engine that bakes, got %s", eng.Info().Name)
	}
	model, err := onnx.Read(file, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(model.Check(nil), model.CheckExternal(filepath.Dir(file))); err != nil {
		return nil, err
	}
	if b.digest, err = model.DigestAll(); err != nil {
		return nil, err
	}
	if b.graph = app.GraphOf(model); !b.graph.Deterministic {
		return no("want a model whose answers can be compared, got random or custom operators")
	}
	return b, nil
}

// form bakes at a level.
func (b *baker) form(ctx context.Context, level driver.Level) (*Form, error) {
	// The name is in the form's bytes, so it follows from the spec alone.
	base := strings.TrimSuffix(path.Base(b.o.Path), path.Ext(b.o.Path)) + "." + string(level) + ".onnx"
	out := filepath.Join(b.dir, base)
	if err := b.make.Bake(ctx, b.file, out, level); err != nil {
		return nil, fmt.Errorf("bake.Model: %w", err)
	}
	inside := path.Join(path.Dir(b.o.Path), base)
	f := &Form{Files: map[string]string{inside: out}, Baked: manifest.Baked{Path: inside, Format: "onnx", Level: string(level)}}
	if _, err := os.Stat(out + driver.DataSuffix); err == nil {
		f.Files[inside+driver.DataSuffix] = out + driver.DataSuffix
		f.Baked.Data = []string{inside + driver.DataSuffix}
	}
	b.graph.Runtime = b.eng.Info().Version
	return f, nil
}

// laidOut bakes for this machine's processor and reports whether that is
// another graph than the one that is right everywhere.
func (b *baker) laidOut(ctx context.Context, extended *Form) (bool, *Form, error) {
	all, err := b.form(ctx, driver.All)
	if err != nil {
		return false, nil, err
	}
	var ops [2]string
	for i, f := range []*Form{extended, all} {
		model, err := onnx.Read(f.Files[f.Baked.Path], nil)
		if err != nil {
			return false, nil, err
		}
		ops[i] = fmt.Sprint(model.Ops)
	}
	return ops[0] != ops[1], all, nil
}

// describe puts into a form's entry what the server decides by.
func (b *baker) describe(f *Form) error {
	text, err := json.Marshal(b.graph)
	if err != nil {
		return fault.New(fault.Internal, "bake.Model", b.file, "%w", err)
	}
	f.Baked.Graph = text
	return nil
}

// drop removes a form that nobody gets; nil is none.
func drop(f *Form) error {
	if f == nil {
		return nil
	}
	for _, file := range f.Files {
		if err := os.Remove(file); err != nil {
			return fault.New(fault.Internal, "bake.Model", file, "%w", err)
		}
	}
	return nil
}

// load opens a file with the engine as it is served, but for threads.
func (b *baker) load(ctx context.Context, file string, g *app.Graph) (*infer.Model, error) {
	return infer.Load(ctx, b.eng, file, &infer.Options{Name: b.o.Name, Digest: b.digest, NoArena: g.Lean, Optimized: g.Optimized, Unpacked: g.Unpacked})
}
