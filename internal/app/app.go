// Package app opens a function folder and joins its parts: the spec becomes
// the Options of models, functions and adapters, over an engine that is given.
// Every binary and every command goes through it, so that nothing is
// configured in two ways.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/functions/predict"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/fetch"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
	"godwit.dev/runtime/telemetry"
)

// Local is the target of a laptop: no platform.
const Local = "local"

// Options of an open function; nil means defaults.
type Options struct {
	Target    string // whose settings count; default Local
	Wrap      func(infer.Handler) infer.Handler
	Observers []predict.Observer
	Logger    *slog.Logger   // nil discards
	Sink      telemetry.Sink // nil discards
	// Phase is told how long the parts of the start took that are inside of
	// loading: those of driver.Setup.Start, and "digest". nil: nobody is.
	Phase   func(phase string, took time.Duration)
	Quota   quota.Quota   // the zero value means one CPU
	Timeout time.Duration // per request; 0 leaves it to the caller
	// Single says that requests come one at a time, as on a command line: then
	// nothing is tried that only many at once gain from.
	Single bool
	// Concurrency is how many requests at once the platform sends to a process,
	// where the target alone does not tell; 0 is what is usual for the target.
	Concurrency int
	// Provider is where operators run; the zero value leaves it to the
	// target's block of the spec, which for Local is the CPU.
	Provider driver.Provider
	// Memory tells how much of the quota's memory is in use; nil: not known.
	Memory *quota.Gauge
	// Canary loads a new version of a model somewhere else first, under limits,
	// where it can do no harm; an error keeps it from coming into service. nil:
	// it is loaded here at once.
	Canary func(ctx context.Context, path string, o *driver.Options) error
	// Answers gets the answers to deliveries that the spec's batch.output has got;
	// nil: nothing else gets them.
	Answers batch.Sink
	// Rest is how long after the models are loaded begins what makes later
	// requests faster: on the one processor that many platforms give, it would
	// take from the first ones. 0 begins at once.
	Rest time.Duration
	// Fetch brings models behind URLs here; nil: there are none.
	Fetch *fetch.Fetcher
	// Output is the folder, or the URL of a prefix, that a relative batch.output
	// is in; default the function's folder on this machine and on a device, and
	// none on a platform, where nobody would ever find what is in it.
	Output string
	// Stores are where objects are read and scores written. The caller closes
	// them, after the function. nil: the files of this machine alone.
	Stores *store.Set
	// Tables open what batch.claims names, by scheme, but for files, which need
	// none; nil: those are all there are.
	Tables map[string]func(name string) (store.Table, error)
	// Queue opens the queue that batch.split names; nil: large objects are not
	// handed out.
	Queue func(url string) (batch.Queue, error)
}

// Function is an opened function folder. Its methods may be called concurrently.
type Function struct {
	Dir    string
	Spec   *spec.Spec
	Models *infer.Registry
	// Handler answers requests. Until Load has ended it says that models load.
	Handler infer.Handler

	opts    Options
	eng     driver.Engine
	source  string  // what Open was given
	parcel  *parcel // nil for a folder that was not packaged; under swap's turn
	late    late
	swap    *swap
	guard   *guard
	fetched fetched
	scored  *batch.Objects // how deliveries of objects are scored; nil without triggers
	claims  *batch.Claims  // nil without
	split   *batch.Split   // likewise
	claimed *lazyTable     // theirs
	known   known
	pace    atomic.Pointer[pace]
	crowd   crowd
}

// Prepare begins what of eng's start needs no model: a native library takes
// longer to load than all that is read before the first model. Open does it
// too; who has something to read before that calls it first. Opening a model
// waits for it, and gets its error.
func Prepare(eng driver.Engine) {
	if e, ok := eng.(driver.Preparer); ok {
		go e.Prepare()
	}
}

// Open reads the spec of dir, or makes one for a lone model file, and declares
// its models; Load loads them. Errors: BadConfig, BadModel, Unsupported.
func Open(dir string, eng driver.Engine, opts *Options) (*Function, error) {
	Prepare(eng)
	f := &Function{Dir: dir, Models: &infer.Registry{}, eng: eng, source: dir, swap: newSwap(), known: known{is: make(chan struct{})}, crowd: crowd{threads: ownThreads{}}}
	if opts != nil {
		f.opts = *opts
	}
	if f.opts.Target == "" {
		f.opts.Target = Local
	}
	if f.opts.Logger == nil {
		f.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if f.opts.Sink == nil {
		f.opts.Sink = telemetry.Discard{}
	}
	if f.opts.Stores == nil {
		f.opts.Stores = store.NewSet(map[string]store.Opener{"file": folder.Open})
	}
	var err error
	if f.Dir, f.Spec, err = ReadSpec(dir); err != nil {
		return nil, err
	}
	if f.Dir == dir { // not a lone model file
		if f.parcel, err = openParcel(dir); err != nil {
			return nil, err
		}
	}
	if f.Spec.Handler != "" && f.opts.Wrap == nil {
		return nil, fault.New(fault.Unsupported, "app.Open", dir, "handler %q is Go code, which this binary does not contain", f.Spec.Handler).
			WithHint("`godwit serve` and `godwit predict` build it in; they need Go.")
	}
	if err := f.supported(); err != nil {
		return nil, err
	}
	if len(f.Spec.Triggers) > 0 {
		if f.scored, err = f.Objects(nil); err != nil {
			return nil, err
		}
		if f.claims, err = f.newClaims(); err != nil {
			return nil, err
		}
		if f.split, err = f.newSplit(); err != nil {
			return nil, err
		}
	}
	f.swap.serving = f.Spec.Models
	f.guard = newGuard(eng, &f.opts)
	for _, m := range f.Spec.Models {
		if err := f.Models.Declare(m.Name, m.Version); err != nil {
			return nil, err
		}
	}
	f.Handler = predict.New(f.Models, &predict.Options{
		Wrap: f.opts.Wrap, Observers: f.opts.Observers, Logger: f.opts.Logger, Timeout: f.opts.Timeout,
		Cache: f.cacheBytes, Sink: f.opts.Sink,
	})
	if f.parcel != nil && f.opts.Single {
		f.Handler = f.late.before(f.Handler)
	}
	return f, nil
}

// supported refuses what the spec asks for and nothing here would do: a
// setting that is silently ignored is worse than one that is missing.
func (f *Function) supported() error {
	first := &f.Spec.Models[0]
	for i := range f.Spec.Models {
		m := &f.Spec.Models[i]
		subject := fmt.Sprintf("model %q", m.Name)
		if m.NaNPolicy != first.NaNPolicy {
			return fault.New(fault.Unsupported, "app.Open", subject, "want nanPolicy %q as model %q has, got %q: a server has one", first.NaNPolicy, first.Name, m.NaNPolicy).
				WithHint("Give all models of a function the same nanPolicy.")
		}
	}
	return nil
}

// ReadSpec reads the spec of a function folder. For a model file it returns
// the file's folder and the spec that means only that file.
func ReadSpec(path string) (dir string, s *spec.Spec, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, fault.New(fault.BadConfig, "app.Open", path, "%w", errors.Unwrap(err)).
			WithHint("Give a function folder, as `godwit init` makes it, or a model file.")
	}
	if info.IsDir() {
		s, err = spec.Load(path)
		return path, s, err
	}
	s, err = spec.New(filepath.Base(path))
	return filepath.Dir(path), s, err
}

// Load loads every model. It returns as soon as ctx ends, even when the engine
// is in the middle of a model and cannot stop: the process is about to exit then.
func (f *Function) Load(ctx context.Context) error {
	if err := f.swap.take(ctx, "app.Load"); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-f.swap.turn }()
		defer f.known.close()
		start := time.Now()
		var problems []error
		for i := range f.Spec.Models {
			problems = append(problems, f.load(ctx, &f.Spec.Models[i]))
		}
		f.opts.Sink.Start("load", time.Since(start))
		f.guard.start()
		f.startPace()
		done <- errors.Join(problems...)
		if !f.rest() {
			return
		}
		f.probeBatching(ctx)
		f.known.close()
		f.settle(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("app.Load: %w", ctx.Err())
	}
}

func (f *Function) load(ctx context.Context, m *spec.Model) error {
	loaded, err := f.open(ctx, m)
	if err != nil {
		return errors.Join(err, f.Models.Fail(m.Name, m.Version, err))
	}
	if err := f.Models.Add(loaded); err != nil {
		return err
	}
	engine := loaded.Info()
	intraOp, runs := loaded.Threads()
	f.opts.Logger.InfoContext(ctx, "model loaded", "model", m.Name, "version", m.Version, "digest", loaded.Digest(),
		"engine", engine.Name, "engine_version", engine.Version, "providers", strings.Join(loaded.Providers(), ","),
		"threads", intraOp, "runs", runs)
	f.opts.Sink.Runtime(telemetry.RuntimeInfo{Version: Version(), Engine: engine.Name, EngineVersion: engine.Version,
		Provider: loaded.Providers()[0], Target: f.opts.Target})
	return nil
}

func (f *Function) open(ctx context.Context, m *spec.Model) (*infer.Model, error) {
	if forms, err := f.forms(m); err != nil || len(forms) > 0 {
		if err != nil {
			return nil, err
		}
		return f.openBaked(ctx, m, forms)
	}
	path, err := f.ModelPath(ctx, m)
	if err != nil {
		return nil, err
	}
	read := examine
	if m.SHA256 != "" { // the engine gets no other files than those
		read = func(path string, room int64) (*inspected, error) { return inspect(path, m, room) }
	}
	i, err := read(path, f.room())
	if err != nil {
		return nil, err
	}
	i.parcel = f.parcel
	return f.launch(ctx, m, i)
}

// launch loads what was inspected.
func (f *Function) launch(ctx context.Context, m *spec.Model, i *inspected) (*infer.Model, error) {
	if err := f.keepable(m, i); err != nil {
		return nil, err
	}
	o := &infer.Options{Name: m.Name, Version: m.Version, Digest: i.digest, Provider: f.provider(), Deterministic: i.graph.Deterministic}
	if o.Optimized, o.Unpacked = i.graph.Optimized, i.graph.Unpacked; i.baked != nil || i.parcel != nil {
		o.Digest = "" // every load compares the package's files with its manifest
	}
	o.DigestOf = func() (string, error) {
		if f.opts.Phase != nil {
			defer func(begun time.Time) { f.opts.Phase("digest", time.Since(begun)) }(time.Now())
		}
		return i.sum(m)
	}
	if i.baked != nil && f.opts.Single {
		sum := o.DigestOf
		o.Digest, o.DigestOf = i.digest, nil
		f.late.begin(func() error { _, err := sum(); return err })
	}
	var why string
	o.IntraOp, o.Runs, why = f.threads(m, i.graph)
	o.NoArena = i.graph.Lean
	o.Queue = f.Spec.Limits.Queue * o.Runs
	o.QueueShare = int(f.Spec.Limits.QueueShare)
	o.Batch = f.batching(m)
	if !f.opts.Single {
		o.Overloaded = f.crowd.overloaded
	}
	loaded, err := infer.Load(ctx, f.eng, i.path, o)
	if other := i.fitsEngine(f.eng.Info()); other != nil {
		if err == nil {
			other = errors.Join(other, loaded.Close(ctx))
		}
		return nil, other
	}
	if err != nil {
		return nil, err
	}
	if err := i.unchanged(); err != nil {
		return nil, errors.Join(err, loaded.Close(ctx))
	}
	f.opts.Logger.InfoContext(ctx, "threads", "model", m.Name, "version", m.Version, "threads", o.IntraOp, "runs", o.Runs, "why", why)
	return loaded, nil
}

// provider is what the options say, else what the target's block says.
func (f *Function) provider() driver.Provider {
	if f.opts.Provider.Name != "" {
		return f.opts.Provider
	}
	if t := f.Spec.Targets.Common(f.opts.Target); t != nil {
		return driver.Provider{Name: t.Provider, Options: t.ProviderOptions}
	}
	return driver.Provider{}
}

// ModelNames lists the names of the models, each once, in the spec's order.
func (f *Function) ModelNames() []string {
	var names []string
	for _, m := range f.Spec.Models {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// Requests reads the function's recorded requests; a function without any has none.
func (f *Function) Requests() ([]recorded.Request, error) {
	return recorded.Load(f.Dir, f.ModelNames()...)
}
