package azurefunctions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
)

// envelope is what the host POSTs to /FUNCTION for everything that it does not
// pass on as it is.
type envelope struct {
	Data     map[string]json.RawMessage
	Metadata json.RawMessage // an object; of a request it repeats the header
}

func decodeEnvelope(body []byte) (*envelope, error) {
	e := new(envelope)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fault.New(fault.Invalid, "azurefunctions.Decode", "envelope", "%w", err)
	}
	if len(e.Data) == 0 {
		return nil, fault.New(fault.Invalid, "azurefunctions.Decode", "envelope", "want Data with what started the function, got none")
	}
	return e, nil
}

// clipped is the names of members, for errors.
func clipped(m map[string]json.RawMessage) []string {
	names := slices.Sorted(maps.Keys(m))
	names = names[:min(len(names), 16)]
	for i := range names {
		names[i] = clip(names[i])
	}
	return names
}

// maxName bounds what of a sender's names gets into logs.
const maxName = 128

func clip(s string) string { return s[:min(len(s), maxName)] }

// invoke answers an envelope.
func (h *handler) invoke(w http.ResponseWriter, r *http.Request, name, id string) {
	ctx := r.Context()
	var f *Function
	if app := h.opts.App; app != nil {
		fn, ok := app.Functions[name]
		if !ok {
			h.refuse(ctx, w, name, id, fault.New(fault.NotFound, "azurefunctions.Invoke", strconv.Quote(clip(name)), "want a function with a function.json, got none of that name"))
			return
		}
		f = &fn
	}
	if limit := h.limit(); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := h.opts.Admit(); err != nil {
		h.refuse(ctx, w, name, id, err)
		return
	}
	body, err := h.read(r)
	defer h.release(body)
	var e *envelope
	if err == nil {
		e, err = decodeEnvelope(body.Bytes())
	}
	if err != nil {
		h.refuse(ctx, w, name, id, err)
		return
	}
	if in, ok := requestOf(e, f); ok {
		in.traced(r.Header)
		h.serveEnvelope(ctx, w, in, f, id)
		return
	}
	trace, ok := telemetry.ParseTrace(r.Header.Get("Traceparent"), strings.Join(r.Header["Tracestate"], ","))
	if !ok {
		trace = telemetry.NewTrace()
	}
	ctx = telemetry.WithTrace(ctx, trace)
	d, err := deliveryOf(e, f, name, id)
	if err != nil {
		h.refuse(ctx, w, name, id, err)
		return
	}
	h.deliver(ctx, w, d, f, name, id)
}

// read reads an envelope. The host sends it in chunks, so its size is not known
// before.
func (h *handler) read(r *http.Request) (*bytes.Buffer, error) {
	buf, _ := h.bodies.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	_, err := buf.ReadFrom(&held{Reader: io.LimitReader(r.Body, h.opts.Envelope+1), handler: h})
	switch {
	case err != nil && fault.Of(err) == nil:
		err = fault.New(fault.Invalid, "azurefunctions.Read", "envelope", "%w", err)
	case err == nil && int64(buf.Len()) > h.opts.Envelope:
		err = fault.New(fault.TooLarge, "azurefunctions.Read", "envelope", "want at most %d bytes, got more", h.opts.Envelope).
			WithHint("A blob trigger sends the blob itself: have Event Grid start the function instead, which names it.")
	}
	return buf, err
}

// held counts what is read against the memory for all envelopes.
type held struct {
	io.Reader
	handler *handler
}

func (r *held) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.handler.held.Add(int64(n)) > r.handler.opts.Memory && (err == nil || errors.Is(err, io.EOF)) {
		err = fault.New(fault.Unavailable, "azurefunctions.Read", "envelope", "the envelopes in progress fill the %d bytes set aside for them", r.handler.opts.Memory)
	}
	return n, err
}

// release gives an envelope's memory back: everything decoded was copied.
func (h *handler) release(buf *bytes.Buffer) {
	h.held.Add(-int64(buf.Len()))
	if buf.Cap() <= 1<<20 {
		h.bodies.Put(buf)
	}
}

// deliver does the work of a delivery and answers for it.
func (h *handler) deliver(ctx context.Context, w http.ResponseWriter, d *delivery, f *Function, name, id string) {
	var out []trigger.Outcome
	if len(d.event.Items) > 0 {
		out = trigger.Run(ctx, h.events, &d.event)
	}
	reply := reply{Outputs: map[string]any{}, Logs: append([]string{}, d.notes...)}
	var failed error // what the status says: the first to be tried again, else the first
	answers := []json.RawMessage{}
	for i, o := range append(out, d.refused...) {
		if o.State == trigger.Done {
			if o.Result != nil {
				answers = append(answers, o.Result)
			}
			continue
		}
		item := "" // one that could not be read
		if i < len(out) {
			item = d.event.Items[i].ID
		}
		if failed == nil || o.State == trigger.Retry && trigger.Of(failed).State == trigger.Permanent {
			failed = o.Err
		}
		reply.Logs = append(reply.Logs, strconv.Quote(clip(item))+" "+o.State.String()+" "+fault.CodeOf(o.Err).String()+": "+fault.Public(o.Err))
		h.opts.Log.WarnContext(ctx, "item failed", "target", "azurefunctions", "function", name, "request_id", id,
			"item", clip(item), "attempt", d.attempt(i), "state", o.State.String(), "code", fault.CodeOf(o.Err).String(), "error", o.Err)
	}
	// In an array even a bare string is not taken for base64, as it would be alone.
	if len(answers) > 0 && (f == nil || f.Results) {
		reply.Outputs[results] = answers
	}
	reply.write(w, failed)
}

// refuse fails an invocation of which nothing could be read.
func (h *handler) refuse(ctx context.Context, w http.ResponseWriter, name, id string, err error) {
	h.opts.Log.WarnContext(ctx, "invocation refused", "target", "azurefunctions", "function", clip(name), "request_id", id,
		"code", fault.CodeOf(err).String(), "error", err)
	reply := reply{Outputs: map[string]any{}, Logs: []string{fault.CodeOf(err).String() + ": " + fault.Public(err)}}
	reply.write(w, err)
}

// reply is what the host reads of an answer with a 2xx status; of others it
// reads the status alone, and the rest is for people with curl.
type reply struct {
	Outputs     map[string]any
	Logs        []string
	ReturnValue any
	Error       string `json:"error,omitempty"`
	Code        string `json:"code,omitempty"`
}

// write answers 200, or the status of err's code, which never is a success.
func (r *reply) write(w http.ResponseWriter, err error) {
	status := http.StatusOK
	if err != nil {
		status = fault.CodeOf(err).HTTP()
		r.Error, r.Code = fault.Public(err), fault.CodeOf(err).String()
	}
	body, bad := json.Marshal(r)
	if bad != nil { // an answer of the function that is no JSON
		err := fault.New(fault.Internal, "azurefunctions.Reply", results, "%w", bad)
		status = fault.Internal.HTTP()
		body, _ = json.Marshal(&reply{Outputs: map[string]any{}, Logs: []string{}, Error: fault.Public(err), Code: fault.Internal.String()})
	}
	writeJSON(w, status, body)
}

// writeJSON writes a whole answer. Without the type the host does not read it,
// and on an empty one with a 2xx status it waits for the function's timeout.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a host that is gone has nothing to be told
}

var typeJSON = []string{"application/json"}

// started says what kind of trigger f has, "" without f.
func (f *Function) started() string {
	if f == nil {
		return ""
	}
	return strings.ToLower(f.Trigger)
}
