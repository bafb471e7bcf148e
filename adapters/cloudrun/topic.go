package cloudrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// TopicOptions of NewTopic; nil means defaults.
type TopicOptions struct {
	// Endpoint is Pub/Sub's; default https://pubsub.googleapis.com.
	Endpoint string
	// Anonymous sends no token, as Pub/Sub's emulator wants none.
	Anonymous bool
	// Metadata is the metadata server, which has the tokens of the service's
	// account; default http://metadata.google.internal.
	Metadata string
	// Client makes the requests; nil: one of the topic's own, with ten seconds
	// for each.
	Client *http.Client
}

// Topic is a Pub/Sub topic that takes what failed for good. It is safe for
// concurrent use.
type Topic struct {
	name string
	opts TopicOptions

	mu    sync.Mutex // held while a token is fetched: all wait for the same one
	token string
	until time.Time
}

// NewTopic returns the topic of the name projects/P/topics/T. Nothing is asked
// of Google before the first item.
func NewTopic(name string, opts *TopicOptions) *Topic {
	t := &Topic{name: name}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Endpoint == "" {
		t.opts.Endpoint = "https://pubsub.googleapis.com"
	}
	if t.opts.Metadata == "" {
		t.opts.Metadata = "http://metadata.google.internal"
	}
	if t.opts.Client == nil {
		t.opts.Client = &http.Client{Timeout: 10 * time.Second}
	}
	return t
}

// What a message's attributes may be (Google, "Pub/Sub quotas and limits").
const (
	maxAttributes = 100
	maxName       = 256
	maxValue      = 1024
)

// The attributes that say why a message is here.
const (
	attributeCode   = "godwit_code"
	attributeError  = "godwit_error"
	attributeItem   = "godwit_item"   // its idempotency key
	attributeObject = "godwit_object" // the URL of an object; then there is no data
)

// Aside publishes an item with the reason: its payload as it came, its own
// attributes as far as a message may have them, and the attributes godwit_code,
// godwit_error, godwit_item and, of an object, godwit_object. It returns when
// Pub/Sub has the message. It is for Options.Aside. Errors: Unavailable, Denied,
// or ctx's.
func (t *Topic) Aside(ctx context.Context, item *trigger.Item, why error) error {
	attributes := map[string]string{
		attributeCode:  fault.CodeOf(why).String(),
		attributeError: cut(fault.Public(why), maxValue),
		attributeItem:  cut(item.Key, maxValue),
	}
	if o := item.Object; o != nil {
		attributes[attributeObject] = cut(o.URL(), maxValue)
	}
	for name, value := range item.Attributes {
		if len(attributes) < maxAttributes && fits(name, value) && attributes[name] == "" {
			attributes[name] = value
		}
	}
	type message struct {
		Data       []byte            `json:"data,omitempty"` // base64
		Attributes map[string]string `json:"attributes"`
	}
	body, err := json.Marshal(map[string][]message{"messages": {{item.Data, attributes}}})
	if err != nil {
		return fault.New(fault.Internal, "cloudrun.Topic", t.name, "%w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.opts.Endpoint+"/v1/"+t.name+":publish", bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.BadConfig, "cloudrun.Topic", t.name, "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if !t.opts.Anonymous {
		token, err := t.authorization(ctx)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", token)
	}
	var reply struct{ MessageIDs []string }
	if err := t.exchange(req, &reply); err != nil {
		return err
	}
	if len(reply.MessageIDs) != 1 {
		return fault.New(fault.Unavailable, "cloudrun.Topic", t.name, "want the id of one message, got %d", len(reply.MessageIDs))
	}
	return nil
}

// fits tells whether Pub/Sub takes an attribute.
func fits(name, value string) bool {
	return name != "" && len(name) <= maxName && len(value) <= maxValue && !strings.HasPrefix(strings.ToLower(name), "goog") &&
		utf8.ValidString(name) && utf8.ValidString(value)
}

// cut is s to at most n bytes, not within a character.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// authorization is the header for the service's own account, whose token is
// kept until shortly before its end.
func (t *Topic) authorization(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && time.Now().Before(t.until) {
		return t.token, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.opts.Metadata+"/computeMetadata/v1/instance/service-accounts/default/token", http.NoBody)
	if err != nil {
		return "", fault.New(fault.BadConfig, "cloudrun.Topic", "metadata", "%w", err)
	}
	req.Header.Set("Metadata-Flavor", "Google")
	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"` // seconds
	}
	if err := t.exchange(req, &token); err != nil {
		return "", err
	}
	if token.AccessToken == "" {
		return "", fault.New(fault.Unavailable, "cloudrun.Topic", "metadata", "want a token of the service's account, got none")
	}
	// The metadata server itself has a new one five minutes before the end.
	t.token, t.until = "Bearer "+token.AccessToken, time.Now().Add(time.Duration(token.ExpiresIn)*time.Second-4*time.Minute)
	return t.token, nil
}

// exchange sends req and reads the answer's JSON.
func (t *Topic) exchange(req *http.Request, into any) error {
	const most = 64 << 10
	resp, err := t.opts.Client.Do(req)
	if err != nil {
		if cause := context.Cause(req.Context()); cause != nil {
			err = errors.Join(cause, err)
		}
		return fault.New(fault.Unavailable, "cloudrun.Topic", t.name, "%w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	switch {
	case err != nil:
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound:
		return fault.New(fault.Denied, "cloudrun.Topic", t.name, "want 200 of %s, got %d: %.200q", req.URL.Host, resp.StatusCode, body).
			WithHint("The service's account needs roles/pubsub.publisher on the topic.")
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("want 200 of %s, got %d: %.200q", req.URL.Host, resp.StatusCode, body)
	default:
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fault.New(fault.Unavailable, "cloudrun.Topic", t.name, "%w", err)
	}
	return nil
}
