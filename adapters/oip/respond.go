package oip

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"godwit.dev/runtime/fault"
)

// Header values as net/http keeps them, shared by all responses: setting them
// costs no allocation. Nobody writes to them.
var (
	nosniff     = []string{"nosniff"}
	typeJSON    = []string{"application/json"}
	typeBinary  = []string{"application/octet-stream"}
	varyCoding  = []string{"Accept-Encoding"}
	closeAfter  = []string{"close"}
	retrySecond = []string{"1"}
	challenge   = []string{`Bearer realm="godwit"`}
)

// methodError is the one failure whose status is not the code's: 405.
type methodError struct{ fault *fault.Error }

func (e *methodError) Error() string { return e.fault.Error() }
func (e *methodError) Unwrap() error { return e.fault }

// errorBody is the protocol's error object with the code beside the text.
type errorBody struct {
	Error string `json:"error"`
	Code  string `json:"code"`
}

// WriteError answers with the status of err's code and the protocol's error
// body. Causes of Internal errors stay in the log.
func WriteError(w http.ResponseWriter, err error) {
	code := fault.CodeOf(err)
	status := code.HTTP()
	if e := (*methodError)(nil); errors.As(err, &e) {
		status = http.StatusMethodNotAllowed
	}
	switch code {
	case fault.Unavailable, fault.RateLimited:
		w.Header()["Retry-After"] = retryAfter(err)
	case fault.Unauthenticated:
		w.Header()["Www-Authenticate"] = challenge
	}
	writeJSON(w, status, errorBody{Error: fault.Public(err), Code: code.String()})
}

// retryAfter is the time to wait in whole seconds, at least one.
func retryAfter(err error) []string {
	wait := fault.RetryOf(err)
	if wait <= time.Second {
		return retrySecond
	}
	return []string{strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)}
}

func (s *Server) writeError(w http.ResponseWriter, x *Exchange, err error) {
	h := w.Header()
	// An endpoint may have failed after it prepared an answer.
	for _, name := range []string{"Content-Encoding", "Content-Length", "Inference-Header-Content-Length"} {
		h.Del(name)
	}
	// The text tells the caller to look for this id in the log.
	h["X-Request-Id"] = []string{x.RequestID()}
	WriteError(w, err)
}

// writeJSON writes v, which always can be marshalled, as the whole answer.
func writeJSON(w http.ResponseWriter, status int, v any) {
	writeBody(w, status, append(marshal(v), '\n'))
}

func marshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of this package that JSON cannot hold
	}
	return body
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A caller that is gone has nothing to be told.
	_, _ = w.Write(body)
}
