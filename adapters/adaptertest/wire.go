package adaptertest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// A message is a request as HTTP has it, so that the same can be sent twice.
type message struct {
	method, path string // GET, POST; the path as it is on the wire
	header       http.Header
	body         []byte
}

// inference is the message for req.
func inference(t testing.TB, req *infer.Request, binary bool) *message {
	t.Helper()
	body, header, err := codec.EncodeRequest(nil, req, binary)
	if err != nil {
		t.Fatal(err)
	}
	m := &message{http.MethodPost, "/v2/models/" + url.PathEscape(req.Model) + "/infer", http.Header{"Content-Type": {"application/json"}}, body}
	if binary {
		m.header = http.Header{"Content-Type": {"application/octet-stream"}, "Inference-Header-Content-Length": {strconv.Itoa(header)}}
	}
	return m
}

func (m *message) request(t testing.TB) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), m.method, "http://function"+m.path, bytes.NewReader(m.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = m.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	return req
}

// An answer is one to a message.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send carries m to the adapter. No answer has the subject's secret anywhere.
func (m *message) send(t testing.TB, c Client) *answer {
	t.Helper()
	resp, err := c.RoundTrip(m.request(t))
	if err != nil {
		t.Fatalf("%s %s: %v", m.method, m.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", m.method, m.path, err)
	}
	a := &answer{resp.StatusCode, resp.Header, body}
	if bytes.Contains(body, []byte(Secret)) {
		t.Errorf("%s %s: the answer has what callers may not read: %s", m.method, m.path, body)
	}
	for name, values := range resp.Header {
		if strings.Contains(strings.Join(values, ""), Secret) {
			t.Errorf("%s %s: the header %s has what callers may not read", m.method, m.path, name)
		}
	}
	return a
}

// direct asks the subject's server itself, in this process.
func (m *message) direct(t testing.TB, s *Subject) *answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.API.ServeHTTP(w, m.request(t))
	return &answer{w.Code, w.Header(), w.Body.Bytes()}
}

// code is what the body names, else what the status stands for.
func (a *answer) code() fault.Code {
	if a.status >= 200 && a.status < 300 {
		return fault.OK
	}
	var e struct{ Code string }
	if json.Unmarshal(a.body, &e) == nil {
		for _, c := range fault.Codes() {
			if c.String() == e.Code {
				return c
			}
		}
	}
	return fault.OfHTTP(a.status)
}
