package emulate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
)

// custom is a custom handler that somebody else could have written.
func custom(t *testing.T, opts *emulate.Options, handle http.HandlerFunc) *emulate.Instance {
	t.Helper()
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		if _, err := os.Stat(getenv("FUNCTIONS_APP_ROOT_PATH") + "/host.json"); err != nil {
			return err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:"+getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
		if err != nil {
			return err
		}
		s := &http.Server{Handler: handle}
		defer context.AfterFunc(ctx, func() { s.Close() })()
		if err := s.Serve(ln); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	i, err := emulate.Start(t.Context(), "azurefunctions", launch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

// What the host makes of replies that its documentation does not speak of.
func TestAzureReplies(t *testing.T) {
	for name, c := range map[string]struct {
		status            int
		contentType, body string
		done              bool
		code              fault.Code        // of the emulator: the host would wait
		outputs           map[string]string // where it is done
	}{
		"all well":               {200, "application/json", `{"Outputs":{"results":{"a":1}}}`, true, fault.OK, map[string]string{"results": `{"a":1}`}},
		"an empty object":        {200, "application/json; charset=utf-8", `{}`, true, fault.OK, nil},
		"another success":        {202, "text/json", `{}`, true, fault.OK, nil},
		"nothing":                {200, "application/json", "", false, fault.DeadlineExceeded, nil},
		"null":                   {204, "application/json", "", false, fault.DeadlineExceeded, nil},
		"text":                   {200, "text/plain; charset=utf-8", `{}`, false, fault.OK, nil},
		"no type":                {200, "", `{}`, false, fault.OK, nil},
		"no JSON":                {200, "application/json", `ok`, false, fault.OK, nil},
		"a failure":              {500, "application/json", `{"Outputs":{}}`, false, fault.OK, nil},
		"an empty failure":       {503, "", ``, false, fault.OK, nil},
		"a redirect":             {302, "application/json", `{}`, false, fault.OK, nil},
		"a string":               {200, "application/json", `{"Outputs":{"results":"good morning"}}`, true, fault.OK, map[string]string{"results": "good morning"}},
		"a string like base64":   {200, "application/json", `{"Outputs":{"results":"abcdefgh"}}`, true, fault.OK, map[string]string{"results": "i\xb7\x1dy\xf8!"}},
		"an output that is none": {200, "application/json", `{"Outputs":{"other":1}}`, true, fault.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := custom(t, nil, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					http.NotFound(w, r) // which is ready enough
					return
				}
				w.Header()["Content-Type"] = nil
				if c.contentType != "" {
					w.Header().Set("Content-Type", c.contentType)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			d, err := emulate.AzureDelivery(i, "kafka", 1, emulate.AzureMessage{Body: []byte("x")})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := i.Deliver(t.Context(), d)
			if fault.CodeOf(err) != c.code {
				t.Fatalf("want %v, got %v", c.code, err)
			}
			if err == nil && reply.Retry == c.done {
				t.Errorf("want done %t, got %+v", c.done, reply)
			}
			if !c.done {
				return
			}
			s, err := emulate.AzureRun(t.Context(), i, "kafka", emulate.AzureMessage{Body: []byte("x")})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.outputs {
				if got := string(s.Outputs[name]); got != want {
					t.Errorf("output %s is %q, want %q", name, got, want)
				}
			}
			if len(s.Outputs) != len(c.outputs) {
				t.Errorf("got the outputs %q, want %q", s.Outputs, c.outputs)
			}
		})
	}
}

// What the host writes for a message, as its reference fixture has it.
func TestAzureEnvelopes(t *testing.T) {
	i := custom(t, nil, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		function string
		messages []emulate.AzureMessage
		data     string
		metadata map[string]string // some of it
	}{
		"a string": {"queue", []emulate.AzureMessage{{ID: "800ae4b3", Body: base64.StdEncoding.AppendEncode(nil, []byte(`{"inputs":[],"id":"x","n":1.5}`))}},
			`"\"{\\\"inputs\\\":[],\\\"id\\\":\\\"x\\\",\\\"n\\\":1.5}\""`, map[string]string{"DequeueCount": `"2"`, "Id": `"\"x\""`, "n": `"\"1.5\""`, "inputs": ""}},
		"bytes":  {"blob", []emulate.AzureMessage{{ID: "a b.npy", Body: []byte{0, 1, 2}}}, `"AAEC"`, map[string]string{"Uri": `"\"https://account.blob.core.windows.net/incoming/a%20b.npy\""`}},
		"object": {"eventgrid", []emulate.AzureMessage{{Body: []byte(`{"id":"1","data":{"a":1}}`)}}, `{"id":"1","data":{"a":1}}`, map[string]string{"data": `{"a":1}`, "id": ""}},
		"several": {"servicebus-batch", []emulate.AzureMessage{{ID: "a", Body: []byte("{}"), Number: 1}, {ID: "b", Body: []byte("x"), Number: 2, Session: "s"}},
			`"[\"{}\",\"x\"]"`, map[string]string{"MessageIdArray": `"[\"a\",\"b\"]"`, "SequenceNumberArray": `"[1,2]"`, "DeliveryCountArray": `"[2,2]"`}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := emulate.AzureDelivery(i, c.function, 2, c.messages...)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Data     map[string]json.RawMessage
				Metadata map[string]json.RawMessage
			}
			if err := json.Unmarshal(d.Body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.data, string(got.Data["item"])); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			for name, want := range c.metadata {
				if diff := cmp.Diff(want, string(got.Metadata[name])); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
	for name, messages := range map[string][]emulate.AzureMessage{"queue": {{}, {}}, "nowhere": {{}}, "servicebus-batch": nil, "http": {{}}} {
		if _, err := emulate.AzureDelivery(i, name, 1, messages...); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%d messages for %s: want usage, got %v", len(messages), name, err)
		}
	}
}

// A request as it reaches a handler in each form.
func TestAzureRequests(t *testing.T) {
	for variant, want := range map[string]string{
		"proxied": "POST /api/a/b?x=1&x=2 app gzip [] marked curl",
		// A dictionary of the query, and no more of the content than its type.
		"forwarded": "POST /a/b?x=1%2C2 app  [] plain curl Azure-Functions-Host/4.1037.1.1",
	} {
		t.Run(variant, func(t *testing.T) {
			i := custom(t, &emulate.Options{Variant: variant}, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mark := "plain"
				if id := r.Header.Get("x-ms-invocation-id"); id != "" && id == r.Header.Get("X-Azure-Functions-InvocationId") {
					mark = "marked"
				}
				fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Get("Content-Encoding"), " ", string(body), " ", mark, " ", r.UserAgent())
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://app/a/b?x=1&x=2", strings.NewReader("[]"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Encoding", "gzip")
			req.Header.Set("User-Agent", "curl")
			resp, err := i.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Answers in envelopes as the host hands them on.
func TestAzureAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		reply, contentType, body string
		status                   int
	}{
		"text":              {`{"Outputs":{"res":{"statusCode":"201","headers":{"content-type":"text/html"},"body":"<p>"}}}`, "text/html", "<p>", 201},
		"no type":           {`{"Outputs":{"res":{"statusCode":400,"body":"x"}}}`, "text/plain; charset=utf-8", "x", 400},
		"an object":         {`{"Outputs":{"res":{"body":{"a":1e2}}}}`, "text/plain; charset=utf-8", `{"a":100}`, 200}, // numbers are written anew
		"one in a string":   {`{"Outputs":{"res":"{\"status\":\"404\"}"}}`, "", "", 404},
		"nothing":           {`{}`, "", "", 200},
		"no object":         {`{"Outputs":{"res":[1]}}`, "", "", 500},
		"base64 stays text": {`{"Outputs":{"res":{"body":"AAEC"}}}`, "text/plain; charset=utf-8", "AAEC", 200},
	} {
		t.Run(name, func(t *testing.T) {
			i := custom(t, &emulate.Options{Variant: "envelope"}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, c.reply)
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://app/x", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := i.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || string(got) != c.body || resp.Header.Get("Content-Type") != c.contentType {
				t.Errorf("got %d %q %q", resp.StatusCode, resp.Header.Get("Content-Type"), got)
			}
		})
	}
}
