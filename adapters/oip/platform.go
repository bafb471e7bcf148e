package oip

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
)

// An Endpoint answers one request on a route of a platform's own. It either
// writes a whole answer and returns nil, or writes nothing and returns why.
type Endpoint func(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error

// Serve answers r with e as the server does on its own routes: after the
// caller's access to scope and the method have been checked ("" is open to
// everybody, for probes that tell nothing), with request id, trace, log line and
// error bodies. A panic is Internal.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, scope Scope, method string, e Endpoint) {
	m := map[string]endpoint{method: endpoint(e)}
	if method == http.MethodGet {
		m[http.MethodHead] = endpoint(e)
	}
	s.answer(w, r, &route{scope: scope, endpoints: m, allow: method + ", OPTIONS"}, "", "")
}

// A Form is one that inference requests and answers have on some platform,
// other than the protocol's.
type Form struct {
	// Decode makes a request of a body, its model and version included. The
	// request may borrow the body. Errors: coded.
	Decode func(body []byte) (*infer.Request, error)
	// Encode appends the answer to dst. Errors: coded.
	Encode func(dst []byte, req *infer.Request, resp *infer.Response) (body []byte, contentType string, err error)
}

// InferAs answers r, an inference request in another form, as the protocol's
// own are answered: with the same checks, limits, memory, deadlines and logs.
func (s *Server) InferAs(w http.ResponseWriter, r *http.Request, f *Form) {
	s.answer(w, r, &route{scope: ScopeInfer, infer: true, allow: "POST, OPTIONS", endpoints: map[string]endpoint{
		http.MethodPost: func(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error {
			return s.inferAs(ctx, x, w, r, f)
		},
	}}, "", "")
}

func (s *Server) inferAs(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request, f *Form) error {
	in, err := s.read(ctx, r, 0)
	if err != nil {
		if r.ProtoMajor == 1 {
			w.Header()["Connection"] = closeAfter
		}
		return err
	}
	defer in.abandon()
	req, err := f.Decode(in.data)
	if err != nil {
		in.release()
		return err
	}
	resp, err := x.Infer(ctx, req)
	if err != nil {
		return err // in is abandoned: who knows what still reads it
	}
	defer resp.Release()
	out := s.buffers.Get(int(s.answered.Load()))
	defer s.buffers.Put(out)
	var contentType string
	*out, contentType, err = f.Encode((*out)[:0], req, resp)
	resp.Release()
	in.release()
	if err != nil {
		return err
	}
	s.answered.Store(int64(len(*out)))
	h := w.Header()
	h["X-Request-Id"] = x.value(x.RequestID())
	h["Content-Type"] = x.value(contentType)
	h["Content-Length"] = x.value(s.numbers.text(len(*out)))
	_, _ = w.Write(*out) // a caller that is gone has nothing to be told
	return nil
}

// Signature is what a model takes and gives; an empty name is the only model,
// an empty version the newest that is ready. The caller must not change it.
// Errors: Invalid, NotFound, Unavailable.
func (s *Server) Signature(model, version string) (*driver.Signature, error) {
	m, err := s.lookup(model, version)
	if err != nil {
		return nil, err
	}
	return m.Signature(), nil
}

// LengthInType is a content type of bodies with binary tensors, for platforms
// that let no header through but that: its parameter json-header-size is what
// the header Inference-Header-Content-Length is elsewhere. The convention is
// Triton's.
type LengthInType string

// Request is r as the protocol has it, if its content type is t.
func (t LengthInType) Request(r *http.Request) (_ *http.Request, ok bool) {
	given := r.Header.Get("Content-Type")
	if name, _, _ := strings.Cut(given, ";"); !strings.EqualFold(strings.TrimSpace(name), string(t)) {
		return r, false
	}
	// What is no content type has no length, which is refused as that.
	_, params, _ := mime.ParseMediaType(given)
	short := *r
	short.Header = r.Header.Clone()
	short.Header["Content-Type"] = typeBinary
	short.Header[headerLength] = []string{params["json-header-size"]}
	return &short, true
}

// Writer writes to w, with answers of binary tensors in the type t.
func (t LengthInType) Writer(w http.ResponseWriter) http.ResponseWriter {
	return &typedWriter{ResponseWriter: w, to: t}
}

type typedWriter struct {
	http.ResponseWriter
	to   LengthInType
	done bool
}

func (w *typedWriter) head() {
	if w.done {
		return
	}
	w.done = true
	h := w.Header()
	if n := h[headerLength]; len(n) == 1 {
		h["Content-Type"] = []string{string(w.to) + ";json-header-size=" + n[0]}
		delete(h, headerLength)
	}
}

func (w *typedWriter) WriteHeader(status int) {
	w.head()
	w.ResponseWriter.WriteHeader(status)
}

func (w *typedWriter) Write(p []byte) (int, error) {
	w.head()
	return w.ResponseWriter.Write(p)
}

func (w *typedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
