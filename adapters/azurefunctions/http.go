package azurefunctions

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// request is a caller's request inside an envelope.
type request struct {
	URL     string `json:"Url"` // whole, and escaped
	Method  string
	Headers map[string]values
	Body    text
}

// values are those of one header.
type values []string

// UnmarshalJSON implements json.Unmarshaler; a lone string will do.
func (v *values) UnmarshalJSON(raw []byte) error {
	if s, ok := unquote(raw); ok {
		*v = values{s}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(v))
}

// text is a string's bytes, or the JSON of anything else but null.
type text []byte

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(raw []byte) error {
	if s, ok := unquote(raw); ok {
		*t = text(s)
	} else if !bytes.Equal(raw, []byte("null")) {
		*t = text(bytes.Clone(raw))
	}
	return nil
}

// requestOf finds a caller's request in an envelope. It is the one input that
// the host makes an object with a URL of.
func requestOf(e *envelope, f *Function) (*request, bool) {
	if f != nil && f.started() != "httptrigger" {
		return nil, false
	}
	for name, raw := range e.Data {
		if f != nil && name != f.Input || len(raw) == 0 || raw[0] != '{' {
			continue
		}
		in := new(request)
		if json.Unmarshal(raw, in) == nil && in.URL != "" && in.Method != "" {
			return in, true
		}
	}
	return nil, false
}

// serveEnvelope has a request of an envelope answered and puts the answer into
// another. Its status is in there: the host gives callers of a function that
// answers anything but 2xx an empty 500.
func (h *handler) serveEnvelope(ctx context.Context, w http.ResponseWriter, in *request, f *Function, id string) {
	out := &recorder{header: http.Header{}}
	r, err := in.open(ctx, id)
	if err == nil {
		h.api.ServeHTTP(out, h.strip(r))
		// JSON strings are all that this form of answers has room for: tensors whose
		// bytes happen to be text are refused too, as the next ones are not.
		if out.header.Get("Inference-Header-Content-Length") != "" || out.header.Get("Content-Encoding") != "" || !utf8.Valid(out.body.Bytes()) {
			err = fault.New(fault.Unsupported, "azurefunctions.Answer", "body", "want an answer in text, got one with binary tensors").
				WithHint("Set customHandler.enableProxyingHttpRequest in host.json, or ask for JSON.")
		}
	}
	if err != nil {
		out = &recorder{header: http.Header{}}
		oip.WriteError(out, err)
	}
	name := "res"
	if f != nil && f.Output != "" {
		name = f.Output
	}
	writeJSON(w, http.StatusOK, out.envelope(name))
}

// traced takes over the trace that the host goes on with, where the caller has
// none that is to be seen.
func (in *request) traced(host http.Header) {
	for name := range in.Headers {
		if strings.EqualFold(name, "traceparent") {
			return
		}
	}
	for _, name := range []string{"Traceparent", "Tracestate"} {
		if all := host[name]; all != nil {
			if in.Headers == nil {
				in.Headers = map[string]values{}
			}
			in.Headers[name] = all
		}
	}
}

// open makes an HTTP request of it.
func (in *request) open(ctx context.Context, id string) (*http.Request, error) {
	bad := func(subject string, err error) error {
		return fault.New(fault.Invalid, "azurefunctions.Request", subject, "%w", err)
	}
	u, err := url.Parse(in.URL)
	if err != nil {
		return nil, bad("Url", err)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	header := make(http.Header, len(in.Headers)+1)
	for name, values := range in.Headers {
		name = http.CanonicalHeaderKey(name)
		header[name] = append(header[name], values...)
	}
	if header[requestID] == nil {
		header[requestID] = []string{id}
	}
	body := []byte(in.Body)
	if octets(header.Get("Content-Type")) {
		if body, err = base64.StdEncoding.AppendDecode(nil, in.Body); err != nil {
			return nil, bad("Body", err)
		}
	}
	// What describes the body as it was on the wire is no longer true, and an
	// answer must not be compressed.
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding"} {
		delete(header, name)
	}
	r := (&http.Request{
		Method: in.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: u.Host, RequestURI: u.RequestURI(),
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(ctx)
	return r, nil
}

// octets reports whether the host hands bodies of this type over as bytes.
func octets(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/octet-stream" || strings.Contains(media, "multipart/"))
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 { // after 1xx comes another
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// envelope is the answer as the output with that name. The body is a string, so
// that the host's JSON library does not write its numbers anew.
func (r *recorder) envelope(name string) []byte {
	r.WriteHeader(http.StatusOK)
	headers := make(map[string]string, len(r.header))
	for name, values := range r.header {
		switch name {
		case "Content-Length", "Connection", "Transfer-Encoding": // the host's own
		default:
			headers[name] = strings.Join(values, ", ")
		}
	}
	head, _ := json.Marshal(headers) // strings always can be
	quoted, _ := json.Marshal(name)
	b := make([]byte, 0, len(head)+r.body.Len()+r.body.Len()/8+128)
	res := func(b []byte) []byte {
		b = append(b, `{"statusCode":"`...)
		b = strconv.AppendInt(b, int64(r.status), 10)
		b = append(append(b, `","headers":`...), head...)
		return append(appendString(append(b, `,"body":`...), r.body.Bytes()), '}')
	}
	if name == "$return" {
		return append(res(append(b, `{"Outputs":{},"Logs":[],"ReturnValue":`...)), '}')
	}
	b = append(append(append(b, `{"Outputs":{`...), quoted...), ':')
	return append(res(b), `},"Logs":[],"ReturnValue":null}`...)
}

// appendString writes valid UTF-8 as a JSON string.
func appendString(b, s []byte) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		done = i + 1
	}
	return append(append(b, s[done:]...), '"')
}
