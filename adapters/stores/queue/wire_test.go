package queue_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/queue"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
)

var says = storefake.Says

// over is a queue on a wire.
func over(t *testing.T, at string, w *storefake.Wire, env map[string]string) *queue.Queue {
	t.Helper()
	all := map[string]string{"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret", "GOOGLE_OAUTH_ACCESS_TOKEN": "token", "AZURE_STORAGE_KEY": "a2V5"}
	for name, value := range env {
		all[name] = value
	}
	q, err := queue.Open(at, &queue.Options{Getenv: func(name string) string { return all[name] }, HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

const (
	sqs    = "https://sqs.eu-west-1.amazonaws.com/123456789012/rows"
	pubsub = "https://pubsub.googleapis.com/projects/acme/topics/rows"
	azure  = "https://acme.queue.core.windows.net/rows"
)

// What each service gets of two messages.
func TestMessagesOnTheWire(t *testing.T) {
	const sum1, sum2 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // of a and b
	batch := func(at, entries string) storefake.Asked {
		return storefake.Asked{Method: "POST", URL: "https://sqs.eu-west-1.amazonaws.com/", Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"AmazonSQS.SendMessageBatch"}}, Body: `{"QueueUrl":"` + at + `","Entries":[` + entries + `]}`}
	}
	put := func(text string) storefake.Asked {
		return storefake.Asked{Method: "POST", URL: azure + "/messages", Header: http.Header{"Content-Type": {"application/xml"}, "X-Ms-Version": {"2024-11-04"}}, Body: "<QueueMessage><MessageText>" + base64.StdEncoding.EncodeToString([]byte(text)) + "</MessageText></QueueMessage>"}
	}
	for at, tt := range map[string]struct {
		answer string
		by     string
		want   []storefake.Asked
	}{
		sqs:           {`{"Successful": [{"Id": "0"}, {"Id": "1"}]}`, "AWS4-HMAC-SHA256 Credential=ID/", []storefake.Asked{batch(sqs, `{"Id":"0","MessageBody":"a"},{"Id":"1","MessageBody":"b"}`)}},
		sqs + ".fifo": {`{"Successful": [{"Id": "0"}, {"Id": "1"}]}`, "AWS4-HMAC-SHA256 Credential=ID/", []storefake.Asked{batch(sqs+".fifo", `{"Id":"0","MessageBody":"a","MessageGroupId":"`+sum1+`","MessageDeduplicationId":"`+sum1+`"},{"Id":"1","MessageBody":"b","MessageGroupId":"`+sum2+`","MessageDeduplicationId":"`+sum2+`"}`)}},
		pubsub:        {`{"messageIds": ["1", "2"]}`, "Bearer token", []storefake.Asked{{Method: "POST", URL: "https://pubsub.googleapis.com/v1/projects/acme/topics/rows:publish", Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"messages":[{"data":"YQ=="},{"data":"Yg=="}]}`}}},
		azure:         {"", "SharedKey acme:", []storefake.Asked{put("a"), put("b")}},
	} {
		w := storefake.Script(says(200, tt.answer))
		if err := over(t, at, w, nil).Send(t.Context(), [][]byte{[]byte("a"), []byte("b")}); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		var got []storefake.Asked
		for _, a := range w.All() {
			if !strings.HasPrefix(a.Header.Get("Authorization"), tt.by) || strings.HasPrefix(at, "https://sqs") && !strings.Contains(a.Header.Get("Authorization"), "/eu-west-1/sqs/aws4_request") {
				t.Errorf("%s: by %s", at, a.Header.Get("Authorization"))
			}
			for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Ms-Date", "User-Agent"} {
				a.Header.Del(name)
			}
			got = append(got, a)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
}

// A request has as many messages, and as many bytes of them, as its service takes.
func TestHowMuchIsSentAtOnce(t *testing.T) {
	for at, tt := range map[string]struct{ most, bytes int }{sqs: {10, 200 << 10}, pubsub: {1000, 6 << 20}, azure: {1, 48 << 10}} {
		w := &storefake.Wire{Answer: func(_ *http.Request, body string, _ int) (*http.Response, error) {
			entries, messages := strings.Count(body, `"MessageBody":`), strings.Count(body, `{"data":`)
			var out struct {
				Successful []struct{ Id string }
				IDs        []string `json:"messageIds"`
			}
			for i := range entries {
				out.Successful = append(out.Successful, struct{ Id string }{string(rune('0' + i))})
			}
			out.IDs = make([]string, messages)
			text, _ := json.Marshal(out)
			return says(200, string(text))()
		}}
		q := over(t, at, w, nil)
		sends := func(messages ...[]byte) int {
			t.Helper()
			before := len(w.All())
			if err := q.Send(t.Context(), messages); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			return len(w.All()) - before
		}
		many := make([][]byte, tt.most)
		for i := range many {
			many[i] = []byte("x")
		}
		if a, b := sends(many...), sends(append(many, []byte("x"))...); a != 1 || b != 2 {
			t.Errorf("%s: %d and one more in %d and %d requests", at, tt.most, a, b)
		}
		if n := sends(); n != 0 {
			t.Errorf("%s: nothing in %d requests", at, n)
		}
		if n := sends(make([]byte, tt.bytes)); n != 1 {
			t.Errorf("%s: %d bytes in %d requests", at, tt.bytes, n)
		}
		if tt.most > 1 {
			if a, b := sends(make([]byte, tt.bytes-5), make([]byte, 5)), sends(make([]byte, tt.bytes-5), make([]byte, 6)); a != 1 || b != 2 {
				t.Errorf("%s: %d bytes and one more in %d and %d requests", at, tt.bytes, a, b)
			}
		}
		before := len(w.All())
		if err := q.Send(t.Context(), [][]byte{make([]byte, tt.bytes+1)}); fault.CodeOf(err) != fault.TooLarge || len(w.All()) != before {
			t.Errorf("%s: a byte too many: %v", at, err)
		}
	}
}

// What SQS does not take of a batch is sent again under the same id, until it is
// taken or nothing of it is.
func TestWhatIsLeftOfABatch(t *testing.T) {
	all := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	type reply = func() (*http.Response, error)
	for name, tt := range map[string]struct {
		answers []reply
		code    fault.Code
		text    string
		want    []string // ids of the requests
	}{
		"all":           {[]reply{says(200, `{"Successful": [{"Id": "0"}, {"Id": "1"}, {"Id": "2"}]}`)}, fault.OK, "", []string{"012"}},
		"one is left":   {[]reply{says(200, `{"Successful": [{"Id": "0"}, {"Id": "2"}]}`), says(200, `{"Successful": [{"Id": "1"}]}`)}, fault.OK, "", []string{"012", "1"}},
		"one by one":    {[]reply{says(200, `{"Successful": [{"Id": "2"}]}`), says(200, `{"Successful": [{"Id": "0"}]}`), says(200, `{"Successful": [{"Id": "1"}]}`)}, fault.OK, "", []string{"012", "01", "1"}},
		"one never":     {[]reply{says(200, `{"Successful": [{"Id": "0"}, {"Id": "2"}]}`), says(200, `{"Failed": [{"Id": "1", "Code": "C", "Message": "m"}]}`)}, fault.Unavailable, "want 1 messages taken, got none: C m", []string{"012", "1"}},
		"none, unsaid":  {[]reply{says(200, "{}")}, fault.Unavailable, "want 3 messages taken, got none: it says nothing of them", []string{"012"}},
		"no JSON":       {[]reply{says(200, "x")}, fault.Unavailable, "want an answer of SQS", []string{"012"}},
		"then it fails": {[]reply{says(200, `{"Successful": [{"Id": "0"}, {"Id": "2"}]}`), says(403, "")}, fault.Denied, "", []string{"012", "1"}},
	} {
		w := storefake.Script(tt.answers...)
		err := over(t, sqs, w, nil).Send(t.Context(), all)
		var got []string
		for _, a := range w.All() {
			var in struct {
				Entries []struct{ Id, MessageBody string }
			}
			_ = json.Unmarshal([]byte(a.Body), &in)
			ids := ""
			for _, e := range in.Entries {
				if ids += e.Id; e.MessageBody != string(all[e.Id[0]-'0']) {
					t.Errorf("%s: %s is %q", name, e.Id, e.MessageBody)
				}
			}
			got = append(got, ids)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || fault.CodeOf(err) != tt.code || tt.text != "" && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// Errors have each service's names in them, and say what to do.
func TestErrorsOnTheWire(t *testing.T) {
	const (
		roleSQS = "The function's role needs sqs:SendMessage."
		roleGCP = "The service account needs roles/pubsub.publisher on the topic, and roles/pubsub.subscriber on a subscription."
		roleAz  = "The identity needs the role Storage Queue Data Message Sender, and for what is taken out again Storage Queue Data Message Processor."
		none    = "There is no such queue; batch.split.queue names it."
	)
	for _, tt := range []struct {
		at     string
		answer func() (*http.Response, error)
		code   fault.Code
		text   string
		hint   string
	}{
		{sqs, says(400, `{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "m"}`), fault.Invalid, "400 QueueDoesNotExist: m", none},
		{sqs, says(400, `{"__type": "com.amazonaws.sqs#AWS.SimpleQueueService.NonExistentQueue"}`), fault.Invalid, "400 AWS.SimpleQueueService.NonExistentQueue", none},
		{sqs, says(400, `{"__type": "AccessDeniedException"}`), fault.Invalid, "400 AccessDeniedException", roleSQS},
		{sqs, says(403, ""), fault.Denied, "403", roleSQS}, {sqs, says(400, "x"), fault.Invalid, "400", ""},
		{pubsub, says(403, `{"error": {"status": "PERMISSION_DENIED", "message": "m"}}`), fault.Denied, "403 PERMISSION_DENIED: m", roleGCP}, {pubsub, says(401, ""), fault.Unauthenticated, "401", roleGCP},
		{pubsub, says(404, "x"), fault.NotFound, "404", ""}, {pubsub, says(200, `{"messageIds": []}`), fault.Unavailable, "want ids of 1 messages, got 0", ""}, {pubsub, says(200, "x"), fault.Unavailable, "want ids", ""},
		{azure, says(403, "<Error><Code>C</Code><Message>m</Message></Error>", "X-Ms-Error-Code", "H"), fault.Denied, "403 C: m", roleAz}, {azure, says(401, "", "X-Ms-Error-Code", "H"), fault.Unauthenticated, "401 H", roleAz},
		{azure, says(404, "", "X-Ms-Error-Code", "QueueNotFound"), fault.NotFound, "404 QueueNotFound", ""},
	} {
		err := over(t, tt.at, storefake.Script(tt.answer), nil).Send(t.Context(), [][]byte{[]byte("a")})
		if fault.CodeOf(err) != tt.code || err == nil || !strings.Contains(err.Error(), tt.text) || fault.HintOf(err) != tt.hint {
			t.Errorf("%s: %v (%v), hint %q; want %q, %q", tt.at, err, fault.CodeOf(err), fault.HintOf(err), tt.text, tt.hint)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []string{sqs, pubsub, azure} {
			w := storefake.Script(storefake.Fails(errors.New("reset")))
			if err := over(t, at, w, nil).Send(t.Context(), [][]byte{[]byte("a"), []byte("b")}); fault.CodeOf(err) != fault.Unavailable || len(w.All()) != 5 {
				t.Errorf("%s is away: %v after %d requests", at, err, len(w.All()))
			}
		}
	})
}

// Who asks: by the region of the queue, with a token but to an emulator, and by
// the account's own key.
func TestWhoSends(t *testing.T) {
	one := [][]byte{[]byte("a")}
	for name, tt := range map[string]struct {
		at   string
		env  map[string]string
		want string
	}{
		"the queue's region":  {sqs, map[string]string{"AWS_REGION": "us-west-2"}, "/eu-west-1/sqs/"},
		"the environment's":   {"http://localhost/123456789012/rows", map[string]string{"AWS_REGION": "us-west-2"}, "/us-west-2/sqs/"},
		"nobody's":            {"http://localhost/123456789012/rows", nil, "/us-east-1/sqs/"},
		"an emulator's topic": {"http://localhost/projects/p/topics/t", nil, ""},
		"an account's key":    {azure, nil, "SharedKey acme:"},
		"of a connection":     {azure, map[string]string{"AZURE_STORAGE_KEY": "", "AZURE_STORAGE_CONNECTION_STRING": "x=y; AccountName=acme ;ACCOUNTKEY=a2V5;"}, "SharedKey acme:"},
		"of the account":      {azure, map[string]string{"AZURE_STORAGE_ACCOUNT": "acme"}, "SharedKey acme:"},
	} {
		w := storefake.Script(says(200, `{"Successful": [{"Id": "0"}], "messageIds": ["1"]}`))
		if err := over(t, tt.at, w, tt.env).Send(t.Context(), one); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := w.All()[0].Header.Get("Authorization"); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: by %q, want %q", name, got, tt.want)
		}
	}
	w := storefake.Script(says(200, ""))
	nobody := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
	if err := over(t, sqs, w, nobody).Send(t.Context(), one); fault.CodeOf(err) != fault.Unauthenticated || fault.HintOf(err) != "The function's role needs sqs:SendMessage." || len(w.All()) != 0 {
		t.Errorf("nobody: %v", err)
	}
	if err := over(t, sqs, w, map[string]string{"AWS_SECRET_ACCESS_KEY": ""}).Send(t.Context(), one); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("half: %v", err)
	}
	if err := over(t, pubsub, w, map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "", "GOOGLE_APPLICATION_CREDENTIALS": "/none"}).Send(t.Context(), one); fault.CodeOf(err) != fault.BadConfig || len(w.All()) != 0 {
		t.Errorf("no file of credentials: %v", err)
	}
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("resource") != "https://storage.azure.com/" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"access_token": "managed", "expires_in": 3600}`))
	}))
	defer agent.Close()
	for name, env := range map[string]map[string]string{
		"another's connection": {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=a2V5"}, "another's key": {"AZURE_STORAGE_ACCOUNT": "other"}, "no key": {"AZURE_STORAGE_KEY": ""},
	} {
		env["IDENTITY_ENDPOINT"] = agent.URL
		w := storefake.Script(says(201, ""))
		if err := over(t, azure, w, env).Send(t.Context(), one); err != nil || w.All()[0].Header.Get("Authorization") != "Bearer managed" {
			t.Errorf("%s: %v by %v", name, err, w.All())
		}
		env["IDENTITY_ENDPOINT"] = "http://example.com/"
		if err := over(t, azure, w, env).Send(t.Context(), one); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s, of nobody: %v", name, err)
		}
	}
	if _, err := queue.Open(azure, &queue.Options{Getenv: func(name string) string { return map[string]string{"AZURE_STORAGE_KEY": "?"}[name] }}); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("a key that is none: %v", err)
	}
}

// A request is signed with the account's key as Azure's documents say.
func TestSharedKeyOfQueues(t *testing.T) {
	w := storefake.Script(says(201, ""))
	if err := over(t, azure, w, nil).Send(t.Context(), [][]byte{[]byte("a")}); err != nil {
		t.Fatal(err)
	}
	a := w.All()[0]
	text := "POST\n\n\n60\n\napplication/xml\n\n\n\n\n\n\nx-ms-date:" + a.Header.Get("X-Ms-Date") + "\nx-ms-version:2024-11-04\n/acme/rows/messages"
	if got, want := a.Header.Get("Authorization"), "SharedKey acme:"+storefake.HMAC("key", text); got != want || len(a.Body) != 60 {
		t.Errorf("got %s for %d bytes, want %s", got, len(a.Body), want)
	}
	if at, err := http.ParseTime(a.Header.Get("X-Ms-Date")); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("at %v, %v", at, err)
	}
	w = &storefake.Wire{Answer: func(*http.Request, string, int) (*http.Response, error) { return says(200, "<QueueMessagesList/>")() }}
	l, err := queue.OpenLetters("https://acme.queue.core.windows.net/rows-poison", &queue.Options{Getenv: func(name string) string { return map[string]string{"AZURE_STORAGE_KEY": "a2V5"}[name] }, HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Receive(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	a = w.All()[0]
	text = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:" + a.Header.Get("X-Ms-Date") + "\nx-ms-version:2024-11-04\n/acme/rows-poison/messages\nnumofmessages:32\nvisibilitytimeout:120"
	if got, want := a.Header.Get("Authorization"), "SharedKey acme:"+storefake.HMAC("key", text); got != want || a.URL != "https://acme.queue.core.windows.net/rows-poison/messages?numofmessages=32&visibilitytimeout=120" {
		t.Errorf("%s by %s, want %s", a.URL, got, want)
	}
}

// Which URLs are queues.
func TestURLsOfQueues(t *testing.T) {
	long := "https://example.com/" + strings.Repeat("x", 300)
	for at, want := range map[string]bool{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/q": true, "https://example.com/123456789012/q": true, "https://example.com/12345678901/q": false, "https://example.com/1234567890123/q": false, "https://example.com/12345678901x/q": false,
		"https://example.com/123456789012/": false, "https://example.com/123456789012/q/r": false, "http://localhost/123456789012/q": true, "http://127.0.0.1/123456789012/q": true, "http://[::1]/123456789012/q": true, "http://10.0.0.1/123456789012/q": false,
		"https://pubsub.googleapis.com/projects/p/topics/t": true, "https://pubsub.googleapis.com/projects/p/topics/": false, "https://pubsub.googleapis.com/projects//topics/t": false, "https://pubsub.googleapis.com/projects/p/subscriptions/t": false, "https://pubsub.googleapis.com/x/p/topics/t": false,
		"https://acme.queue.core.windows.net/q": true, "https://acme.queue.core.windows.net/": false, "https://acme.blob.core.windows.net/q": false, "http://localhost/acme/q": true, "https://example.com/acme/q": false, "https://acme.queue.core.windows.net/q?sig=s": false,
		"https://u:p@acme.queue.core.windows.net/q": false, "ftp://localhost/acme/q": false, "http://[::1": false, long: false,
	} {
		q, err := queue.Open(at, nil)
		if (err == nil) != want || err != nil && fault.CodeOf(err) != fault.BadConfig || (q != nil) != want {
			t.Errorf("%s: %v, want a queue: %v", at, err, want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%d bytes of words", len(err.Error()))
		}
		isSQS := strings.Contains(at, "/123456789012/q")
		if _, err := queue.OpenSQS(at, nil); (err == nil) != (want && isSQS) {
			t.Errorf("%s: %v, want a queue of SQS: %v", at, err, want && isSQS)
		}
	}
}
