package emulate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

// lambdaALB is what a load balancer takes, each way.
const lambdaALB = 1 << 20

// roundTrip makes the event that the front end makes of a request, and a
// response of what the function answers, as strict as the front end is.
func (l *lambda) roundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	if l.variant == "direct" {
		return l.callDirect(req, body)
	}
	alb := l.variant == "alb" || l.variant == "alb-multi"
	event, err := json.Marshal(l.event(req, body))
	if err != nil {
		return nil, err
	}
	if len(event) > lambdaPayload || alb && len(body) > lambdaALB {
		return plain(req, http.StatusRequestEntityTooLarge, `{"message":"Request Entity Too Large"}`), nil
	}
	a, err := l.invoke(req.Context(), event, false)
	if errors.Is(err, errBusy) {
		return plain(req, http.StatusTooManyRequests, `{"message":"Rate Exceeded."}`), nil
	}
	if err != nil {
		return nil, err
	}
	if a.failed != nil || alb && len(a.body) > lambdaALB {
		return l.bad(req), nil
	}
	if l.streams() {
		return l.fromStream(req, a)
	}
	return l.fromEvent(req, a.body)
}

// bad is what callers see of a function that failed or answered nonsense.
func (l *lambda) bad(req *http.Request) *http.Response {
	status := http.StatusBadGateway
	if l.variant == "http-v2" {
		status = http.StatusInternalServerError
	}
	return plain(req, status, `{"message":"Internal server error"}`)
}

func plain(req *http.Request, status int, body string) *http.Response {
	return made(req, status, http.Header{"Content-Type": {"application/json"}}, []byte(body))
}

func made(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// event is the request as the front end hands it on.
func (l *lambda) event(req *http.Request, body []byte) map[string]any {
	h := req.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Host", "function.example")
	h.Set("X-Forwarded-For", "192.0.2.1")
	h.Set("X-Forwarded-Port", "443")
	h.Set("X-Forwarded-Proto", "https")
	h.Set("X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	e := map[string]any{"isBase64Encoded": false}
	if isText(h) {
		e["body"] = string(body)
	} else {
		e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
	}
	method, path := req.Method, req.URL.EscapedPath()
	switch l.variant {
	case "rest-v1", "rest-stream":
		if len(body) == 0 {
			e["body"] = nil
		}
		e["resource"], e["path"], e["httpMethod"] = "/{proxy+}", path, method
		e["headers"], e["multiValueHeaders"] = last(h), h
		q := req.URL.Query() // decoded
		e["queryStringParameters"], e["multiValueQueryStringParameters"] = nil, nil
		if len(q) > 0 {
			e["queryStringParameters"], e["multiValueQueryStringParameters"] = last(q), q
		}
		e["pathParameters"], e["stageVariables"] = map[string]string{"proxy": strings.TrimPrefix(path, "/")}, nil
		e["requestContext"] = map[string]any{
			"accountId": "123456789012", "resourceId": "abc123", "resourcePath": "/{proxy+}", "apiId": "a1", "stage": "prod", "httpMethod": method,
			"path": "/prod" + path, "protocol": "HTTP/1.1", "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
			"identity": map[string]any{"sourceIp": "192.0.2.1", "userAgent": h.Get("User-Agent"), "cognitoIdentityId": nil},
		}
	case "alb", "alb-multi":
		q := encodedQuery(req.URL.RawQuery)
		e["requestContext"] = map[string]any{"elb": map[string]any{"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/t/6d0ecf831eec9f09"}}
		e["httpMethod"], e["path"] = method, path
		if l.variant == "alb" {
			e["headers"], e["queryStringParameters"] = lower(last(h)), last(q)
		} else {
			e["multiValueHeaders"], e["multiValueQueryStringParameters"] = lower(h), q
		}
	default: // HTTP API and function URLs
		if len(body) == 0 {
			delete(e, "body")
			e["isBase64Encoded"] = false
		}
		e["version"], e["routeKey"], e["rawPath"], e["rawQueryString"] = "2.0", "$default", path, req.URL.RawQuery
		if cookies := h["Cookie"]; len(cookies) > 0 {
			e["cookies"] = strings.Split(strings.Join(cookies, "; "), "; ")
			h.Del("Cookie")
		}
		e["headers"] = lower(joined(h))
		if q := req.URL.Query(); len(q) > 0 {
			e["queryStringParameters"] = joined(q)
		}
		domain := "a1.execute-api.eu-west-1.amazonaws.com"
		if l.variant != "http-v2" {
			domain = "a1.lambda-url.eu-west-1.on.aws"
		}
		e["requestContext"] = map[string]any{
			"accountId": "123456789012", "apiId": "a1", "domainName": domain, "domainPrefix": "a1", "requestId": "id", "routeKey": "$default",
			"stage": "$default", "time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1795341600000,
			"http": map[string]any{"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": h.Get("User-Agent")},
		}
	}
	return e
}

// isText tells whether a front end takes a body for text: the rest it encodes.
func isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return h.Get("Content-Type") == ""
	}
	return strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/xml" || media == "application/javascript"
}

func last[M ~map[string][]string](m M) map[string]string {
	one := map[string]string{}
	for k, v := range m {
		one[k] = v[len(v)-1]
	}
	return one
}

func joined[M ~map[string][]string](m M) map[string]string {
	one := map[string]string{}
	for k, v := range m {
		one[k] = strings.Join(v, ",")
	}
	return one
}

func lower[V any, M ~map[string]V](m M) map[string]V {
	out := map[string]V{}
	for k, v := range m {
		out[strings.ToLower(k)] = v
	}
	return out
}

// encodedQuery splits a query and decodes nothing, as load balancers do.
func encodedQuery(raw string) map[string][]string {
	q := map[string][]string{}
	for part := range strings.SplitSeq(raw, "&") {
		if name, value, _ := strings.Cut(part, "="); name != "" {
			q[name] = append(q[name], value)
		}
	}
	return q
}

// eventReply is what a function answers to an HTTP event.
type eventReply struct {
	StatusCode        *int                `json:"statusCode"`
	StatusDescription string              `json:"statusDescription"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

func (l *lambda) fromEvent(req *http.Request, doc []byte) (*http.Response, error) {
	var r eventReply
	d := json.NewDecoder(bytes.NewReader(doc))
	if l.variant == "rest-v1" {
		d.DisallowUnknownFields() // "Malformed Lambda proxy response"
	}
	if err := d.Decode(&r); err != nil {
		return l.bad(req), nil
	}
	multi := l.variant == "rest-v1" || l.variant == "alb-multi"
	switch {
	case r.StatusCode == nil && (l.variant == "http-v2" || l.variant == "url"): // a bare answer
		return made(req, http.StatusOK, http.Header{"Content-Type": {"application/json"}}, doc), nil
	case r.StatusCode == nil, *r.StatusCode < 200, *r.StatusCode > 599:
		return l.bad(req), nil
	case r.Cookies != nil && multi:
		return l.bad(req), nil
	}
	h := http.Header{}
	for name, value := range r.Headers {
		if l.variant != "alb-multi" {
			h.Add(name, value)
		}
	}
	for name, values := range r.MultiValueHeaders {
		for _, value := range values {
			if multi {
				h.Add(name, value)
			}
		}
	}
	for _, c := range r.Cookies {
		h.Add("Set-Cookie", c)
	}
	body := []byte(r.Body)
	if r.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			return l.bad(req), nil
		}
	}
	return made(req, *r.StatusCode, h, body), nil
}

// callDirect is a caller who has no HTTP: the request's body with the model's
// name in it is the payload of the Invoke API, which takes JSON only.
func (l *lambda) callDirect(req *http.Request, body []byte) (*http.Response, error) {
	model, version, ok := modelOf(req.URL.EscapedPath())
	if !ok {
		return plain(req, http.StatusNotFound, `{"error":"a direct invocation can only infer","code":"not_found"}`), nil
	}
	if h := req.Header; h.Get("Inference-Header-Content-Length") != "" || h.Get("Content-Encoding") != "" {
		return nil, fault.New(fault.Usage, "emulate.Call", "awslambda", "a direct invocation takes JSON only")
	}
	if !json.Valid(body) {
		return plain(req, http.StatusBadRequest, `{"message":"Could not parse request body into json"}`), nil
	}
	payload := body
	if inner, ok := bytes.CutPrefix(bytes.TrimSpace(body), []byte("{")); ok {
		named := `{"model":` + quoted(model)
		if version != nil {
			named += `,"model_version":` + quoted(*version)
		}
		if inner = bytes.TrimSpace(inner); len(inner) > 0 && inner[0] != '}' {
			named += ","
		}
		payload = append([]byte(named), inner...)
	}
	if len(payload) > lambdaPayload {
		return plain(req, http.StatusRequestEntityTooLarge, `{"message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}`), nil
	}
	a, err := l.invoke(req.Context(), payload, false)
	if errors.Is(err, errBusy) {
		return plain(req, http.StatusTooManyRequests, `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`), nil
	}
	if err != nil {
		return nil, err
	}
	if a.failed != nil {
		status := fault.Internal.HTTP()
		for _, c := range fault.Codes() {
			if c.String() == a.failed.Type {
				status = c.HTTP()
			}
		}
		return plain(req, status, `{"error":`+quoted(a.failed.Message)+`,"code":`+quoted(a.failed.Type)+"}\n"), nil
	}
	if !json.Valid(a.body) {
		return l.bad(req), nil
	}
	return made(req, http.StatusOK, http.Header{"Content-Type": {"application/json"}}, a.body), nil
}

// modelOf is what the protocol's path names; version is nil without one.
func modelOf(path string) (model string, version *string, ok bool) {
	parts := strings.Split(path, "/")
	if n := len(parts); (n != 5 && n != 7) || parts[1] != "v2" || parts[2] != "models" || parts[n-1] != "infer" || n == 7 && parts[4] != "versions" {
		return "", nil, false
	}
	for i := range parts {
		plain, err := url.PathUnescape(parts[i])
		if err != nil {
			return "", nil, false
		}
		parts[i] = plain
	}
	if len(parts) == 7 {
		version = &parts[5]
	}
	return parts[3], version, true
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
