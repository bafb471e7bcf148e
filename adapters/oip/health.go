package oip

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"godwit.dev/runtime/fault"
)

// serveLive says that the process answers. It depends on nothing: a platform
// restarts what is not live, and a restart cures neither a missing model nor
// a full queue.
func (s *Server) serveLive(_ context.Context, _ *Exchange, w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, struct {
		Live bool `json:"live"`
	}{true})
	return nil
}

// serveReady tells yes or no and no reasons: probes carry no credentials.
func (s *Server) serveReady(_ context.Context, _ *Exchange, w http.ResponseWriter, _ *http.Request) error {
	answer := struct {
		Live  bool `json:"live"`
		Ready bool `json:"ready"`
	}{true, s.Ready() == nil}
	status := http.StatusOK
	if !answer.Ready {
		status = fault.Unavailable.HTTP()
	}
	writeJSON(w, status, answer)
	return nil
}

func (s *Server) serveModelReady(_ context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	answer := struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{Name: r.PathValue("model")}
	var err error
	if answer.Ready, err = s.ModelReady(answer.Name, r.PathValue("version")); err != nil {
		return err
	}
	status := http.StatusOK
	if !answer.Ready {
		status = fault.Unavailable.HTTP()
	}
	writeJSON(w, status, answer)
	return nil
}

// maxControl bounds the bodies of requests that carry no tensors.
const maxControl = 64 << 10

func (s *Server) serveIndex(ctx context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Ready bool `json:"ready"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControl+1))
	switch {
	case err != nil:
		return readError(ctx, err)
	case len(body) > maxControl:
		return tooLarge(maxControl)
	case len(body) > 0:
		if err := json.Unmarshal(body, &ask); err != nil {
			var typed *json.UnmarshalTypeError
			if errors.As(err, &typed) {
				return fault.New(fault.Invalid, "oip.Index", "body", `want {"ready": true or false} or nothing, got a %s`, typed.Value)
			}
			return fault.New(fault.Invalid, "oip.Index", "body", `want {"ready": true or false} or nothing: %w`, err)
		}
	}
	writeJSON(w, http.StatusOK, s.Index(ask.Ready))
	return nil
}

func (s *Server) serveUnsupported(context.Context, *Exchange, http.ResponseWriter, *http.Request) error {
	return ErrFixedModels()
}

// ErrFixedModels is the answer to loading and unloading on every wire.
func ErrFixedModels() error {
	return fault.New(fault.Unsupported, "oip.Load", "", "models are not loaded or unloaded at run time").
		WithHint("Deploy another version of the function.")
}
