package awslambda

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/runtime/fault"
)

const (
	restEvent = `{"httpMethod":"GET","path":"/","requestContext":{"resourceId":"abc"}}`
	urlEvent  = `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`
	headEvent = `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"HEAD"}}}`
	gap       = "\x00\x00\x00\x00\x00\x00\x00\x00"
)

func streamOf(t *testing.T, api http.HandlerFunc, event string) *streamed {
	t.Helper()
	r, err := New(api, nil, &Options{Stream: true}).stream(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	s, ok := r.(*streamed)
	if !ok {
		t.Fatalf("want a stream, got %T", r)
	}
	return s
}

// read is as much as one Read gives.
func read(t *testing.T, r io.Reader) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// The first part is there before the api writes the second.
func TestAnswersAreStreamedAsTheyAreMade(t *testing.T) {
	more := make(chan struct{})
	s := streamOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Two"] = []string{"a", "b"}
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "first")
		<-more
		_, _ = io.WriteString(w, "other")
	}, restEvent)
	if got, want := read(t, s), `{"statusCode":201,"multiValueHeaders":{"X-Two":["a","b"]}}`+gap+"first"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	close(more)
	rest, err := io.ReadAll(s)
	if string(rest) != "other" || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	s = streamOf(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "s=1")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	}, urlEvent)
	if got, want := read(t, s), `{"statusCode":200,"headers":{},"cookies":["s=1"]}`+gap; got != want {
		t.Errorf("flushed head: got %q, want %q", got, want)
	}
}

func TestStreamsThatAreNotWhole(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, large); err != nil {
				if fault.CodeOf(err) != fault.TooLarge {
					t.Errorf("the api is told %v", err)
				}
				return
			}
		}
	}
	for _, c := range []struct {
		name, event string
		api         http.HandlerFunc
		want        string // how the reply begins
		code        string // of what is told behind it; "": nothing
	}{
		{"no body", urlEvent, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, `{"statusCode":204,"headers":{}}` + gap, ""},
		{"nothing at all", urlEvent, func(http.ResponseWriter, *http.Request) {}, `{"statusCode":200,"headers":{}}` + gap, ""},
		{"HEAD has no body", headEvent, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, `{"statusCode":200,"headers":{}}` + gap, ""},
		{"broken off before it began", urlEvent, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Lost", "1")
			panic(http.ErrAbortHandler)
		}, `{"statusCode":500,"headers":{"Content-Type":"application/json"`, ""},
		{"broken off", urlEvent, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			panic(http.ErrAbortHandler)
		}, `{"statusCode":200,"headers":{}}` + gap + "x", "internal"},
		{"too large, as it says", restEvent, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(maxStreamed+1))
			endless(w, r)
		}, `{"statusCode":413,"multiValueHeaders":{"Content-Type":["application/json"]`, ""},
		{"too large", urlEvent, endless, `{"statusCode":200,"headers":{}}` + gap + "x", "too_large"},
		{"no request", `{"version":"2.0","rawPath":1,"requestContext":{"http":{"method":"GET"}}}`, nil, `{"statusCode":400,`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := streamOf(t, c.api, c.event)
			reply := make([]byte, len(c.want))
			if _, err := io.ReadFull(s, reply); err != nil || string(reply) != c.want {
				t.Errorf("got %q, %v; want %q", reply, err, c.want)
			}
			var rest bytes.Buffer
			m, err := io.CopyN(&rest, s, 1<<10)
			if errors.Is(err, io.EOF) {
				err = nil
			} else if err == nil {
				var n int64
				n, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{s}, make([]byte, 1<<20))
				m += n
			}
			if m > maxStreamed || strings.HasSuffix(c.want, gap) && m > 0 || strings.Contains(rest.String(), "X-Lost") {
				t.Errorf("got %d bytes more, the first of them %q", m, rest.String())
			}
			var told messages.InvokeResponse_Error
			if errors.As(err, &told); told.Type != c.code {
				t.Errorf("told %v, want %q", err, c.code)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// The body lies in memory that is used again: nobody reads it afterwards.
func TestBodiesEndWithTheirStream(t *testing.T) {
	var kept io.Reader
	event := strings.Replace(urlEvent, `"rawPath":"/"`, `"rawPath":"/","body":"secret"`, 1)
	s := streamOf(t, func(_ http.ResponseWriter, r *http.Request) { kept = r.Body }, event)
	if _, err := io.ReadAll(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(kept); len(got) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read %q afterwards, %v", got, err)
	}
}

// A panic is aws-lambda-go's to report, before the answer has begun, and ends
// the process when it has.
func TestPanicsOfStreams(t *testing.T) {
	caught := func(f func()) (p any) {
		defer func() { p = recover() }()
		f()
		return nil
	}
	h := New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("early") }), nil, &Options{Stream: true})
	if p := caught(func() { _, _ = h.stream(context.Background(), []byte(urlEvent)) }); p != "early" {
		t.Errorf("before: %v", p)
	}
	s := streamOf(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x"); panic("late") }, urlEvent)
	if _, err := io.ReadAll(s); err == nil || strings.Contains(err.Error(), "late") {
		t.Errorf("behind the answer: %v", err)
	}
	if p := caught(func() { _ = s.Close() }); p != "late" {
		t.Errorf("at the end: %v", p)
	}
	if err := h.Drain(t.Context()); err != nil {
		t.Errorf("an invocation is still counted: %v", err)
	}
}

// When the platform reads no more, the api is told, and waited for.
func TestStreamsThatNobodyReads(t *testing.T) {
	told := make(chan error, 1)
	s := streamOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "x")
		_, err := io.WriteString(w, "y")
		told <- err
	}, urlEvent)
	_ = read(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-told; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("told %v", err)
	}
}

// What is no request of a front end that streams is answered in one piece.
func TestEventsAreNotStreamed(t *testing.T) {
	h := New(http.NotFoundHandler(), nil, &Options{Stream: true})
	for event, want := range map[string]string{
		`{"Service":"Amazon S3","Event":"s3:TestEvent"}`:                                           "null",
		`{"httpMethod":"GET","path":"/","requestContext":{"elb":{"targetGroupArn":"a"}}}`:          `{"statusCode":404,"statusDescription":"404 Not Found"`,
		`{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":"{}","eventSourceARN":"q"}]}`: `{"batchItemFailures":[{"itemIdentifier":"m"}]}`,
	} {
		r, err := h.stream(t.Context(), []byte(event))
		if err != nil {
			t.Fatal(err)
		}
		reply, _ := io.ReadAll(r)
		if media := r.(interface{ ContentType() string }).ContentType(); media != "application/json" || !strings.HasPrefix(string(reply), want) {
			t.Errorf("%s: got %s, %s", event, media, reply)
		}
	}
	for _, event := range []string{`{"x":1}`, `[]`} {
		if r, err := h.stream(t.Context(), []byte(event)); err == nil || r != nil {
			t.Errorf("%s: want it refused, got %v", event, r)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Drain(ended); err != nil {
		t.Errorf("invocations are still counted: %v", err)
	}
	if r, err := h.stream(t.Context(), []byte(urlEvent)); err == nil {
		t.Errorf("when it is ending: %v", r)
	}
}
