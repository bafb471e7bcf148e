package app

import (
	"context"
	"path/filepath"
	"strings"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
)

// ScoreInput scores what lies below batch.input, or one shard of it, as events of
// each object would have it: what a job does. A relative batch.input is below
// base, a folder or the URL of a prefix. Errors: BadConfig, and
// batch.Handler.ScorePrefix's.
func (f *Function) ScoreInput(ctx context.Context, base string, p *batch.Prefix) (*batch.PrefixResult, error) {
	b := f.Spec.Batch
	if b == nil {
		return nil, fault.New(fault.BadConfig, "app.ScoreInput", "batch", "want a function that says what a job scores, got none").
			WithHint("Say under batch: in godwit.yaml where rows are and where scores go.")
	}
	objects, err := f.Objects(nil)
	if err != nil {
		return nil, err
	}
	input := b.Input
	if !strings.Contains(input, "://") {
		switch {
		case strings.Contains(base, "://"):
			input = strings.TrimSuffix(base, "/") + "/" + keys(input)
		case base != "":
			input = filepath.Join(base, filepath.FromSlash(input)) + "/"
		case f.opts.Target == Local:
			input = f.below(input)
		default:
			return nil, fault.New(fault.BadConfig, "app.ScoreInput", "batch.input", "want a bucket for the prefix %q, got none", input).
				WithHint("Name one, as in s3://BUCKET/rows/, or set GODWIT_INPUT to the bucket or folder that it is in.")
		}
	}
	objects.Input = strings.TrimSuffix(input, "/") + "/"
	one := *p
	one.Input = objects.Input
	h := batch.New(f.Handler, &batch.Options{Objects: objects, Dead: f.dead(objects), Limits: CodecLimits(&f.Spec.Limits), NaN: nanPolicy(f.Spec.Models), Log: f.opts.Logger})
	return h.ScorePrefix(ctx, &one)
}
