// Package infer holds the portable model: it checks requests against a
// signature, bounds concurrent runs, honours deadlines and keeps statistics,
// over any engine that implements driver.Engine.
package infer

import (
	"context"
	"time"

	"godwit.dev/runtime/tensor"
)

// A Handler answers inference requests. It is what functions implement, what
// adapters call and what users wrap with their own code before and after the
// model. Infer may be called concurrently.
//
// The request and its tensors are the caller's and are borrowed until Infer
// returns; a handler that keeps them copies them. The response is the
// caller's, who releases it. Errors carry a fault code.
type Handler interface {
	Infer(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// Infer calls f.
func (f HandlerFunc) Infer(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// Params are the protocol's flat parameters: values are string, bool, int64,
// uint64 or float64.
type Params map[string]any

// Request asks one model for one answer.
type Request struct {
	Model   string // which model; "" when the server has exactly one
	Version string // "" means the newest that is ready
	ID      string // the caller's own id, echoed; may be empty
	// Caller is who asks, as the access check found it; "" is everybody whose
	// calls are not told apart. Callers share a model's runs equally.
	Caller   string
	Priority Priority
	// Candidate, where it is set, answers instead of the registry's model: one
	// that is tried before it serves. Observers do not see such a request.
	Candidate *Model
	// Alone says that the request is as large as a run should be: it shares none
	// with others, and its answer is not worth keeping. So it gets the same
	// bytes whoever else asks.
	Alone  bool
	Params Params

	Inputs []tensor.Tensor
	// InputParams has the parameters of each input; it is nil or as long as Inputs.
	InputParams []Params
	// Outputs are the wanted outputs, in the order wanted; nil means all.
	Outputs []OutputRequest
}

// Priority says which of the requests that wait run first.
type Priority uint8

// The priorities. Batch work goes when no interactive request waits, and leaves
// one run to them while they are about; but a small share it always gets.
const (
	Interactive Priority = iota
	Batch
)

// OutputRequest asks for one output.
type OutputRequest struct {
	Name   string
	Params Params
}

// Response is one model's answer. Release it when its tensors have been used.
type Response struct {
	Model   string
	Version string
	ID      string // the request's
	Params  Params

	Outputs []tensor.Tensor

	// Prediction identifies this answer in logs, captures and feedback. It is
	// set by functions/predict and is unique, not secret.
	Prediction string
	// Digest is the model's "sha256:…": which weights gave this answer.
	Digest string
	// Cached and Shared say that no run was made for this answer alone: it was
	// kept from an earlier one, or comes from one that an equal request made.
	Cached, Shared bool

	Timing Timing
}

// Timing is where an answer's time went.
type Timing struct {
	Queue   time.Duration // waiting for a free run
	Compute time.Duration // inside the engine
	Rows    int           // the first dimension of the first input; 1 for rank 0
	// BatchRows are those of the whole run: more than Rows where several
	// requests shared it.
	BatchRows int
}

// Release gives the outputs' native memory back; a second call does nothing.
func (r *Response) Release() {
	if r == nil {
		return
	}
	for i := range r.Outputs {
		r.Outputs[i].Release()
	}
}
