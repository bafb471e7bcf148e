package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"godwit.dev/functions/batch"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/trigger"
)

// ScoreOptions say what of the spec's batch block does not count for one file.
type ScoreOptions struct {
	Columns map[string]string // column, or range of columns → input; nil: the spec's
	Pass    []string          // nil: the spec's
	Format  rows.Format       // of the scores; "": the spec's, else the input's
	MaxBad  spec.Percent      // of the rows; negative: the spec's
	// PartBytes is how large a part is; 0: the default.
	PartBytes int64
	// Stores, if any, are in the place of the function's.
	Stores batch.Stores
}

// Scorer scores files of rows with a function whose models are loaded.
func (f *Function) Scorer(o *ScoreOptions) (*batch.Handler, error) {
	objects, err := f.Objects(o)
	if err != nil {
		return nil, err
	}
	return batch.New(f.Handler, &batch.Options{
		Objects: objects, Limits: CodecLimits(&f.Spec.Limits), NaN: nanPolicy(f.Spec.Models), Log: f.opts.Logger,
	}), nil
}

// Objects is how the spec wants files of rows scored, but for what o says.
func (f *Function) Objects(o *ScoreOptions) (*batch.Objects, error) {
	b := f.Spec.Batch
	if b == nil {
		b = &spec.Batch{MaxBadRows: 100}
	}
	if o == nil {
		o = &ScoreOptions{MaxBad: -1}
	}
	columns, pass := o.Columns, o.Pass
	if columns == nil {
		columns = b.Columns
	}
	if pass == nil {
		pass = b.PassThrough
	}
	columns, err := Columns(columns)
	if err != nil {
		return nil, err
	}
	bad := o.MaxBad
	if bad < 0 {
		bad = b.MaxBadRows
	}
	code, err := f.code()
	if err != nil {
		return nil, err
	}
	objects := &batch.Objects{
		Models: f.Models, Ready: f.known.wait, Stores: f.opts.Stores, Columns: columns, Pass: pass, Format: cmp.Or(o.Format, formatOf(b.Format)),
		MaxBad: float64(bad) / 100, PartBytes: o.PartBytes, Code: code,
	}
	if o.Stores != nil {
		objects.Stores = o.Stores
	}
	if bad == 0 {
		objects.MaxBad = -1
	}
	for i := range f.Spec.Models {
		if rows := f.Spec.Models[i].Batching.MaxRows; rows > 0 && (objects.Rows == 0 || rows < objects.Rows) {
			objects.Rows = rows
		}
		if f.Spec.Models[i].Batching.Mode == "off" {
			objects.Rows = 1
		}
	}
	if f.Spec.Batch != nil {
		objects.Input, objects.Output = f.input(b.Input), cmp.Or(f.below(b.Output), keys(b.Output))
	}
	return objects, nil
}

// known is closed when it has been found out which models may be asked for several
// rows at a time, or that nobody will find out.
type known struct {
	once sync.Once
	is   chan struct{}
}

func (k *known) close() { k.once.Do(func() { close(k.is) }) }

// wait waits for that.
func (k *known) wait(ctx context.Context) error {
	select {
	case <-k.is:
		return nil
	case <-ctx.Done():
		return fault.New(fault.CodeOf(ctx.Err()), "app.Score", "", "%w", ctx.Err())
	}
}

// input is where objects may lie: what is relative is a prefix of keys in
// whichever bucket an event names, but on this machine a folder of the function.
func (f *Function) input(of string) string {
	if strings.Contains(of, "://") {
		return strings.TrimSuffix(of, "/") + "/"
	}
	if f.opts.Target == Local {
		return f.below(of)
	}
	return keys(of)
}

// keys is a relative prefix as keys of a bucket have it.
func keys(of string) string { return strings.Trim(strings.TrimPrefix(of, "./"), "/") + "/" }

// formatOf is a format of the spec as package rows has it.
func formatOf(format string) rows.Format {
	if format == "same" {
		return ""
	}
	return rows.Format(format)
}

// code identifies the user's handler, whose answers other code would not give:
// what the package's manifest says of the program, else the handler's sources.
func (f *Function) code() (string, error) {
	if f.opts.Wrap == nil {
		return "", nil
	}
	sum := sha256.New()
	if f.parcel != nil {
		for _, file := range f.parcel.Files {
			if name := filepath.Base(file.Path); name == "bootstrap" || strings.HasPrefix(name, "fn-") {
				sum.Write([]byte(file.SHA256))
			}
		}
		return hex.EncodeToString(sum.Sum(nil)), nil
	}
	dir := os.DirFS(filepath.Join(f.Dir, filepath.FromSlash(f.Spec.Handler)))
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(dir, path)
		if err != nil {
			return err
		}
		one := sha256.Sum256(data)
		sum.Write([]byte(path + "\x00"))
		sum.Write(one[:])
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// Score scores one file of rows, in the way that the spec and o say.
func (f *Function) Score(ctx context.Context, job *batch.Job, o *ScoreOptions) (*batch.Result, error) {
	s, err := f.Scorer(o)
	if err != nil {
		return nil, err
	}
	return s.Score(ctx, job)
}

// ScorePrefix scores all objects below a prefix, or a share of them, in the way
// that the spec and o say.
func (f *Function) ScorePrefix(ctx context.Context, p *batch.Prefix, o *ScoreOptions) (*batch.PrefixResult, error) {
	s, err := f.Scorer(o)
	if err != nil {
		return nil, err
	}
	return s.ScorePrefix(ctx, p)
}

// Deliveries scores what is delivered by hand, such as what failed for good
// when a platform delivered it: answers and scores go below output, a folder or
// the URL of a prefix.
func (f *Function) Deliveries(output string, o *ScoreOptions) (trigger.Handler, error) {
	objects, err := f.Objects(o)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(output, "://") {
		if output, err = filepath.Abs(output); err != nil {
			return nil, fault.New(fault.BadConfig, "app.Deliveries", output, "%w", err)
		}
	}
	output = strings.TrimSuffix(output, "/") + "/"
	objects.Input, objects.Output = "", output
	switch b := f.Spec.Batch; { // scores have the names that the function's deliveries give them
	case b == nil:
	case strings.Contains(b.Input, "://"):
		objects.Input = f.input(b.Input)
	default:
		objects.Input = keys(b.Input) // in whichever bucket, wherever this runs
	}
	return batch.New(f.Handler, &batch.Options{
		Sink: &prefix{f.opts.Stores, output}, Objects: objects,
		Limits: CodecLimits(&f.Spec.Limits), NaN: nanPolicy(f.Spec.Models), Log: slog.New(slog.DiscardHandler),
	}), nil
}
