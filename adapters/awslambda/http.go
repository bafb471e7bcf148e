package awslambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// serve answers a request of an HTTP event.
func (h *Handler) serve(ctx context.Context, e *envelope) []byte {
	limit := maxReply
	if e.form.alb() {
		limit = maxALB
	}
	body := h.bodies.Get().(*[]byte)
	defer h.bodies.Put(body)
	w := &recorder{header: make(http.Header, 8), limit: limit}
	r, err := h.request(ctx, e, body)
	if err != nil {
		oip.WriteError(w, err)
	} else {
		call(h.api, w, r)
	}
	reply := w.reply(e.form)
	if w.over || len(reply) > limit {
		h.warnTooLarge(ctx, max(w.total, len(reply)), limit)
		reply = refusal(tooLarge(max(w.total, len(reply)), limit)).reply(e.form)
	}
	return reply
}

func (h *Handler) warnTooLarge(ctx context.Context, bytes, limit int) {
	h.opts.Log.WarnContext(ctx, "an answer was too large for the platform", "bytes", bytes, "limit", limit)
}

func refusal(err error) *recorder {
	w := &recorder{header: http.Header{}, limit: maxReply}
	oip.WriteError(w, err)
	return w
}

// call has an api answer. What it means by http.ErrAbortHandler, that half an
// answer is none, is an error here; other panics are the runtime's to report.
func call(api http.Handler, w *recorder, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			*w = *refusal(fault.New(fault.Internal, "awslambda.Invoke", "", "the answer broke off"))
		default:
			panic(p)
		}
	}()
	api.ServeHTTP(w, r)
	if r.Method == http.MethodHead { // as net/http does
		w.body = nil
	}
	if b, ok := r.Body.(*body); ok {
		b.closed.Store(true)
	}
}

// body is a request's body, which lies in memory that is used again.
type body struct {
	bytes.Reader
	closed atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

// WriteTo is Read's for those who would rather be written to.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.WriteTo(w)
}

func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// request makes the request that an event is about; its body lies in buf.
func (h *Handler) request(ctx context.Context, e *envelope, buf *[]byte) (*http.Request, error) {
	c := &e.context
	method, path := e.method, e.path
	if e.form == formV2 {
		method, path = c.method, e.rawPath
	}
	m, err := text(method)
	if err != nil || m == "" {
		return nil, fault.New(fault.Invalid, "awslambda.Invoke", "event", "want a method, got %s", clip(method))
	}
	u, err := h.url(e, path)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, 16)
	if err := e.readHeaders(header); err != nil {
		return nil, badEvent("headers", err)
	}
	if err := e.readBody(buf); err != nil {
		return nil, badEvent("body", err)
	}
	b := &body{}
	b.Reset(*buf)
	r := (&http.Request{
		Method: m, URL: u, RequestURI: u.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: header.Get("Host"), Body: b, ContentLength: int64(len(*buf)),
	}).WithContext(ctx)
	delete(header, "Host")
	// The event has the body's true length, whatever was sent.
	delete(header, "Content-Length")
	delete(header, "Transfer-Encoding")
	r.RemoteAddr, _ = text(c.sourceIP)
	trace(ctx, header)
	return r, nil
}

// trace goes on with the caller's trace, else with the platform's, and names
// the request as the platform's own log does, unless the caller has a name.
func trace(ctx context.Context, header http.Header) {
	if header["Traceparent"] == nil {
		id, _ := ctx.Value("x-amzn-trace-id").(string) // as aws-lambda-go passes it on
		if id == "" {
			id = header.Get("X-Amzn-Trace-Id")
		}
		if parent := traceparent(id); parent != "" {
			header["Traceparent"] = []string{parent}
		}
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok && lc.AwsRequestID != "" && header["X-Request-Id"] == nil {
		header["X-Request-Id"] = []string{lc.AwsRequestID}
	}
}

// traceparent is X-Ray's "Root=1-8hex-24hex;Parent=16hex;Sampled=0|1" as the
// W3C writes it; "" without both ids.
func traceparent(amzn string) string {
	var id, parent string
	flags := "00"
	for part := range strings.SplitSeq(amzn, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			if v, ok := strings.CutPrefix(value, "1-"); ok {
				id = strings.Replace(v, "-", "", 1)
			}
		case "Parent":
			parent = value
		case "Sampled":
			if value == "1" {
				flags = "01"
			}
		}
	}
	if !isHex(id, 16) || !isHex(parent, 8) {
		return ""
	}
	return "00-" + strings.ToLower(id) + "-" + strings.ToLower(parent) + "-" + flags
}

func isHex(s string, n int) bool {
	var b [16]byte
	if len(s) != 2*n {
		return false
	}
	_, err := hex.Decode(b[:n], []byte(s))
	return err == nil
}

// url joins path and query of the event.
func (h *Handler) url(e *envelope, rawPath []byte) (*url.URL, error) {
	path, err := text(rawPath)
	if err != nil {
		return nil, badEvent("path", err)
	}
	if e.form == formV2 {
		// An HTTP API with a named stage has it in front of the path.
		if stage, _ := text(e.context.stage); stage != "" && stage != "$default" {
			path = below(path, "/"+stage)
		}
	}
	if h.opts.BasePath != "" {
		path = below(path, strings.TrimSuffix(h.opts.BasePath, "/"))
	}
	if path == "" {
		path = "/"
	}
	u := &url.URL{Path: path}
	if plain, err := url.PathUnescape(path); err == nil && plain != path {
		u.Path, u.RawPath = plain, path
	}
	u.RawQuery, err = e.rawQueryString()
	if err != nil {
		return nil, badEvent("query", err)
	}
	return u, nil
}

// below is the path without the prefix, if it begins with that.
func below(path, prefix string) string {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return path
	}
	return rest
}

// rawQueryString is the query as callers write it. A load balancer passes names
// and values on encoded; API Gateway's REST APIs have decoded them.
func (e *envelope) rawQueryString() (string, error) {
	if e.form == formV2 {
		return text(e.rawQuery)
	}
	many := e.multiQuery
	if isNull(many) {
		many = e.query
	}
	if isNull(many) {
		return "", nil
	}
	var q strings.Builder
	err := e.eachValue(many, func(name, value string) {
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		if e.form == formV1 {
			name, value = url.QueryEscape(name), url.QueryEscape(value)
		}
		q.WriteString(name + "=" + value)
	})
	return q.String(), err
}

// eachValue calls f with the members of an object whose values are strings or
// lists of strings.
func (e *envelope) eachValue(raw []byte, f func(name, value string)) error {
	return members(raw, func(key, value []byte) error {
		name := string(key)
		if value[0] != '[' {
			s, err := text(value)
			if err == nil {
				f(name, s)
			}
			return err
		}
		return elements(value, func(one []byte) error {
			s, err := text(one)
			if err == nil {
				f(name, s)
			}
			return err
		})
	})
}

// readHeaders makes net/http's form of the event's. HTTP APIs send all values
// of a header in one, and cookies apart.
func (e *envelope) readHeaders(header http.Header) error {
	many := e.multiHeaders
	if isNull(many) || e.form == formV2 {
		many = e.headers
	}
	values := make([]string, 0, 16) // one allocation for most
	err := e.eachValue(many, func(name, value string) {
		name = http.CanonicalHeaderKey(name)
		if old := header[name]; old != nil {
			header[name] = append(old, value)
			return
		}
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	})
	if err != nil || isNull(e.cookies) || e.form != formV2 {
		return err
	}
	var cookies []string
	err = elements(e.cookies, func(one []byte) error {
		s, err := text(one)
		cookies = append(cookies, s)
		return err
	})
	if err == nil && len(cookies) > 0 {
		header["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	return err
}

// readBody decodes the body into buf.
func (e *envelope) readBody(buf *[]byte) error {
	*buf = (*buf)[:0]
	if isNull(e.body) {
		return nil
	}
	if string(e.base64) != "true" {
		b, err := appendText(*buf, e.body)
		*buf = b
		return err
	}
	if len(e.body) < 2 || e.body[0] != '"' {
		return errString
	}
	b, err := appendBase64(*buf, e.body)
	*buf = b
	return err
}

// appendBase64 appends what the JSON string raw says in base64.
func appendBase64(dst, raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return dst, errString
	}
	coded := raw[1 : len(raw)-1]
	if bytes.IndexByte(coded, '\\') >= 0 { // "\/", from writers who escape that
		plain, err := appendText(nil, raw)
		if err != nil {
			return dst, err
		}
		coded = plain
	}
	return base64.StdEncoding.AppendDecode(dst, coded)
}
