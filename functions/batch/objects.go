package batch

import (
	"context"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
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

	// Input and Output are URLs or paths of prefixes, which end with a slash.
	// Items below Output, or not below Input, are refused: scores would be scored
	// again. An Input without scheme is a prefix of keys in any bucket. ""
	// Input is everywhere; without Output items are refused.
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
	// for several: what the model's batching allows. 0 means 128. It is less
	// where the tensors would take more than 32 MiB.
	Rows int
	// Parallel is how many parts of all jobs are scored at once; 0 means 2.
	Parallel int
	// Code identifies what of the answers is not the model's, such as the user's
	// handler: the digest of its code. Scores of other code are other scores.
	Code string
}
