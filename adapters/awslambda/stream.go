package awslambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// stream is Invoke for a platform that streams: what the api writes goes out as
// it is written. What is no HTTP request, or comes from a load balancer, is
// answered in one piece. aws-lambda-go reads the reply, closes it, and only then
// takes the next invocation.
func (h *Handler) stream(ctx context.Context, payload json.RawMessage) (io.Reader, error) {
	v := &invocation{}
	if err := h.open(v, ctx, payload); err != nil {
		return nil, err
	}
	if v.kind != kindHTTP || v.form.alb() {
		defer h.close(v)
		reply, err := h.answer(v, payload)
		if err != nil {
			return nil, err
		}
		return &whole{Reader: *bytes.NewReader(reply)}, nil
	}
	s := newStreamed()
	go s.produce(h, v)
	select {
	case <-s.begun:
	case <-s.ended:
		if s.panicked != nil { // for aws-lambda-go, which reports it and ends the process
			panic(s.panicked)
		}
	}
	return s, nil
}

// notJSON keeps aws-lambda-go from sending a reader as JSON.
type notJSON struct{}

// MarshalJSON refuses.
func (notJSON) MarshalJSON() ([]byte, error) { return nil, errors.New("a stream is not JSON") }

// whole is a reply in one piece.
type whole struct {
	notJSON
	bytes.Reader
}

// ContentType tells aws-lambda-go the type of the reply.
func (*whole) ContentType() string { return "application/json" }

// streamed is the answer to a request as a function URL and a REST API take it
// that stream: its head as JSON, eight zero bytes, and the body as it is made.
type streamed struct {
	notJSON
	out   *io.PipeReader
	in    *io.PipeWriter
	begun chan struct{} // closed before the first byte is there to be read
	ended chan struct{} // closed when the api has answered; what is below is set then

	panicked any
}

func newStreamed() *streamed {
	s := &streamed{begun: make(chan struct{}), ended: make(chan struct{})}
	s.out, s.in = io.Pipe()
	return s
}

// ContentType tells aws-lambda-go the type of the reply.
func (*streamed) ContentType() string { return "application/vnd.awslambda.http-integration-response" }

// Read implements io.Reader. Its error, when the answer breaks off, is what
// aws-lambda-go tells the platform behind what has been sent.
func (s *streamed) Read(p []byte) (int, error) { return s.out.Read(p) }

// Close waits for the api, whose writes fail from now on.
func (s *streamed) Close() error {
	_ = s.out.Close()
	<-s.ended
	if s.panicked != nil { // the process is to end: it has been reported behind the answer
		panic(s.panicked)
	}
	return nil
}

// produce has the api answer.
func (s *streamed) produce(h *Handler, v *invocation) {
	defer close(s.ended)
	w := &streamWriter{to: s, form: v.form, header: make(http.Header, 8)}
	var broken error
	defer func() {
		h.close(v) // before the end of the answer, behind which nothing of ours runs
		_ = s.in.CloseWithError(broken)
	}()
	body := h.bodies.Get().(*[]byte)
	defer h.bodies.Put(body)
	r, err := h.request(v.ctx, &v.envelope, body)
	switch {
	case err != nil:
		oip.WriteError(w, err)
	default:
		w.head = r.Method == http.MethodHead
		broken = s.ask(h.api, w, r)
	}
	if broken == nil {
		broken = w.finish()
	}
	if w.over {
		h.warnTooLarge(v.ctx, w.total, maxStreamed)
	}
}

// ask calls the api, and says why its answer is not whole. A panic is kept.
func (s *streamed) ask(api http.Handler, w *streamWriter, r *http.Request) (err error) {
	defer func() {
		if b, ok := r.Body.(*body); ok {
			b.closed.Store(true)
		}
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler:
			broke := fault.New(fault.Internal, "awslambda.Invoke", "", "the answer broke off")
			if !w.begun {
				*w = streamWriter{to: s, form: w.form, header: http.Header{}}
				oip.WriteError(w, broke)
				return
			}
			err = functionError(broke)
		default:
			s.panicked = p
			err = functionError(fault.New(fault.Internal, "awslambda.Invoke", "", "the handler panicked"))
		}
	}()
	api.ServeHTTP(w, r)
	return nil
}

// streamWriter is the http.ResponseWriter of a streamed answer. Nothing is held
// back but the head, until the first byte of the body or a flush.
type streamWriter struct {
	to     *streamed
	form   form
	header http.Header
	status int
	head   bool // the request was a HEAD: no body
	begun  bool // the head is on its way
	over   bool // more than the platform takes
	total  int  // bytes of the body
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(status int) {
	if w.status != 0 || status < 200 { // informational ones have no place in an answer
		return
	}
	w.status = status
	if n, err := strconv.Atoi(w.header.Get("Content-Length")); err == nil && n > maxStreamed && !w.head {
		w.over, w.total = true, n
	}
}

func (w *streamWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.head:
		return len(p), nil
	case w.over:
		return 0, tooLarge(w.total, maxStreamed)
	}
	if w.total += len(p); w.total > maxStreamed {
		w.over = true
		return 0, tooLarge(w.total, maxStreamed)
	}
	if err := w.begin(p); err != nil || len(p) == 0 {
		return 0, err
	}
	return len(p), nil
}

// begin sends p, and the head before it if that is still to be sent.
func (w *streamWriter) begin(p []byte) error {
	if !w.begun {
		w.begun = true
		known := recorder{header: w.header, status: w.status}
		first := make([]byte, 0, 512+min(len(p), 64<<10))
		first = known.appendHead(append(first, '{'), w.form)
		first = append(first, "}\x00\x00\x00\x00\x00\x00\x00\x00"...)
		if len(p) <= 64<<10 { // else it is not worth a copy
			first, p = append(first, p...), nil
		}
		close(w.to.begun)
		if _, err := w.to.in.Write(first); err != nil {
			return err
		}
	}
	if len(p) == 0 {
		return nil
	}
	_, err := w.to.in.Write(p)
	return err
}

// FlushError sends the head, if nothing else has yet; the body never waits.
func (w *streamWriter) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.over {
		return tooLarge(w.total, maxStreamed)
	}
	return w.begin(nil)
}

// Flush implements http.Flusher.
func (w *streamWriter) Flush() { _ = w.FlushError() }

// finish sends what is not yet sent when the api has answered. An error is why
// the answer is not whole.
func (w *streamWriter) finish() error {
	if w.over && !w.begun {
		refused := streamWriter{to: w.to, form: w.form, header: http.Header{}}
		oip.WriteError(&refused, tooLarge(w.total, maxStreamed))
		w.begun = true
		return nil
	}
	if w.over {
		return functionError(tooLarge(w.total, maxStreamed))
	}
	w.WriteHeader(http.StatusOK)
	if err := w.begin(nil); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}
