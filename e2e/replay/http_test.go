package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answer is what is compared of an HTTP answer.
type answer struct {
	Status  int
	Headers map[string][]string
	JSON    any
	Binary  []byte // the tensors behind the JSON
}

// replayHTTP sends one request after the other and returns how many answers
// it compared.
func replayHTTP(t *testing.T, conn net.Conn, talk talk) (n int) {
	live := bufio.NewReader(conn)
	then := bufio.NewReader(bytes.NewReader(talk.server))
	rest := talk.client
	for len(rest) > 0 {
		req, raw := next(t, rest)
		rest = rest[len(raw):]
		if _, err := conn.Write(raw); err != nil {
			t.Fatal(err)
		}
		want, got := parse(t, "the recording", then, req), parse(t, "the server", live, req)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s (-recorded +got)\n%s\n%s", req.Method, req.URL, diff, again)
		}
		n++
	}
	return n
}

// next is the first request of b, and its bytes.
func next(t *testing.T, b []byte) (req *http.Request, raw []byte) {
	t.Helper()
	from := bytes.NewReader(b)
	buffered := bufio.NewReader(from)
	req, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("the recording: %v", err)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		t.Fatalf("the recording: %v", err)
	}
	return req, b[:len(b)-from.Len()-buffered.Buffered()]
}

func parse(t *testing.T, whose string, r *bufio.Reader, req *http.Request) (a answer) {
	t.Helper()
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		t.Fatalf("%s answers %s %s: %v", whose, req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(unpack(t, resp))
	if err != nil {
		t.Fatalf("%s answers %s %s: %v", whose, req.Method, req.URL, err)
	}
	a.Status, a.Headers = resp.StatusCode, resp.Header
	for _, name := range []string{"Date", "Traceparent", "X-Request-Id"} {
		if a.Headers[name] != nil {
			a.Headers[name] = []string{"*"}
		}
	}
	delete(a.Headers, "Content-Length") // ReadResponse has used it; a compressed body's differs
	if h := resp.Header.Get("Inference-Header-Content-Length"); h != "" {
		at, err := strconv.Atoi(h)
		if err != nil || at > len(body) {
			t.Fatalf("%s: Inference-Header-Content-Length is %q for %d bytes", whose, h, len(body))
		}
		body, a.Binary = body[:at], body[at:]
	}
	if len(body) > 0 {
		a.JSON = decode(t, body)
	}
	return a
}

func unpack(t *testing.T, resp *http.Response) (r io.Reader) {
	t.Helper()
	var err error
	switch e := resp.Header.Get("Content-Encoding"); e {
	case "":
		return resp.Body
	case "gzip":
		r, err = gzip.NewReader(resp.Body)
	case "deflate":
		r, err = zlib.NewReader(resp.Body)
	default:
		t.Fatalf("unknown Content-Encoding %q", e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// decode keeps numbers as they are written.
func decode(t *testing.T, body []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	return settle(v)
}
