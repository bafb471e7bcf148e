package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// proxy is between the function and moto. It knows by the access key whose role
// a request is made with, and lets through what that role's policy allows: what
// moto has made of the template's own.
type proxy struct {
	address string
	server  *http.Server
	served  chan struct{}
	to      *httputil.ReverseProxy

	mu       sync.Mutex
	policies map[string]*policy // by role, whose name is its access key
	used     map[grant]bool
	refused  []string
	meddle   func(role string, a *ask, w http.ResponseWriter, r *http.Request) bool // does it itself, if true
}

func newProxy(moto string) (*proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target := &url.URL{Scheme: "http", Host: moto}
	p := &proxy{address: "http://" + ln.Addr().String(), served: make(chan struct{}), policies: map[string]*policy{}, used: map[grant]bool{}}
	p.to = &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = moto },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	p.server = &http.Server{Handler: p}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(ln)
	}()
	return p, nil
}

func (p *proxy) close() {
	_ = p.server.Close()
	<-p.served
}

// set has the roles' policies hold from now on, and forgets what was used and refused.
func (p *proxy) set(policies map[string]*policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policies, p.used, p.refused = policies, map[grant]bool{}, nil
}

func (p *proxy) meddling(with func(role string, a *ask, w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meddle = with
}

// seen is what was used and what was refused.
func (p *proxy) seen() (map[grant]bool, []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.refused
}

// may decides, and writes it down. quiet refusals are what AWS refuses too and
// nobody minds.
func (p *proxy) may(role string, a *ask, quiet bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.policies[role]
	if have == nil {
		p.refused = append(p.refused, fmt.Sprintf("%q is no role", role))
		return false
	}
	sid := have.allows(a)
	if sid != "" {
		p.used[grant{role, sid, a.action}] = true
	} else if !quiet {
		p.refused = append(p.refused, fmt.Sprintf("%s: %s on %s %v", role, a.action, a.resource, a.context))
	}
	return sid != ""
}

var credential = regexp.MustCompile(`Credential=([^/]+)/[^/]+/[^/]+/([a-z0-9]+)/`)

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if who == nil {
		http.Error(w, "want a signature", http.StatusForbidden)
		return
	}
	role, service := who[1], who[2]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a, err := asked(service, r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refused = append(p.refused, err.Error())
		return
	}
	p.mu.Lock()
	meddle := p.meddle
	p.mu.Unlock()
	_, prefixed := a.context["s3:prefix"]
	if !p.may(role, a, a.action == "s3:ListBucket" && !prefixed) {
		deny(w, r, service)
		return
	}
	if meddle != nil && meddle(role, a, w, r) {
		return
	}
	if a.action != "s3:GetObject" {
		p.to.ServeHTTP(w, r)
		return
	}
	// What is not there is told only to those who may list it: S3 then has the
	// key for a prefix.
	to := *p.to
	to.ModifyResponse = func(resp *http.Response) error {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(a.resource, "arn:aws:s3:::"), "/")
		if resp.StatusCode == http.StatusNotFound && !p.may(role, &ask{"s3:ListBucket", "arn:aws:s3:::" + bucket, map[string]string{"s3:prefix": key}}, false) {
			resp.Body.Close()
			return errDenied
		}
		return nil
	}
	to.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, errDenied) {
			panic(http.ErrAbortHandler)
		}
		deny(w, r, service)
	}
	to.ServeHTTP(w, r)
}

var errDenied = errors.New("access denied")

// deny answers as AWS's services do.
func deny(w http.ResponseWriter, r *http.Request, service string) {
	switch service {
	case "s3":
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
		}
	case "dynamodb":
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"is not authorized to perform it"}`)
	default:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"is not authorized to perform it"}`)
	}
}

// asked is the action and the resource of a request, as AWS's lists of actions
// ("Service Authorization Reference") have them.
func asked(service string, r *http.Request, body []byte) (*ask, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var doc struct {
		TableName, QueueUrl string
		DeploymentID        string `json:"deploymentId"`
	}
	switch service {
	case "dynamodb":
		if err := json.Unmarshal(body, &doc); err != nil {
			return nil, err
		}
		return &ask{"dynamodb:" + operation, "arn:aws:dynamodb:eu-west-1:" + account + ":table/" + doc.TableName, nil}, nil
	case "sqs":
		if err := json.Unmarshal(body, &doc); err != nil {
			return nil, err
		}
		return &ask{"sqs:" + strings.TrimSuffix(operation, "Batch"), queueARN(doc.QueueUrl), nil}, nil
	case "s3":
		return askedS3(r)
	case "codedeploy": // the deployments here have their groups for ids
		if err := json.Unmarshal(body, &doc); err != nil {
			return nil, err
		}
		return &ask{"codedeploy:" + operation, "arn:aws:codedeploy:eu-west-1:" + account + ":deploymentgroup:" + doc.DeploymentID, nil}, nil
	case "lambda":
		name, of := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
		name, invoked := strings.CutSuffix(name, "/invocations")
		if of && invoked && r.Method == http.MethodPost {
			return &ask{"lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:" + account + ":function:" + name + ":" + r.URL.Query().Get("Qualifier"), nil}, nil
		}
	}
	return nil, fmt.Errorf("want a known request, got %s %s of %q", r.Method, r.URL, service)
}

func askedS3(r *http.Request) (*ask, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	a := &ask{resource: "arn:aws:s3:::" + bucket, context: map[string]string{}}
	if key == "" {
		a.action = "s3:ListBucket"
		if q.Has("prefix") {
			a.context["s3:prefix"] = q.Get("prefix")
		}
		if r.Method == http.MethodHead || r.Method == http.MethodGet && q.Get("list-type") == "2" {
			return a, nil
		}
		return nil, fmt.Errorf("want a bucket asked for its keys, got %s %s", r.Method, r.URL)
	}
	a.resource += "/" + key
	switch {
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && q.Has("versionId"):
		a.action = "s3:GetObjectVersion"
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		a.action = "s3:GetObject"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		a.action = "s3:AbortMultipartUpload"
	case r.Method == http.MethodDelete:
		a.action = "s3:DeleteObject"
	case r.Method == http.MethodPut, r.Method == http.MethodPost && (q.Has("uploads") || q.Has("uploadId")):
		a.action = "s3:PutObject"
	default:
		return nil, fmt.Errorf("want a known request of S3, got %s %s", r.Method, r.URL)
	}
	return a, nil
}

// client makes requests with a role, through the proxy, or past it with none.
type client struct{ root, key string }

func (c *client) do(ctx context.Context, method, service, path string, body []byte, out any, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, method, c.root+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key+"/20260101/eu-west-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return exchange(http.DefaultTransport, req, out)
}

// json calls one of AWS's services that speak JSON.
func (c *client) json(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	version := "1.0"
	if service == "ssm" {
		version = "1.1"
	}
	return c.do(ctx, http.MethodPost, service, "/", body, out, "Content-Type: application/x-amz-json-"+version, "X-Amz-Target: "+target)
}

// query calls one of those that speak forms and XML.
func (c *client) query(ctx context.Context, service, version, action string, form url.Values, out any) error {
	form.Set("Action", action)
	form.Set("Version", version)
	return c.do(ctx, http.MethodPost, service, "/", []byte(form.Encode()), out, "Content-Type: application/x-www-form-urlencoded; charset=utf-8")
}
