package azurefunctions_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// post is an envelope as the host sends it, from any reader.
func post(body io.Reader) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/queue", body)
	r.Host = "127.0.0.1:7071"
	r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
	return r
}

// An object that looks like a request is one only where an HTTP trigger is, and
// one that lacks something of a request is none.
func TestWhatIsNoRequest(t *testing.T) {
	app := &azurefunctions.App{Functions: map[string]azurefunctions.Function{
		"grid": {Trigger: "eventGridTrigger", Input: "item"}, "http": {Trigger: "httpTrigger", Input: "req"},
	}}
	api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was taken for a request") })
	const whole = `{"Url":"https://h/v2","Method":"GET"}`
	for name, c := range map[string]struct {
		app            *azurefunctions.App
		function, body string
		status         int
	}{
		"an event with a request's members": {app, "grid", `{"Data":{"item":` + whole + `}}`, 400},
		"no URL":                            {nil, "http", `{"Data":{"req":{"Url":"","Method":"GET"}}}`, 501},
		"no method":                         {nil, "http", `{"Data":{"req":{"Url":"https://h/v2"}}}`, 501},
		"headers of another type":           {nil, "http", `{"Data":{"req":{"Url":"https://h/v2","Method":"GET","Headers":7}}}`, 501},
		"another input's":                   {app, "http", `{"Data":{"other":` + whole + `}}`, 400},
	} {
		if w := invoke(azurefunctions.New(api, nil, &azurefunctions.Options{App: c.app}), c.function, c.body); w.Code != c.status {
			t.Errorf("%s: want %d, got %d: %s", name, c.status, w.Code, w.Body)
		}
	}
}

// What a request in an envelope has of its own, and of the host.
func TestRequestsOfEnvelopes(t *testing.T) {
	var path string
	var header http.Header
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, header = r.URL.Path, r.Header
		for _, name := range []string{"Content-Length", "Connection", "Transfer-Encoding"} {
			w.Header().Set(name, "0")
		}
		w.Header()["X-Two"] = []string{"a", "b"}
		w.WriteHeader(http.StatusEarlyHints) // no answer yet
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // too late
	})
	h := azurefunctions.New(api, nil, nil)
	r := post(strings.NewReader(`{"Data":{"req":{"Url":"https://h","Method":"GET","Headers":{"Content-Length":["9"],"Transfer-Encoding":["chunked"],"Connection":["close"],"Accept-Encoding":["gzip"]}}}}`))
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Header.Set("Tracestate", "k=1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	want := http.Header{
		"X-Request-Id": {"inv-1"}, "Tracestate": {"k=1"}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	if diff := cmp.Diff(want, header); diff != "" || path != "/" {
		t.Errorf("%q (-want +got):\n%s", path, diff)
	}
	if want := `{"Outputs":{"res":{"statusCode":"202","headers":{"X-Two":"a, b"},"body":""}},"Logs":[],"ReturnValue":null}`; w.Body.String() != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
	// Bytes that happen to be text are bytes.
	for _, name := range []string{"Content-Encoding", "Inference-Header-Content-Length"} {
		h := azurefunctions.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, "x")
			_, _ = io.WriteString(w, "text")
		}), nil, nil)
		if w := invoke(h, "http", `{"Data":{"req":{"Url":"https://h","Method":"GET"}}}`); !strings.Contains(w.Body.String(), `"statusCode":"501"`) {
			t.Errorf("%s: want 501, got %s", name, w.Body)
		}
	}
}

// The status is that of the first item that may pass, else of the first that
// never will.
func TestStatusOfABatch(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	for _, c := range []struct {
		codes  []string
		status int
	}{
		{[]string{"unavailable", "deadline_exceeded"}, 503}, {[]string{"deadline_exceeded", "unavailable"}, 504},
		{[]string{"invalid", "unprocessable"}, 400}, {[]string{"unprocessable", "invalid"}, 422},
		{[]string{"invalid", "deadline_exceeded", "unavailable", "unprocessable"}, 504},
	} {
		var messages []string
		for _, code := range c.codes {
			messages = append(messages, `{"test_fail":"`+code+`"}`)
		}
		list, _ := json.Marshal(messages)
		data, _ := json.Marshal(string(list))
		if w := invoke(h, "bus-batch", `{"Data":{"item":`+string(data)+`},"Metadata":{}}`); w.Code != c.status {
			t.Errorf("%q: want %d, got %d: %s", c.codes, c.status, w.Code, w.Body)
		}
	}
}

// A sender's names are cut before they get anywhere, at 128 bytes.
func TestNamesAreCut(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	for _, n := range []int{127, 128, 129, 1000} {
		id := strings.Repeat("a", n)
		w := invoke(h, "queue", `{"Data":{"item":"\"{\\\"test_fail\\\":\\\"invalid\\\"}\""},"Metadata":{"DequeueCount":"1","Id":"`+id+`"}}`)
		var got struct{ Logs []string }
		want := `"` + id[:min(n, 128)] + `" permanent invalid: the subject: told to`
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Logs) != 1 || got.Logs[0] != want {
			t.Errorf("an id of %d bytes: got %q, %v", n, got.Logs, err)
		}
		if n > 128 {
			continue
		}
		// A function's name is no longer than that.
		if w := invoke(h, id, `{"Data":{"item":"x"}}`); !strings.Contains(w.Body.String(), "function.json") {
			t.Errorf("a name of %d bytes: got %s", n, w.Body)
		}
	}
	if w := invoke(h, strings.Repeat("a", 129), `{"Data":{"item":"x"}}`); strings.Contains(w.Body.String(), "function.json") {
		t.Errorf("a name of 129 bytes: got %s", w.Body)
	}
}

// Envelopes are read to their limits and no further, to the byte; one that
// breaks off is refused.
func TestEnvelopesToTheByte(t *testing.T) {
	const good = `{"Data":{"msg":"x"},"Metadata":{"DequeueCount":"1","Id":"1"}}`
	h := subject(t, &azurefunctions.Options{Envelope: int64(len(good)), Memory: 1})
	if w := invoke(h, "queue", good); w.Code != http.StatusOK { // memory is at least one envelope's
		t.Errorf("as many as there may be: want 200, got %d: %s", w.Code, w.Body)
	}
	if w := invoke(h, "queue", good+" "); w.Code != http.StatusRequestEntityTooLarge && w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more: want 413 or 503, got %d: %s", w.Code, w.Body)
	}
	h = subject(t, &azurefunctions.Options{Envelope: int64(len(good))})
	if w := invoke(h, "queue", good+" "); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("one more: want 413, got %d: %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, post(io.MultiReader(strings.NewReader(good[:20]), iotest.ErrReader(errors.New("gone")))))
	if w.Code != http.StatusBadRequest {
		t.Errorf("one that breaks off: want 400, got %d: %s", w.Code, w.Body)
	}
	// What is refused for want of memory is not read to its end.
	h = subject(t, &azurefunctions.Options{Envelope: 1 << 20, Memory: 1 << 20})
	held, release := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(held)
		h.ServeHTTP(httptest.NewRecorder(), post(io.MultiReader(strings.NewReader(strings.Repeat(" ", 1<<20-100)), blocked(release))))
	}()
	release <- struct{}{} // all of it has been read
	rest := strings.NewReader(strings.Repeat(" ", 1<<20))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, post(rest))
	if w.Code != http.StatusServiceUnavailable || rest.Len() < 1<<19 {
		t.Errorf("want 503 and the rest left, got %d with %d left", w.Code, rest.Len())
	}
	close(release)
	<-held
}

// blocked is a reader that takes what it is sent, twice, and then ends.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	<-b
	return 0, io.EOF
}

// Who is not let in has nothing done, and is answered once.
func TestNothingIsDoneForWhoIsNotLetIn(t *testing.T) {
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		t.Error("the handler was asked")
		return make([]trigger.Outcome, len(ev.Items))
	})
	h := azurefunctions.New(http.NotFoundHandler(), events, &azurefunctions.Options{Admit: func() error { return fault.New(fault.Unavailable, "test", "", "memory is full") }})
	w := invoke(h, "queue", `{"Data":{"item":"{}"},"Metadata":{"DequeueCount":"1","Id":"a"}}`)
	if w.Code != http.StatusServiceUnavailable || !json.Valid(w.Body.Bytes()) {
		t.Errorf("want 503 and one document, got %d: %s", w.Code, w.Body)
	}
}

// The header of a request is the server's, which may use it again.
func TestHeadersAreLeftAlone(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/v2", nil)
	r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Request-Id"); got != "inv-1" {
			t.Errorf("got the id %q", got)
		}
	})
	azurefunctions.New(api, nil, nil).ServeHTTP(httptest.NewRecorder(), r)
	if got := r.Header.Get("X-Request-Id"); got != "" {
		t.Errorf("the server's own header has the id %q", got)
	}
}

// What is done for an invocation ends with it.
func TestContextsEnd(t *testing.T) {
	app := &azurefunctions.App{Timeout: time.Hour, Functions: map[string]azurefunctions.Function{"queue": {Trigger: "queueTrigger", Input: "item"}}}
	var got []context.Context
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Context()) })
	events := trigger.HandlerFunc(func(ctx context.Context, _ *trigger.Event) []trigger.Outcome {
		got = append(got, ctx)
		return []trigger.Outcome{{State: trigger.Done}}
	})
	h := azurefunctions.New(api, events, &azurefunctions.Options{App: app})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v2", nil))
	invoke(h, "queue", `{"Data":{"item":"{}"}}`)
	if len(got) != 2 {
		t.Fatalf("want two contexts, got %d", len(got))
	}
	for i, ctx := range got {
		if ctx.Err() == nil {
			t.Errorf("the context %d goes on", i)
		}
	}
}

// Deliveries of which the host says less than it might.
func TestDeliveriesWithLittleSaid(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	w := invoke(h, "timer", `{"Data":{"item":{"IsPastDue":false}}}`) // no metadata at all
	if w.Code != http.StatusOK {
		t.Errorf("a timer: want 200, got %d: %s", w.Code, w.Body)
	}
	// Without a number, an event of a hub is known by what is in it.
	want := []adaptertest.Answer{
		{Kind: "eventhubs", Source: "readings", ID: "inv-1", Order: trigger.Ordered, Data: []byte("x"), Time: ten},
		{Kind: "eventhubs", Source: "readings", ID: "inv-1#1", Order: trigger.Ordered, Data: []byte("y")},
	}
	got := reached(t, invoke(h, "hub", `{"Data":{"item":"[\"x\",\"y\"]"},"Metadata":{"EnqueuedTimeUtcArray":"[\"2026-11-22T10:00:00\"]"}}`))
	keys := map[string]bool{}
	for i := range got {
		keys[got[i].Key] = strings.HasPrefix(got[i].Key, "sha256:")
		got[i].Key = ""
	}
	if diff := cmp.Diff(want, got); diff != "" || len(keys) != 2 {
		t.Errorf("keys %v (-want +got):\n%s", keys, diff)
	}
	// One that is no batch, where the app says that it is, is refused.
	for _, function := range []string{"hub", "bus-batch"} {
		if w := invoke(h, function, `{"Data":{"item":"{}"}}`); w.Code != http.StatusBadRequest {
			t.Errorf("%s: want 400, got %d: %s", function, w.Code, w.Body)
		}
	}
	for metadata, want := range map[string]string{
		`{"SequenceNumberArray":"[1]","PartitionContext":{"PartitionId":"3"},"TriggerPartitionContext":{"PartitionId":"4"},"RetryContext":{}}`: "readings/3/1",
		`{"SequenceNumberArray":"[1]","TriggerPartitionContext":{"PartitionId":4},"RetryContext":7}`:                                           "readings/4/1",
		`{"SequenceNumberArray":"[1]","PartitionContext":{},"RetryContext":{"RetryCount":null}}`:                                               "readings//1",
	} {
		got := reached(t, invoke(h, "hub", `{"Data":{"item":"[\"x\"]"},"Metadata":`+metadata+`}`))
		if len(got) != 1 || got[0].Key != want || got[0].Attempt != 0 {
			t.Errorf("%s: got %+v, want the key %s", metadata, got, want)
		}
	}
	// A message without a number is known by its own id, one without either by
	// what is in it.
	for metadata, want := range map[string]string{`{"MessageId":"m1"}`: "topic/sub/m1", `{}`: "sha256:"} {
		if got := reached(t, invoke(h, "bus", `{"Data":{"item":"{}"},"Metadata":`+metadata+`}`)); len(got) != 1 || !strings.HasPrefix(got[0].Key, want) {
			t.Errorf("%s: got %+v, want the key %s", metadata, got, want)
		}
	}
	// A value of Kafka that was not put into a string is taken as it is.
	if got := reached(t, invoke(h, "kafka", `{"Data":{"item":[{"Offset":1,"Partition":2,"Topic":"t","Value":{"a": 1}}]}}`)); len(got) != 1 || string(got[0].Data) != `{"a": 1}` {
		t.Errorf("got %+v", got)
	}
	// What is no event of Kafka is refused, and the others are done.
	w = invoke(h, "kafka", `{"Data":{"item":"[\"x\",\"{\\\"Offset\\\":1}\",\"{\\\"Partition\\\":1}\",\"{\\\"Offset\\\":1,\\\"Partition\\\":2,\\\"Topic\\\":\\\"t\\\",\\\"Value\\\":\\\"{}\\\"}\"]"}}`)
	var reply struct {
		Outputs struct{ Results []adaptertest.Answer }
		Logs    []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusBadRequest || len(reply.Logs) != 3 || len(reply.Outputs.Results) != 1 || reply.Outputs.Results[0].ID != "t/2/1" {
		t.Errorf("want 400, three refused and one done, got %d: %s, %v", w.Code, w.Body, err)
	}
	// So is an event about a blob that does not say which.
	for _, data := range []string{`{"url":"nowhere"}`, `7`} {
		if w := invoke(h, "grid", `{"Data":{"item":{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":`+data+`}}}`); w.Code != http.StatusBadRequest {
			t.Errorf("%s: want 400, got %d: %s", data, w.Code, w.Body)
		}
	}
}
