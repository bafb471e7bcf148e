package azurefunctions

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What only one extension says tells it; half of it tells nothing.
func TestGuess(t *testing.T) {
	for _, c := range []struct{ data, metadata, want string }{
		{`"x"`, `{"DequeueCount":1}`, "queuetrigger"}, {`"x"`, `{"PopReceipt":"p"}`, "queuetrigger"},
		{`"x"`, `{"LockToken":"l"}`, "servicebustrigger"}, {`"[]"`, `{"LockTokenArray":"[]"}`, "servicebustrigger"},
		{`"x"`, `{"DeliveryCount":1}`, "servicebustrigger"}, {`"[]"`, `{"DeliveryCountArray":"[]"}`, "servicebustrigger"},
		{`"x"`, `{"PartitionContext":{}}`, "eventhubtrigger"}, {`"x"`, `{"TriggerPartitionContext":{}}`, "eventhubtrigger"},
		{`"x"`, `{"SystemProperties":{}}`, "eventhubtrigger"}, {`"[]"`, `{"SystemPropertiesArray":"[]"}`, "eventhubtrigger"},
		{`"x"`, `{"Uri":"u","Properties":{}}`, "blobtrigger"}, {`"x"`, `{"Uri":"u"}`, ""}, {`"x"`, `{"Properties":{}}`, ""},
		{`{"Offset":1,"Partition":1,"Topic":"t"}`, `{}`, "kafkatrigger"}, {`{"Partition":1,"Topic":"t"}`, `{}`, ""}, {`{"Offset":1,"Topic":"t"}`, `{}`, ""}, {`{"Offset":1,"Partition":1}`, `{}`, ""},
		{`"[{\"Offset\":1,\"Partition\":1,\"Topic\":\"t\"}]"`, `{}`, "kafkatrigger"}, {`"[]"`, `{}`, ""},
		{`{"id":"1","eventType":"t","subject":"s"}`, `{}`, "eventgridtrigger"}, {`{"id":"1","specversion":"1.0","source":"s"}`, `{}`, "eventgridtrigger"},
		{`{"id":"1","eventType":"t"}`, `{}`, ""}, {`{"id":"1","subject":"s"}`, `{}`, ""}, {`{"id":"1","specversion":"1.0"}`, `{}`, ""}, {`{"id":"1","source":"s"}`, `{}`, ""}, {`{"eventType":"t","subject":"s"}`, `{}`, ""},
		{`{"ScheduleStatus":{}}`, `{}`, "timertrigger"}, {`{"IsPastDue":false}`, `{}`, "timertrigger"}, {`"{\"IsPastDue\":false}"`, `{}`, ""},
	} {
		e := &envelope{Data: map[string]json.RawMessage{"item": json.RawMessage(c.data)}, Metadata: json.RawMessage(c.metadata)}
		in := &input{envelope: e, raw: e.Data["item"]}
		in.text, in.wrapped = plain(in.raw)
		var err error
		if in.metadata, err = e.about(nil); err != nil {
			t.Fatal(err)
		}
		if got := in.guess(); got != c.want {
			t.Errorf("%s beside %s is a %q, want %q", c.metadata, c.data, got, c.want)
		}
	}
	for _, name := range []string{"MessageIdArray", "SequenceNumberArray", "OffsetArray", "DeliveryCountArray"} {
		e := &envelope{Metadata: json.RawMessage(`{"` + name + `":"[]"}`)}
		in := &input{envelope: e}
		in.metadata, _ = e.about(nil)
		if in.guess(); !in.many {
			t.Errorf("%s: one message", name)
		}
	}
}

func TestValues(t *testing.T) {
	for raw, want := range map[string]string{`""`: "", `"a"`: "a", ` "a" `: "a", `"\""`: `"`} {
		if got, ok := unquote([]byte(raw)); !ok || got != want {
			t.Errorf("%s: %q, %t", raw, got, ok)
		}
	}
	for _, raw := range []string{"", `"`, "1", "{}", `"a`, "a"} {
		if got, ok := unquote([]byte(raw)); ok {
			t.Errorf("%s: %q", raw, got)
		}
	}
	for in, want := range map[string]string{"e30=": "{}", "W10=": "[]", "MTIz": "MTIz", "e30": "e30", "IiI=": "IiI=", "null": "null", "1234": "1234", "": "", "e30=e30=": "e30=e30=", "ICAg": "ICAg", "IHt9": " {}", "e30gCg==": "{} \n", "e30x": "e30x"} {
		if got := string(payload([]byte(in), false)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"e30=": "{}", "MTIz": "123", "%": "%", "1234": "\xd7\x6d\xf8", "": ""} {
		if got := string(payload([]byte(in), true)); got != want {
			t.Errorf("bytes %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]int{"": 0, "1": 1, "-1": 0, "2147483647": 2147483647, "2147483648": 0, "x": 0} {
		if got := countOf(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	for raw, want := range map[string]map[string]string{
		``: nil, `{}`: nil, `7`: nil, `{"a":{},"b":[],"c":null}`: nil, `{"a":"x","b":1,"c":true,"d":{},"e":null}`: {"a": "x", "b": "1", "c": "true"}, `"{\"a\":\"x\"}"`: {"a": "x"},
	} {
		if diff := cmp.Diff(want, attributes([]byte(raw))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", raw, diff)
		}
	}
	for raw, want := range map[string]string{``: "", `null`: "", `{}`: "", `[1]`: "", `"a"`: "a", `"\"a\""`: "a", `7`: "7", `"null"`: ""} {
		if got := scalar([]byte(raw)); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	a, b, c := contentKey([]byte("x"), time.Time{}), contentKey([]byte("y"), time.Time{}), contentKey([]byte("x"), time.Unix(1, 0))
	if a == b || a == c || b == c || a != contentKey([]byte("x"), time.Time{}) {
		t.Error("messages of other bytes, or of another moment, have one key")
	}
	// What was done under a key must be found done by a later version.
	if want := "sha256:dc86667ba1e9800dc3917d465de226a09fef7811a2f2199dff0b492f4385c74a"; a != want {
		t.Errorf("got the key %s, want %s", a, want)
	}
}

func TestBlobsURLs(t *testing.T) {
	for url, want := range map[string]string{
		"https://acct.blob.core.windows.net/c/k": "acct/c k", "https://acct.blob.core.windows.net/c/d/k%2B%20": "acct/c d/k+ ", "https://acct.blob.core.windows.net/k": "acct/$root k",
		"http://127.0.0.1:10000/acct/c/k": "acct/c k", "http://localhost:10000/acct/c/k": "acct/c k", "http://azurite:10000/acct/k": "acct/$root k", "http://[::1]:10000/acct/c/k": "acct/c k",
		"": "", "/c/k": "", "https://acct.blob.core.windows.net/": "", "https://acct.blob.core.windows.net/c/": "", "https://acct.blob.core.windows.net//k": "", "http://127.0.0.1/acct": "", "http://127.0.0.1//c/k": "",
		"https://.blob.core.windows.net/c/k": "", "https://acct.blob.core.windows.net/c/%ff": "", "https://a b/c": "",
	} {
		got := ""
		if o, ok := objectOf(url); ok {
			got = o.Bucket + " " + o.Key
		}
		if got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	for in, want := range map[string]string{"aXJpcw==": "iris", "iris!": "iris!", "/w==": "/w==", "aXJpcx==": "aXJpcx==", "": ""} {
		if got := unbase64(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for raw, want := range map[string]int{`[]`: 0, `"[]"`: 0, `[1,2]`: 2, `"[1,2]"`: 2, `null`: -1, `"null"`: -1, `{}`: -1, `"x"`: -1, ``: -1} {
		if all, ok := list([]byte(raw)); ok != (want >= 0) || ok && len(all) != want {
			t.Errorf("%s: %q, %t, want %d", raw, all, ok, want)
		}
	}
}

func TestEventsThatStartNothing(t *testing.T) {
	for text, idle := range map[string]bool{
		`{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}`: true, `{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionDeletedEvent"}`: true,
		`{"id":"1","eventType":"T"}`: false,
		`{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":{"api":"SftpCreate","url":"https://a.b/c/k"}}`:   true,
		`{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":{"api":"CreateFile","url":"https://a.b/c/k"}}`:   true,
		`{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":{"api":"SftpCommit","url":"https://a.b/c/k"}}`:   false,
		`{"id":"1","eventType":"Microsoft.Storage.BlobRenamed","data":{"api":"x","destinationUrl":"https://a.b/c/k"}}`: false,
		`{"id":"1","eventType":"Microsoft.Storage.BlobTierChanged","data":{"api":"x","url":"https://a.b/c/k"}}`:        true,
	} {
		e, err := gridEventOf([]byte(text))
		if err != nil || (e.idle() != "") != idle {
			t.Errorf("%s: %v, %+v", text, err, e)
		}
	}
	for _, text := range []string{`7`, `{}`, `{"id":"1"}`, `{"eventType":"t"}`, `{"specversion":"1.0"}`, `{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":7}`, `{"id":"1","eventType":"Microsoft.Storage.BlobCreated","data":{"url":"x"}}`} {
		if e, err := gridEventOf([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, e)
		}
	}
	d := &delivery{}
	if err := (&input{raw: json.RawMessage(`"[]"`)}).eventGrid(d); err != nil || len(d.notes) != 1 || len(d.event.Items) != 0 {
		t.Errorf("an empty delivery: %v, %+v", err, d)
	}
}
