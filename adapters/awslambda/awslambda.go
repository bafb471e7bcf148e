// Package awslambda serves a function on AWS Lambda. One handler takes whatever
// the function is invoked with: requests of HTTP APIs, REST APIs, function URLs
// and load balancers, inference requests of those who invoke it directly, and
// the events of queues, topics, streams, buckets and workflows. An event's form
// says what it is, so one deployed function may have all of these.
package awslambda

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// Lambda's limits (AWS, "Lambda quotas"), and what a load balancer takes of
// them (Elastic Load Balancing, "Lambda functions as targets").
const (
	maxReply    = 6 << 20
	maxStreamed = 200 << 20
	maxALB      = 1 << 20
	// maxState is what a state of Step Functions may give to the next.
	maxState = 256 << 10
)

// Options of New; nil means defaults.
type Options struct {
	// Model is the one that a direct invocation asks which names none; "" where
	// there are several, and then such an invocation is refused.
	Model string
	// Direct answers direct invocations, whose callers Lambda has checked; nil:
	// the api does.
	Direct http.Handler
	// Stream says that HTTP requests come from a function URL or a REST API that
	// is set up for streamed responses, which an event does not tell.
	Stream bool
	// BasePath is what API Gateway's domain of one's own puts before each path:
	// "/models", say.
	BasePath string
	// SkipGroup lets a FIFO queue go on with the other groups behind a message
	// that failed. Without it everything behind the message is delivered again.
	SkipGroup bool
	// Margin is how long before Lambda's deadline an invocation's context ends,
	// so that it is answered and the environment lives on; 0 means a tenth of
	// the time that there is, at most 250 ms.
	Margin time.Duration
	// Metrics are written before each reply; nil: none are.
	Metrics *Metrics
	Log     *slog.Logger // nil: no log
}

// Handler answers invocations. Its methods may be called concurrently.
type Handler struct {
	api    http.Handler
	events trigger.Handler
	opts   Options

	bodies sync.Pool // of *[]byte

	mu    sync.Mutex
	busy  int           // invocations in progress
	lull  chan struct{} // closed when busy becomes 0; nil: nobody waits
	quiet bool          // no invocation is to begin
}

var _ lambda.Handler = (*Handler)(nil)

// New returns the function's handler: requests go to api, and the items of
// events to events, which may be nil.
func New(api http.Handler, events trigger.Handler, opts *Options) *Handler {
	h := &Handler{api: api, events: events, bodies: sync.Pool{New: func() any { return new([]byte) }}}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Direct == nil {
		h.opts.Direct = api
	}
	if h.opts.Log == nil {
		h.opts.Log = slog.New(slog.DiscardHandler)
	}
	return h
}

// Invoke answers one invocation with the document that its source expects.
// payload is borrowed until it returns. An error is a function error, whose
// type is the fault code's name and whose message is fit for callers: for a
// direct invocation that fails, for events whose source takes no partial
// answer if an item is not done, and for what is no event of any known kind.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var v invocation
	if err := h.open(&v, ctx, payload); err != nil {
		return nil, err
	}
	defer h.close(&v)
	return h.answer(&v, payload)
}

// invocation is one in progress.
type invocation struct {
	ctx    context.Context
	cancel context.CancelFunc // nil without a deadline
	envelope
}

// open begins an invocation, which must be closed unless there is an error.
func (h *Handler) open(v *invocation, ctx context.Context, payload []byte) error {
	if err := h.begin(); err != nil {
		return functionError(err)
	}
	v.ctx = ctx
	if deadline, ok := ctx.Deadline(); ok {
		v.ctx, v.cancel = context.WithDeadline(ctx, deadline.Add(-h.margin(time.Until(deadline))))
	}
	if err := v.read(payload); err != nil {
		h.close(v)
		return functionError(err)
	}
	return nil
}

func (h *Handler) close(v *invocation) {
	if v.cancel != nil {
		v.cancel()
	}
	if h.opts.Metrics != nil {
		h.opts.Metrics.Flush()
	}
	h.end()
}

// answer is the document that an invocation ends with.
func (h *Handler) answer(v *invocation, payload []byte) (reply []byte, err error) {
	switch v.kind {
	case kindHTTP:
		return h.serve(v.ctx, &v.envelope), nil
	case kindDirect:
		reply, err = h.direct(v.ctx, &v.envelope, payload)
	default:
		reply, err = h.deliver(v.ctx, &v.envelope, payload)
	}
	if err != nil {
		return nil, functionError(err)
	}
	if len(reply) > maxReply {
		return nil, functionError(tooLarge(len(reply), maxReply))
	}
	return reply, nil
}

// margin is what is kept of the time that is left.
func (h *Handler) margin(left time.Duration) time.Duration {
	if h.opts.Margin > 0 {
		return h.opts.Margin
	}
	return max(0, min(left/10, 250*time.Millisecond))
}

func tooLarge(got, most int) *fault.Error {
	return fault.New(fault.TooLarge, "awslambda.Reply", "response", "want at most %d bytes with what Lambda needs around them, got %d", most, got).
		WithHint("Send fewer rows in one request, or ask for fewer outputs.")
}

// begin counts an invocation, or says that the environment is about to end.
func (h *Handler) begin() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.quiet {
		return fault.New(fault.Unavailable, "awslambda.Invoke", "", "the environment is ending")
	}
	h.busy++
	return nil
}

func (h *Handler) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy--; h.busy == 0 && h.lull != nil {
		close(h.lull)
		h.lull = nil
	}
}

// Drain lets no further invocation begin and waits for those in progress, or
// until ctx ends.
func (h *Handler) Drain(ctx context.Context) error {
	h.mu.Lock()
	h.quiet = true
	if h.busy == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.lull == nil {
		h.lull = make(chan struct{})
	}
	lull := h.lull
	h.mu.Unlock()
	select {
	case <-lull:
		return nil
	case <-ctx.Done():
		return fault.New(fault.CodeOf(ctx.Err()), "awslambda.Drain", "", "invocations are in progress: %w", ctx.Err())
	}
}
