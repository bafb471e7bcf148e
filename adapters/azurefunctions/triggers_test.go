package azurefunctions_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/runtime/trigger"
)

// functions are those of the app that the tests' envelopes are for.
var functions = map[string]azurefunctions.Function{
	"queue":     {Trigger: "queueTrigger", Input: "item", Source: "requests", Results: true},
	"bytes":     {Trigger: "queueTrigger", Input: "item", Source: "requests", Binary: true, Results: true},
	"blob":      {Trigger: "blobTrigger", Input: "item", Source: "c/{name}", Binary: true, Results: true},
	"bus":       {Trigger: "serviceBusTrigger", Input: "item", Source: "topic/sub", Results: true},
	"bus-batch": {Trigger: "serviceBusTrigger", Input: "item", Source: "q", Many: true, Results: true},
	"grid":      {Trigger: "eventGridTrigger", Input: "item", Results: true},
	"hub":       {Trigger: "eventHubTrigger", Input: "item", Source: "readings", Many: true, Results: true},
	"kafka":     {Trigger: "kafkaTrigger", Input: "item", Source: "readings", Many: true, Results: true},
	"timer":     {Trigger: "timerTrigger", Input: "item"},
}

var ten = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// The envelopes, and what of them reaches the handler: once with the app's
// files and once told by the envelope alone.
func TestTriggers(t *testing.T) {
	blob := func(key, version string, size int64) *trigger.Object {
		return &trigger.Object{Store: "azblob", Bucket: "acct/c", Key: key, Version: version, Size: size}
	}
	for name, c := range map[string]struct {
		function, data, metadata string
		told                     bool // only with the app's files
		want                     []adaptertest.Answer
	}{
		"a string, encoded twice": {"queue", `"\"{\\\"inputs\\\":[]}\""`, `{"DequeueCount":"3","Id":"\"800ae4b3\"","PopReceipt":"\"p\"","InsertionTime":"2026-11-22T10:00:00+00:00"}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "800ae4b3", Key: "800ae4b3", Data: []byte(`{"inputs":[]}`), Attempt: 3, Time: ten}}},
		"a string, encoded once": {"queue", `"{\"inputs\":[]}"`, `{"DequeueCount":1,"Id":"800ae4b3"}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "800ae4b3", Key: "800ae4b3", Data: []byte(`{"inputs":[]}`), Attempt: 1}}},
		"an object": {"queue", `{"inputs": []}`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`{"inputs": []}`), Attempt: 1}}},
		"an array": {"queue", `"\"[1, 2]\""`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`[1, 2]`), Attempt: 1}}},
		"text": {"queue", `"\"good morning\""`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`good morning`), Attempt: 1}}},
		"text in quotes": {"queue", `"\"\\\"x\\\"\""`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`"x"`), Attempt: 1}}},
		"base64 that the host left": {"queue", `"\"eyJpbnB1dHMiOltdfQ==\""`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`{"inputs":[]}`), Attempt: 1}}},
		"text that looks like base64": {"queue", `"\"abcdefgh\""`, `{"DequeueCount":"1","Id":"\"a\""}`, false,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte(`abcdefgh`), Attempt: 1}}},
		"bytes": {"bytes", `"AAEC"`, `{"DequeueCount":"1","Id":"\"a\""}`, true,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte{0, 1, 2}, Attempt: 1}}},
		"bytes whose base64 is JSON": {"bytes", `"1234"`, `{"DequeueCount":"1","Id":"\"a\""}`, true,
			[]adaptertest.Answer{{Kind: "azurequeue", Source: "requests", ID: "a", Key: "a", Data: []byte{0xd7, 0x6d, 0xf8}, Attempt: 1}}},

		"a blob": {"blob", `"AAEC"`, `{"Uri":"\"https://acct.blob.core.windows.net/c/in/caf%C3%A9%20%2B%201%252F.npy\"","Properties":{"ETag":"\"0x8D\"","ContentLength":3,"LastModified":"2026-11-22T10:00:00+00:00"},"Metadata":{"owner":"me"}}`, false,
			[]adaptertest.Answer{{Kind: "azureblob", Source: "c/{name}", ID: "azblob://acct/c/in/café + 1%2F.npy", Key: "azblob://acct/c/in/café + 1%2F.npy@0x8D",
				Object: blob("in/café + 1%2F.npy", "0x8D", 3), Time: ten, Attributes: map[string]string{"owner": "me"}}}},
		"a blob whose ETag .NET wrote as an object without members": {"blob", `"AAEC"`, `{"Uri":"\"https://acct.blob.core.windows.net/c/a.npy\"","Properties":{"ETag":{},"ContentLength":3,"LastModified":"2026-11-22T10:00:00+00:00","ContentHash":"uTNdpu=="}}`, false,
			[]adaptertest.Answer{{Kind: "azureblob", Source: "c/{name}", ID: "azblob://acct/c/a.npy", Key: "azblob://acct/c/a.npy@2026-11-22T10:00:00+00:00 uTNdpu==", Object: blob("a.npy", "", 3), Time: ten}}},
		"a blob of 0 bytes in Azurite": {"blob", `""`, `{"Uri":"\"http://127.0.0.1:10000/acct/c/a.npy\"","Properties":{"Length":0}}`, false,
			[]adaptertest.Answer{{Kind: "azureblob", Source: "c/{name}", ID: "azblob://acct/c/a.npy", Key: "azblob://acct/c/a.npy@", Object: blob("a.npy", "", 0)}}},

		"a message": {"bus", `"\"{}\""`, `{"MessageId":"\"m1\"","SequenceNumber":"7","DeliveryCount":"2","LockToken":"\"l\"","EnqueuedTimeUtc":"2026-11-22T10:00:00Z","ContentType":"\"application/json\"","ApplicationProperties":{"model":"iris","n":1},"SessionId":"\"s\""}`, false,
			[]adaptertest.Answer{{Kind: "servicebus", Source: "topic/sub", ID: "m1", Key: "topic/sub/7", Group: "s", Order: trigger.Grouped, Data: []byte(`{}`), ContentType: "application/json",
				Attributes: map[string]string{"model": "iris", "n": "1"}, Attempt: 2, Time: ten}}},
		"a message whose time .NET wrote without a zone": {"bus", `"\"{}\""`, `{"MessageId":"\"m1\"","SequenceNumber":"7","DeliveryCount":"1","EnqueuedTimeUtc":"2026-11-22T10:00:00"}`, false,
			[]adaptertest.Answer{{Kind: "servicebus", Source: "topic/sub", ID: "m1", Key: "topic/sub/7", Data: []byte(`{}`), Attempt: 1, Time: ten}}},
		"messages": {"bus-batch", `"[\"{\\\"a\\\":1}\",\"x\",\"eyJhIjozfQ==\"]"`, `{"MessageIdArray":"[\"m\",\"m\",null]","SequenceNumberArray":"[7,8,9]","DeliveryCountArray":"[1,2,3]","LockTokenArray":"[]","UserPropertiesArray":"[{\"k\":\"v\"},{}]"}`, false,
			[]adaptertest.Answer{
				{Kind: "servicebus", Source: "q", ID: "m", Key: "q/7", Data: []byte(`{"a":1}`), Attributes: map[string]string{"k": "v"}, Attempt: 1},
				{Kind: "servicebus", Source: "q", ID: "m#1", Key: "q/8", Data: []byte(`x`), Attempt: 2},
				{Kind: "servicebus", Source: "q", ID: "inv-1", Key: "q/9", Data: []byte(`{"a":3}`), Attempt: 3},
			}},

		"an event of Event Grid": {"grid", `{"id":"1","topic":"/subscriptions/s","subject":"orders","eventType":"Order","eventTime":"2026-11-22T10:00:00Z","data":{"a": 1},"dataVersion":""}`, `{"data":{"a":1}}`, false,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: "/subscriptions/s 1", Data: []byte(`{"a": 1}`), ContentType: "application/json", Time: ten,
				Attributes: map[string]string{"type": "Order", "topic": "/subscriptions/s", "subject": "orders"}}}},
		"blobs by Event Grid": {"grid", `"[` +
			`{\"id\":\"1\",\"topic\":\"t\",\"subject\":\"/blobServices/default/containers/c/blobs/in/a b.npy\",\"eventType\":\"Microsoft.Storage.BlobCreated\",\"eventTime\":\"2026-11-22T10:00:00Z\",\"data\":{\"api\":\"PutBlob\",\"url\":\"https://acct.blob.core.windows.net/c/in/a%20b.npy\",\"contentLength\":10,\"eTag\":\"0x1\"}},` +
			`{\"id\":\"2\",\"subject\":\"x\",\"eventType\":\"Microsoft.Storage.BlobDeleted\",\"data\":{\"url\":\"https://acct.blob.core.windows.net/c/x\"}},` +
			`{\"id\":\"3\",\"subject\":\"x\",\"eventType\":\"Microsoft.Storage.BlobCreated\",\"data\":{\"api\":\"CreateFile\",\"url\":\"https://acct.dfs.core.windows.net/c/x\"}},` +
			`{\"id\":\"4\",\"eventType\":\"Microsoft.EventGrid.SubscriptionValidationEvent\",\"data\":{\"validationCode\":\"v\"}}]"`, `{}`, true,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: "t 1", Object: blob("in/a b.npy", "0x1", 10), Time: ten,
				Attributes: map[string]string{"type": "Microsoft.Storage.BlobCreated", "topic": "t", "subject": "/blobServices/default/containers/c/blobs/in/a b.npy"}}}},
		"a blob with an escape in its name": {"grid", `{"id":"1","subject":"/blobServices/default/containers/c/blobs/a%20b.npy","eventType":"Microsoft.Storage.BlobCreated","data":{"url":"https://acct.blob.core.windows.net/c/a%20b.npy"}}`, `{}`, false,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: " 1", Object: blob("a%20b.npy", "", -1),
				Attributes: map[string]string{"type": "Microsoft.Storage.BlobCreated", "subject": "/blobServices/default/containers/c/blobs/a%20b.npy"}}}},
		"a blob with a percent sign": {"grid", `{"id":"1","subject":"/blobServices/default/containers/c/blobs/100%.npy","eventType":"Microsoft.Storage.BlobCreated","data":{"url":"https://acct.blob.core.windows.net/c/100%.npy"}}`, `{}`, false,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: " 1", Object: blob("100%.npy", "", -1),
				Attributes: map[string]string{"type": "Microsoft.Storage.BlobCreated", "subject": "/blobServices/default/containers/c/blobs/100%.npy"}}}},
		"a CloudEvent, encoded": {"grid", `"\"{\\\"specversion\\\":\\\"1.0\\\",\\\"id\\\":\\\"1\\\",\\\"source\\\":\\\"/s\\\",\\\"type\\\":\\\"T\\\",\\\"data_base64\\\":\\\"AAEC\\\",\\\"model\\\":\\\"iris\\\"}\""`, `{"model":"\"iris\""}`, false,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: "/s 1", Data: []byte{0, 1, 2}, Attributes: map[string]string{"source": "/s", "type": "T", "model": "iris"}}}},
		"a renamed blob": {"grid", `{"specversion":"1.0","id":"1","source":"/s","type":"Microsoft.Storage.BlobRenamed","subject":"/blobServices/default/containers/c/blobs/old","data":{"destinationUrl":"https://acct.dfs.core.windows.net/c/new%20name"}}`, `{}`, false,
			[]adaptertest.Answer{{Kind: "eventgrid", Source: "grid", ID: "1", Key: "/s 1", Object: blob("new name", "", -1),
				Attributes: map[string]string{"source": "/s", "type": "Microsoft.Storage.BlobRenamed", "subject": "/blobServices/default/containers/c/blobs/old"}}}},

		"events of a hub": {"hub", `"[\"{}\",\"[]\"]"`, `{"SequenceNumberArray":"[5,6]","EnqueuedTimeUtcArray":"[\"2026-11-22T10:00:00.5\",\"2026-11-22T10:00:00.5Z\"]","OffsetArray":"[\"50\",\"60\"]","PropertiesArray":"[{\"k\":\"v\"},{}]","SystemPropertiesArray":"[{},{}]","PartitionContext":{"PartitionId":"3"},"RetryContext":{"RetryCount":1,"MaxRetryCount":4}}`, false,
			[]adaptertest.Answer{
				{Kind: "eventhubs", Source: "readings", ID: "5", Key: "readings/3/5", Order: trigger.Ordered, Data: []byte(`{}`), Attributes: map[string]string{"k": "v"}, Attempt: 2, Time: ten.Add(500 * time.Millisecond)},
				{Kind: "eventhubs", Source: "readings", ID: "6", Key: "readings/3/6", Order: trigger.Ordered, Data: []byte(`[]`), Attempt: 2, Time: ten.Add(500 * time.Millisecond)},
			}},
		"events of Kafka": {"kafka", `"[\"{\\\"Offset\\\":9,\\\"Partition\\\":2,\\\"Topic\\\":\\\"t\\\",\\\"Timestamp\\\":\\\"2026-11-22T10:00:00Z\\\",\\\"Key\\\":\\\"k\\\",\\\"Value\\\":\\\"{}\\\",\\\"Headers\\\":[{\\\"Key\\\":\\\"model\\\",\\\"Value\\\":\\\"aXJpcw==\\\"}]}\",\"{\\\"Offset\\\":1,\\\"Partition\\\":3,\\\"Topic\\\":\\\"t\\\",\\\"Value\\\":null}\"]"`, `{}`, false,
			[]adaptertest.Answer{
				{Kind: "kafka", Source: "readings", ID: "t/2/9", Key: "t/2/9", Group: "t/2", Order: trigger.Grouped, Data: []byte(`{}`), Attributes: map[string]string{"model": "iris"}, Time: ten},
				{Kind: "kafka", Source: "readings", ID: "t/3/1", Key: "t/3/1", Group: "t/3", Order: trigger.Grouped},
			}},
		"a timer": {"timer", `{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}`, `{}`, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			apps := []*azurefunctions.App{{Functions: functions}, nil}
			if c.told {
				apps = apps[:1]
			}
			for _, app := range apps {
				want := c.want
				if app == nil { // only the files say what the trigger listens to
					want = unsourced(c.want, functions[c.function].Source, c.function)
				}
				got := reached(t, invoke(subject(t, &azurefunctions.Options{App: app}), c.function, `{"Data":{"item":`+c.data+`},"Metadata":`+c.metadata+`}`))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("app's files %t (-want +got):\n%s", app != nil, diff)
				}
			}
		})
	}
}

// unsourced is what is known without function.json: the function's name stands
// for the source.
func unsourced(all []adaptertest.Answer, source, function string) []adaptertest.Answer {
	var out []adaptertest.Answer
	for _, a := range all {
		if a.Source == source && source != "" {
			a.Source = function
			if rest, ok := strings.CutPrefix(a.Key, source+"/"); ok {
				a.Key = function + "/" + rest
			}
		}
		out = append(out, a)
	}
	return out
}

// The host writes the members of a message over its own metadata; a sender must
// not get at another message's key, nor hide how often it came.
func TestMessagesCannotForgeTheirKeys(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	ask := func(function, message, metadata string) adaptertest.Answer {
		t.Helper()
		once, _ := json.Marshal(message)
		twice, _ := json.Marshal(string(once))
		got := reached(t, invoke(h, function, `{"Data":{"item":`+string(twice)+`},"Metadata":`+metadata+`}`))
		if len(got) != 1 || string(got[0].Data) != message {
			t.Fatalf("want the message %s, got %+v", message, got)
		}
		return got[0]
	}
	const genuine = `{"Id":"\"victim\"","DequeueCount":"1"}`
	if a := ask("queue", `{"n":1}`, genuine); a.Key != "victim" || a.Attempt != 1 {
		t.Errorf("a message that says nothing: got the key %q", a.Key)
	}
	for _, message := range []string{
		`{"Id":"victim","DequeueCount":0}`, `{"id":"victim","dequeuecount":0}`, `{"\u0049d":"victim","DequeueCount":"9"}`,
		` {"Id":"victim","DequeueCount":1} `,
		`{'Id':'victim',DequeueCount:7}`, // Newtonsoft's JSON, which is not ours
		`{/**/"Id":"victim","DequeueCount":1,}`,
	} {
		a := ask("queue", message, genuine)
		if a.Key == "victim" || a.ID == "victim" || a.Attempt != 0 {
			t.Errorf("%s: got id %q, key %q, attempt %d", message, a.ID, a.Key, a.Attempt)
		}
		if again := ask("queue", message, genuine); again.Key != a.Key {
			t.Errorf("%s: want one key for the same message, got %q and %q", message, a.Key, again.Key)
		}
	}
	a := ask("bus", `{"SequenceNumber":1,"MessageId":"m"}`, `{"SequenceNumber":"\"1\"","MessageId":"\"m\"","DeliveryCount":"4"}`)
	if strings.Contains(a.Key, "/") || a.Attempt != 4 {
		t.Errorf("got the key %q, attempt %d", a.Key, a.Attempt)
	}
	// A blob's own words do not say where it lies.
	blob := functions["blob"]
	blob.Binary = false
	h = subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: map[string]azurefunctions.Function{"blob": blob}}})
	w := invoke(h, "blob", `{"Data":{"item":"\"{\\\"uri\\\":\\\"https://acct.blob.core.windows.net/c/other\\\"}\""},"Metadata":{"Uri":"\"https://acct.blob.core.windows.net/c/other\"","Properties":{}}}`)
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a blob that says where it lies: want 422, got %d: %s", w.Code, w.Body)
	}
}

// Answers go on only where an output takes them, and never as a lone string,
// which the host would take for base64.
func TestResultsGoToAnOutput(t *testing.T) {
	const body = `{"Data":{"item":"\"{}\""},"Metadata":{"Id":"\"1\"","DequeueCount":"1"}}`
	for _, declared := range []bool{true, false} {
		app := &azurefunctions.App{Functions: map[string]azurefunctions.Function{"f": {Trigger: "queueTrigger", Input: "item", Results: declared}}}
		w := invoke(subject(t, &azurefunctions.Options{App: app}), "f", body)
		if got := strings.HasPrefix(w.Body.String(), `{"Outputs":{"results":[{`); got != declared || w.Code != 200 {
			t.Errorf("declared %t: %d: %s", declared, w.Code, w.Body)
		}
	}
}

func TestUnknownFunctionsAreRefused(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	if w := invoke(h, "none", `{"Data":{"item":"x"}}`); w.Code != http.StatusNotFound {
		t.Errorf("want 404, got %d: %s", w.Code, w.Body)
	}
	if w := invoke(h, "queue", `{"Data":{"other":"x"}}`); w.Code != http.StatusBadRequest {
		t.Errorf("want 400, got %d: %s", w.Code, w.Body)
	}
}

// Of a batch the reply names those that failed, and why, and no others.
func TestFailuresAreNamed(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: functions}})
	w := invoke(h, "bus-batch", `{"Data":{"item":"[\"{}\",\"{\\\"test_fail\\\":\\\"invalid\\\"}\",\"{\\\"test_fail\\\":\\\"unavailable\\\"}\"]"},"Metadata":{"MessageIdArray":"[\"a\",\"b\",\"c\"]","SequenceNumberArray":"[1,2,3]"}}`)
	var got struct{ Logs []string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{`"b" permanent invalid: the subject: told to`, `"c" retry unavailable: the subject: told to`}
	if diff := cmp.Diff(want, got.Logs); diff != "" || w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d (-want +got):\n%s", w.Code, diff)
	}
}
