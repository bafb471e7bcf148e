// Package fault is Godwit's one error type. An error carries a code, and the
// code alone decides the HTTP status, the gRPC status and the exit code, so
// that no caller ever branches on text.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Error is what every exported call of Godwit returns when it fails.
//
// Err's text and Hint may be shown to an unauthenticated caller unless the
// server is to blame, that is, unless the code's HTTP status is 500: for those
// codes Public returns a fixed sentence. So paths, addresses and host names
// belong into errors of such codes, or into errors that only a command line sees.
type Error struct {
	Op      string // what was being done: "infer.Predict"
	Subject string // what it was done to: `input "x"`, "models/iris.onnx"; may be empty
	Code    Code
	Err     error  // the cause, for errors.Is and errors.As; may be nil
	Hint    string // one sentence that a person can act on, or ""
	// Retry is how long to wait before asking again; 0 when that is not known.
	Retry time.Duration
}

// New returns an Error whose cause has the formatted text; %w wraps.
func New(code Code, op, subject, format string, args ...any) *Error {
	return &Error{Op: op, Subject: subject, Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint sets the hint and returns e, so that a fault is built in one expression.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithRetry says how long to wait before asking again, and returns e.
func (e *Error) WithRetry(d time.Duration) *Error {
	e.Retry = d
	return e
}

// Error is "op subject: cause", without the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Subject)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(e.Code.String())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Of returns the first Error in err's tree, or nil.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// CodeOf returns the code of the first Error in err's tree. A nil error is OK;
// context errors have their own codes; anything else is Internal.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if e := Of(err); e != nil {
		return e.Code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}

// HintOf returns the first hint in err's tree, or "".
func HintOf(err error) string {
	for err != nil {
		e := Of(err)
		if e == nil {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// RetryOf returns the first time to wait before asking again in err's tree, or 0.
func RetryOf(err error) time.Duration {
	for err != nil {
		e := Of(err)
		if e == nil {
			return 0
		}
		if e.Retry > 0 {
			return e.Retry
		}
		err = e.Err
	}
	return 0
}

// Public returns the text that a remote caller may read: subject, cause and
// hint, but where the server is to blame only that, because such a cause may
// name paths, addresses and versions.
func Public(err error) string {
	code := CodeOf(err)
	switch {
	case code == Internal:
		return "internal error; the server's log has the cause under this request's id"
	case code.HTTP() == Internal.HTTP():
		return "the server could not do this (" + code.String() + "); its log has the cause"
	}
	e := Of(err)
	if e == nil {
		return code.String()
	}
	text := e.Error()
	if e.Op != "" {
		text = strings.TrimLeft(strings.TrimPrefix(text, e.Op), ": ")
	}
	if hint := HintOf(err); hint != "" {
		text += ". " + hint
	}
	return text
}
