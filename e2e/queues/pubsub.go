package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"

	"godwit.dev/internal/emulate"
)

// pubsub puts objects into Cloud Storage, which tells a topic of them, and
// payloads into the same topic. What is pushed and takes longer than the
// deadline, or meets a function that has just been killed, is pushed again. What
// fails for good goes to a topic of its own, by the function.
func pubsub(ctx context.Context, a *addresses) error {
	b := &gcs{"http://" + a.gcs, "gcs-data"}
	if err := call(ctx, http.MethodPost, b.root+"/storage/v1/b?project=e2e", []byte(`{"name":"gcs-data"}`), nil, "Content-Type: application/json"); err != nil {
		return err
	}
	project := "http://" + a.pubsub + "/v1/projects/e2e"
	for _, topic := range []string{"rows", "aside"} {
		if err := call(ctx, http.MethodPut, project+"/topics/"+topic, nil, nil); err != nil {
			return err
		}
	}
	for _, subscription := range []string{"aside", "back"} {
		if err := call(ctx, http.MethodPut, project+"/subscriptions/"+subscription, []byte(`{"topic":"projects/e2e/topics/aside","ackDeadlineSeconds":60}`), nil); err != nil {
			return err
		}
	}
	// notificationConfig is an attribute that Cloud Storage sets itself, and fake-gcs-server does not.
	notify := `{"topic":"//pubsub.googleapis.com/projects/e2e/topics/rows","payload_format":"JSON_API_V1","event_types":["OBJECT_FINALIZE"],"object_name_prefix":"rows/",` +
		`"custom_attributes":{"notificationConfig":"projects/_/buckets/gcs-data/notificationConfigs/1"}}`
	if err := call(ctx, http.MethodPost, b.root+"/storage/v1/b/gcs-data/notificationConfigs", []byte(notify), nil, "Content-Type: application/json"); err != nil {
		return err
	}
	dir, err := function(a, "pubsub", "auth: platform\ntriggers: [objects, topic]\nbatch: {input: gs://gcs-data/rows/, output: gs://gcs-data/scores/, passThrough: [id]}\n"+
		"targets: {cloudrun: {push: {ackDeadline: 10s, deadLetterTopic: projects/e2e/topics/aside}}}\n")
	if err != nil {
		return err
	}
	fn := &running{begin: func() (*emulate.Instance, error) {
		return start(ctx, a, "cloudrun", a.fnServer, dir, nil, "STORAGE_EMULATOR_HOST="+a.gcs, "PUBSUB_EMULATOR_HOST="+a.pubsub)
	}}
	if err := fn.restart(); err != nil {
		return err
	}
	url, stop, err := front(ctx, fn)
	if err != nil {
		return err
	}
	defer stop()
	subscription := fmt.Sprintf(`{"topic":"projects/e2e/topics/rows","ackDeadlineSeconds":10,"pushConfig":{"pushEndpoint":%q}}`, url)
	if err := call(ctx, http.MethodPut, project+"/subscriptions/rows", []byte(subscription), nil); err != nil {
		return err
	}

	all := objects(12)
	for _, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
	}
	publish := func(body []byte, attributes map[string]string) error {
		text, err := json.Marshal(map[string]any{"messages": []any{map[string]any{"data": body, "attributes": attributes}}})
		if err != nil {
			return err
		}
		return call(ctx, http.MethodPost, project+"/topics/rows:publish", text, nil)
	}
	var payloads [][]digit
	for n := range 8 {
		rows := digits(uint64(n), 1+n)
		payloads = append(payloads, rows)
		if err := publish(request(rows), nil); err != nil {
			return err
		}
	}
	if err := publish([]byte("no request"), map[string]string{"from": "somebody"}); err != nil {
		return err
	}
	for range 2 { // killed in the middle of a delivery
		if err := until(ctx, func() (bool, error) { m, err := messages(ctx, a.pubsub); return m.pushed > m.acknowledged, err }); err != nil {
			return err
		}
		if err := fn.restart(); err != nil {
			return err
		}
	}
	var m topic
	if err := until(ctx, func() (_ bool, err error) {
		m, err = messages(ctx, a.pubsub)
		return m.acknowledged == m.all && m.all == len(all)+len(payloads)+1, err
	}); err != nil {
		return fmt.Errorf("%w: %+v", err, m)
	}
	fmt.Printf("pubsub: %d messages acknowledged, %d deliveries that were repeated, the function killed twice\n", m.all, m.deliveries-m.all)
	if err := check(ctx, b, fn.get(), all); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), payloads); err != nil {
		return err
	}
	if err := setAside(ctx, project); err != nil {
		return err
	}

	// What was put aside is sent back, where it fails as before: as it came, and
	// with the reason once more. Of an object the topic is told as by its bucket.
	root := "http://" + a.pubsub + "/projects/e2e/"
	redrive := exec.CommandContext(ctx, a.godwit, "score", dir, root+"subscriptions/back", root+"topics/rows", "--redrive")
	out, err := redrive.CombinedOutput()
	if err != nil || !strings.Contains(string(out), ": 2 sent to "+root+"topics/rows and removed, 0 stay") {
		return fmt.Errorf("want a redrive of 2 messages, got %v: %s", err, out)
	}
	before := m.all
	if err := until(ctx, func() (_ bool, err error) {
		m, err = messages(ctx, a.pubsub)
		return m.acknowledged == m.all && m.all == before+2, err
	}); err != nil {
		return fmt.Errorf("%w: %+v", err, m)
	}
	fmt.Println("pubsub: 2 dead letters sent back to their topic, delivered, and put aside again")
	return setAside(ctx, project)
}

// topic is what has become of a topic's messages.
type topic struct{ all, deliveries, pushed, acknowledged int }

func messages(ctx context.Context, address string) (t topic, err error) {
	var text []byte
	if err := call(ctx, http.MethodGet, "http://"+address+"/messages", nil, &text); err != nil {
		return t, err
	}
	for line := range bytes.Lines(text) {
		var name, id string
		var deliveries, acks int
		if _, err := fmt.Sscanf(string(line), "%s %s deliveries=%d acks=%d", &name, &id, &deliveries, &acks); err != nil {
			return t, fmt.Errorf("%q: %w", line, err)
		}
		if name == "projects/e2e/topics/rows" {
			t.all, t.deliveries, t.pushed, t.acknowledged = t.all+1, t.deliveries+deliveries, t.pushed+min(1, deliveries), t.acknowledged+min(1, acks)
		}
	}
	return t, nil
}

// setAside wants what failed for good in the topic for that, as it came and with
// the reason.
func setAside(ctx context.Context, project string) error {
	var got []string
	if err := until(ctx, func() (bool, error) {
		var pulled struct {
			ReceivedMessages []struct {
				AckID   string
				Message struct {
					Data       []byte
					Attributes map[string]string
				}
			}
		}
		if err := call(ctx, http.MethodPost, project+"/subscriptions/aside:pull", []byte(`{"maxMessages":10}`), &pulled); err != nil {
			return false, err
		}
		for _, m := range pulled.ReceivedMessages {
			if err := call(ctx, http.MethodPost, project+"/subscriptions/aside:acknowledge", fmt.Appendf(nil, `{"ackIds":[%q]}`, m.AckID), nil); err != nil {
				return false, err
			}
			at := m.Message.Attributes
			switch {
			case string(m.Message.Data) == "no request" && at["from"] == "somebody" && at["godwit_code"] == "invalid" && at["godwit_error"] != "":
				got = append(got, "payload")
			case strings.HasSuffix(at["godwit_object"], "/rows/cut.parquet") && at["godwit_error"] != "":
				got = append(got, "object")
			default:
				return false, fmt.Errorf("this was put aside: %.200s %v", m.Message.Data, at)
			}
		}
		return len(got) >= 2, nil
	}); err != nil {
		return err
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"object", "payload"}) {
		return fmt.Errorf("want the bad object and the bad payload aside, once each, got %q", got)
	}
	return nil
}
