package queue_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/queue"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a queue of each kind: what a request carries, in the kind's form.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	got      []string
	requests int
	// fail answers the n-th request in the place of the queue, and reports that it did.
	fail func(w http.ResponseWriter, n int) bool
	// drop are messages that SQS refuses when they come for the first time.
	drop map[string]bool
}

func newServer(t *testing.T) *server {
	s := &server{drop: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if s.fail != nil && s.fail(w, s.requests) {
			return
		}
		switch {
		case r.Method != http.MethodPost:
			t.Errorf("a %s", r.Method)
		case r.Header.Get("X-Amz-Target") == "AmazonSQS.SendMessageBatch":
			s.sqs(t, w, r, body)
		case r.URL.Path == "/v1/projects/p/topics/t:publish":
			s.pubsub(t, w, body)
		case r.URL.Path == "/devstoreaccount1/q/messages" && strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey devstoreaccount1:"):
			var m struct{ MessageText string }
			if err := xml.Unmarshal(body, &m); err != nil {
				t.Error(err)
			}
			text, err := base64.StdEncoding.DecodeString(m.MessageText)
			if err != nil {
				t.Error(err)
			}
			s.got = append(s.got, string(text))
			w.WriteHeader(http.StatusCreated)
		default:
			t.Errorf("%s with %v", r.URL, r.Header)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) sqs(t *testing.T, w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		QueueUrl string
		Entries  []struct{ Id, MessageBody, MessageGroupId, MessageDeduplicationId string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		t.Error(err)
	}
	if len(in.Entries) > 10 || len(body) > 256<<10 || !strings.Contains(r.Header.Get("Authorization"), "/sqs/aws4_request") || !strings.HasPrefix(in.QueueUrl, s.URL+"/123456789012/") {
		t.Errorf("%d entries of %d bytes for %s, by %s", len(in.Entries), len(body), in.QueueUrl, r.Header.Get("Authorization"))
	}
	out := map[string][]map[string]string{}
	for _, e := range in.Entries {
		if fifo := strings.HasSuffix(in.QueueUrl, ".fifo"); fifo != (e.MessageGroupId != "") || fifo != (e.MessageDeduplicationId != "") {
			t.Errorf("group %q and deduplication %q for %s", e.MessageGroupId, e.MessageDeduplicationId, in.QueueUrl)
		}
		if s.drop[e.MessageBody] {
			delete(s.drop, e.MessageBody)
			out["Failed"] = append(out["Failed"], map[string]string{"Id": e.Id, "Code": "InternalError", "Message": "try again"})
			continue
		}
		s.got = append(s.got, e.MessageBody)
		out["Successful"] = append(out["Successful"], map[string]string{"Id": e.Id})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *server) pubsub(t *testing.T, w http.ResponseWriter, body []byte) {
	var in struct{ Messages []struct{ Data []byte } }
	if err := json.Unmarshal(body, &in); err != nil {
		t.Error(err)
	}
	if len(in.Messages) > 1000 || len(body) > 10e6 {
		t.Errorf("%d messages of %d bytes", len(in.Messages), len(body))
	}
	var ids []string
	for _, m := range in.Messages {
		s.got = append(s.got, string(m.Data))
		ids = append(ids, fmt.Sprint(len(s.got)))
	}
	_ = json.NewEncoder(w).Encode(map[string][]string{"messageIds": ids})
}

func getenv(name string) string {
	return map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AZURE_STORAGE_CONNECTION_STRING": "AccountName=devstoreaccount1;AccountKey=a2V5"}[name]
}

// kinds are URLs of a server's queues.
var kinds = []string{"/123456789012/q", "/123456789012/q.fifo", "/projects/p/topics/t", "/devstoreaccount1/q"}

func open(t *testing.T, s *server, kind string) *queue.Queue {
	t.Helper()
	q, err := queue.Open(s.URL+kind, &queue.Options{Getenv: getenv, HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// Every message gets there, in as many requests as it takes.
func TestSend(t *testing.T) {
	var messages [][]byte
	for i := range 25 {
		messages = append(messages, fmt.Appendf(nil, `{"godwit":"parts","n":%d,"text":"ü<&\"\u0001"}`, i))
	}
	large := [][]byte{bytes.Repeat([]byte("x"), 40<<10), bytes.Repeat([]byte("y"), 40<<10)}
	for _, kind := range kinds {
		for name, all := range map[string][][]byte{"none": nil, "one": messages[:1], "many": messages, "large": slices.Repeat(large, 8)} {
			s := newServer(t)
			if err := open(t, s, kind).Send(t.Context(), all); err != nil {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
			var want []string
			for _, m := range all {
				want = append(want, string(m))
			}
			if diff := cmp.Diff(want, s.got); diff != "" {
				t.Errorf("%s, %s (-sent +got):\n%s", kind, name, diff)
			}
		}
	}
}

// What SQS refuses of a batch is sent again, and what may pass everywhere.
func TestSendAgain(t *testing.T) {
	s := newServer(t)
	s.drop = map[string]bool{"b": true, "d": true}
	if err := open(t, s, kinds[0]).Send(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}); err != nil || strings.Join(s.got, "") != "acbd" {
		t.Errorf("%s, %v", s.got, err)
	}
	for _, kind := range kinds {
		s := newServer(t)
		s.fail = func(w http.ResponseWriter, n int) bool {
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n == 1
		}
		if err := open(t, s, kind).Send(t.Context(), [][]byte{[]byte("a")}); err != nil || len(s.got) != 1 {
			t.Errorf("%s: %v, %v", kind, s.got, err)
		}
	}
}

func TestSendFails(t *testing.T) {
	for _, kind := range kinds {
		for status, want := range map[int]fault.Code{403: fault.Denied, 404: fault.NotFound} {
			s := newServer(t)
			s.fail = func(w http.ResponseWriter, _ int) bool { w.WriteHeader(status); return true }
			if err := open(t, s, kind).Send(t.Context(), [][]byte{[]byte("a")}); fault.CodeOf(err) != want || s.requests != 1 {
				t.Errorf("%s: want %v at once, got %v after %d requests", kind, want, err, s.requests)
			}
		}
		s := newServer(t)
		s.fail = func(w http.ResponseWriter, _ int) bool { fmt.Fprint(w, "{}"); return true }
		err := open(t, s, kind).Send(t.Context(), [][]byte{[]byte("a")})
		if want := fault.Unavailable; !strings.Contains(kind, "devstore") && fault.CodeOf(err) != want {
			t.Errorf("%s: nothing is said of the message: want %v, got %v", kind, want, err)
		}
		if err := open(t, s, kind).Send(t.Context(), [][]byte{make([]byte, 8<<20)}); fault.CodeOf(err) != fault.TooLarge {
			t.Errorf("%s: 8 MiB: want TooLarge, got %v", kind, err)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, good := range []string{"https://sqs.eu-west-1.amazonaws.com/123456789012/rows", "https://pubsub.googleapis.com/projects/acme/topics/rows", "https://acme.queue.core.windows.net/rows"} {
		if _, err := queue.Open(good, nil); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if _, err := queue.OpenSQS("https://sqs.eu-west-1.amazonaws.com/123456789012/rows", nil); err != nil {
		t.Error(err)
	}
	if _, err := queue.OpenSQS("https://acme.queue.core.windows.net/rows", nil); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("want BadConfig, got %v", err)
	}
	for _, bad := range []string{"", "rows", "http://sqs.eu-west-1.amazonaws.com/123456789012/rows", "https://example.com/rows", "https://example.com/a/b", "https://u@sqs.eu-west-1.amazonaws.com/123456789012/rows", "kafka://broker/rows"} {
		if _, err := queue.Open(bad, nil); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: want BadConfig, got %v", bad, err)
		}
	}
}
