package batch

import (
	"context"

	"godwit.dev/runtime/fault"
)

// Score scores one object: it reads parts, asks the model, and writes scores,
// all at the same time. It returns when every part that the job names is there
// to stay.
//
// Whatever ends it, also the end of the process, what has been written stays,
// and the next call goes on from there. Several may score the same object at a
// time, in one process or many: each part is kept once.
//
// Errors: NotFound without the object, Invalid and Unsupported for what cannot
// be read as rows or does not fit the model, Unprocessable when more rows are
// bad than Objects.MaxBad or another object is where the scores go, BadConfig
// for settings that contradict each other, DeadlineExceeded when ctx ends or
// has not the time for another part, Canceled, and Unavailable for what may pass.
func (h *Handler) Score(ctx context.Context, job *Job) (*Result, error) {
	return nil, fault.New(fault.Unsupported, "batch.Score", job.Input, "not there yet")
}
