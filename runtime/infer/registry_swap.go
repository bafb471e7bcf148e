package infer

import (
	"context"
	"sync"

	"godwit.dev/runtime/fault"
)

// served is a model in a registry with those who use it right now.
type served struct {
	model *Model
	users sync.WaitGroup // added to under the registry's lock, while an entry points here
}

// A Lease keeps a model from being unloaded by Replace or Remove while it is
// held. It is released exactly once; the zero Lease needs no release.
type Lease struct{ s *served }

// Release ends the lease.
func (l Lease) Release() {
	if l.s != nil {
		l.s.users.Done()
	}
}

// Acquire is Lookup with a lease: until it is released the model takes
// requests, whatever is replaced meanwhile. So a caller who goes on to Infer
// never meets a model that is being unloaded, but for Registry.Close.
func (r *Registry) Acquire(name, version string) (*Model, Lease, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, err := r.lookup(name, version)
	if err != nil {
		return nil, Lease{}, err
	}
	e.served.users.Add(1)
	return e.served.model, Lease{e.served}, nil
}

// Replace makes m the model of its name and version from now on, at once and
// for everybody; what was there before, if anything, answers those who hold a
// lease on it. retire waits for them, and then unloads it; ctx bounds both
// waits, and what is left then is unloaded by Close. With nothing to unload
// retire is nil.
func (r *Registry) Replace(m *Model) (retire func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(m.Name(), m.Version())
	old := e.served
	e.served, e.State, e.Reason, e.optional = &served{model: m}, Ready, "", false
	return r.retire(old)
}

// Remove takes the name and version out. retire is as for Replace. Removing
// what is not there does nothing.
func (r *Registry) Remove(name, version string) (retire func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, found := r.find(name, version)
	if !found {
		return nil
	}
	old := r.entries[i].served
	r.entries = append(r.entries[:i:i], r.entries[i+1:]...)
	return r.retire(old)
}

// Refuse records why a new model did not come into service. What serves under
// the name and version goes on, and Index tells the reason beside it. Where
// nothing does the version is Unavailable, which leaves the registry Ready. A
// nil cause takes an earlier reason back.
func (r *Registry) Refuse(name, version string, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(name, version)
	if cause == nil {
		e.Reason = ""
		return
	}
	e.Reason = "the newer one was refused: " + fault.Public(cause)
	if e.served == nil {
		e.State, e.Reason, e.optional = Unavailable, fault.Public(cause), true
	}
}

// retire keeps old for Close until it is unloaded. r.mu is held.
func (r *Registry) retire(old *served) func(ctx context.Context) error {
	if old == nil {
		return nil
	}
	if r.retired == nil {
		r.retired = map[*served]bool{}
	}
	r.retired[old] = true
	return func(ctx context.Context) error {
		idle := make(chan struct{})
		go func() { // ends with the last lease, which its request's context bounds
			old.users.Wait()
			close(idle)
		}()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := old.model.Close(ctx)
		if err != nil && ctx.Err() != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.retired, old)
		return err
	}
}
