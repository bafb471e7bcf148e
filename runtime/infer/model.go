package infer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
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
	// DigestOf computes Digest while the engine opens the files, which must
	// have been checked; it is for those who call Load with files that are.
	DigestOf func() (string, error)

	// IntraOp is the number of threads of one run and Runs the number of runs
	// at once. Their product should be the CPU quota: see package quota.
	// 0 means 1.
	IntraOp, Runs int
	// Queue is how many requests may wait for a free run; of more, the newest of
	// the caller with most of them is refused with Unavailable. 0 means 256 for
	// each run.
	Queue int
	// QueueShare is the percentage of a request's remaining deadline that may
	// pass while it waits; then it is refused with Unavailable, as long as its
	// caller can still try elsewhere, and at once if the wait can be foreseen.
	// 0 means 25, and 100 waits to the end.
	QueueShare int

	// Batch says how waiting requests share runs. None do before ProbeBatching
	// has seen that their answers stay the same.
	Batch Batching

	Provider driver.Provider
	NoArena  bool
	// Optimized and Unpacked are as in driver.Options.
	Optimized, Unpacked bool

	// Deterministic says that equal inputs give equal outputs: the graph has no
	// random operators and no custom ones. Only then are runs shared and
	// answers kept.
	Deterministic bool

	// Overloaded is told when the model begins to refuse requests because it is
	// asked for more than it can do, and when that has passed, which it may find
	// out with the next request only. It is called with the model locked and must
	// return at once. nil: nobody is told.
	Overloaded func(now bool)
}

// Batching bounds the runs that waiting requests share. A request beyond a
// bound runs alone.
type Batching struct {
	Off      bool
	MaxRows  int   // of one run; 0 means 128
	MaxBytes int64 // of one run's inputs; 0 means 32 MiB
}

// The defaults of Batching. Models bound by the bandwidth of memory gain up to
// 128 rows; how many a model gets is learned, so this is only a limit.
const (
	batchRows  = 128
	batchBytes = 32 << 20
)

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
	if d.Batch.MaxRows <= 0 {
		d.Batch.MaxRows = batchRows
	}
	if d.Batch.MaxBytes <= 0 {
		d.Batch.MaxBytes = batchBytes
	}
	for _, n := range []struct{ what, name string }{{"model", d.Name}, {"version", d.Version}} {
		if !ValidName(n.name) {
			return d, fault.New(fault.BadConfig, "infer.Load", path, "want a %s name of letters, digits, '_', '.' and '-', got %q", n.what, n.name).
				WithHint("Give the model a name in godwit.yaml.")
		}
	}
	if d.Digest == "" && d.DigestOf == nil {
		digest, err := onnx.DigestAll(path, nil)
		if err != nil {
			return d, fmt.Errorf("infer.Load: %w", err)
		}
		d.Digest = digest
	}
	return d, nil
}

// ValidName reports whether s can name a model or a version, that is matches
// [a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}: the only names that ever reach a file
// system, a metric label or a URL.
func ValidName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// Model is one loaded version of a model. All methods may be called
// concurrently.
type Model struct {
	opts    Options
	engine  driver.Info
	session driver.Session
	sig     *driver.Signature
	inputs  map[string]int // name → position in sig.Inputs
	outputs map[string]int

	outBytes []int // of one row of each output; see outputBytes

	tickets sync.Pool // of *ticket

	mu    sync.Mutex // guards what follows
	stats Stats
	cost  cost
	slots []slot
	lines [2]lines // by priority

	closed  bool
	inUse   int           // requests in Infer and goroutines that serve
	idle    chan struct{} // closed when closed is set and inUse is 0
	drained bool

	shedding      bool
	refused       time.Time // when shedding last refused a request
	standingSince time.Time // since when the queue has been over its target; zero: it is not

	lastInteractive time.Time
	batchEnded      time.Time // when the last run of batch work ended
	batchTook       time.Duration
	probing         int // calls of ProbeBatching in progress
	alarm           *time.Timer

	sharing sharing
	slabs   [][]byte
}

var _ Handler = (*Model)(nil)

// Load opens the model at path with eng. Errors: BadModel, BadConfig, Runtime.
func Load(ctx context.Context, eng driver.Engine, path string, opts *Options) (*Model, error) {
	o, err := opts.withDefaults(path)
	if err != nil {
		return nil, err
	}
	digest := o.digesting()
	s, err := eng.Open(ctx, path, &driver.Options{IntraOp: o.IntraOp, Runs: o.Runs, Provider: o.Provider, NoArena: o.NoArena,
		Optimized: o.Optimized, Unpacked: o.Unpacked})
	sum := <-digest
	if err != nil {
		return nil, fmt.Errorf("infer.Load model %q: %w", o.Name, err)
	}
	if sum.err != nil {
		return nil, errors.Join(fmt.Errorf("infer.Load model %q: %w", o.Name, sum.err), s.Close())
	}
	o.Digest, o.DigestOf = sum.digest, nil
	m := &Model{
		opts: o, engine: eng.Info(), session: s, sig: s.Signature(),
		inputs: map[string]int{}, outputs: map[string]int{},
		slots: make([]slot, o.Runs), idle: make(chan struct{}),
	}
	m.sharing = m.unproven()
	for i, in := range m.sig.Inputs {
		m.inputs[in.Name] = i
	}
	for i, out := range m.sig.Outputs {
		m.outputs[out.Name] = i
	}
	m.outBytes = outputBytes(m)
	return m, nil
}

type summed struct {
	digest string
	err    error
}

// digesting gives the digest, from another goroutine if it has to be made: for
// a model of 100 MB that takes a good part of what the engine takes.
func (o *Options) digesting() <-chan summed {
	c := make(chan summed, 1)
	if o.Digest != "" {
		c <- summed{digest: o.Digest}
		return c
	}
	go func() {
		digest, err := o.DigestOf()
		c <- summed{digest, err}
	}()
	return c
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
func (m *Model) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Batches = slices.Clone(s.Batches)
	return s
}

// Infer checks req against the signature, takes a run or waits for one, which
// it may share with other requests, and runs the model. When a run is free it
// is taken at once and by the caller's own goroutine. Errors: Invalid when the
// request does not fit the signature or the graph refuses its values,
// Unavailable when it would have to wait too long or the model is closing,
// DeadlineExceeded and Canceled after ctx, Internal otherwise.
func (m *Model) Infer(ctx context.Context, req *Request) (*Response, error) {
	t := m.lease()
	t.ctx, t.caller, t.priority, t.alone = ctx, req.Caller, min(req.Priority, Batch), req.Alone
	resp, err := m.infer(ctx, req, t)
	m.giveBack(t)
	return resp, err
}

func (m *Model) infer(ctx context.Context, req *Request, t *ticket) (*Response, error) {
	err := m.arrange(req, t)
	if err == nil {
		err = m.wanted(req, t)
	}
	if err == nil && ctx.Err() != nil {
		err = m.ended(ctx)
	}
	// One look at the clock is a twentieth of a small model's run.
	now := time.Now()
	t.start = now
	m.mu.Lock()
	if err == nil && m.closed {
		err = m.fail(fault.Unavailable, "the model is being unloaded")
	}
	if err != nil {
		m.count(t, nil, err, now)
		m.mu.Unlock()
		return nil, err
	}
	m.inUse++
	together := !t.alone && m.comeTogether()
	if !together {
		if s, free := m.startNow(t, now); free {
			// A request that shares no run, and is one of many that come one after the
			// other, would only wait for who reads and writes rows meanwhile.
			long := m.cost.run >= keepsProcessor && !t.alone
			m.mu.Unlock()
			if long {
				// Callers that are ready now see that the run is taken, and queue. Behind
				// it, where the scheduler need not take a processor away from native code
				// of less than 10 ms, each would find the model idle when it has its turn,
				// and a crowd of them would never be seen.
				runtime.Gosched()
			}
			return m.direct(ctx, req, t, s, now)
		}
	}
	err = m.join(t, now)
	m.mu.Unlock()
	if err == nil && together {
		runtime.Gosched()
		m.mu.Lock()
		m.fill()
		m.mu.Unlock()
	}
	if err == nil {
		err = m.await(ctx, t)
	}
	return m.finish(ctx, req, t, err)
}

// comeTogether reports whether a request lets the callers who are about to ask
// go first, although a run may be free. A run does not let go of its processor
// at once: where another goes on, the goroutines that are ready to ask would
// stay behind it, and each would find the queue empty when it has its turn.
// Nothing is waited for: when nobody is ready it costs nothing.
func (m *Model) comeTogether() bool {
	return m.sharing.on && m.inUse > 1 && m.cost.run >= keepsProcessor && m.freeSlot() != nil
}

// direct runs t in the run s, on the caller's goroutine.
func (m *Model) direct(ctx context.Context, req *Request, t *ticket, s *slot, began time.Time) (*Response, error) {
	resp := m.newResponse(t)
	resp.ID = req.ID
	returned := false
	defer func() {
		if !returned { // the engine panicked: nobody else may lose this run
			m.mu.Lock()
			m.vacate(s, time.Now())
			m.handOn(s, time.Now())
			m.exit()
			m.mu.Unlock()
		}
	}()
	err := m.session.Run(ctx, t.in, resp.Outputs)
	returned = true
	now := time.Now()
	resp.Timing = Timing{Compute: now.Sub(began), Rows: t.rows, BatchRows: t.rows}
	switch {
	case err != nil:
		err = m.failure(ctx, err)
	case ctx.Err() != nil:
		resp.Release()
		err = m.ended(ctx)
	}
	m.mu.Lock()
	if err == nil {
		m.ran(t.rows, resp.Timing.Compute, t.hidden)
	}
	m.count(t, resp, err, now)
	m.vacate(s, now)
	m.handOn(s, now)
	m.exit()
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// finish turns what a ticket got in the queue into what its caller gets.
func (m *Model) finish(ctx context.Context, req *Request, t *ticket, err error) (*Response, error) {
	var resp *Response
	if err == nil && t.err != nil {
		// What the queue said is told as it is; the engine's error is not.
		if err = t.err; t.batch != nil {
			err = m.failure(ctx, t.err)
		}
	} else if err == nil {
		if resp = t.resp; t.from != nil {
			resp = t.from.response(t)
		}
		resp.ID = req.ID
		if ctx.Err() != nil {
			resp.Release()
			err = m.ended(ctx)
		}
	}
	m.mu.Lock()
	m.count(t, resp, err, time.Now())
	m.exit()
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// exit is called by what inUse counts, when it is done. m.mu is held.
func (m *Model) exit() {
	m.inUse--
	m.signalIdle()
}

func (m *Model) signalIdle() {
	if m.closed && m.inUse == 0 && !m.drained {
		m.drained = true
		close(m.idle)
	}
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
	m.fill() // batch work is held back no longer
	m.signalIdle()
	m.mu.Unlock()
	select {
	case <-m.idle:
	default:
		select {
		case <-m.idle:
		case <-ctx.Done():
			return m.ended(ctx)
		}
	}
	m.mu.Lock()
	if m.alarm != nil {
		m.alarm.Stop()
	}
	m.shed(false)
	m.mu.Unlock()
	return m.session.Close()
}

func rows(in []tensor.Tensor) int {
	if len(in) == 0 || len(in[0].Shape) == 0 {
		return 1
	}
	return int(in[0].Shape[0])
}
