package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// A Change is what Reload did about one version of one model.
type Change struct {
	Model, Version string
	What           string // "unchanged", "added", "replaced", "removed" or "refused"
	Digest         string // of what serves now; "" for nothing
	Err            error  // why it was refused
}

// swap is what reloading keeps between two times.
type swap struct {
	turn   chan struct{} // its token is held by who loads and unloads
	closed chan struct{} // closed by Close
	once   sync.Once

	mu      sync.Mutex
	serving []spec.Model // as they were read when they came into service

	busy []func(context.Context) error // unloads what was still in use; under turn
}

func newSwap() *swap { return &swap{turn: make(chan struct{}, 1), closed: make(chan struct{})} }

// take waits for the turn. Errors: Unavailable after Close, the context's.
func (s *swap) take(ctx context.Context, op string) error {
	select {
	case <-s.closed:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case s.turn <- struct{}{}:
		select {
		case <-s.closed:
			<-s.turn
		default:
			return nil
		}
	}
	return fault.New(fault.Unavailable, op, "", "the function is being closed")
}

// models are those that serve, or will once they are loaded.
func (f *Function) models() []spec.Model {
	f.swap.mu.Lock()
	defer f.swap.mu.Unlock()
	return slices.Clone(f.swap.serving)
}

// served puts m in the place of the same name and version; nil takes it out.
func (f *Function) served(name, version string, m *spec.Model) {
	f.swap.mu.Lock()
	defer f.swap.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(f.swap.serving), func(o spec.Model) bool { return o.Name == name && o.Version == version })
	if m != nil {
		all = append(all, *m)
	}
	f.swap.serving = all
}

// Reload reads the function's spec and files again and brings what changed
// into service: models that are new, whose files have another digest or whose
// settings differ are loaded beside those that serve, tried, and only then put
// in their place, each at once; models that the spec no longer has go. With
// names, only models of these names are looked at. No request fails of it:
// those in flight end on the model that they began with, which is unloaded
// then.
//
// To try a model is: to check its files as at the start, the memory that is
// left included; Options.Canary; to load it; and to answer the recorded
// requests through the user's handler as recorded, those aside whose answer
// came from another version of the model that is served. What does not pass is
// refused: the old one serves on, and the repository index has the reason.
//
// Only models are reloaded; another setting of the spec needs a restart, and
// the log says so. Calls come one after the other. When ctx ends, Reload
// returns at once, and what is being loaded is dropped when that is done.
//
// The changes are sorted as in the spec, those that went last. The error joins
// the reasons of those refused: BadModel, Mismatch and those of Open; with
// BadConfig, NotFound for an unknown name, or the context's nothing changed.
func (f *Function) Reload(ctx context.Context, names ...string) ([]Change, error) {
	if err := f.swap.take(ctx, "app.Reload"); err != nil {
		return nil, err
	}
	type result struct {
		changes []Change
		err     error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-f.swap.turn }()
		changes, err := f.reload(ctx, names)
		done <- result{changes, err}
	}()
	select {
	case r := <-done:
		return r.changes, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("app.Reload: %w", ctx.Err())
	}
}

func (f *Function) reloadModel(ctx context.Context, name string) error {
	_, err := f.Reload(ctx, name)
	return err
}

func (f *Function) reload(ctx context.Context, names []string) ([]Change, error) {
	f.unloadBusy(ctx)
	s, requests, err := f.reread()
	if err != nil {
		return nil, err
	}
	wanted := func(m spec.Model) bool { return len(names) == 0 || slices.Contains(names, m.Name) }
	before := f.models()
	for _, name := range names {
		named := func(m spec.Model) bool { return m.Name == name }
		if !slices.ContainsFunc(s.Models, named) && !slices.ContainsFunc(before, named) {
			return nil, fault.New(fault.NotFound, "app.Reload", fmt.Sprintf("model %q", name), "godwit.yaml has no such model")
		}
	}
	var changes []Change
	var problems []error
	refused := map[string]bool{}
	for i := range s.Models {
		m := &s.Models[i]
		if !wanted(*m) {
			continue
		}
		c := f.renew(ctx, m, requests)
		if c.Err != nil && ctx.Err() != nil {
			return changes, fmt.Errorf("app.Reload: %w", ctx.Err())
		}
		if c.Err != nil {
			refused[m.Name] = true
			f.Models.Refuse(m.Name, m.Version, c.Err)
			problems = append(problems, fmt.Errorf("model %q version %q: %w", m.Name, m.Version, c.Err))
		}
		changes = append(changes, c)
	}
	for _, m := range before {
		gone := !slices.ContainsFunc(s.Models, func(o spec.Model) bool { return o.Name == m.Name && o.Version == m.Version })
		// A version goes only once what comes in its place has come.
		if !gone || !wanted(m) || refused[m.Name] {
			continue
		}
		f.served(m.Name, m.Version, nil)
		f.retire(ctx, m.Name, f.Models.Remove(m.Name, m.Version))
		f.opts.Logger.InfoContext(ctx, "model removed", "model", m.Name, "version", m.Version)
		changes = append(changes, Change{Model: m.Name, Version: m.Version, What: "removed"})
	}
	f.guard.relimit()
	f.fetched.keep(f.models())
	return changes, errors.Join(problems...)
}

// reread reads the spec and the recorded requests.
func (f *Function) reread() (*spec.Spec, []recorded.Request, error) {
	dir, s, err := ReadSpec(f.source)
	if err != nil {
		return nil, nil, err
	}
	next := &Function{Dir: dir, Spec: s, opts: f.opts}
	if err := next.supported(); err != nil {
		return nil, nil, err
	}
	if f.source == dir { // another package may be there
		if next.parcel, err = openParcel(dir); err != nil {
			return nil, nil, err
		}
	}
	f.parcel = next.parcel
	if s.Models[0].NaNPolicy != f.Spec.Models[0].NaNPolicy {
		return nil, nil, fault.New(fault.Unsupported, "app.Reload", f.source, "want nanPolicy %q as at the start, got %q", f.Spec.Models[0].NaNPolicy, s.Models[0].NaNPolicy).
			WithHint("Restart to change it.")
	}
	if other := differs(s, f.Spec); other != "" {
		f.opts.Logger.Warn("godwit.yaml changed beyond its models, which needs a restart", "setting", other)
	}
	requests, err := next.Requests()
	return s, requests, err
}

// differs names a setting that is not the same in both, models aside.
func differs(a, b *spec.Spec) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		field := x.Type().Field(i)
		if field.IsExported() && field.Name != "Models" && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return field.Name
		}
	}
	return ""
}

// renew brings m into service if it is not what serves already.
func (f *Function) renew(ctx context.Context, m *spec.Model, requests []recorded.Request) Change {
	c := Change{Model: m.Name, Version: m.Version, What: "added"}
	current, err := f.Models.Lookup(m.Name, m.Version)
	if err == nil {
		c.What, c.Digest = "replaced", current.Digest()
	}
	refuse := func(err error) Change {
		c.What, c.Err = "refused", err
		return c
	}
	i, err := f.inspect(ctx, m)
	if fault.CodeOf(err) == fault.NotFound { // which callers would take for a model that there is not
		err = fault.New(fault.BadModel, "app.Reload", m.Path, "want a model file, got none")
	}
	if err != nil {
		return refuse(err)
	}
	if c.Digest == i.digest && f.sameSettings(m) {
		f.Models.Refuse(m.Name, m.Version, nil) // a file that was bad may be good again
		c.What = "unchanged"
		return c
	}
	if err := i.fits(f.room()); err != nil {
		return refuse(err)
	}
	if f.opts.Canary != nil {
		if err := f.opts.Canary(ctx, i.path, f.driverOptions(m, i)); err != nil {
			return refuse(err)
		}
	}
	loaded, err := f.launch(ctx, m, i)
	if err != nil {
		return refuse(err)
	}
	if err := f.warm(ctx, loaded, requests); err != nil {
		return refuse(errors.Join(err, loaded.Close(context.WithoutCancel(ctx))))
	}
	f.settle(ctx)
	f.served(m.Name, m.Version, m)
	retire := f.Models.Replace(loaded)
	f.opts.Logger.InfoContext(ctx, "model "+c.What, "model", m.Name, "version", m.Version, "digest", i.digest, "was", c.Digest)
	c.Digest = i.digest
	f.retire(ctx, m.Name, retire)
	return c
}

// sameSettings reports whether m is to run as what serves in its place does.
func (f *Function) sameSettings(m *spec.Model) bool {
	return slices.ContainsFunc(f.models(), func(o spec.Model) bool {
		o.Path, o.SHA256 = m.Path, m.SHA256
		return reflect.DeepEqual(o, *m)
	})
}

// warm answers the recorded requests of loaded's name and compares.
func (f *Function) warm(ctx context.Context, loaded *infer.Model, requests []recorded.Request) error {
	others := map[string]bool{}
	for _, m := range f.models() {
		if m.Name != loaded.Name() || m.Version == loaded.Version() {
			continue
		}
		if other, err := f.Models.Lookup(m.Name, m.Version); err == nil {
			others[other.Digest()] = true
		}
	}
	var samples []*infer.Request
	for i := range requests {
		r := &requests[i]
		if r.Model != loaded.Name() {
			continue
		}
		req, err := r.Decode()
		if err != nil {
			return err
		}
		samples = append(samples, req)
		try := *req
		try.Candidate = loaded
		want := r.Want
		if want != nil && others[want.ModelDigest] {
			want = nil
		}
		if err := f.try(ctx, &try, want); err != nil {
			return fmt.Errorf("app.Reload recorded request %q: %w", r.Name, err)
		}
	}
	if err := loaded.ProbeBatching(ctx, samples); err != nil {
		f.opts.Logger.DebugContext(ctx, "requests do not share runs", "model", loaded.Name(), "error", err)
	}
	return ctx.Err()
}

func (f *Function) try(ctx context.Context, req *infer.Request, want *recorded.Want) error {
	ctx, cancel := context.WithTimeout(ctx, f.patience())
	defer cancel()
	resp, err := f.Handler.Infer(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Release()
	if want == nil {
		return nil
	}
	return want.Check(resp)
}

// patience is how long one request may take.
func (f *Function) patience() time.Duration {
	if d := time.Duration(f.Spec.Limits.Request); d > 0 {
		return d
	}
	return time.Minute
}

// retire waits for those who still use a model and unloads it. One that is in
// use for longer than a request may take is unloaded the next time, or by Close.
func (f *Function) retire(ctx context.Context, name string, unload func(context.Context) error) {
	if unload == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, f.patience())
	defer cancel()
	err := unload(wait)
	if err == nil {
		if h, ok := f.Handler.(interface{ Sweep() }); ok {
			h.Sweep()
		}
		return
	}
	f.opts.Logger.WarnContext(ctx, "the old model is not unloaded yet", "model", name, "error", err)
	if wait.Err() != nil {
		f.swap.busy = append(f.swap.busy, unload)
	}
}

// unloadBusy tries again what retire had to leave. The turn is held.
func (f *Function) unloadBusy(ctx context.Context) {
	left := f.swap.busy
	f.swap.busy = nil
	for _, unload := range left {
		f.retire(ctx, "", unload)
	}
}

// Close stops loading, and unloads the models once the runs in flight have
// ended; ctx bounds that.
func (f *Function) Close(ctx context.Context) error {
	f.swap.once.Do(func() { close(f.swap.closed) })
	defer f.fetched.keep(nil)
	defer f.claimed.Close()
	defer f.late.wait()
	defer f.crowd.stop()
	f.guard.stop()
	f.pace.Load().stop()
	err := f.Models.Close(ctx)
	select {
	case f.swap.turn <- struct{}{}: // nothing is being loaded any more
		<-f.swap.turn
		return errors.Join(err, f.Models.Close(ctx))
	case <-ctx.Done():
		return err
	}
}
