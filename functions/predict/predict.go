// Package predict is the thin portable handler for one request at a time: it
// finds the model, runs it, and gives the answer an identity. It knows no
// platform and no environment.
package predict

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

// Options of a handler; nil means defaults.
type Options struct {
	// Wrap puts the user's code around the model: it gets the handler that runs
	// the model and returns the one to call. nil means no code.
	Wrap func(infer.Handler) infer.Handler
	// Timeout bounds each request; 0 leaves it to the caller's own deadline.
	Timeout time.Duration
	// Observers see every request with its answer or error, in order.
	Observers []Observer
	// Logger gets the stack of a panic in Wrap's code. nil discards it.
	Logger *slog.Logger
	// Cache says how many bytes of m's answers are kept; nil, 0 and less keep
	// none. It is asked once for each deterministic model; others are never
	// kept. An answer larger than a quarter of it is not kept.
	Cache func(m *infer.Model) int64
	// NoShare gives every request for a model whose answers are not kept a run
	// of its own.
	NoShare bool
	// Sink is told about kept answers. nil discards.
	Sink telemetry.Sink
	// NewID makes prediction ids. Default: 16 random bytes as hex.
	NewID func() string
}

// An Observer sees requests with their answers: drift, capture, audit. Observe
// is called before the caller gets the answer and may be called concurrently;
// what it keeps it must copy, and what takes time it must hand on. Exactly one
// of resp and err is nil.
type Observer interface {
	Observe(ctx context.Context, req *infer.Request, resp *infer.Response, err error)
}

// Handler answers requests with the models of a registry. All methods may be
// called concurrently.
//
// Equal requests for a deterministic model that are in progress at once share
// one run, where that costs those who ask alone less than a fiftieth of it;
// and with Options.Cache their answers are kept. Equal are requests that ask
// one model version for the same outputs with the same inputs, in whatever
// form and order they came and whoever sent them. Wrap's code and observers see
// every request.
//
// A caller whose context ends while others wait for the run that it began is
// told so when that run has ended, since the run reads the caller's tensors.
// Errors are not kept, and shared only where the next request would get the
// same: a deadline, a cancellation and a full queue are each caller's own.
type Handler struct {
	models *infer.Registry
	opts   Options
	next   infer.Handler
	seeds  seeds
	lanes  sync.Map // *infer.Model → *lane
}

var _ infer.Handler = (*Handler)(nil)

// New returns the handler over models. Without Wrap the tensors of an answer
// may be shared with other callers: they are for reading only.
func New(models *infer.Registry, opts *Options) *Handler {
	h := &Handler{models: models, seeds: newSeeds()}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.NewID == nil {
		h.opts.NewID = newID
	}
	if h.opts.Sink == nil {
		h.opts.Sink = telemetry.Discard{}
	}
	h.next = infer.HandlerFunc(h.run)
	if h.opts.Wrap != nil {
		h.next = h.opts.Wrap(h.next)
	}
	return h
}

// Infer answers req. The model's own errors and those of the user's code pass
// through; a panic of that code becomes Internal and harms nobody else.
func (h *Handler) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if h.opts.Timeout > 0 {
		// The caller's own deadline is often there, and earlier.
		end := time.Now().Add(h.opts.Timeout)
		if own, ok := ctx.Deadline(); !ok || end.Before(own) {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, end)
			defer cancel()
		}
	}
	resp, err := h.call(ctx, req)
	if err == nil {
		h.identify(resp, req)
	}
	if req.Candidate != nil {
		return resp, err
	}
	for _, o := range h.opts.Observers {
		o.Observe(ctx, req, resp, err)
	}
	return resp, err
}

// run is the innermost handler, below the user's code.
func (h *Handler) run(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Candidate != nil {
		return req.Candidate.Infer(ctx, req)
	}
	m, lease, err := h.models.Acquire(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	defer lease.Release() // until then m takes requests, whatever replaces it
	l := h.lane(m)
	if l == nil {
		return m.Infer(ctx, req)
	}
	return l.infer(ctx, req)
}

// lane returns what stands in front of m, nil for nothing.
func (h *Handler) lane(m *infer.Model) *lane {
	if !m.Deterministic() {
		return nil
	}
	if l, ok := h.lanes.Load(m); ok {
		return l.(*lane)
	}
	l, _ := h.lanes.LoadOrStore(m, newLane(m, h.seeds, &h.opts))
	h.Sweep() // a new model often replaces an old one; and m may be gone by now
	return l.(*lane)
}

// Sweep lets go of what is kept for models that the registry no longer has
// ready. It is called for every new model; call it after a model was unloaded,
// to have the memory back before that.
func (h *Handler) Sweep() {
	h.lanes.Range(func(key, value any) bool {
		m := key.(*infer.Model)
		if now, err := h.models.Lookup(m.Name(), m.Version()); err != nil || now != m {
			if _, there := h.lanes.LoadAndDelete(m); there {
				value.(*lane).close()
			}
		}
		return true
	})
}

func (h *Handler) call(ctx context.Context, req *infer.Request) (resp *infer.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			if h.opts.Logger != nil {
				h.opts.Logger.ErrorContext(ctx, "panic in the handler", "model", req.Model, "panic", p, "stack", string(debug.Stack()))
			}
			resp, err = nil, fault.New(fault.Internal, "predict.Infer", "", "panic in the handler")
		}
	}()
	resp, err = h.next.Infer(ctx, req)
	if err == nil && resp == nil {
		return nil, fault.New(fault.Internal, "predict.Infer", "", "want a response or an error from the handler, got neither")
	}
	return resp, err
}

// identify keeps what the user's code has set, so that a handler that asks
// another service can pass that one's identity on.
func (h *Handler) identify(resp *infer.Response, req *infer.Request) {
	if resp.Prediction == "" {
		resp.Prediction = h.opts.NewID()
	}
	resp.ID = req.ID
}

// newID needs to be unique, not secret: the generator is the runtime's own,
// seeded by the system, without a system call for each answer.
func newID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}
