package cloudrun_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// recorder is a handler that keeps copies of what it got and answers with what
// it was given, Done when that is nothing.
type recorder struct {
	mu     sync.Mutex
	got    []trigger.Event
	answer []trigger.Outcome
}

func (r *recorder) Handle(_ context.Context, ev *trigger.Event) []trigger.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := *ev
	kept.Items = nil
	for _, item := range ev.Items {
		item.Data = bytes.Clone(item.Data)
		kept.Items = append(kept.Items, item)
	}
	r.got = append(r.got, kept)
	if r.answer != nil {
		return r.answer
	}
	out := make([]trigger.Outcome, len(ev.Items))
	for i := range out {
		out[i].State = trigger.Done
	}
	return out
}

var anyone = &cloudrun.Options{Anyone: true}

// push POSTs to the path of events of a service whose requests fail the test.
func push(t *testing.T, events trigger.Handler, opts *cloudrun.Options, h http.Header, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("an event was taken for a request") })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", bytes.NewReader(body))
	for name, values := range h {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	w := httptest.NewRecorder()
	cloudrun.New(api, events, opts).ServeHTTP(w, r)
	return w
}

func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

// TestWire is what reaches the handler of each form of a push, and its reply.
func TestWire(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ce := func(more ...string) http.Header {
		return headers(append([]string{"Content-Type: application/json", "ce-id: 7", "ce-specversion: 1.0", "ce-time: 2026-11-22T10:00:00Z"}, more...)...)
	}
	finalized := ce("ce-type: google.cloud.storage.object.v1.finalized", "ce-source: //storage.googleapis.com/projects/_/buckets/b", "ce-subject: objects/in/a%20b.npy")
	published := ce("ce-type: google.cloud.pubsub.topic.v1.messagePublished", "ce-source: //pubsub.googleapis.com/projects/p/topics/t")
	const s = "projects/p/subscriptions/s"
	message := trigger.Item{ID: "1", Key: s + "/messages/1", Data: []byte(`{"inputs":[]}`), Attributes: map[string]string{"Model": "iris"}, Time: at}
	plain := `{"message":{"data":"eyJpbnB1dHMiOltdfQ==","attributes":{"Model":"iris"},"messageId":"1","message_id":"1","publishTime":"2026-11-22T10:00:00Z"},"subscription":"` + s + `"`
	object := func(id, name string, size int64) trigger.Item {
		return trigger.Item{ID: id, Key: "gs://b/" + name + "#17", Time: at, Object: &trigger.Object{Store: "gs", Bucket: "b", Key: name, Version: "17", Size: size}}
	}
	notified := func(event, format, data string) string {
		doc, err := json.Marshal(map[string]any{"subscription": s, "message": map[string]any{"messageId": "9", "publishTime": "2026-11-22T11:00:00Z", "data": []byte(data),
			"attributes": map[string]string{"notificationConfig": "projects/_/buckets/b/notificationConfigs/1", "eventType": event, "payloadFormat": format, "bucketId": "b", "objectId": "in/é+%2B 1.npy", "objectGeneration": "17", "eventTime": "2026-11-22T10:00:00Z"}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(doc)
	}
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		want   *trigger.Event // nil: nothing reaches the handler
		status int
	}{
		{"wrapped", nil, plain + `}`, &trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{message}}, 204},
		{"wrapped, with an attempt", nil, plain + `,"deliveryAttempt":5}`, &trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{with(message, func(i *trigger.Item) { i.Attempt = 5 })}}, 204},
		{"wrapped, ordered", nil, strings.Replace(plain, `"messageId"`, `"orderingKey":"k","messageId"`, 1) + `}`, &trigger.Event{Source: s, Kind: "pubsub", Order: trigger.Grouped, Items: []trigger.Item{with(message, func(i *trigger.Item) { i.Group = "k" })}}, 204},
		{"wrapped, attributes only", nil, `{"message":{"attributes":{"a":"b"},"messageId":"1"},"subscription":"` + s + `"}`, &trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{{ID: "1", Key: s + "/messages/1", Attributes: map[string]string{"a": "b"}}}}, 204},
		{"wrapped, a payload that looks encoded", nil, `{"message":{"data":"QUFFQw==","messageId":"1"},"subscription":"` + s + `"}`, &trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{{ID: "1", Key: s + "/messages/1", Data: []byte("AAEC")}}}, 204},
		{"wrapped, no id", nil, `{"message":{"data":""},"subscription":"` + s + `"}`, nil, 400},
		{"wrapped, no subscription", nil, `{"message":{"messageId":"1"}}`, nil, 400},
		{"wrapped, no base64", nil, `{"message":{"messageId":"1","data":"%"},"subscription":"` + s + `"}`, nil, 400},
		{"wrapped, no JSON", nil, `{`, nil, 400},
		{"wrapped, nothing", nil, ``, nil, 400},
		{"a request of the protocol", headers("Content-Type: application/json"), `{"inputs":[]}`, nil, 400},
		{"wrapped twice", nil, `{"message":{"messageId":"1","publishTime":"2026-11-22T10:00:00Z","data":"` + base64.StdEncoding.EncodeToString([]byte(plain+`}`)) + `"},"subscription":"` + s + `"}`, // the payload is what was sent, whatever it looks like
			&trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{{ID: "1", Key: s + "/messages/1", Data: []byte(plain + `}`), Time: at}}}, 204},

		{"unwrapped", headers("x-goog-pubsub-subscription-name: "+s, "x-goog-pubsub-message-id: 1", "x-goog-pubsub-publish-time: 2026-11-22T10:00:00Z", "Model: iris", "User-Agent: CloudPubSub-Google", "traceparent: x", "X-Forwarded-For: 1.2.3.4"), `{"inputs":[]}`,
			&trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{with(message, func(i *trigger.Item) { i.Attributes = map[string]string{"model": "iris"} })}}, 204},
		{"unwrapped, ordered, no data", headers("x-goog-pubsub-subscription-name: "+s, "x-goog-pubsub-message-id: 1", "x-goog-pubsub-ordering-key: k"), ``,
			&trigger.Event{Source: s, Kind: "pubsub", Order: trigger.Grouped, Items: []trigger.Item{{ID: "1", Key: s + "/messages/1", Group: "k"}}}, 204},
		{"unwrapped, no id", headers("x-goog-pubsub-subscription-name: " + s), `{}`, nil, 400},
		{"unwrapped without metadata", headers("Content-Type: application/octet-stream"), "\x00\x01", nil, 400},

		{"Eventarc, a message", published, plain + `}`, &trigger.Event{Source: s, Kind: "pubsub", Items: []trigger.Item{message}}, 204},
		{"Eventarc, a message in protobuf", headers("Content-Type: application/protobuf", "ce-id: 7", "ce-specversion: 1.0", "ce-source: s", "ce-type: google.cloud.pubsub.topic.v1.messagePublished"), "\x0a", nil, 415},
		{"Eventarc, an object", finalized, `{"kind":"storage#object","bucket":"b","name":"in/a b.npy","generation":"17","metageneration":"1","contentType":"application/octet-stream","size":"10","metadata":{"k":"v"}}`,
			&trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{with(object("7", "in/a b.npy", 10), func(i *trigger.Item) {
				i.ContentType, i.Attributes = "application/octet-stream", map[string]string{"k": "v"}
			})}}, 204},
		{"Eventarc, a name is not encoded", finalized, `{"bucket":"b","name":"in/é+%2B 1.npy","generation":"17"}`, &trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{object("7", "in/é+%2B 1.npy", -1)}}, 204},
		{"Eventarc, an empty object", finalized, `{"bucket":"b","name":"e","generation":17,"size":0}`, &trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{object("7", "e", 0)}}, 204},
		{"Eventarc, no generation", finalized, `{"bucket":"b","name":"e"}`, nil, 400},
		{"Eventarc, no object", finalized, `[]`, nil, 400},
		{"Eventarc, a deleted object", ce("ce-type: google.cloud.storage.object.v1.deleted", "ce-source: //storage.googleapis.com/projects/_/buckets/b"), `{"bucket":"b","name":"e","generation":"17"}`, nil, 204},
		{"Eventarc, other metadata", ce("ce-type: google.cloud.storage.object.v1.metadataUpdated", "ce-source: //storage.googleapis.com/projects/_/buckets/b"), `{}`, nil, 204},
		{"Eventarc, one's own", ce("ce-type: com.example.rows", "ce-source: /rows", "ce-region: eu"), `[1]`, &trigger.Event{Source: "/rows", Kind: "cloudevents", Items: []trigger.Item{
			{ID: "7", Key: "/rows 7", Data: []byte(`[1]`), ContentType: "application/json", Time: at, Attributes: map[string]string{"source": "/rows", "type": "com.example.rows", "region": "eu"}}}}, 204},
		{"an event without an id", headers("ce-specversion: 1.0", "ce-type: t", "ce-source: s"), ``, nil, 400},

		{"a bucket's notification", nil, notified("OBJECT_FINALIZE", "JSON_API_V1", `{"bucket":"b","name":"in/é+%2B 1.npy","generation":"17","size":"10","timeCreated":"2026-11-22T10:00:00Z"}`), &trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{object("9", "in/é+%2B 1.npy", 10)}}, 204},
		{"a bucket's notification without more", nil, notified("OBJECT_FINALIZE", "NONE", ``), &trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{object("9", "in/é+%2B 1.npy", -1)}}, 204},
		{"a bucket's notification of a deletion", nil, notified("OBJECT_DELETE", "JSON_API_V1", `{}`), nil, 204},
		{"a bucket's notification, unwrapped", headers("x-goog-pubsub-subscription-name: "+s, "x-goog-pubsub-message-id: 9", "notificationConfig: c", "eventType: OBJECT_FINALIZE", "payloadFormat: NONE", "bucketId: b", "objectId: n", "objectGeneration: 17", "eventTime: 2026-11-22T10:00:00Z"), ``,
			&trigger.Event{Source: "b", Kind: "gcs", Items: []trigger.Item{object("9", "n", -1)}}, 204},

		{"a batch", headers("Content-Type: application/cloudevents-batch+json"), `[{"specversion":"1.0","id":"1","source":"/r","type":"t","data":1},{"specversion":"1.0","id":"2","source":"/r","type":"t"}]`, &trigger.Event{Source: "/r", Kind: "cloudevents", Items: []trigger.Item{
			{ID: "1", Key: "/r 1", Data: []byte("1"), ContentType: "application/json", Attributes: map[string]string{"source": "/r", "type": "t"}}, {ID: "2", Key: "/r 2", Attributes: map[string]string{"source": "/r", "type": "t"}}}}, 204},
		{"a batch with one that is none", headers("Content-Type: application/cloudevents-batch+json"), `[{"specversion":"1.0","id":"1","source":"/r","type":"t"},{}]`, &trigger.Event{Source: "/r", Kind: "cloudevents", Items: []trigger.Item{
			{ID: "1", Key: "/r 1", Attributes: map[string]string{"source": "/r", "type": "t"}}}}, 400},
		{"an empty batch", headers("Content-Type: application/cloudevents-batch+json"), `[]`, nil, 204},
		{"compressed", headers("Content-Encoding: gzip"), "\x1f\x8b", nil, 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			w := push(t, rec, anyone, c.header, []byte(c.body))
			if w.Code != c.status {
				t.Errorf("want status %d, got %d: %s", c.status, w.Code, w.Body)
			}
			if w.Code == http.StatusNoContent && w.Body.Len() > 0 {
				t.Errorf("want an empty reply, got %s", w.Body)
			}
			var want []trigger.Event
			if c.want != nil {
				want = []trigger.Event{*c.want}
			}
			if diff := cmp.Diff(want, rec.got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func with(item trigger.Item, change func(*trigger.Item)) trigger.Item {
	change(&item)
	return item
}

// TestAck is the reply for each outcome: only what is done, or was moved aside,
// is acknowledged.
func TestAck(t *testing.T) {
	document := wrapped(itemOf("1")).Body
	for _, code := range fault.Codes() {
		rec := &recorder{answer: []trigger.Outcome{trigger.Of(fault.New(code, "test", "", "no"))}}
		w := push(t, rec, anyone, nil, document)
		if w.Code != code.HTTP() {
			t.Errorf("%v: want status %d, got %d", code, code.HTTP(), w.Code)
		}
		if ack := []int{102, 200, 201, 202, 204}; contains(ack, w.Code) {
			t.Errorf("%v: status %d is an acknowledgement", code, w.Code)
		}
	}
	panicking := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { panic("secret") })
	if w := push(t, panicking, anyone, nil, document); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a panic: want 500 and not why, got %d: %s", w.Code, w.Body)
	}
	if w := push(t, nil, anyone, nil, document); w.Code != 501 || !strings.Contains(w.Body.String(), "triggers:") {
		t.Errorf("no handler: want 501 and what to do, got %d: %s", w.Code, w.Body)
	}
	silent := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { return nil })
	if w := push(t, silent, anyone, nil, document); w.Code != 500 {
		t.Errorf("no outcome: want 500, got %d: %s", w.Code, w.Body)
	}
	batch := []byte(`[{"specversion":"1.0","id":"1","source":"/r","type":"t"},{"specversion":"1.0","id":"2","source":"/r","type":"t"}]`)
	both := &recorder{answer: []trigger.Outcome{trigger.Of(fault.New(fault.Invalid, "test", "", "no")), trigger.Of(fault.New(fault.Unavailable, "test", "", "later"))}}
	if w := push(t, both, anyone, headers("Content-Type: application/cloudevents-batch+json"), batch); w.Code != 503 {
		t.Errorf("one fails for good and one may pass: want 503, got %d: %s", w.Code, w.Body)
	}
}

func contains(all []int, n int) bool {
	for _, one := range all {
		if one == n {
			return true
		}
	}
	return false
}

func TestAside(t *testing.T) {
	document := wrapped(itemOf("1")).Body
	why := fault.New(fault.Unprocessable, "test", "", "no")
	for _, c := range []struct {
		name   string
		failed error // of moving it aside
		out    trigger.Outcome
		moved  int
		status int
	}{
		{"for good", nil, trigger.Of(why), 1, 204},
		{"for good, and nowhere to go", errors.New("full"), trigger.Of(why), 1, 422},
		{"may pass", nil, trigger.Of(fault.New(fault.Unavailable, "test", "", "later")), 0, 503},
		{"done", nil, trigger.Outcome{State: trigger.Done}, 0, 204},
	} {
		moved := 0
		opts := &cloudrun.Options{Anyone: true, Aside: func(_ context.Context, item *trigger.Item, err error) error {
			moved++
			if item.ID != "1" || !errors.Is(err, why) {
				t.Errorf("%s: item %q was moved aside for %v", c.name, item.ID, err)
			}
			return c.failed
		}}
		if w := push(t, &recorder{answer: []trigger.Outcome{c.out}}, opts, nil, document); w.Code != c.status || moved != c.moved {
			t.Errorf("%s: want status %d and %d moved, got %d and %d", c.name, c.status, c.moved, w.Code, moved)
		}
	}
}

// TestLargeMessage pushes what the largest message becomes in its envelope, a
// body of the limit, and one byte more.
func TestLargeMessage(t *testing.T) {
	const largest = 10_000_000
	item := itemOf("1")
	item.Data = bytes.Repeat([]byte("0123456789"), largest/10)
	rec := &recorder{}
	if w := push(t, rec, anyone, nil, wrapped(item).Body); w.Code != 204 {
		t.Fatalf("want 204, got %d: %s", w.Code, w.Body)
	}
	if got := rec.got[0].Items[0].Data; !bytes.Equal(got, item.Data) {
		t.Errorf("want %d bytes as sent, got %d", largest, len(got))
	}
	document := wrapped(itemOf("1")).Body
	limit := int64(len(document))
	for _, c := range []struct {
		body   []byte
		status int
	}{{document, 204}, {append(document, ' '), 413}, {append(document, strings.Repeat(" ", 1<<20)...), 413}} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = bytes.NewReader(c.body)
			if chunked {
				body = io.MultiReader(body)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", body)
			w := httptest.NewRecorder()
			cloudrun.New(nil, &recorder{}, &cloudrun.Options{Anyone: true, MaxBody: limit}).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("%d bytes, chunked %t, where %d are taken: want %d, got %d: %s", len(c.body), chunked, limit, c.status, w.Code, w.Body)
			}
		}
	}
}

// TestBodyMemory holds a delivery in the handler: what does not fit beside it is
// refused, and taken when it has gone.
func TestBodyMemory(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		entered <- struct{}{}
		<-leave
		return []trigger.Outcome{{State: trigger.Done}}
	})
	document := wrapped(itemOf("1")).Body
	s := cloudrun.New(nil, h, &cloudrun.Options{Anyone: true, MaxBody: int64(len(document)), BodyMemory: int64(len(document)) + 10})
	send := func() int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", bytes.NewReader(document)))
		return w.Code
	}
	first := make(chan int)
	go func() { first <- send() }()
	<-entered
	beside := make(chan int)
	go func() { beside <- send() }()
	select {
	case got := <-beside:
		if got != 503 {
			t.Errorf("beside another: want 503, got %d", got)
		}
	case <-entered:
		t.Fatal("two deliveries where there is memory for one")
	}
	leave <- struct{}{}
	if got := <-first; got != 204 {
		t.Errorf("the first: want 204, got %d", got)
	}
	go func() { first <- send() }()
	select {
	case <-entered:
		leave <- struct{}{}
		if got := <-first; got != 204 {
			t.Errorf("alone: want 204, got %d", got)
		}
	case got := <-first:
		t.Errorf("alone: want it to reach the handler, got %d", got)
	}
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	var left time.Duration
	h := trigger.HandlerFunc(func(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
		if at, ok := ctx.Deadline(); ok {
			left = time.Until(at)
			<-ctx.Done()
		}
		return make([]trigger.Outcome, len(ev.Items))
	})
	w := push(t, h, &cloudrun.Options{Anyone: true, Timeout: 20 * time.Millisecond}, nil, wrapped(itemOf("1")).Body)
	if w.Code < 500 || left <= 0 || left > 20*time.Millisecond {
		t.Errorf("want a failure after a deadline within 20ms, got %d and %v", w.Code, left)
	}
}

func TestMethodsAndPath(t *testing.T) {
	asked := ""
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path })
	s := cloudrun.New(api, &recorder{}, &cloudrun.Options{Anyone: true, Path: "/from/pubsub"})
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions, http.MethodHead} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/from/pubsub", nil))
		if w.Code != 400 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: want 400 and what is allowed, got %d, %v", method, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/events", "/", "/v2/models/x/infer", "/from/pubsub/"} {
		asked = ""
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		if asked != path {
			t.Errorf("POST %s: want the protocol's routes, got %q", path, asked)
		}
	}
}

// TestSamples delivers the sample events: each reaches the handler.
func TestSamples(t *testing.T) {
	for _, s := range emulate.Samples("cloudrun") {
		rec := &recorder{}
		w := push(t, rec, anyone, s.Delivery.Header, s.Delivery.Body)
		if w.Code != 204 || len(rec.got) != 1 || len(rec.got[0].Items) != 1 {
			t.Errorf("%s: want one item and 204, got %v and %d: %s", s.Name, rec.got, w.Code, w.Body)
		}
	}
}
