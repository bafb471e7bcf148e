package oip

import (
	"context"
	"net/http"
	"net/url"

	"godwit.dev/runtime/fault"
)

// InferPath is the protocol's path of inference requests for a model, whose name
// may be anything; without a version it is the newest that is ready.
func InferPath(model, version string) string {
	path := "/v2/models/" + url.PathEscape(model)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path + "/infer"
}

// Forward is r for another path, which is escaped, and without a query: what a
// platform's route stands for. r stays as it is; both have one header and one body.
func Forward(r *http.Request, path string) *http.Request {
	other, u := *r, *r.URL
	u.Path, u.RawPath, u.RawQuery = path, "", ""
	if plain, err := url.PathUnescape(path); err == nil && plain != path {
		u.Path, u.RawPath = plain, path
	}
	other.URL = &u
	return &other
}

// Refuse answers r, which asks for an inference in a way that is none, with err:
// when the caller's access and the method have been checked, as for all others.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.Serve(w, r, ScopeInfer, http.MethodPost, func(context.Context, *Exchange, http.ResponseWriter, *http.Request) error {
		return err
	})
}

// ServeBody is Serve for POSTs that ask for an inference and whose whole body e
// turns into a whole answer. The body is read and decompressed within the
// server's limits and memory, and is e's until it returns; ctx ends with the
// time that a request has. Errors are answered as everywhere.
func (s *Server) ServeBody(w http.ResponseWriter, r *http.Request, e func(ctx context.Context, x *Exchange, body []byte) (answer []byte, contentType string, err error)) {
	s.Serve(w, r, ScopeInfer, http.MethodPost, func(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error {
		if s.opts.Timeout > 0 {
			timed, cancel := context.WithDeadline(ctx, x.start.Add(s.opts.Timeout))
			defer cancel()
			ctx = timed
		}
		in, err := s.read(ctx, r, 0)
		if err != nil {
			if r.ProtoMajor == 1 {
				w.Header()["Connection"] = closeAfter
			}
			return err
		}
		defer in.abandon() // after a panic, who knows what still reads it
		answer, contentType, err := e(ctx, x, in.data)
		in.release()
		if err != nil {
			return err
		}
		h := w.Header()
		h["X-Request-Id"] = x.value(x.RequestID())
		h["Content-Type"] = x.value(contentType)
		h["Content-Length"] = x.value(s.numbers.text(len(answer)))
		_, _ = w.Write(answer) // a caller that is gone has nothing to be told
		return nil
	})
}

// ErrorJSON is the protocol's error body for err, without a newline: what
// callers may know of it. For answers that hold several.
func ErrorJSON(err error) []byte {
	return marshal(errorBody{Error: fault.Public(err), Code: fault.CodeOf(err).String()})
}
