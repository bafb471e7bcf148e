package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
	if err := call(ctx, http.MethodPut, project+"/subscriptions/aside", []byte(`{"topic":"projects/e2e/topics/aside","ackDeadlineSeconds":60}`), nil); err != nil {
		return err
	}
	notify := `{"topic":"//pubsub.googleapis.com/projects/e2e/topics/rows","payload_format":"JSON_API_V1","event_types":["OBJECT_FINALIZE"],"object_name_prefix":"rows/"}`
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
	for n, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
		if n == 6 {
			if err := fn.restart(); err != nil {
				return err
			}
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
	if err := until(ctx, func() (bool, error) { return acknowledged(ctx, a.pubsub, len(all)+len(payloads)+1) }); err != nil {
		return err
	}
	if err := check(ctx, b, fn.get(), all); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), payloads); err != nil {
		return err
	}
	return setAside(ctx, project)
}

// acknowledged tells whether so many messages of the topic have been, and no
// other is there.
func acknowledged(ctx context.Context, address string, want int) (bool, error) {
	var text []byte
	if err := call(ctx, http.MethodGet, "http://"+address+"/messages", nil, &text); err != nil {
		return false, err
	}
	n, again := 0, 0
	for line := range bytes.Lines(text) {
		var topic, id string
		var deliveries, acks int
		if _, err := fmt.Sscanf(string(line), "%s %s deliveries=%d acks=%d", &topic, &id, &deliveries, &acks); err != nil {
			return false, fmt.Errorf("%q: %w", line, err)
		}
		if topic != "projects/e2e/topics/rows" {
			continue
		}
		if acks == 0 {
			return false, nil
		}
		n, again = n+1, again+deliveries-1
	}
	if n == want {
		fmt.Printf("pubsub: %d messages acknowledged, %d deliveries that were repeated, the function killed once\n", n, again)
	}
	if n > want {
		return false, fmt.Errorf("want %d messages, got %d", want, n)
	}
	return n == want, nil
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
			at := m.Message.Attributes
			switch {
			case string(m.Message.Data) == "no request" && at["from"] == "somebody" && at["godwit_code"] == "INVALID" && at["godwit_error"] != "":
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
