package cloudrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// pubsub is Google's side: the metadata server with the account's tokens, and
// Pub/Sub's publish method.
type pubsub struct {
	server *httptest.Server
	status int // of publish; 0 is 200
	reply  string
	lives  int    // seconds of a token
	meta   string // what the metadata server says instead of a token
	denies int    // its status instead; 0 is 200

	mu        sync.Mutex
	tokens    int
	published []published
}

type published struct {
	Path, Authorization string
	Messages            []struct {
		Data       []byte
		Attributes map[string]string
	}
}

func newPubSub(t *testing.T) *pubsub {
	p := &pubsub{lives: 3600, reply: `{"messageIds":["1"]}`}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tokens++
		if p.meta != "" || p.denies != 0 {
			w.WriteHeader(max(p.denies, http.StatusOK))
			_, _ = io.WriteString(w, p.meta)
			return
		}
		fmt.Fprintf(w, `{"access_token":"t%d","expires_in":%d,"token_type":"Bearer"}`, p.tokens, p.lives)
	})
	mux.HandleFunc("POST /v1/", func(w http.ResponseWriter, r *http.Request) {
		m := published{Path: r.URL.Path, Authorization: r.Header.Get("Authorization")}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.published = append(p.published, m)
		if p.status != 0 {
			w.WriteHeader(p.status)
		}
		_, _ = io.WriteString(w, p.reply)
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *pubsub) topic() *cloudrun.Topic {
	return cloudrun.NewTopic("projects/demo/topics/rejected", &cloudrun.TopicOptions{Endpoint: p.server.URL, Metadata: p.server.URL})
}

func TestTopicTakesItemsWithTheReason(t *testing.T) {
	why := fault.New(fault.Invalid, "batch.Handle", "input \"x\"", "want float32 [-1 4], got float32 [3 5]").WithHint("Send rows of 4.")
	long := strings.Repeat("é", 1000)
	many := map[string]string{}
	for i := range 200 {
		many[fmt.Sprint("a", i)] = "v"
	}
	for _, c := range []struct {
		name string
		item trigger.Item
		why  error
		data string
		want map[string]string
	}{
		{"a message", trigger.Item{Key: "s/messages/1", Data: []byte("{}\x00"), Attributes: map[string]string{"model": "m", "goog_x": "1", "GOOGx": "1", long: "v", "v": long, "bad": "\xff", "": "x"}}, why,
			"{}\x00", map[string]string{"model": "m", "godwit_code": "invalid", "godwit_error": fault.Public(why), "godwit_item": "s/messages/1"}},
		{"an object", trigger.Item{Key: "k", Object: &trigger.Object{Store: "gs", Bucket: "b", Key: "é"}}, why,
			"", map[string]string{"godwit_object": (&trigger.Object{Store: "gs", Bucket: "b", Key: "é"}).URL(), "godwit_code": "invalid", "godwit_error": fault.Public(why), "godwit_item": "k"}},
		{"one that writes its own reason", trigger.Item{Key: "k", Attributes: map[string]string{"godwit_code": "ok"}}, why,
			"", map[string]string{"godwit_code": "invalid", "godwit_error": fault.Public(why), "godwit_item": "k"}},
		{"a long reason", trigger.Item{Key: "k"}, fault.New(fault.Invalid, "x", "", "%s", long),
			"", map[string]string{"godwit_code": "invalid", "godwit_error": strings.Repeat("é", 512), "godwit_item": "k"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPubSub(t)
			if err := p.topic().Aside(t.Context(), &c.item, c.why); err != nil {
				t.Fatal(err)
			}
			m := p.published[0]
			if m.Path != "/v1/projects/demo/topics/rejected:publish" || m.Authorization != "Bearer t1" || len(m.Messages) != 1 {
				t.Errorf("got %+v", m)
			}
			if diff := cmp.Diff(c.want, m.Messages[0].Attributes); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if string(m.Messages[0].Data) != c.data {
				t.Errorf("data %q, want %q", m.Messages[0].Data, c.data)
			}
		})
	}
	p := newPubSub(t)
	if err := p.topic().Aside(t.Context(), &trigger.Item{Key: "k", Attributes: many}, why); err != nil || len(p.published[0].Messages[0].Attributes) != 100 {
		t.Errorf("many attributes: %v, %d of them", err, len(p.published[0].Messages[0].Attributes))
	}
}

// A token is kept as long as it is good, and asked for again after that; the
// emulator of Pub/Sub is sent none.
func TestTopicAsksForTokens(t *testing.T) {
	for _, c := range []struct{ lives, tokens int }{{3600, 1}, {299, 1}, {240, 3}} {
		p := newPubSub(t)
		p.lives = c.lives
		topic := p.topic()
		for range 3 {
			if err := topic.Aside(t.Context(), &trigger.Item{Key: "k"}, io.EOF); err != nil {
				t.Fatal(err)
			}
		}
		if p.tokens != c.tokens {
			t.Errorf("tokens of %d s: asked for %d, want %d", c.lives, p.tokens, c.tokens)
		}
	}
	p := newPubSub(t)
	anonymous := cloudrun.NewTopic("projects/demo/topics/rejected", &cloudrun.TopicOptions{Endpoint: p.server.URL, Anonymous: true})
	if err := anonymous.Aside(t.Context(), &trigger.Item{Key: "k"}, io.EOF); err != nil || p.tokens != 0 || p.published[0].Authorization != "" {
		t.Errorf("%v, %d tokens, %q", err, p.tokens, p.published[0].Authorization)
	}
}

func TestTopicsFailures(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		status int
		reply  string
		want   fault.Code
	}{
		{"who is that", t.Context(), 401, `{"messageIds":["1"]}`, fault.Denied},
		{"may not", t.Context(), 403, `{"messageIds":["1"]}`, fault.Denied},
		{"no such topic", t.Context(), 404, `{"messageIds":["1"]}`, fault.Denied},
		{"busy", t.Context(), 503, `{"messageIds":["1"]}`, fault.Unavailable},
		{"two ids", t.Context(), 200, `{"messageIds":["1","2"]}`, fault.Unavailable},
		{"no id", t.Context(), 200, `{}`, fault.Unavailable},
		{"no JSON", t.Context(), 200, `<html>`, fault.Unavailable},
		{"no time", ended, 200, "", fault.Unavailable},
	} {
		p := newPubSub(t)
		p.status, p.reply = c.status, c.reply
		if err := p.topic().Aside(c.ctx, &trigger.Item{Key: "k"}, io.EOF); fault.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, c := range []struct {
		status int
		said   string
		want   fault.Code
	}{{0, `{"expires_in":3600}`, fault.Unavailable}, {0, `<html>`, fault.Unavailable}, {403, "", fault.Denied}, {500, `{"access_token":"t"}`, fault.Unavailable}} {
		p := newPubSub(t)
		p.denies, p.meta = c.status, c.said
		if err := p.topic().Aside(t.Context(), &trigger.Item{Key: "k"}, io.EOF); fault.CodeOf(err) != c.want || len(p.published) > 0 {
			t.Errorf("no token, %d %s: %v and %d published, want %v", c.status, c.said, err, len(p.published), c.want)
		}
	}
	none := cloudrun.NewTopic("t", &cloudrun.TopicOptions{Endpoint: "http://127.0.0.1:0", Metadata: "http://127.0.0.1:0"})
	if err := none.Aside(t.Context(), &trigger.Item{Key: "k"}, io.EOF); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
}
