package store

import (
	"context"
	"errors"

	"godwit.dev/runtime/fault"
)

// Exists is the error of a Commit that found an object there: ErrExists, coded
// Unprocessable.
func Exists(op, key string) error {
	return &fault.Error{Op: op, Subject: shown(key), Code: fault.Unprocessable, Err: ErrExists}
}

// Gone is the error of an Open whose version is not the current one any more: Mismatch.
func Gone(op, key, version string) error {
	return fault.New(fault.Mismatch, op, shown(key), "want the version %q, which has been replaced", version).
		WithHint("The object was written again while it was read; a new delivery reads the new one.")
}

// Fault codes an error of a store: what is coded already stays as it is, a
// context's end is Canceled or DeadlineExceeded, and the rest is Unavailable,
// since a network gave it.
func Fault(op, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case fault.Of(err) != nil:
		return err
	case errors.Is(err, context.Canceled):
		return &fault.Error{Op: op, Subject: shown(key), Code: fault.Canceled, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{Op: op, Subject: shown(key), Code: fault.DeadlineExceeded, Err: err}
	}
	return &fault.Error{Op: op, Subject: shown(key), Code: fault.Unavailable, Err: err}
}
