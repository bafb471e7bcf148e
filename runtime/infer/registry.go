package infer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"godwit.dev/runtime/fault"
)

// State is where a model version is in its life. The names are the
// repository extension's.
type State uint8

// The states of a model version.
const (
	Unavailable State = iota // it failed to load; Status.Reason says why
	Loading
	Ready
	Unloading
)

// String is the protocol's name of the state.
func (s State) String() string {
	return [...]string{"UNAVAILABLE", "LOADING", "READY", "UNLOADING"}[s]
}

// Status is one line of the repository index.
type Status struct {
	Name, Version string
	State         State
	Reason        string // why it is not ready; safe to show to a caller
}

type entry struct {
	Status
	served *served // nil unless it is loaded
	// optional is a version that never served; that it failed is nobody's loss.
	optional bool
}

// Registry holds the models of one process, by name and version. All methods
// may be called concurrently. The zero value is empty and ready to use.
type Registry struct {
	mu      sync.RWMutex
	entries []*entry // sorted by name, then from the oldest version to the newest
	retired map[*served]bool
}

// Declare announces a model version that will be loaded, so that readiness
// waits for it and callers are told "loading" instead of "not found".
func (r *Registry) Declare(name, version string) error {
	_, err := r.insert(name, version)
	return err
}

// Add makes m available, and the newest version of its name the default. A
// version that is there already, and not only declared, is an error.
func (r *Registry) Add(m *Model) error {
	e, err := r.insert(m.Name(), m.Version())
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.served, e.State, e.Reason = &served{model: m}, Ready, ""
	return nil
}

// Fail records that a declared version could not be loaded.
func (r *Registry) Fail(name, version string, cause error) error {
	e, err := r.insert(name, version)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.State, e.Reason = Unavailable, fault.Public(cause)
	return nil
}

func (r *Registry) insert(name, version string) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entry(name, version); e.served == nil {
		return e, nil
	}
	return nil, fault.New(fault.BadConfig, "infer.Registry", fmt.Sprintf("model %q", name), "version %q is there already", version).
		WithHint("Give every version of a model its own version string.")
}

// entry is the one of name and version, a new one that loads if there was none.
func (r *Registry) entry(name, version string) *entry {
	i, found := r.find(name, version)
	if !found {
		r.entries = slices.Insert(r.entries, i, &entry{Status: Status{Name: name, Version: version, State: Loading}})
	}
	return r.entries[i]
}

func (r *Registry) find(name, version string) (int, bool) {
	return slices.BinarySearchFunc(r.entries, &entry{Status: Status{Name: name, Version: version}}, compareEntries)
}

func compareEntries(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), CompareVersions(a.Version, b.Version))
}

// CompareVersions orders version strings as people count: the numbers in them
// compare as numbers, so "v9" is older than "v10"; other text compares as text.
func CompareVersions(a, b string) int {
	rest := func(s string) (text, digits, tail string) {
		i := strings.IndexAny(s, "0123456789")
		if i < 0 {
			return s, "", ""
		}
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		return s[:i], s[i:j], s[j:]
	}
	for x, y := a, b; x != "" || y != ""; {
		var tx, dx, ty, dy string
		tx, dx, x = rest(x)
		ty, dy, y = rest(y)
		if c := cmp.Or(strings.Compare(tx, ty), compareDigits(dx, dy)); c != 0 {
			return c
		}
	}
	// "1" and "01" are equal numbers but different versions.
	return strings.Compare(a, b)
}

func compareDigits(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// Lookup returns the model with the name and version. An empty name means the
// only model there is; an empty version the newest that is ready. Errors:
// NotFound, or Unavailable while it loads or after it failed to. Whoever sends
// it requests uses Acquire.
func (r *Registry) Lookup(name, version string) (*Model, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, err := r.lookup(name, version)
	if err != nil {
		return nil, err
	}
	return e.served.model, nil
}

func (r *Registry) lookup(name, version string) (*entry, error) {
	if name == "" {
		only, err := r.only()
		if err != nil {
			return nil, err
		}
		name = only
	}
	var last *entry
	for _, e := range slices.Backward(r.entries) {
		if e.Name != name || (version != "" && e.Version != version) {
			continue
		}
		if e.State == Ready {
			return e, nil
		}
		if last == nil {
			last = e
		}
	}
	subject := fmt.Sprintf("model %q", name)
	if version != "" {
		subject += fmt.Sprintf(" version %q", version)
	}
	switch {
	case last == nil:
		return nil, fault.New(fault.NotFound, "infer.Registry", subject, "want one of %s, got an unknown one", r.known())
	case last.State == Loading:
		return nil, fault.New(fault.Unavailable, "infer.Registry", subject, "still loading").WithHint("Retry in a moment.")
	case last.State == Unloading:
		return nil, fault.New(fault.Unavailable, "infer.Registry", subject, "being unloaded")
	}
	return nil, fault.New(fault.Unavailable, "infer.Registry", subject, "not loaded: %s", last.Reason)
}

func (r *Registry) only() (string, error) {
	name := ""
	for _, e := range r.entries {
		if e.optional {
			continue
		}
		if name != "" && e.Name != name {
			return "", fault.New(fault.Invalid, "infer.Registry", "", "want a model name, one of %s, got none", r.known())
		}
		name = e.Name
	}
	if name == "" {
		return "", fault.New(fault.NotFound, "infer.Registry", "", "no model is loaded")
	}
	return name, nil
}

func (r *Registry) known() string {
	var all []string
	for _, e := range r.entries {
		text := fmt.Sprintf("%q", e.Name)
		if e.Version != "" {
			text += " version " + strconv.Quote(e.Version)
		}
		all = append(all, text)
	}
	if len(all) > 8 {
		all = append(all[:8], fmt.Sprintf("and %d more", len(all)-8))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// Index lists every model version, sorted by name and version.
func (r *Registry) Index() []Status {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]Status, len(r.entries))
	for i, e := range r.entries {
		all[i] = e.Status
	}
	return all
}

// Ready is nil when there is at least one model and every one is ready, those
// aside that Refuse alone knows; otherwise an Unavailable error that names the first that is not.
func (r *Registry) Ready() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ready := 0
	for _, e := range r.entries {
		switch {
		case e.State == Ready:
			ready++
		case !e.optional:
			return fault.New(fault.Unavailable, "infer.Registry", fmt.Sprintf("model %q version %q", e.Name, e.Version), "%s", strings.ToLower(e.State.String()))
		}
	}
	if ready == 0 {
		return fault.New(fault.Unavailable, "infer.Registry", "", "no model is loaded yet")
	}
	return nil
}

// Close unloads every model: new requests are refused, those in flight end,
// sessions are freed. ctx bounds the wait as in Model.Close.
func (r *Registry) Close(ctx context.Context) error {
	r.mu.Lock()
	var models []*Model
	for _, e := range r.entries {
		if e.served != nil {
			models = append(models, e.served.model)
			e.State = Unloading
		}
	}
	for old := range r.retired {
		models = append(models, old.model)
	}
	r.mu.Unlock()
	errs := make([]error, 0, len(models))
	for _, m := range models {
		errs = append(errs, m.Close(ctx))
	}
	return errors.Join(errs...)
}
