package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// models answers the routes of multi-model endpoints.
func (h *handler) models(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), "/models"), "/")
	if escaped, ok := strings.CutSuffix(rest, "/invoke"); ok {
		name, err := url.PathUnescape(escaped)
		if name == "" {
			err = fault.New(fault.Invalid, "sagemaker.Models", "model", "want /models/NAME/invoke, got %q", r.URL.Path)
		}
		h.invoke(w, r, name, "", err)
		return
	}
	name, _ := url.PathUnescape(rest) // an escaped path always can be
	method, scope, e := r.Method, oip.ScopeMetadata, oip.Endpoint(nil)
	switch {
	case r.Method == http.MethodPost && rest == "":
		scope, e = oip.ScopeAdmin, h.load
	case r.Method == http.MethodDelete && rest != "":
		scope, e = oip.ScopeAdmin, func(context.Context, *oip.Exchange, http.ResponseWriter, *http.Request) error {
			return fixed("unload", name)
		}
	default:
		method = http.MethodGet
		e = func(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, _ *http.Request) error {
			return h.list(w, name)
		}
	}
	h.api.Serve(w, r, scope, method, e)
}

// modelEntry is how SageMaker describes a model.
type modelEntry struct {
	Name string `json:"modelName"`
	URL  string `json:"modelUrl"`
}

// list writes the models that are ready, or the one with a name.
func (h *handler) list(w http.ResponseWriter, name string) error {
	all := []modelEntry{}
	for _, m := range h.api.Index(true) {
		if e := (modelEntry{m.Name, ModelFolder}); len(all) == 0 || all[len(all)-1] != e { // one entry for all versions
			all = append(all, e)
		}
	}
	if name == "" {
		writeJSON(w, http.StatusOK, struct {
			Models []modelEntry `json:"models"`
		}{all})
		return nil
	}
	if _, err := h.api.Model(name, ""); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, modelEntry{name, ModelFolder})
	return nil
}

// maxLoad bounds the document that names a model to load.
const maxLoad = 64 << 10

// load says that the model is there, or that none can be added.
func (h *handler) load(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLoad))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return fault.New(fault.TooLarge, "sagemaker.Models", "body", "want at most %d bytes, got more", maxLoad)
	}
	var m struct {
		Name string `json:"model_name"`
	}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil || m.Name == "" {
		return fault.New(fault.Invalid, "sagemaker.Models", "body", `want {"model_name":"NAME","url":"…"}, got something else`)
	}
	if ready, err := h.api.ModelReady(m.Name, ""); err == nil && ready {
		writeJSON(w, http.StatusConflict, map[string]string{"error": "the model is loaded already"})
		return nil
	}
	return fixed("load", m.Name)
}

func fixed(what, name string) error {
	return fault.New(fault.Unsupported, "sagemaker.Models", name, "cannot %s it: a function's models are fixed when it is packaged", what).
		WithHint("Put all models into one function and name one with each request.")
}

// maxTransform bounds what a batch transform job has under way on one instance,
// in MB: MaxConcurrentTransforms times MaxPayloadInMB ("CreateTransformJob").
const maxTransform = 100

// executionParameters says how batch transform jobs should send their data,
// unless the job itself does: rows together only where bodies can be rows.
func (h *handler) executionParameters(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, _ *http.Request) error {
	strategy := "SINGLE_RECORD"
	if sig, err := h.api.Signature(h.opts.Model, ""); err == nil && rows(sig.Inputs) {
		strategy = "MULTI_RECORD"
	}
	payload := max(min(h.api.Options().Limits.Body, h.opts.Payload, maxTransform<<20)>>20, 1)
	writeJSON(w, http.StatusOK, struct {
		MaxConcurrentTransforms int64
		BatchStrategy           string
		MaxPayloadInMB          int64
	}{min(int64(h.opts.Transforms), maxTransform/payload), strategy, payload})
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of this package that JSON cannot hold
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
