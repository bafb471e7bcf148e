package batch

import (
	"bytes"
	"context"
	"encoding/json"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// Split has objects of many parts scored by many deliveries: whoever is told of
// such an object sends messages, each for a run of its parts, to the queue that
// this function gets items from. Nobody waits for the others: whoever scores the
// last part writes the manifest. A message that comes twice finds its parts.
type Split struct {
	Queue Queue
	Parts int // of one message; 0 means 1
}

// A Queue takes messages that come to this function as items. Send returns when
// all of them are there to stay; when it fails, some may be. It may be called
// concurrently.
type Queue interface {
	Send(ctx context.Context, messages [][]byte) error
}

// parts is a message for some parts of an object: JSON that begins with partsHead.
type parts struct {
	Godwit  string `json:"godwit"` // "parts"
	Object  string `json:"object"` // its URL
	Version string `json:"version"`
	// ID is that of the scores: of the object's version, the model and the
	// settings that the parts were counted for.
	ID           string `json:"id"`
	From         int    `json:"from"`
	To           int    `json:"to"`
	Model        string `json:"model,omitempty"`
	ModelVersion string `json:"model_version,omitempty"`
}

// partsHead is what tells such messages from requests of the protocol, which
// have no key of that name.
var partsHead = []byte(`{"godwit":"parts",`)

// parsePartsMessage reads a message for parts; nil is none.
func parsePartsMessage(data []byte) (*parts, error) {
	if !bytes.HasPrefix(data, partsHead) {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var p parts
	if err := d.Decode(&p); err != nil || d.More() {
		return nil, fault.New(fault.Invalid, "batch.Handle", "a message for parts", "want it as Godwit has sent it, got something else")
	}
	if p.Version == "" || p.ID == "" || p.From < 0 || p.To <= p.From {
		return nil, fault.New(fault.Invalid, "batch.Handle", "a message for parts", "want parts from %d on before one behind it, of a version, got %d", p.From, p.To)
	}
	return &p, checkNames(p.Model, p.ModelVersion)
}

func checkNames(names ...string) error {
	for _, name := range names {
		if name != "" && !infer.ValidName(name) {
			return fault.New(fault.Invalid, "batch.Handle", Model, "want a name of letters, digits, '_', '.' and '-', got %q", clip(name))
		}
	}
	return nil
}

// split sends messages for an object of more parts than one message is for, as
// far as they are not scored yet. It reports false where there is nothing to
// split, and the object is scored by whoever asks.
func (h *Handler) split(ctx context.Context, job *Job) (answer []byte, split bool, err error) {
	if h.opts.Split == nil {
		return nil, false, nil
	}
	t, err := h.open(ctx, job)
	if err != nil {
		return nil, false, err
	}
	leave, err := h.turns.take(ctx, t.out, t.place.dir)
	if err != nil {
		return nil, false, store.Fault("batch.Score", t.url, err)
	}
	defer leave()
	n, err := t.send(ctx)
	if err != nil {
		return nil, false, t.reason(ctx, err)
	}
	if n == 0 {
		return nil, false, nil
	}
	answer, err = json.Marshal(map[string]any{"output": t.place.url, "parts": len(t.parts), "messages": n})
	if err != nil {
		return nil, false, fault.New(fault.Internal, "batch.Handle", t.url, "%w", err)
	}
	return answer, true, nil
}

// send sends messages for what is missing, and returns how many. None where what
// is missing is for one message at most.
func (t *task) send(ctx context.Context) (int, error) {
	if done, err := t.finished(ctx); err != nil || done != nil {
		return 0, err
	}
	if err := t.read(ctx); err != nil {
		return 0, err
	}
	if err := t.marks(ctx); err != nil {
		return 0, err
	}
	per := max(t.h.opts.Split.Parts, 1)
	var messages [][]byte
	for from := 0; from < len(t.parts); from += per {
		to, missing := min(from+per, len(t.parts)), false
		for i := from; i < to; i++ {
			missing = missing || !t.there[i]
		}
		if !missing {
			continue
		}
		text, err := json.Marshal(parts{Godwit: "parts", Object: t.url, Version: t.src.object.Version, ID: t.id(), From: from, To: to, Model: t.job.Model, ModelVersion: t.job.ModelVersion})
		if err != nil {
			return 0, fault.New(fault.Internal, "batch.Handle", t.url, "%w", err)
		}
		messages = append(messages, text)
	}
	if len(messages) < 2 {
		return 0, nil
	}
	if err := t.h.opts.Split.Queue.Send(ctx, messages); err != nil {
		// Whatever is wrong with the queue, nothing is with the object.
		return 0, fault.New(fault.Unavailable, "batch.Handle", t.url, "its parts cannot be handed out: %w", err).WithHint("%s", fault.HintOf(err))
	}
	_, err := t.put(ctx, t.place.sent(), []byte("{}\n"))
	return len(messages), err
}

// sent is the mark that messages for all parts have been sent.
func (p *place) sent() string { return p.dir + "sent.json" }

// some scores the parts that a message is for.
func (h *Handler) some(ctx context.Context, p *parts) ([]byte, error) {
	if h.opts.Objects == nil {
		return nil, fault.New(fault.Unsupported, "batch.Handle", p.Object, "want a payload within the event, got parts of an object").
			WithHint("Say under batch: how objects are scored.")
	}
	leave, err := h.job(ctx, p.Object)
	if err != nil {
		return nil, err
	}
	defer leave()
	job := &Job{Input: p.Object, Version: p.Version, Model: p.Model, ModelVersion: p.ModelVersion, From: p.From, To: p.To}
	t, err := h.open(ctx, job)
	if err != nil {
		return nil, err
	}
	if t.src.object.Version != p.Version {
		// Nobody can score what is gone, and the new version has an event of its own.
		return []byte(`{"replaced":true}`), nil
	}
	if t.id() != p.ID {
		return h.anew(ctx, t, job)
	}
	res, err := h.Score(ctx, job)
	if err != nil {
		return nil, err
	}
	return answerOf(res)
}

// anew is for parts that were counted for another model or other settings, so
// that those before them are not scored with these. Unless somebody has seen to
// it, the object is handed out again.
func (h *Handler) anew(ctx context.Context, t *task, job *Job) ([]byte, error) {
	switch _, err := t.out.Stat(ctx, t.place.sent()); {
	case err == nil:
		return []byte(`{"split":true}`), nil
	case fault.CodeOf(err) != fault.NotFound:
		return nil, err
	}
	job.From, job.To = 0, 0
	if answer, split, err := h.split(ctx, job); err != nil || split {
		return answer, err
	}
	res, err := h.Score(ctx, job)
	if err != nil {
		return nil, err
	}
	return answerOf(res)
}

// job waits until there is room for another object.
func (h *Handler) job(ctx context.Context, url string) (leave func(), err error) {
	select {
	case h.jobs <- struct{}{}:
		return func() { <-h.jobs }, nil
	case <-ctx.Done():
		return nil, store.Fault("batch.Handle", url, ctx.Err())
	}
}

// answerOf is a few words about where scores are.
func answerOf(res *Result) ([]byte, error) {
	words := map[string]any{"output": res.Output, "rows": res.Rows, "bad": res.Bad}
	if m := res.Manifest; m != nil {
		words["rows"], words["bad"] = m.Rows, m.Bad
	} else {
		words["missing"] = res.Missing
	}
	answer, err := json.Marshal(words)
	if err != nil {
		return nil, fault.New(fault.Internal, "batch.Handle", res.Output, "%w", err)
	}
	return answer, nil
}

// objectOf is the work of an item that is about an object: the object itself, or
// some parts of one; nil for a payload that is a request.
func (h *Handler) objectOf(item *trigger.Item) (func(context.Context) ([]byte, error), error) {
	if item.Object != nil {
		return func(ctx context.Context) ([]byte, error) { return h.object(ctx, item) }, nil
	}
	p, err := parsePartsMessage(item.Data)
	if p == nil || err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]byte, error) { return h.some(ctx, p) }, nil
}
