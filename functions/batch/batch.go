package batch

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// The attributes of an item that say what its payload is for. Senders write
// them beside the payload; all may be left out.
const (
	// Model and ModelVersion name the model; without, it is the only one.
	Model        = "model"
	ModelVersion = "model_version"
	// HeaderLength is the length of the JSON before binary tensors, as the
	// protocol's Inference-Header-Content-Length.
	HeaderLength = "inference_header_content_length"
)

// A Sink keeps answers. Put may be called concurrently, and returns when the
// answer is there to stay. Putting again under a name that is there changes
// nothing and is no error: it is a delivery that came twice.
type Sink interface {
	Put(ctx context.Context, name string, answer []byte) error
}

// Options of New; nil means defaults.
type Options struct {
	// Sink keeps the answers; nil: they only go back with the reply, and where
	// the platform passes none on, items are refused for good.
	Sink   Sink
	Limits *codec.Limits // of payloads and answers; nil means codec's defaults
	NaN    codec.NaNPolicy
	// Parallel is how many items of a delivery are scored at once; default 64.
	Parallel int
	// Spare is the time before a delivery's deadline that is kept for the
	// reply: no item begins that would likely end later. Default 500 ms.
	Spare time.Duration
	// Objects says how items are scored that lie in a store; nil: they are refused.
	Objects *Objects
	// Split hands large objects out; nil: whoever is told of one scores all of it.
	Split *Split
	// Claims has what is delivered again scored once; nil: each delivery scores.
	Claims *Claims
	// Dead keeps what failed for good; nil leaves it to the platform.
	Dead *Dead
	Log  *slog.Logger // nil: no log
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Parallel <= 0 {
		d.Parallel = 64
	}
	if d.Spare <= 0 {
		d.Spare = 500 * time.Millisecond
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Handler scores deliveries. It is safe for concurrent use.
type Handler struct {
	infer infer.Handler
	opts  Options
	took  atomic.Int64 // what an item takes, in ns: a decayed mean of those scored

	objects Objects
	turns   turns
	slots   chan struct{} // for parts
	jobs    chan struct{} // for objects of deliveries
	pick    func(n int) int
	circuit circuit
}

var _ trigger.Handler = (*Handler)(nil)

// New returns a handler whose requests go to h.
func New(h infer.Handler, opts *Options) *Handler {
	b := &Handler{infer: h, opts: opts.withDefaults(), pick: rand.IntN}
	if b.opts.Objects != nil {
		b.objects = b.opts.Objects.withDefaults()
		b.slots, b.jobs = make(chan struct{}, b.objects.Parallel), make(chan struct{}, 2*b.objects.Parallel)
	}
	return b
}

// Handle scores the items of one delivery.
//
// A payload that is no request, names no model there is or does not fit it is
// Permanent; so is an object that is not there, is no file of rows or has more
// bad rows than it may. What may pass, such as a full queue, a deadline or a
// sink that is away, is Retry, and so is what there was no time for: of an
// object, the parts that are scored stay. While the place for answers is away,
// hardly any item begins, and all are Retry with Unavailable: an adapter whose
// platform slows down for a delivery that fails as a whole then fails it as a whole.
// What Options.Dead keeps is Done, although it failed for good.
func (h *Handler) Handle(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
	out := make([]trigger.Outcome, len(ev.Items))
	begun := time.Now()
	if ev.Order == trigger.Unordered {
		h.each(ctx, ev, out)
	} else {
		h.inOrder(ctx, ev, out)
	}
	h.log(ctx, ev, out, time.Since(begun))
	return out
}

// each scores all items, several at a time.
func (h *Handler) each(ctx context.Context, ev *trigger.Event, out []trigger.Outcome) {
	next := atomic.Int64{}
	var all sync.WaitGroup
	for range min(h.opts.Parallel, len(ev.Items)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ev.Items); i = int(next.Add(1)) - 1 {
				out[i] = h.settled(ctx, ev, i)
			}
		})
	}
	all.Wait()
}

// inOrder scores the items of each sequence one after the other, and stops a
// sequence at the first that is to be delivered again; sequences run side by
// side.
func (h *Handler) inOrder(ctx context.Context, ev *trigger.Event, out []trigger.Outcome) {
	var groups [][]int
	at := map[string]int{}
	for i := range ev.Items {
		group := ""
		if ev.Order == trigger.Grouped {
			group = ev.Items[i].Group
		}
		k, ok := at[group]
		if !ok {
			k, groups = len(groups), append(groups, nil)
			at[group] = k
		}
		groups[k] = append(groups[k], i)
	}
	free := make(chan struct{}, h.opts.Parallel)
	var all sync.WaitGroup
	for _, group := range groups {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			for _, i := range group {
				if out[i] = h.settled(ctx, ev, i); out[i].State == trigger.Retry {
					return // trigger.Run says what that means for those behind it
				}
			}
		})
	}
	all.Wait()
}

// settled scores one item, and keeps it aside if that failed for good.
func (h *Handler) settled(ctx context.Context, ev *trigger.Event, i int) trigger.Outcome {
	return h.aside(ctx, ev, &ev.Items[i], h.item(ctx, ev, i))
}

// item scores one item; whatever goes wrong is its own.
func (h *Handler) item(ctx context.Context, ev *trigger.Event, i int) (out trigger.Outcome) {
	item := &ev.Items[i]
	subject := fmt.Sprintf("item %q", item.ID)
	if err := h.time(ctx, subject); err != nil {
		return trigger.Outcome{State: trigger.Retry, Err: err}
	}
	if err := h.circuit.closed(subject); err != nil {
		return trigger.Outcome{State: trigger.Retry, Err: err}
	}
	defer func() {
		if p := recover(); p != nil {
			out = trigger.Outcome{State: trigger.Retry, Err: fault.New(fault.Internal, "batch.Handle", subject, "the handler panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	work, err := h.objectOf(item)
	if err != nil {
		return trigger.Of(err)
	}
	if work != nil {
		answer, err := work(ctx)
		h.circuit.note(err)
		if out = trigger.Of(err); err == nil {
			out.Result = answer
		}
		return out
	}
	begun := time.Now()
	answer, err := h.once(ctx, ev, item, subject)
	out = trigger.Of(err)
	if err == nil {
		out.Result = answer
		h.learn(time.Since(begun))
	}
	return out
}

// time says why an item should not begin now, or nil.
func (h *Handler) time(ctx context.Context, subject string) error {
	at, ok := ctx.Deadline()
	if ctx.Err() == nil && (!ok || time.Until(at) > h.opts.Spare+time.Duration(h.took.Load())) {
		return nil
	}
	return fault.New(fault.DeadlineExceeded, "batch.Handle", subject, "it was not begun: there is no time left in this delivery")
}

// learn takes what an item took into the mean, of which it is an eighth.
func (h *Handler) learn(took time.Duration) {
	old := h.took.Load()
	if old == 0 {
		h.took.CompareAndSwap(0, int64(took))
		return
	}
	h.took.CompareAndSwap(old, old+(int64(took)-old)/8) // who comes second is heard next time
}

// score asks the model, and returns the answer as the protocol's JSON with the
// digest of the model that gave it.
func (h *Handler) score(ctx context.Context, req *infer.Request) (answer []byte, digest string, err error) {
	resp, err := h.infer.Infer(ctx, req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Release()
	answer, _, err = codec.EncodeResponse(nil, req, resp, &codec.EncodeOptions{Limits: h.opts.Limits, NaN: h.opts.NaN})
	if err != nil {
		return nil, "", err
	}
	return answer, resp.Digest, nil
}

// request decodes an item's payload.
func (h *Handler) request(item *trigger.Item) (*infer.Request, error) {
	header := -1
	if text, ok := item.Attributes[HeaderLength]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return nil, fault.New(fault.Invalid, "batch.Handle", HeaderLength, "want a number of bytes, got %q", clip(text))
		}
		header = n
	}
	req, err := codec.DecodeRequest(item.Data, header, h.opts.Limits)
	if err != nil {
		return nil, err
	}
	req.Model, req.Version = item.Attributes[Model], item.Attributes[ModelVersion]
	for _, name := range []string{req.Model, req.Version} {
		if name != "" && !infer.ValidName(name) {
			return nil, fault.New(fault.Invalid, "batch.Handle", Model, "want a name of letters, digits, '_', '.' and '-', got %q", clip(name))
		}
	}
	req.Priority = infer.Batch
	for k := range req.Outputs { // the answer is JSON
		delete(req.Outputs[k].Params, "binary_data")
	}
	delete(req.Params, "binary_data_output")
	return req, nil
}

// clip bounds what of a sender's text gets into errors.
func clip(s string) string { return s[:min(len(s), 128)] }

// log tells of a delivery in one line, and of what failed for good in one each.
func (h *Handler) log(ctx context.Context, ev *trigger.Event, out []trigger.Outcome, took time.Duration) {
	var counts [3]int
	for i := range out {
		counts[out[i].State]++
		if out[i].State == trigger.Permanent {
			h.opts.Log.WarnContext(ctx, "item failed for good", "kind", ev.Kind, "item", ev.Items[i].ID, "attempt", ev.Items[i].Attempt,
				"code", fault.CodeOf(out[i].Err).String(), "error", out[i].Err)
		}
	}
	h.opts.Log.InfoContext(ctx, "delivery", "kind", ev.Kind, "items", len(out), "done", counts[trigger.Done],
		"permanent", counts[trigger.Permanent], "retry", counts[trigger.Retry], "duration_ms", float64(took.Microseconds())/1000)
}
