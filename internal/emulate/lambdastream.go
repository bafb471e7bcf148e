package emulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// lambdaPrelude is the type of an answer with its head in front, as function URLs
// and REST APIs take it that stream.
const lambdaPrelude = "application/vnd.awslambda.http-integration-response"

// lambdaHead bounds the head, which is what a header of HTTP may be.
const lambdaHead = 1 << 20

var errBroken = errors.New("the function's answer broke off")

// streamed hands an answer on while it comes. The function is at work until it
// has all been sent, and is killed when that takes longer than its timeout. What
// it says behind the answer, that it is not whole, callers see as a connection
// that broke off.
func (l *lambda) streamed(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	i := l.running[r.PathValue("id")]
	process := l.process
	l.mu.Unlock()
	if i == nil {
		l.take(w, r) // refuses
		return
	}
	if l.opts.Concurrency <= 1 {
		late := time.AfterFunc(time.Until(i.deadline), func() { _ = process.Signal(os.Kill) })
		defer late.Stop()
	}
	out, in := io.Pipe()
	defer i.cancel()
	defer context.AfterFunc(i.ctx, func() { _ = out.Close() })() // who has left reads no more
	i.answer <- answered{stream: out, media: lambdaPrelude}
	kept := &streamCopy{to: in, keep: l.opts.Trace != nil}
	n, err := io.Copy(kept, io.LimitReader(r.Body, lambdaStreamed+1))
	over := n > lambdaStreamed
	if l.take(w, r) == nil { // the platform's own time is over
		_ = in.CloseWithError(errBroken)
		return
	}
	traced(l.opts, i.begun, i.payload, kept.bytes.Bytes())
	switch {
	case over:
		_ = in.CloseWithError(errBroken)
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Exceeded maximum allowed payload size.")
		return
	case err != nil, r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "":
		_ = in.CloseWithError(errBroken)
	default:
		_ = in.Close()
	}
	accept(w)
}

// streamCopy writes on to somebody who may leave: the function is not told.
type streamCopy struct {
	to    *io.PipeWriter
	keep  bool
	bytes bytes.Buffer
}

func (c *streamCopy) Write(p []byte) (int, error) {
	if c.keep {
		c.bytes.Write(p)
	}
	_, _ = c.to.Write(p)
	return len(p), nil
}

// fromStream reads the head of a streamed answer: JSON and eight zero bytes. The
// rest is the body.
func (l *lambda) fromStream(req *http.Request, a answered) (*http.Response, error) {
	if a.stream == nil {
		return l.bad(req), nil
	}
	in := bufio.NewReader(a.stream)
	var head []byte
	for !bytes.HasSuffix(head, make([]byte, 8)) {
		b, err := in.ReadByte()
		if err != nil || len(head) > lambdaHead {
			_ = a.stream.Close()
			return l.bad(req), nil
		}
		head = append(head, b)
	}
	var r eventReply
	rest := l.variant == "rest-stream"
	err := json.Unmarshal(head[:len(head)-8], &r)
	if err != nil || r.StatusCode == nil || *r.StatusCode < 200 || *r.StatusCode > 599 || !rest && r.MultiValueHeaders != nil {
		_ = a.stream.Close()
		return l.bad(req), nil
	}
	h := http.Header{}
	for name, value := range r.Headers {
		h.Add(name, value)
	}
	for name, values := range r.MultiValueHeaders {
		for _, value := range values {
			h.Add(name, value)
		}
	}
	for _, c := range r.Cookies {
		h.Add("Set-Cookie", c)
	}
	return &http.Response{
		Status: strconv.Itoa(*r.StatusCode) + " " + http.StatusText(*r.StatusCode), StatusCode: *r.StatusCode, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: streamBody{in, a.stream}, ContentLength: -1, Request: req,
	}, nil
}

// streamBody reads what is buffered first.
type streamBody struct {
	io.Reader
	io.Closer
}
