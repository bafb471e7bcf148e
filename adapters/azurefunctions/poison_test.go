package azurefunctions_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/internal/emulate"
)

// What becomes of messages when the host has tried as often as it does.
func TestTriesAndPoison(t *testing.T) {
	i := start(t, nil, &emulate.Options{})
	const good, permanent, transient = `{"n":1}`, `{"test_fail":"unprocessable"}`, `{"test_fail":"unavailable"}`
	base64d := func(s string) []byte { return base64.StdEncoding.AppendEncode(nil, []byte(s)) }
	messages := func(all ...string) (out []emulate.AzureMessage) {
		for n, body := range all {
			out = append(out, emulate.AzureMessage{ID: "m" + string(rune('0'+n)), Body: []byte(body), Number: int64(n)})
		}
		return out
	}
	event := func(data string) string {
		return `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":` + data + `}`
	}
	for name, c := range map[string]struct {
		function   string
		messages   []emulate.AzureMessage
		deliveries int
		aside      string // "" is done
	}{
		"a queue's message":           {"queue", messages(string(base64d(good))), 1, ""},
		"one that never will be":      {"queue", messages(string(base64d(permanent))), 5, "requests-poison"},
		"one that may be":             {"queue", messages(string(base64d(transient))), 5, "requests-poison"},
		"one that is not base64":      {"queue", messages(good), 0, "requests-poison"},
		"one that is no JSON":         {"queue", messages(string(base64d("{"))), 1, ""}, // the handler's to judge
		"a blob":                      {"blob", messages("\x93NUMPY"), 1, ""},
		"a message of Service Bus":    {"servicebus", messages(permanent), 10, "dead letter"},
		"one bad message of three":    {"servicebus-batch", messages(good, permanent, good), 10, "dead letter"},
		"a batch that is done":        {"servicebus-batch", messages(good, good, good), 1, ""},
		"an event of Event Grid":      {"eventgrid", messages(event(transient)), 30, "dead letter"},
		"a batch of CloudEvents":      {"eventgrid-batch", messages(event(good), event(good)), 1, ""},
		"a batch without a policy":    {"eventhub", messages(good, transient), 1, "lost"},
		"a timer, which does nothing": {"timer", messages(""), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := emulate.AzureRun(t.Context(), i, c.function, c.messages...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Deliveries != c.deliveries || got.Aside != c.aside || got.Done != (c.aside == "") {
				t.Errorf("want %d deliveries and then %q, got %+v", c.deliveries, c.aside, got)
			}
		})
	}
	got, err := emulate.AzureRun(t.Context(), i, "queue", messages(string(base64d(good)))...)
	if err != nil {
		t.Fatal(err)
	}
	var answers []adaptertest.Answer
	if err := json.Unmarshal(got.Outputs["results"], &answers); err != nil || len(answers) != 1 || answers[0].ID != "m0" {
		t.Errorf("want the answer in the output, got %s, %v", got.Outputs["results"], err)
	}
}

// Queues whose messages are sent as they are, where host.json says so; and a
// sender who encodes them all the same.
func TestQueuesOfRawMessages(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(root+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(root+"/raw", 0o700); err != nil {
		t.Fatal(err)
	}
	write("host.json", `{"version":"2.0","functionTimeout":"00:01:00","extensions":{"queues":{"messageEncoding":"none","maxDequeueCount":2}}}`)
	write("raw/function.json", `{"bindings":[{"type":"queueTrigger","direction":"in","name":"item","queueName":"raw"},{"type":"queue","direction":"out","name":"results","queueName":"r"}]}`)
	i := start(t, nil, &emulate.Options{Env: []string{"FUNCTIONS_APP_ROOT_PATH=" + root}})
	for _, body := range []string{`{"n": 1}`, base64.StdEncoding.EncodeToString([]byte(`{"n": 1}`))} {
		got, err := emulate.AzureRun(t.Context(), i, "raw", emulate.AzureMessage{ID: "m", Body: []byte(body)})
		if err != nil || !got.Done {
			t.Fatalf("%s: %+v, %v", body, got, err)
		}
		var answers []adaptertest.Answer
		if err := json.Unmarshal(got.Outputs["results"], &answers); err != nil || len(answers) != 1 || string(answers[0].Data) != `{"n": 1}` || answers[0].Source != "raw" {
			t.Errorf("%s: got %s, %v", body, got.Outputs["results"], err)
		}
	}
	got, err := emulate.AzureRun(t.Context(), i, "raw", emulate.AzureMessage{ID: "m", Body: []byte(`{"test_fail":"invalid"}`)})
	if err != nil || got.Deliveries != 2 || got.Aside != "raw-poison" {
		t.Errorf("want 2 deliveries and then raw-poison, got %+v, %v", got, err)
	}
}

// A message with an id among its members, through the host's own merging.
func TestForgedIDsThroughTheHost(t *testing.T) {
	i := start(t, nil, &emulate.Options{})
	send := func(id, body string) adaptertest.Answer {
		t.Helper()
		got, err := emulate.AzureRun(t.Context(), i, "queue", emulate.AzureMessage{ID: id, Body: base64.StdEncoding.AppendEncode(nil, []byte(body))})
		if err != nil || !got.Done {
			t.Fatalf("%+v, %v", got, err)
		}
		var answers []adaptertest.Answer
		if err := json.Unmarshal(got.Outputs["results"], &answers); err != nil {
			t.Fatal(err)
		}
		return answers[0]
	}
	victim := send("m1", `{"n":1}`)
	forger := send("m2", `{"id":"m1","n":2}`)
	if victim.Key != "m1" || forger.Key == "m1" || !strings.HasPrefix(forger.Key, "sha256:") {
		t.Errorf("got the keys %q and %q", victim.Key, forger.Key)
	}
}

// Every sample of the target is one that the adapter does its work on.
func TestSamples(t *testing.T) {
	i := start(t, nil, &emulate.Options{})
	samples := emulate.Samples("azurefunctions")
	if len(samples) == 0 {
		t.Fatal("no samples")
	}
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			r, err := i.Deliver(context.Background(), &s.Delivery)
			if err != nil || r.Retry || r.Status != 200 {
				t.Fatalf("want 200, got %+v, %v", r, err)
			}
			if s.Name != "timer" && !strings.Contains(string(r.Body), `"results"`) {
				t.Errorf("want what reached the handler, got %s", r.Body)
			}
		})
	}
}
