package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// Claims has the items whose payload lies within the event scored with effect
// once. A name that is kept once is enough where an answer only goes to a Sink;
// an answer that goes back with the reply, or that costs more than it should
// twice, needs a claim. Objects need none: the names of their parts are enough.
type Claims struct {
	Store *store.Claims
	// Models tell the digest of the model that a request is for, before it is
	// asked: another model's answer is another answer.
	Models *infer.Registry
	// Scope tells functions that share a table, and versions of a user's handler, apart.
	Scope string
}

// claimKey is what the work on an item is claimed under: the same for the same
// item, model and scope, in every process. It is 64 hexadecimal digits.
func claimKey(scope, key, digest string) string {
	sum := sha256.New()
	for _, s := range []string{scope, key, digest} {
		fmt.Fprintf(sum, "%d:%s", len(s), s) // with its length no part can be mistaken for another
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// validation is a digest of what an item asks for.
func validation(item *trigger.Item) string {
	sum := sha256.New()
	for _, s := range []string{item.Attributes[Model], item.Attributes[ModelVersion], item.Attributes[HeaderLength]} {
		fmt.Fprintf(sum, "%d:%s", len(s), s)
	}
	sum.Write(item.Data)
	return hex.EncodeToString(sum.Sum(nil))
}

// once scores an item and keeps its answer: under a claim, if there are claims.
// What cannot be scored at all is refused before anything is claimed.
func (h *Handler) once(ctx context.Context, ev *trigger.Event, item *trigger.Item, subject string) ([]byte, error) {
	req, err := h.request(item)
	if err != nil {
		return nil, err
	}
	c := h.opts.Claims
	if c == nil || item.Key == "" {
		return h.effect(ctx, ev, item, req, subject, "")
	}
	m, err := c.Models.Lookup(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	digest := m.Digest()
	return c.Store.Do(ctx, claimKey(c.Scope, item.Key, digest), validation(item), func(ctx context.Context) ([]byte, error) {
		return h.effect(ctx, ev, item, req, subject, digest)
	})
}

// effect scores an item and puts its answer where it belongs. digest is that of
// the model that is meant; "" is whichever there is.
func (h *Handler) effect(ctx context.Context, ev *trigger.Event, item *trigger.Item, req *infer.Request, subject, digest string) ([]byte, error) {
	answer, by, err := h.score(ctx, req)
	if err != nil {
		return nil, err
	}
	if digest != "" && by != digest {
		return nil, fault.New(fault.Unavailable, "batch.Handle", subject, "the model was replaced meanwhile")
	}
	if h.opts.Sink == nil {
		if !ev.Replies {
			return nil, fault.New(fault.Unsupported, "batch.Handle", subject, "its answer has nowhere to go: %s passes none on", ev.Kind).
				WithHint("Say where scores go, under batch.output in godwit.yaml.")
		}
		return answer, nil
	}
	if err = h.opts.Sink.Put(ctx, Name(item.Key, by), answer); err != nil && fault.Of(err) == nil {
		err = fault.New(fault.Unavailable, "batch.Handle", subject, "its answer cannot be kept: %w", err)
	}
	h.circuit.note(err)
	return answer, err
}
