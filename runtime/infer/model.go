package infer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// Options of a Model; nil means defaults.
type Options struct {
	Name    string // default: the file's name without its extension
	Version string // default: "1"
	// Digest identifies the weights: "sha256:…". Default: computed from the
	// file and the files of external data that it names.
	Digest string

	// IntraOp is the number of threads of one run and Runs the number of runs
	// at once. Their product should be the CPU quota: see package quota.
	// 0 means 1.
	IntraOp, Runs int
	// Queue is how many requests may wait for a free run; one more is refused
	// with Unavailable. 0 means 256 for each run.
	Queue int
	// QueueShare is the percentage of a request's remaining deadline that may
	// pass while it waits; then it is refused with Unavailable, as long as its
	// caller can still try elsewhere. 0 means 25, and 100 waits to the end.
	QueueShare int

	Provider driver.Provider
	NoArena  bool

	// Deterministic says that equal inputs give equal outputs: the graph has no
	// random operators and no custom ones. Only then are runs shared and
	// answers kept.
	Deterministic bool
}

// queuePerRun: at the 5 s that callers commonly wait, 256 requests in front
// of one run mean 20 ms each; deeper queues only answer those who have left.
const queuePerRun = 256

// queueShare leaves three quarters of the caller's time to the run and the way back.
const queueShare = 25

func (o *Options) withDefaults(path string) (Options, error) {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Name == "" {
		base := filepath.Base(path)
		d.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	if d.Version == "" {
		d.Version = "1"
	}
	d.IntraOp, d.Runs = max(d.IntraOp, 1), max(d.Runs, 1)
	if d.Queue == 0 {
		d.Queue = queuePerRun * d.Runs
	}
	if d.QueueShare == 0 {
		d.QueueShare = queueShare
	}
	for _, n := range []struct{ what, name string }{{"model", d.Name}, {"version", d.Version}} {
		if !ValidName(n.name) {
			return d, fault.New(fault.BadConfig, "infer.Load", path, "want a %s name of letters, digits, '_', '.' and '-', got %q", n.what, n.name).
				WithHint("Give the model a name in godwit.yaml.")
		}
	}
	if d.Digest == "" {
		digest, err := onnx.DigestAll(path, nil)
		if err != nil {
			return d, fmt.Errorf("infer.Load: %w", err)
		}
		d.Digest = digest
	}
	return d, nil
}

var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// ValidName reports whether s can name a model or a version: the only names
// that ever reach a file system, a metric label or a URL.
func ValidName(s string) bool { return nameRule.MatchString(s) }

// Model is one loaded version of a model. All methods may be called
// concurrently.
type Model struct {
	opts    Options
	engine  driver.Info
	session driver.Session
	sig     *driver.Signature
	inputs  map[string]int // name → position in sig.Inputs
	outputs map[string]int

	slots   chan struct{} // one token for each run in progress
	waiting chan struct{} // one token for each request that waits or runs
	stats   stats

	mu     sync.Mutex // guards closed, and inUse.Add against inUse.Wait
	closed bool
	inUse  sync.WaitGroup
}

var _ Handler = (*Model)(nil)

// Load opens the model at path with eng. Errors: BadModel, BadConfig, Runtime.
func Load(ctx context.Context, eng driver.Engine, path string, opts *Options) (*Model, error) {
	o, err := opts.withDefaults(path)
	if err != nil {
		return nil, err
	}
	s, err := eng.Open(ctx, path, &driver.Options{IntraOp: o.IntraOp, Runs: o.Runs, Provider: o.Provider, NoArena: o.NoArena})
	if err != nil {
		return nil, fmt.Errorf("infer.Load model %q: %w", o.Name, err)
	}
	m := &Model{
		opts: o, engine: eng.Info(), session: s, sig: s.Signature(),
		inputs: map[string]int{}, outputs: map[string]int{},
		slots: make(chan struct{}, o.Runs), waiting: make(chan struct{}, o.Runs+o.Queue),
	}
	for i, in := range m.sig.Inputs {
		m.inputs[in.Name] = i
	}
	for i, out := range m.sig.Outputs {
		m.outputs[out.Name] = i
	}
	return m, nil
}

// Name is the model's name.
func (m *Model) Name() string { return m.opts.Name }

// Version is the model's version; versions are opaque strings.
func (m *Model) Version() string { return m.opts.Version }

// Digest is the "sha256:…" of the model's files.
func (m *Model) Digest() string { return m.opts.Digest }

// Info tells which engine runs the model.
func (m *Model) Info() driver.Info { return m.engine }

// Signature reports inputs and outputs. The caller must not change it.
func (m *Model) Signature() *driver.Signature { return m.sig }

// Threads reports the threads of one run and the runs at once.
func (m *Model) Threads() (intraOp, runs int) { return m.opts.IntraOp, m.opts.Runs }

// Deterministic reports whether equal inputs give equal outputs.
func (m *Model) Deterministic() bool { return m.opts.Deterministic }

// Providers lists the execution providers really in use.
func (m *Model) Providers() []string {
	if p, ok := m.session.(driver.Placer); ok {
		return p.Providers()
	}
	return []string{"cpu"}
}

// Stats is a snapshot of the model's counters.
func (m *Model) Stats() Stats { return m.stats.snapshot() }

// Infer checks req against the signature, waits for a free run and runs the
// model. Errors: Invalid when the request does not fit the signature or the
// graph refuses its values, Unavailable when the queue is full or the model is
// closing, DeadlineExceeded and Canceled after ctx, Internal otherwise.
func (m *Model) Infer(ctx context.Context, req *Request) (*Response, error) {
	start := time.Now()
	resp, err := m.infer(ctx, req, start)
	if err != nil {
		m.stats.failed(time.Since(start))
		return nil, err
	}
	m.stats.succeeded(resp.Timing, time.Since(start))
	return resp, nil
}

func (m *Model) infer(ctx context.Context, req *Request, start time.Time) (*Response, error) {
	in, err := m.arrange(req)
	if err != nil {
		return nil, err
	}
	out, err := m.wanted(req)
	if err != nil {
		return nil, err
	}
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.inUse.Done()
	if err := m.acquire(ctx); err != nil {
		return nil, err
	}
	queued := time.Now()
	err = m.session.Run(ctx, in, out)
	<-m.slots
	<-m.waiting
	done := time.Now()
	resp := &Response{Model: m.opts.Name, Version: m.opts.Version, ID: req.ID, Digest: m.opts.Digest, Outputs: out}
	resp.Timing = Timing{Queue: queued.Sub(start), Compute: done.Sub(queued), Rows: rows(in)}
	if err != nil {
		// An engine that was stopped reports its own error; the caller asked for the stop.
		if ctx.Err() != nil && fault.CodeOf(err) != fault.Invalid {
			return nil, m.ended(ctx)
		}
		return nil, fmt.Errorf("infer.Infer model %q: %w", m.opts.Name, err)
	}
	if ctx.Err() != nil {
		resp.Release()
		return nil, m.ended(ctx)
	}
	return resp, nil
}

func (m *Model) enter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return m.fail(fault.Unavailable, "the model is being unloaded")
	}
	m.inUse.Add(1)
	return nil
}

// acquire takes a place in the queue and then a run. On success the caller
// holds one token of slots and one of waiting.
func (m *Model) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return m.ended(ctx)
	}
	select {
	case m.waiting <- struct{}{}:
	default:
		return m.fail(fault.Unavailable, "want at most %d requests waiting, and they are there", m.opts.Queue).
			WithHint("Retry later, or give the function more instances.")
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	default:
	}
	var late <-chan time.Time // never, without a deadline
	if deadline, ok := ctx.Deadline(); ok && m.opts.QueueShare < 100 {
		timer := time.NewTimer(time.Until(deadline) * time.Duration(m.opts.QueueShare) / 100)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-m.waiting
		return m.ended(ctx)
	case <-late:
		<-m.waiting
		return m.fail(fault.Unavailable, "no run became free within %d%% of the request's time", m.opts.QueueShare).
			WithHint("Retry later, or give the function more instances.")
	}
}

func (m *Model) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return m.fail(fault.DeadlineExceeded, "the request's deadline passed")
	}
	return m.fail(fault.Canceled, "the caller went away")
}

func (m *Model) fail(code fault.Code, format string, args ...any) *fault.Error {
	return fault.New(code, "infer.Infer", fmt.Sprintf("model %q", m.opts.Name), format, args...)
}

// Close refuses new requests, waits for those in flight and frees the
// session. ctx bounds the wait: when it ends first, nothing is freed, because
// a run still uses the memory, and the error is DeadlineExceeded or Canceled.
func (m *Model) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	idle := make(chan struct{})
	go func() { // ends with the last run, which its own context bounds
		m.inUse.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return m.session.Close()
	case <-ctx.Done():
		return m.ended(ctx)
	}
}

func rows(in []tensor.Tensor) int {
	if len(in) == 0 || len(in[0].Shape) == 0 {
		return 1
	}
	return int(in[0].Shape[0])
}
