package oip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Load has the files of a model read again by Options.Reload, and what changed
// brought into service. given is what the caller says besides the model's name:
// nothing is taken from the network, so anything is refused. Errors:
// Unsupported without Reload, and without Auth, since then nobody says who may
// change what is served; Invalid; those of Reload.
func (s *Server) Load(ctx context.Context, model string, given int) error {
	switch {
	case s.opts.Reload == nil || s.opts.Auth == nil:
		return ErrFixedModels()
	case !infer.ValidName(model):
		return badName("model", model)
	case given > 0:
		return fault.New(fault.Invalid, "oip.Load", fmt.Sprintf("model %q", model), "want no parameters, got some: a model is read again from the function's own folder").
			WithHint("Replace the files there, then load without parameters.")
	}
	return s.opts.Reload(ctx, model)
}

func (s *Server) serveLoad(ctx context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControl+1))
	if err != nil {
		return readError(ctx, err)
	}
	given := bytes.TrimSpace(body)
	if string(given) == "{}" {
		given = nil
	}
	if err := s.Load(ctx, r.PathValue("model"), len(given)); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}
