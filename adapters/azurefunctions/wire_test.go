package azurefunctions_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
)

// subject is the adapter alone, without a host.
func subject(t testing.TB, opts *azurefunctions.Options) http.Handler {
	t.Helper()
	s, err := adaptertest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return azurefunctions.New(s.API, s.Events, opts)
}

// invoke POSTs an envelope as the host does.
func invoke(h http.Handler, function, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/"+function, strings.NewReader(body))
	r.Host, r.ContentLength = "127.0.0.1:7071", -1
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// reached is what the handler got of a delivery, as it answers.
func reached(t testing.TB, w *httptest.ResponseRecorder) []adaptertest.Answer {
	t.Helper()
	var reply struct {
		Outputs struct{ Results []adaptertest.Answer }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
		t.Fatalf("want 200 and answers, got %d: %s, %v", w.Code, w.Body, err)
	}
	return reply.Outputs.Results
}

// The documents are the reference's (contracts 11.3), with a model of the suite's.
func TestRequestInAnEnvelope(t *testing.T) {
	h := subject(t, nil)
	const good = `{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"INT32\",\"data\":[1,2,3]}]}`
	const answer = `{\"model_name\":\"echo-INT32\",\"model_version\":\"1\",\"parameters\":{\"model_digest\":\"sha256:00\",\"prediction_id\":\"p-1\"},\"outputs\":[{\"name\":\"y\",\"shape\":[1,3],\"datatype\":\"INT32\",\"data\":[1,2,3]}]}`
	request := func(method, path, headers, body string) string {
		return `{"Data":{"req":{"Url":"https://h` + path + `","Method":"` + method + `","Query":{},"Headers":` + headers + `,"Params":{},"Identities":[],"Body":` + body + `}},"Metadata":{"Headers":{},"sys":{}}}`
	}
	const infer = "/api/v2/models/echo-INT32/infer"
	const jsonType = `{"Content-Type":["application/json"]}`
	for name, c := range map[string]struct {
		envelope, status, body string
		headers                map[string]string // some of the answer's
	}{
		"a body in a string":      {request("POST", infer, jsonType, `"`+good+`"`), "200", answer, map[string]string{"Content-Type": "application/json", "X-Request-Id": "inv-1"}},
		"a body as an object":     {request("POST", infer, jsonType, strings.ReplaceAll(good, `\"`, `"`)), "200", answer, nil},
		"headers not in arrays":   {request("POST", infer, `{"content-type":"application/json","x-request-id":"mine"}`, `"`+good+`"`), "200", answer, map[string]string{"X-Request-Id": "mine"}},
		"an encoding for answers": {request("POST", infer, `{"Content-Type":["application/json"],"Accept-Encoding":["gzip"]}`, `"`+good+`"`), "200", answer, nil},
		"another prefix":          {request("POST", "/v2/models/echo-INT32/infer", jsonType, `"`+good+`"`), "200", answer, nil},
		"octets in base64": {request("POST", infer, `{"Content-Type":["application/octet-stream"],"Inference-Header-Content-Length":["95"]}`,
			`"eyJpbnB1dHMiOlt7Im5hbWUiOiJ4Iiwic2hhcGUiOlsxLDNdLCJkYXRhdHlwZSI6IklOVDMyIiwicGFyYW1ldGVycyI6eyJiaW5hcnlfZGF0YV9zaXplIjoxMn19XX0BAAAAAgAAAAMAAAA="`), "200", answer, nil},
		"octets that are no base64": {request("POST", infer, `{"Content-Type":["application/octet-stream"]}`, `"*"`), "400", `{"error":"Body: illegal base64 data at input byte 0","code":"invalid"}` + "\n", nil},
		"a query":                   {request("GET", "/api/v2/models/echo-INT32/ready?a=1&a=2", `{}`, "null"), "200", `{"name":"echo-INT32","ready":true}` + "\n", nil},
		"no body":                   {request("POST", infer, jsonType, "null"), "400", "", nil},
		"no model":                  {request("POST", "/api/v2/models/none/infer", jsonType, `"{}"`), "404", "", nil},
		"binary out":                {request("POST", infer, jsonType, `"{\"parameters\":{\"binary_data_output\":true},`+good[1:]+`"`), "501", "", nil},
		"a method":                  {request("HEAD", "/api/v2/health/live", `{}`, "null"), "200", `{"live":true}` + "\n", nil},
		"nothing but a status":      {request("OPTIONS", "/api/v2/health/live", `{}`, "null"), "204", "", map[string]string{"Allow": "GET, HEAD, OPTIONS"}},
		"an escaped path":           {request("GET", "/api/v2/models/echo%2DINT32/ready", `{}`, "null"), "200", `{"name":"echo-INT32","ready":true}` + "\n", nil},
		"a bad URL":                 {request("GET", "/%zz", `{}`, "null"), "400", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := invoke(h, "http", c.envelope)
			var got struct {
				Outputs struct {
					Res struct {
						StatusCode string
						Headers    map[string]string
						Body       *string
					}
				}
				Logs        []string
				ReturnValue json.RawMessage
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("want 200 and a JSON reply, got %d %q: %s, %v", w.Code, w.Header(), w.Body, err)
			}
			res := got.Outputs.Res
			if got.Logs == nil || string(got.ReturnValue) != "null" || res.Body == nil {
				t.Errorf("want Logs, ReturnValue and a body, got %s", w.Body)
			}
			if res.StatusCode != c.status {
				t.Errorf("status %s, want %s: %s", res.StatusCode, c.status, w.Body)
			}
			if want := strings.ReplaceAll(c.body, `\"`, `"`); res.Body != nil && want != "" {
				if diff := cmp.Diff(want, *res.Body); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
			}
			for name, want := range c.headers {
				if res.Headers[name] != want {
					t.Errorf("header %s = %q, want %q", name, res.Headers[name], want)
				}
			}
			for _, name := range []string{"Content-Length", "Content-Encoding"} {
				if _, there := res.Headers[name]; there {
					t.Errorf("the answer has %s, which is the host's to say", name)
				}
			}
		})
	}
}

// What the host never sees as a success, and never waits for.
func TestRepliesTheHostCanRead(t *testing.T) {
	h := subject(t, nil)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"empty":                 {"", 400, "invalid"},
		"null":                  {"null", 400, "invalid"},
		"no object":             {"[]", 400, "invalid"},
		"cut off":               {`{"Data":{"msg":"x"`, 400, "invalid"},
		"no data":               {`{"Data":{},"Metadata":{}}`, 400, "invalid"},
		"metadata that is none": {`{"Data":{"a":"x"},"Metadata":[]}`, 400, "invalid"},
		"two inputs":            {`{"Data":{"a":"x","b":"y"},"Metadata":{}}`, 400, "invalid"},
		"an unknown trigger":    {`{"Data":{"msg":"\"x\""},"Metadata":{"sys":{}}}`, 501, "unsupported"},
		"a null value":          {`{"Data":{"msg":null},"Metadata":{}}`, 501, "unsupported"},
		"a batch of no array":   {`{"Data":{"m":"{}"},"Metadata":{"MessageIdArray":"[]","LockTokenArray":"[]"}}`, 400, "invalid"},
		"a blob nowhere":        {`{"Data":{"b":"AAEC"},"Metadata":{"Uri":"\"nowhere\"","Properties":{}}}`, 422, "unprocessable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := invoke(h, "f", c.body)
			var got struct {
				Outputs map[string]json.RawMessage
				Logs    []string
				Code    string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("want JSON, got %s: %v", w.Body, err)
			}
			if w.Code != c.status || got.Code != c.code || len(got.Logs) != 1 || got.Outputs == nil {
				t.Errorf("want %d, %q and why in Logs, got %d: %s", c.status, c.code, w.Code, w.Body)
			}
		})
	}
	// The whole reply of a message that is done and of one that never will be.
	const queue = `{"Data":{"msg":"\"{\\\"test_fail\\\":\\\"CODE\\\"}\""},"Metadata":{"DequeueCount":"2","Id":"\"800ae4b3\"","sys":{}}}`
	w := invoke(h, "process", strings.ReplaceAll(queue, "CODE", "unprocessable"))
	want := `{"Outputs":{},"Logs":["\"800ae4b3\" permanent unprocessable: the subject: told to"],"ReturnValue":null,"error":"the subject: told to","code":"unprocessable"}`
	if diff := cmp.Diff(want, w.Body.String()); diff != "" || w.Code != 422 {
		t.Errorf("%d (-want +got):\n%s", w.Code, diff)
	}
}

// A caller must not start functions by way of a route that covers their names.
func TestOnlyTheHostSendsEnvelopes(t *testing.T) {
	h := subject(t, &azurefunctions.Options{App: &azurefunctions.App{Functions: map[string]azurefunctions.Function{"queue": {Trigger: "queueTrigger", Input: "msg"}}}})
	const envelope = `{"Data":{"msg":"\"{}\""},"Metadata":{"DequeueCount":"1","Id":"\"1\""}}`
	for name, c := range map[string]struct {
		host   string
		header map[string]string
		status int
	}{
		"the host":             {"127.0.0.1:7071", nil, 200},
		"proxied":              {"127.0.0.1:7071", map[string]string{"x-ms-invocation-id": "inv-1"}, 404},
		"forwarded":            {"app.azurewebsites.net", nil, 404},
		"a name of this place": {"localhost:7071", nil, 404},
		"an id too many":       {"127.0.0.1:7071", map[string]string{"+X-Azure-Functions-InvocationId": "mine"}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/queue", strings.NewReader(envelope))
			r.Host = c.host
			r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
			for k, v := range c.header {
				if k, ok := strings.CutPrefix(k, "+"); ok {
					r.Header.Add(k, v)
				} else {
					r.Header.Set(k, v)
				}
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.status {
				t.Errorf("want %d, got %d: %s", c.status, w.Code, w.Body)
			}
		})
	}
}

// What is passed on as it is: prefixes, ids, and the host's question.
func TestPassedOn(t *testing.T) {
	for name, c := range map[string]struct {
		app          *azurefunctions.App
		method, path string
		status       int
		id           string
	}{
		"the usual prefix":         {nil, "GET", "/api/v2/models/addsub/ready", 200, "inv-1"},
		"no prefix":                {nil, "GET", "/v2/models/addsub/ready", 200, "inv-1"},
		"an escaped prefix":        {nil, "GET", "/%61pi/v2/models/addsub/ready", 200, "inv-1"},
		"an escaped name":          {nil, "GET", "/api/v2/models/a%64dsub/ready", 200, "inv-1"},
		"a slash in a name":        {nil, "GET", "/api/v2/models/a%2fb/ready", 400, "inv-1"},
		"half a prefix":            {nil, "GET", "/apiv2/models/addsub/ready", 404, "inv-1"},
		"a prefix of its own":      {&azurefunctions.App{RoutePrefix: "/a/b/"}, "GET", "/a/b/v2/models/addsub/ready", 200, "inv-1"},
		"without the prefix":       {&azurefunctions.App{RoutePrefix: ""}, "GET", "/api/v2/models/addsub/ready", 404, "inv-1"},
		"the root below a prefix":  {nil, "GET", "/api", 404, "inv-1"},
		"two segments from a host": {nil, "POST", "/v2/nothing", 404, "inv-1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := subject(t, &azurefunctions.Options{App: c.app})
			r := httptest.NewRequest(c.method, c.path, http.NoBody)
			r.Host = "app.azurewebsites.net"
			r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
			r.Header.Set("x-ms-invocation-id", "inv-1")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.status {
				t.Errorf("want %d, got %d: %s", c.status, w.Code, w.Body)
			}
			if got := w.Header().Get("X-Request-Id"); got != c.id {
				t.Errorf("X-Request-Id %q, want %q", got, c.id)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Host = "127.0.0.1:7071"
	w := httptest.NewRecorder()
	if subject(t, nil).ServeHTTP(w, r); w.Code != 200 || w.Body.String() != "{}" {
		t.Errorf("the host's ping: want 200 and {}, got %d: %s", w.Code, w.Body)
	}
}

func TestEnvelopesAreBounded(t *testing.T) {
	h := subject(t, &azurefunctions.Options{Envelope: 1 << 10})
	body := `{"Data":{"msg":"` + strings.Repeat("a", 1<<10) + `"},"Metadata":{"DequeueCount":"1","Id":"\"1\""}}`
	for range 3 { // what one has held is given back
		if w := invoke(h, "queue", body); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("want 413, got %d: %s", w.Code, w.Body)
		}
	}
	if w := invoke(h, "queue", body[:16]+body[16+512:]); w.Code != http.StatusOK {
		t.Errorf("want 200, got %d: %s", w.Code, w.Body)
	}
}

// What is refused for want of memory comes again, and nothing of it was read.
func TestNothingIsReadWhenMemoryIsFull(t *testing.T) {
	h := subject(t, &azurefunctions.Options{Admit: func() error {
		return fault.New(fault.Unavailable, "test", "", "memory is full")
	}})
	if w := invoke(h, "queue", "no envelope"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("want 503, got %d: %s", w.Code, w.Body)
	}
	// One whose sender is still at it holds what there is for all.
	h = subject(t, &azurefunctions.Options{Envelope: 1 << 10, Memory: 1 << 10})
	pr, pw := io.Pipe()
	r := httptest.NewRequest(http.MethodPost, "/queue", pr)
	r.Host = "127.0.0.1:1"
	r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), r)
		pr.Close() // whoever did not read it all is found out by the writer
	}()
	if _, err := pw.Write([]byte(strings.Repeat(" ", 900))); err != nil {
		t.Fatal(err)
	}
	if _, err := pw.Write([]byte(" ")); err != nil { // the first have been counted
		t.Fatal(err)
	}
	const good = `{"Data":{"m":"\"{}\""},"Metadata":{"DequeueCount":"1","Id":"\"1\"","note":"so that it does not fit beside the other one, which takes 901 of 1024 bytes in all"}}`
	if w := invoke(h, "queue", good); w.Code != http.StatusServiceUnavailable {
		t.Errorf("beside another: want 503, got %d: %s", w.Code, w.Body)
	}
	pw.Close()
	<-done
	if w := invoke(h, "queue", good); w.Code != http.StatusOK {
		t.Errorf("alone: want 200, got %d: %s", w.Code, w.Body)
	}
}

// The trace is the caller's, else the host's, for requests and for deliveries.
func TestTraces(t *testing.T) {
	const host, caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var got string
	events := trigger.HandlerFunc(func(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
		trace, _ := telemetry.TraceOf(ctx)
		got = trace.Header()
		return []trigger.Outcome{{State: trigger.Done}}
	})
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = strings.Join(r.Header["Traceparent"], " ") })
	h := azurefunctions.New(api, events, nil)
	for name, c := range map[string]struct{ envelope, want string }{
		"a delivery":            {`{"Data":{"m":"x"},"Metadata":{"DequeueCount":"1","Id":"1"}}`, host},
		"a request without one": {`{"Data":{"req":{"Url":"https://h/v2","Method":"GET"}}}`, host},
		"a request with one":    {`{"Data":{"req":{"Url":"https://h/v2","Method":"GET","Headers":{"traceparent":["` + caller + `"]}}}}`, caller},
	} {
		r := httptest.NewRequest(http.MethodPost, "/f", strings.NewReader(c.envelope))
		r.Host = "127.0.0.1:1"
		r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
		r.Header.Set("traceparent", host)
		got = ""
		h.ServeHTTP(httptest.NewRecorder(), r)
		if len(got) != len(c.want) || got[:36] != c.want[:36] { // the trace's id
			t.Errorf("%s: want the trace %s, got %s", name, c.want, got)
		}
	}
}

// What a caller said reaches the server as it was said, in each form.
func TestRequestsKeepWhatTheySay(t *testing.T) {
	type said struct {
		Method, Path, Escaped, Query, Host, Body string
		Header                                   []string
		Length                                   int64
	}
	var got said
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = said{r.Method, r.URL.Path, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, string(body), r.Header["A-B"], r.ContentLength}
	})
	h := azurefunctions.New(api, nil, nil)
	want := said{"PUT", "/v2/a/b c", "/v2/a%2Fb%20c", "x=1&x=%202", "app.azurewebsites.net", "\x00é", []string{"1", "2"}, 3}
	r := httptest.NewRequest("PUT", "https://app.azurewebsites.net/api/v2/a%2Fb%20c?x=1&x=%202", strings.NewReader("\x00é"))
	r.Header["A-B"] = []string{"1", "2"}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("passed on (-want +got):\n%s", diff)
	}
	got = said{}
	invoke(h, "http", `{"Data":{"req":{"Url":"https://app.azurewebsites.net/api/v2/a%2Fb%20c?x=1&x=%202","Method":"PUT","Query":{"x":"1, 2"},"Headers":{"a-b":["1","2"],"Content-Length":["99"]},"Body":"\u0000é"}}}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in an envelope (-want +got):\n%s", diff)
	}
}

// A JSON string has no room for compressed bytes, whatever the caller takes.
func TestAnswersInEnvelopesAreNotCompressed(t *testing.T) {
	body, _ := json.Marshal(`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("a", 64<<10) + `"]}]}`)
	w := invoke(subject(t, nil), "http", `{"Data":{"req":{"Url":"https://h/v2/models/text/infer","Method":"POST","Headers":{"Content-Type":["application/json"],"accept-encoding":["gzip"]},"Body":`+string(body)+`}}}`)
	if !strings.Contains(w.Body.String(), `"statusCode":"200"`) || w.Body.Len() < 64<<10 {
		t.Errorf("want 200 and the whole, got %.300s", w.Body)
	}
}
