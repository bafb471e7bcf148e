// Package predict is the thin portable handler for one request at a time: it
// finds the model, runs it, and gives the answer an identity. It knows no
// platform and no environment.
package predict

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"runtime/debug"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// The parameters that every answer carries.
const (
	ParamPrediction = "prediction_id" // Response.Prediction
	ParamDigest     = "model_digest"  // Response.Digest
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

// New returns the handler over models.
func New(models *infer.Registry, opts *Options) infer.Handler {
	h := &handler{}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.NewID == nil {
		h.opts.NewID = newID
	}
	h.next = infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		m, err := models.Lookup(req.Model, req.Version)
		if err != nil {
			return nil, err
		}
		return m.Infer(ctx, req)
	})
	if h.opts.Wrap != nil {
		h.next = h.opts.Wrap(h.next)
	}
	return h
}

type handler struct {
	opts Options
	next infer.Handler
}

// Infer answers req. The model's own errors and those of the user's code pass
// through; a panic of that code becomes Internal and harms nobody else.
func (h *handler) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if h.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.opts.Timeout)
		defer cancel()
	}
	resp, err := h.call(ctx, req)
	if err == nil {
		h.identify(resp, req)
	}
	for _, o := range h.opts.Observers {
		o.Observe(ctx, req, resp, err)
	}
	return resp, err
}

func (h *handler) call(ctx context.Context, req *infer.Request) (resp *infer.Response, err error) {
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
func (h *handler) identify(resp *infer.Response, req *infer.Request) {
	if resp.Prediction == "" {
		resp.Prediction = h.opts.NewID()
	}
	resp.ID = req.ID
	params := make(infer.Params, len(resp.Params)+2)
	for k, v := range resp.Params {
		params[k] = v
	}
	params[ParamPrediction] = resp.Prediction
	if resp.Digest != "" {
		params[ParamDigest] = resp.Digest
	}
	resp.Params = params
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}
