package batch

import (
	"context"
	"path"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// Stores opens what URLs name; *store.Set does.
type Stores interface {
	// Open gives the bucket and the key of a URL or path.
	Open(ctx context.Context, url string) (store.Bucket, string, error)
}

var _ Stores = (*store.Set)(nil)

// Objects says how objects of rows are scored.
type Objects struct {
	// Models tells signatures and digests. Requests go to the Handler that New
	// was given, and name one of these models.
	Models *infer.Registry
	Stores Stores

	// Ready waits until all that can be known of the models is known: whether
	// they may be asked for several rows at a time takes them a moment to find
	// out. nil: it is known.
	Ready func(ctx context.Context) error

	// Input and Output are prefixes that end with a slash: URLs, absolute paths,
	// or prefixes of keys in whichever bucket an item lies in. Items below
	// Output, or not below Input, are refused: scores would be scored again. ""
	// for Input is everywhere; without Output items are refused, and only jobs
	// that name theirs are done.
	Input, Output string

	// Format is that of the scores; "" is the input's.
	Format rows.Format
	// Columns says which column fills which input of the model, Pass which go to
	// the output as they are: see rows.NewPlan.
	Columns map[string]string
	Pass    []string
	// MaxBad is the share of an object's rows, from 0 to 1, that may be bad;
	// with more the object fails for good, with Unprocessable. 0 means 1, and
	// negative none.
	MaxBad float64
	// PartBytes is about how large a part is, of the object as it is
	// uncompressed; 0 means 64 MiB. What an object is scored in again after a
	// crash, and what a delivery must have time for.
	PartBytes int64
	// Rows is how many rows a run of the model has at most, if it can be asked
	// for several: what the model's batching allows. 0 means 128, and 256 where a
	// row has no more than 64 numbers. It is less where the tensors would take
	// more than 32 MiB.
	Rows int
	// Parallel is how many parts of all jobs are scored at once; 0 means 2. Each
	// takes the memory of three blocks of rows for each run of the model, and
	// what reading and writing take.
	Parallel int
	// Code identifies what of the answers is not the model's, such as the user's
	// handler: the digest of its code. Scores of other code are other scores.
	Code string
}

// below is the prefix for the scores of an event's object, and the name that
// they have there: its key below Input.
func (o *Objects) below(in store.Location) (prefix, name string, err error) {
	name = in.Key
	if o.Input != "" {
		input, err := o.prefix(o.Input, in)
		if err != nil {
			return "", "", err
		}
		if !within(in, input) {
			return "", "", fault.New(fault.Unprocessable, "batch.Handle", in.String(), "want an object below %s, got one elsewhere", input).
				WithHint("Let the bucket tell only of objects below batch.input.")
		}
		name = strings.TrimPrefix(in.Key, input.Key)
	}
	if o.Output == "" {
		return "", "", fault.New(fault.Unsupported, "batch.Handle", in.String(), "its scores have nowhere to go").
			WithHint("Say where scores go, under batch.output in godwit.yaml.")
	}
	output, err := o.prefix(o.Output, in)
	if err != nil {
		return "", "", err
	}
	if within(in, output) {
		return "", "", fault.New(fault.Unprocessable, "batch.Handle", in.String(), "want an object to score, got one below %s, where scores go", output).
			WithHint("Let the bucket tell only of objects below batch.input, apart from batch.output.")
	}
	return output.String(), name, nil
}

// prefix is a place for all items: one that says nothing of the bucket is in
// that of the item.
func (o *Objects) prefix(of string, in store.Location) (store.Location, error) {
	of = strings.TrimSuffix(of, "/") + "/"
	if strings.Contains(of, "://") || path.IsAbs(of) {
		return store.Parse(of)
	}
	return store.Location{Scheme: in.Scheme, Bucket: in.Bucket, Key: strings.TrimPrefix(of, "./")}, nil
}

func within(at, prefix store.Location) bool {
	return at.Scheme == prefix.Scheme && at.Bucket == prefix.Bucket && strings.HasPrefix(at.Key, prefix.Key)
}

// object scores an item that lies in a store, and answers with a few words
// about where its scores are.
func (h *Handler) object(ctx context.Context, item *trigger.Item) ([]byte, error) {
	if h.opts.Objects == nil {
		return nil, fault.New(fault.Unsupported, "batch.Handle", item.Object.URL(), "want a payload within the event, got an object").
			WithHint("Send requests as messages, or say under batch: how objects are scored.")
	}
	if strings.HasSuffix(item.Object.Key, "/") && item.Object.Size <= 0 {
		return nil, nil // what stands for a folder in a console
	}
	if err := checkNames(item.Attributes[Model], item.Attributes[ModelVersion]); err != nil {
		return nil, err
	}
	leave, err := h.job(ctx, item.Object.URL())
	if err != nil {
		return nil, err
	}
	defer leave()
	job := &Job{Input: item.Object.URL(), Version: item.Object.Version, Model: item.Attributes[Model], ModelVersion: item.Attributes[ModelVersion]}
	if answer, split, err := h.split(ctx, job); err != nil || split {
		return answer, err
	}
	res, err := h.Score(ctx, job)
	if err != nil {
		return nil, err
	}
	return answerOf(res)
}
