package awslambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/awslambda"
)

// got is a request as the api sees it.
type got struct {
	Method, Path, Query, Host, From string
	Header                          http.Header
	Body                            string
	Length                          int64
}

// record is an api that keeps what it is asked and answers as told.
func record(to *got, answer http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		*to = got{r.Method, r.URL.Path, r.URL.RawQuery, r.Host, r.RemoteAddr, r.Header, string(body), r.ContentLength}
		if answer != nil {
			answer(w, r)
		}
	})
}

// invocation is a context as aws-lambda-go makes it.
func invocation(ctx context.Context) context.Context {
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd"})
	//lint:ignore SA1029 aws-lambda-go's own key
	return context.WithValue(ctx, "x-amzn-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
}

const (
	v1Context  = `"requestContext":{"resourceId":"abc","stage":"prod","requestId":"r-1","identity":{"sourceIp":"192.0.2.1"},"path":"/prod/x"}`
	albContext = `"requestContext":{"elb":{"targetGroupArn":"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/t/1"}}`
)

func v2Context(stage string) string {
	return `"requestContext":{"domainName":"a1.execute-api.eu-west-1.amazonaws.com","http":{"method":"POST","path":"/x","protocol":"HTTP/1.1","sourceIp":"192.0.2.1"},"stage":"` + stage + `"}`
}

func TestRequests(t *testing.T) {
	traced := http.Header{"Traceparent": {"00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-01"}, "X-Request-Id": {"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}}
	with := func(pairs ...string) http.Header {
		h := traced.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	tests := []struct {
		name, event string
		opts        *awslambda.Options
		want        got
	}{
		{"HTTP API, binary, cookies, query as sent", `{"version":"2.0","routeKey":"$default","rawPath":"/v2/models/iris/infer","rawQueryString":"a=1&a=2%20","cookies":["s=1","t=2"],
			"headers":{"content-type":"application/octet-stream","inference-header-content-length":"0","host":"h.example","content-length":"999","accept":"a,b"},
			"queryStringParameters":{"a":"1,2"},` + v2Context("$default") + `,"body":"AAEC","isBase64Encoded":true}`, nil,
			got{"POST", "/v2/models/iris/infer", "a=1&a=2%20", "h.example", "192.0.2.1",
				with("Content-Type", "application/octet-stream", "Inference-Header-Content-Length", "0", "Cookie", "s=1; t=2", "Accept", "a,b"), "\x00\x01\x02", 3}},
		{"HTTP API with a stage and no body", `{"version":"2.0","rawPath":"/prod/v2","rawQueryString":"","headers":{},` + v2Context("prod") + `,"isBase64Encoded":false}`, nil,
			got{"POST", "/v2", "", "", "192.0.2.1", with(), "", 0}},
		{"a stage is no part of a word", `{"version":"2.0","rawPath":"/production/v2",` + v2Context("prod") + `}`, nil,
			got{"POST", "/production/v2", "", "", "192.0.2.1", with(), "", 0}},
		{"a base path", `{"version":"2.0","rawPath":"/models/v2",` + v2Context("$default") + `}`, &awslambda.Options{BasePath: "/models/"},
			got{"POST", "/v2", "", "", "192.0.2.1", with(), "", 0}},
		{"REST API: all values, decoded query, escapes in the body", `{"resource":"/{proxy+}","path":"/v2/models/iris/infer","httpMethod":"PUT",
			"headers":{"X-Two":"b"},"multiValueHeaders":{"X-Two":["a","b"],"conTENT-type":["application/json"]},
			"queryStringParameters":{"q":"b"},"multiValueQueryStringParameters":{"q":["a b","&"]},` + v1Context + `,
			"body":"{\"x\":\"\\u00e9\ud83d\ude00\n\"}","isBase64Encoded":false}`, nil,
			got{"PUT", "/v2/models/iris/infer", "q=a+b&q=%26", "", "192.0.2.1", with("X-Two", "a", "X-Two", "b", "Content-Type", "application/json"), "{\"x\":\"\\u00e9😀\n\"}", 19}},
		{"REST API with single values only", `{"httpMethod":"GET","path":"/v2","headers":{"x-one":"1"},"queryStringParameters":{"q":"é"},` + v1Context + `,"body":null}`, nil,
			got{"GET", "/v2", "q=%C3%A9", "", "192.0.2.1", with("X-One", "1"), "", 0}},
		{"load balancer: query is encoded already", `{"httpMethod":"POST","path":"/v2%2fx","queryStringParameters":{"k":"a%20b","l":""},"headers":{"content-type":"text/plain","traceparent":"00-1"},` + albContext + `,"body":"e30=","isBase64Encoded":true}`, nil,
			got{"POST", "/v2/x", "k=a%20b&l=", "", "", http.Header{"Content-Type": {"text/plain"}, "Traceparent": {"00-1"}, "X-Request-Id": traced["X-Request-Id"]}, "{}", 2}},
		{"load balancer with all values", `{"httpMethod":"POST","path":"/","multiValueQueryStringParameters":{"k":["a%20b","c"]},"multiValueHeaders":{"x-a":["1","2"],"x-request-id":["mine"]},` + albContext + `,"body":"","isBase64Encoded":false}`, nil,
			got{"POST", "/", "k=a%20b&k=c", "", "", http.Header{"Traceparent": traced["Traceparent"], "X-A": {"1", "2"}, "X-Request-Id": {"mine"}}, "", 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen got
			if _, err := awslambda.New(record(&seen, nil), nil, tt.opts).Invoke(invocation(t.Context()), []byte(tt.event)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, seen); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The api is not asked about what cannot be a request.
func TestRequestsThatAreNone(t *testing.T) {
	for name, event := range map[string]string{
		"no method":       `{"version":"2.0","rawPath":"/",` + strings.Replace(v2Context("$default"), `"POST"`, `""`, 1) + `}`,
		"a broken body":   `{"httpMethod":"POST","path":"/","body":"AA*","isBase64Encoded":true,` + v1Context + `}`,
		"a broken escape": `{"httpMethod":"POST","path":"/","body":"\x",` + v1Context + `}`,
		"a header object": `{"httpMethod":"POST","path":"/","headers":{"a":{}},` + v1Context + `}`,
		"a number path":   `{"httpMethod":"POST","path":1,` + v1Context + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the api was asked") })
			reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(event))
			if err != nil || !strings.Contains(string(reply), `"statusCode":400`) {
				t.Errorf("want status 400, got %s, %v", reply, err)
			}
		})
	}
}

func TestReplies(t *testing.T) {
	json := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Content-Length"] = []string{"6"}
		w.Header()["X-Two"] = []string{"a", "b"}
		w.Header()["Set-Cookie"] = []string{"s=1, t", "u=2"}
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "\"é\"\n<")
	}
	binary := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/octet-stream"}
		_, _ = w.Write([]byte{0, 1, 2})
	}
	coded := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"], w.Header()["Content-Encoding"] = []string{"application/json"}, []string{"gzip"}
		_, _ = w.Write([]byte("x"))
	}
	notText := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		_, _ = w.Write([]byte{0xff})
	}
	v2 := `{"version":"2.0","rawPath":"/",` + v2Context("$default") + `}`
	v1 := `{"httpMethod":"GET","path":"/",` + v1Context + `}`
	alb := `{"httpMethod":"GET","path":"/","headers":{},` + albContext + `}`
	albMulti := `{"httpMethod":"GET","path":"/","multiValueHeaders":{},` + albContext + `}`
	for _, tt := range []struct {
		name, event string
		answer      http.HandlerFunc
		want        string
	}{
		{"HTTP API", v2, json, `{"statusCode":201,"headers":{"Content-Type":"application/json","X-Two":"a, b"},"cookies":["s=1, t","u=2"],"body":"\"é\"\n<","isBase64Encoded":false}`},
		{"HTTP API, binary", v2, binary, `{"statusCode":200,"headers":{"Content-Type":"application/octet-stream"},"body":"AAEC","isBase64Encoded":true}`},
		{"HTTP API, compressed", v2, coded, `{"statusCode":200,"headers":{"Content-Encoding":"gzip","Content-Type":"application/json"},"body":"eA==","isBase64Encoded":true}`},
		{"HTTP API, text that is none", v2, notText, `{"statusCode":200,"headers":{"Content-Type":"text/plain; charset=utf-8"},"body":"/w==","isBase64Encoded":true}`},
		{"HTTP API, nothing", v2, nil, `{"statusCode":200,"headers":{},"body":"","isBase64Encoded":false}`},
		{"REST API", v1, json, `{"statusCode":201,"multiValueHeaders":{"Content-Type":["application/json"],"Set-Cookie":["s=1, t","u=2"],"X-Two":["a","b"]},"body":"\"é\"\n<","isBase64Encoded":false}`},
		{"load balancer", alb, json, `{"statusCode":201,"statusDescription":"201 Created","headers":{"Content-Type":"application/json","Set-Cookie":"s=1, t, u=2","X-Two":"a, b"},"body":"\"é\"\n<","isBase64Encoded":false}`},
		{"load balancer with all values", albMulti, json, `{"statusCode":201,"statusDescription":"201 Created","multiValueHeaders":{"Content-Type":["application/json"],"Set-Cookie":["s=1, t","u=2"],"X-Two":["a","b"]},"body":"\"é\"\n<","isBase64Encoded":false}`},
		{"HEAD has no body", strings.Replace(v1, "GET", "HEAD", 1), binary, `{"statusCode":200,"multiValueHeaders":{"Content-Type":["application/octet-stream"]},"body":"","isBase64Encoded":false}`},
		{"half an answer is none", v2, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ha")
			panic(http.ErrAbortHandler)
		},
			`{"statusCode":500,"headers":{"Content-Type":"application/json"},"body":"{\"error\":\"internal error; the server's log has the cause under this request's id\",\"code\":\"internal\"}\n","isBase64Encoded":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen got
			reply, err := awslambda.New(record(&seen, tt.answer), nil, nil).Invoke(t.Context(), []byte(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(reply)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What Lambda would refuse to take becomes an error that callers understand.
func TestTooLargeForThePlatform(t *testing.T) {
	const mib = 1 << 20
	body := func(n int, media string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			for range n / (64 << 10) {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}
	}
	v2 := `{"version":"2.0","rawPath":"/",` + v2Context("$default") + `}`
	alb := `{"httpMethod":"GET","path":"/","headers":{},` + albContext + `}`
	for _, tt := range []struct {
		name, event string
		size        int
		fits        bool
	}{
		{"4 MiB in base64", v2, 4 * mib, true},
		{"5 MiB in base64", v2, 5 * mib, false},
		{"64 MiB", v2, 64 * mib, false},
		{"half a MiB from a load balancer", alb, mib / 2, true},
		{"a MiB from a load balancer", alb, mib, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen got
			reply, err := awslambda.New(record(&seen, body(tt.size, "application/octet-stream")), nil, nil).Invoke(t.Context(), []byte(tt.event))
			if err != nil || len(reply) > 6*mib {
				t.Fatalf("%d bytes, %v", len(reply), err)
			}
			var r struct{ StatusCode int }
			if err := json.Unmarshal(reply, &r); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 200, false: 413}[tt.fits]; r.StatusCode != want {
				t.Errorf("want %d, got %d", want, r.StatusCode)
			}
		})
	}
}

func TestDirect(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"outputs":[]}`) }
	bad := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":"want inputs","code":"invalid"}`)
	}
	for _, tt := range []struct {
		name, event, model string
		answer             http.HandlerFunc
		path, body         string
		err                error
	}{
		{"the only model", `{"inputs":[1]}`, "iris", ok, "/v2/models/iris/infer", `{"inputs":[1]}`, nil},
		{"a named model", `{"model":"a", "inputs":[1]}`, "iris", ok, "/v2/models/a/infer", `{ "inputs":[1]}`, nil},
		{"a named version, at the end", `{"inputs":[1] ,"model_name":"a","model_version":"2"}`, "", ok, "/v2/models/a/versions/2/infer", `{"inputs":[1] }`, nil},
		{"a name with slashes is one name", `{"model":"a/../b","inputs":[1]}`, "", ok, "/v2/models/a%2F..%2Fb/infer", `{"inputs":[1]}`, nil},
		{"no model", `{"inputs":[1]}`, "", ok, "", "", messages.InvokeResponse_Error{Type: "invalid", Message: "model: want the name of one of the function's models, got none. Name it in the request: {\"model\": \"…\", \"inputs\": […]}."}},
		{"refused", `{"inputs":[1]}`, "iris", bad, "/v2/models/iris/infer", `{"inputs":[1]}`, messages.InvokeResponse_Error{Type: "invalid", Message: "want inputs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen got
			reply, err := awslambda.New(record(&seen, tt.answer), nil, &awslambda.Options{Model: tt.model}).Invoke(t.Context(), []byte(tt.event))
			if diff := cmp.Diff(tt.err, err); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if err == nil && string(reply) != `{"outputs":[]}` {
				t.Errorf("got %s", reply)
			}
			if seen.Path != tt.path || seen.Body != tt.body {
				t.Errorf("want %s %s, got %s %s", tt.path, tt.body, seen.Path, seen.Body)
			}
		})
	}
}

// The invocation's time ends a little before the platform's, and an answer is
// still possible.
func TestDeadline(t *testing.T) {
	at := time.Now().Add(10 * time.Second)
	ctx, cancel := context.WithDeadline(t.Context(), at)
	defer cancel()
	for _, tt := range []struct {
		opts *awslambda.Options
		want time.Duration
	}{{nil, 250 * time.Millisecond}, {&awslambda.Options{Margin: time.Second}, time.Second}} {
		var seen got
		h := awslambda.New(record(&seen, func(_ http.ResponseWriter, r *http.Request) {
			if d, ok := r.Context().Deadline(); !ok || at.Sub(d) != tt.want {
				t.Errorf("want %v before the platform's, got %v, %t", tt.want, at.Sub(d), ok)
			}
		}), nil, tt.opts)
		if _, err := h.Invoke(ctx, []byte(`{"version":"2.0","rawPath":"/",`+v2Context("$default")+`}`)); err != nil {
			t.Fatal(err)
		}
	}
}

// A body is the payload's memory, or memory that the next request gets.
func TestBodyEndsWithTheRequest(t *testing.T) {
	var kept io.ReadCloser
	h := awslambda.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kept = r.Body }), nil, &awslambda.Options{Model: "m"})
	for _, event := range []string{`{"httpMethod":"POST","path":"/","body":"secret",` + v1Context + `}`, `{"inputs":["secret"]}`} {
		if _, err := h.Invoke(t.Context(), []byte(event)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(kept); len(b) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("want nothing of a body that is over, got %q, %v", b, err)
		}
	}
}

// Whoever is told to end lets what it has begun end, and begins nothing more.
func TestDrain(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	var seen got
	h := awslambda.New(record(&seen, func(http.ResponseWriter, *http.Request) { close(begun); <-goOn }), nil, nil)
	event := []byte(`{"version":"2.0","rawPath":"/",` + v2Context("$default") + `}`)
	done := make(chan error, 1)
	go func() { _, err := h.Invoke(context.Background(), event); done <- err }()
	<-begun
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Drain(over); err == nil {
		t.Error("want an error while an invocation is in progress")
	}
	if _, err := h.Invoke(t.Context(), event); err == nil || !strings.Contains(err.Error(), "ending") {
		t.Errorf("want a refusal, got %v", err)
	}
	close(goOn)
	if err := h.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
