package queue_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/queue"
	"godwit.dev/runtime/fault"
)

// office plays queues of Azure Storage and topics and subscriptions of Pub/Sub:
// of their REST, what moves messages. A queue is also what is published to a topic.
type office struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	now    time.Time
	queues map[string][]*parcel // by path
	calls  []string
	most   int // bytes of what is published at once; 0: any
	empty  int // pulls that bring nothing although there is something
	// fail answers in the place of the service, and reports that it did.
	fail func(w http.ResponseWriter, call string) bool
}

type parcel struct {
	id, text string
	since    time.Time
	hidden   bool
	attrs    map[string]string
	key      string
}

func newOffice(t *testing.T) *office {
	o := &office{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), queues: map[string][]*parcel{}}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *office) put(queue, text string, more ...func(*parcel)) {
	p := &parcel{id: fmt.Sprint("m", len(o.queues[queue])), text: text, since: o.now.Add(-time.Hour)}
	for _, f := range more {
		f(p)
	}
	o.queues[queue] = append(o.queues[queue], p)
}

// texts are what is in a queue, those that nobody sees in parentheses.
func (o *office) texts(queue string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := []string{}
	for _, p := range o.queues[queue] {
		text := p.text
		if p.hidden {
			text = "(" + text + ")"
		}
		all = append(all, text)
	}
	return all
}

func (o *office) find(queue string, match func(*parcel) bool) int {
	return slices.IndexFunc(o.queues[queue], match)
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		o.t.Error(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Date", o.now.Format(http.TimeFormat))
	name, isAzure := strings.CutPrefix(r.URL.Path, "/devstoreaccount1/")
	if isAzure {
		name, message, _ := strings.Cut(name, "/messages")
		call := r.Method + " " + name
		o.calls = append(o.calls, call)
		if o.fail != nil && o.fail(w, call) {
			return
		}
		if !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey devstoreaccount1:") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		o.azure(w, r, body, name, strings.TrimPrefix(message, "/"))
		return
	}
	path, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/projects/p/"), ":")
	call := verb + " " + path
	o.calls = append(o.calls, call)
	if o.fail != nil && o.fail(w, call) {
		return
	}
	o.pubsub(w, body, path, verb)
}

func (o *office) azure(w http.ResponseWriter, r *http.Request, body []byte, name, id string) {
	type message struct {
		XMLName                                           xml.Name `xml:"QueueMessage"`
		MessageId, InsertionTime, PopReceipt, MessageText string
	}
	i := o.find(name, func(p *parcel) bool { return p.id == id && "receipt "+id == r.URL.Query().Get("popreceipt") })
	switch {
	case r.Method == http.MethodPost:
		var m message
		if err := xml.Unmarshal(body, &m); err != nil {
			o.t.Error(err)
		}
		o.put(name, m.MessageText)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet:
		most, err := strconv.Atoi(r.URL.Query().Get("numofmessages"))
		if hide, _ := strconv.Atoi(r.URL.Query().Get("visibilitytimeout")); err != nil || most < 1 || most > 32 || hide < 30 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		list := struct {
			XMLName  xml.Name  `xml:"QueueMessagesList"`
			Messages []message `xml:"QueueMessage"`
		}{}
		for _, p := range o.queues[name] {
			if !p.hidden && len(list.Messages) < most {
				p.hidden = true
				list.Messages = append(list.Messages, message{MessageId: p.id, InsertionTime: p.since.Format(http.TimeFormat), PopReceipt: "receipt " + p.id, MessageText: p.text})
			}
		}
		_ = xml.NewEncoder(w).Encode(list)
	case i < 0:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		o.queues[name] = slices.Delete(o.queues[name], i, i+1)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut && r.URL.Query().Get("visibilitytimeout") == "0":
		o.queues[name][i].hidden = false
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (o *office) pubsub(w http.ResponseWriter, body []byte, path, verb string) {
	type message struct {
		Data        []byte            `json:"data,omitempty"`
		Attributes  map[string]string `json:"attributes,omitempty"`
		ID          string            `json:"messageId,omitempty"`
		PublishTime time.Time         `json:"publishTime,omitzero"`
		OrderingKey string            `json:"orderingKey,omitempty"`
	}
	var in struct {
		MaxMessages, AckDeadlineSeconds int
		ReturnImmediately               bool
		AckIds                          []string
		Messages                        []message
	}
	if err := json.Unmarshal(body, &in); err != nil {
		o.t.Error(err)
	}
	out := map[string]any{}
	switch verb {
	case "publish":
		var ids []string
		if o.most > 0 && len(body) > o.most {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, m := range in.Messages {
			if m.OrderingKey != in.Messages[0].OrderingKey {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			o.put(path, string(m.Data), func(p *parcel) { p.attrs, p.key = m.Attributes, m.OrderingKey })
			ids = append(ids, fmt.Sprint(len(o.queues[path])))
		}
		out["messageIds"] = ids
	case "pull":
		var got []map[string]any
		if !in.ReturnImmediately {
			o.t.Error("a pull that waits")
		}
		if o.empty--; o.empty >= 0 {
			break
		}
		for _, p := range o.queues[path] {
			if !p.hidden && len(got) < in.MaxMessages {
				p.hidden = true
				got = append(got, map[string]any{"ackId": p.id, "message": message{[]byte(p.text), p.attrs, p.id, p.since, p.key}})
			}
		}
		out["receivedMessages"] = got
	case "acknowledge":
		o.queues[path] = slices.DeleteFunc(o.queues[path], func(p *parcel) bool { return slices.Contains(in.AckIds, p.id) })
	case "modifyAckDeadline":
		if in.AckDeadlineSeconds > 0 {
			o.calls = append(o.calls, fmt.Sprintf("%d s for %d", in.AckDeadlineSeconds, len(in.AckIds)))
		}
		for _, p := range o.queues[path] {
			if slices.Contains(in.AckIds, p.id) {
				p.hidden = in.AckDeadlineSeconds > 0
			}
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	_ = json.NewEncoder(w).Encode(out)
}

// routes are where dead letters are and where they belong, in each service.
var routes = []struct{ from, to, dead, live string }{
	{"/devstoreaccount1/rows-poison", "/devstoreaccount1/rows", "rows-poison", "rows"},
	{"/projects/p/subscriptions/dead", "/projects/p/topics/rows", "subscriptions/dead", "topics/rows"},
}

func (o *office) open(from, to string) (*queue.Letters, *queue.Queue) {
	o.t.Helper()
	options := &queue.Options{Getenv: getenv, HTTP: o.Client()}
	l, err := queue.OpenLetters(o.URL+from, options)
	if err != nil {
		o.t.Fatal(err)
	}
	q, err := queue.Open(o.URL+to, options)
	if err != nil {
		o.t.Fatal(err)
	}
	return l, q
}

// Letters go back as they were; those that came after the first look stay, as
// they may be the same ones again.
func TestLettersGoBack(t *testing.T) {
	for _, c := range routes {
		o := newOffice(t)
		want := []string{}
		for i := range 70 {
			text := fmt.Sprintf("text %d <&>ü", i)
			want = append(want, text)
			o.put(c.dead, text)
		}
		l, q := o.open(c.from, c.to)
		for round := 0; ; round++ {
			got, err := l.Receive(t.Context(), 30)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			if round == 0 { // one fails again at once
				o.mu.Lock()
				o.put(c.dead, "again", func(p *parcel) { p.since = o.now.Add(time.Minute) })
				o.mu.Unlock()
			}
			if err := l.Resend(t.Context(), q, got); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, o.texts(c.live)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.from, diff)
		}
		if diff := cmp.Diff([]string{"again"}, o.texts(c.dead)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.from, diff)
		}
	}
}

// Nothing is removed that was not sent, and it can be seen again.
func TestLettersStayUntilTheyAreSent(t *testing.T) {
	for _, c := range routes {
		o := newOffice(t)
		for i := range 5 {
			o.put(c.dead, fmt.Sprint(i))
		}
		l, q := o.open(c.from, c.to)
		got, err := l.Receive(t.Context(), 3)
		if err != nil || len(got) != 3 {
			t.Fatalf("%v, %v", got, err)
		}
		if again, err := l.Receive(t.Context(), 30); err != nil || len(again) != 2 {
			t.Fatalf("%s: want the two that are not hidden, got %v, %v", c.from, again, err)
		}
		o.fail = func(w http.ResponseWriter, call string) bool {
			if strings.HasSuffix(call, " "+c.live) {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}
		if err := l.Resend(t.Context(), q, got); fault.CodeOf(err) != fault.Denied || fault.HintOf(err) == "" {
			t.Errorf("%s: want Denied with what to do, got %v", c.from, err)
		}
		if diff := cmp.Diff([]string{"(0)", "(1)", "(2)", "(3)", "(4)"}, o.texts(c.dead)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.from, diff)
		}
		if err := l.Show(t.Context(), got); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"0", "1", "2", "(3)", "(4)"}, o.texts(c.dead)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.from, diff)
		}
		// What was sent and not removed says so, and is in both.
		o.fail = func(w http.ResponseWriter, call string) bool {
			if strings.HasPrefix(call, "DELETE") || strings.HasPrefix(call, "acknowledge") {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}
		if err := l.Resend(t.Context(), q, got); fault.CodeOf(err) != fault.Denied || len(o.texts(c.live)) != 3 || len(o.texts(c.dead)) != 5 {
			t.Errorf("%s: %v, %v, %v", c.from, err, o.texts(c.live), o.texts(c.dead))
		}
	}
}

// What Pub/Sub and the function itself have added is taken off; order and all
// else that the sender wrote stays. An object is told of as its bucket does.
func TestLettersOfPubSub(t *testing.T) {
	o := newOffice(t)
	c := routes[1]
	with := func(key string, attrs map[string]string) func(*parcel) {
		return func(p *parcel) { p.attrs, p.key = attrs, key }
	}
	o.put(c.dead, "a", with("k1", map[string]string{"model": "digits", "CloudPubSubDeadLetterSourceDeliveryCount": "5", "CloudPubSubDeadLetterSourceTopicPublishTime": "x", "godwit_code": "invalid"}))
	o.put(c.dead, "b", with("k2", nil))
	o.put(c.dead, "c", with("k2", nil))
	large := strings.Repeat("x", 700)
	for range 2 { // more than a request takes
		o.put(c.dead, large)
	}
	o.empty = 2
	o.put(c.dead, "", with("", map[string]string{"godwit_code": "invalid", "godwit_item": "gs://lake/rows/a b.csv#17", "godwit_object": "gs://lake/rows/a b.csv", "mine": "x"}))
	l, q := o.open(c.from, c.to)
	o.most = 1500
	queue.SetBytes(q, 1000)
	got, err := l.Receive(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(o.calls, "120 s for 6") {
		t.Errorf("want time to send them, got %q", o.calls)
	}
	if err := l.Resend(t.Context(), q, got); err != nil {
		t.Fatal(err)
	}
	type sent struct {
		Text, Key string
		Attrs     map[string]string
	}
	var all []sent
	for _, p := range o.queues[c.live] {
		if p.text == large {
			p.text = "large"
		}
		all = append(all, sent{p.text, p.key, p.attrs})
	}
	want := []sent{
		{"a", "k1", map[string]string{"model": "digits"}}, {"b", "k2", nil}, {"c", "k2", nil}, {"large", "", nil}, {"large", "", nil},
		{"", "", map[string]string{"mine": "x", "notificationConfig": "projects/_/buckets/lake/notificationConfigs/godwit", "eventType": "OBJECT_FINALIZE",
			"payloadFormat": "NONE", "bucketId": "lake", "objectId": "rows/a b.csv", "objectGeneration": "17"}},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOpenLetters(t *testing.T) {
	for _, good := range []string{"https://acme.queue.core.windows.net/rows-poison", "https://pubsub.googleapis.com/projects/acme/subscriptions/dead"} {
		if _, err := queue.OpenLetters(good, nil); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "rows", "http://acme.queue.core.windows.net/rows", "https://pubsub.googleapis.com/projects/acme/topics/dead", "https://sqs.eu-west-1.amazonaws.com/123456789012/rows-dlq", "https://example.com/a"} {
		if _, err := queue.OpenLetters(bad, nil); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: want BadConfig, got %v", bad, err)
		}
	}
	// A queue of another service, or the same queue, is no place to send to.
	o := newOffice(t)
	for i, c := range routes {
		o.put(c.dead, "a")
		for _, to := range []string{routes[1-i].to, "/123456789012/rows"} {
			l, q := o.open(c.from, to)
			if err := l.Resend(t.Context(), q, []queue.Letter{{ID: "m0"}}); fault.CodeOf(err) != fault.Usage {
				t.Errorf("%s to %s: want Usage, got %v", c.from, to, err)
			}
		}
	}
	l, q := o.open(routes[0].from, routes[0].from)
	if err := l.Resend(t.Context(), q, []queue.Letter{{ID: "m0"}}); fault.CodeOf(err) != fault.Usage || len(o.calls) != 0 {
		t.Errorf("want Usage, got %v", err)
	}
}
