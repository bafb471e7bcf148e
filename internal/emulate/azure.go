package emulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// azure plays the Functions host to a custom handler. It is derived from the
// host's source (src/WebJobs.Script/Workers/Http and Binding/Http of
// Azure/azure-functions-host), as the host itself cannot be had offline; what
// it does with replies is what that code does, documented or not.
type azure struct {
	*container
	app     *azureApp
	variant string
	made    string // the app's folder, if it is ours to remove
}

// The platform's numbers: the host's source, and for the front end Microsoft's
// page on limits.
const (
	azurePolling     = 25 * time.Millisecond
	azureFrontEnd    = 230 * time.Second
	azureMaxRequest  = 100 << 20
	azureTimeout     = 30 * time.Minute
	azureHostVersion = "4.1037.1.1"
)

// newAzure takes the app from the folder that the user's variables name in
// FUNCTIONS_APP_ROOT_PATH, else one with a function for each trigger. The
// variants are what host.json may ask for: requests proxied, forwarded (the older
// way), or in the envelope that deliveries have in any case.
func newAzure(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, false)
	if err != nil {
		return nil, err
	}
	a := &azure{container: c, variant: variant}
	root := lookup(o.Env, "FUNCTIONS_APP_ROOT_PATH")
	if root == "" {
		if root, err = os.MkdirTemp("", "functions-app-"); err != nil {
			return nil, fault.New(fault.Internal, "emulate.Start", "", "%w", err)
		}
		a.made = root
		timeout := azureTimeout
		if o.Timeout > 0 {
			timeout = o.Timeout
		}
		err = writeAzureApp(root, variant, timeout)
	}
	if err == nil {
		a.app, err = readAzureApp(root)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	port := strconv.Itoa(c.port)
	c.vars = []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port, "FUNCTIONS_HTTPWORKER_PORT=" + port,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID=" + azureGUID(), "FUNCTIONS_HTTPWORKER_ID=" + azureGUID(),
		"FUNCTIONS_APP_ROOT_PATH=" + root, "FUNCTIONS_WORKER_RUNTIME=custom", "FUNCTIONS_EXTENSION_VERSION=~4",
		"WEBSITE_SITE_NAME=function", "AzureWebJobsScriptRoot=" + root,
	}
	c.timeout, c.wait = azureFrontEnd, 10*time.Second
	c.front = a.frontEnd
	return a, nil
}

func (a *azure) env() []string { return a.vars }

// close ends what is the platform's own.
func (a *azure) close() {
	a.container.close()
	if a.made != "" {
		_ = os.RemoveAll(a.made)
	}
}

// ready takes any answer for a server that is there.
func (a *azure) ready(ctx context.Context) error {
	tick := time.NewTicker(azurePolling)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address()+"/", nil)
		if err != nil {
			return err
		}
		resp, err := a.client.RoundTrip(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// roundTrip carries a caller's request to the app's HTTP function.
func (a *azure) roundTrip(req *http.Request) (*http.Response, error) {
	if req.ContentLength > azureMaxRequest {
		return azureAnswer(req, http.StatusRequestEntityTooLarge, nil, nil), nil
	}
	name, f := a.app.http()
	if f == nil {
		return azureAnswer(req, http.StatusNotFound, nil, nil), nil
	}
	out := req.Clone(req.Context())
	if p := a.app.prefix; p != "" {
		out.URL.Path = "/" + p + out.URL.Path
		if out.URL.RawPath != "" {
			out.URL.RawPath = "/" + p + out.URL.RawPath
		}
	}
	if a.variant != "envelope" {
		return a.container.roundTrip(out)
	}
	envelope, err := azureRequest(out, f.trigger.Name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), a.limit())
	defer cancel()
	got, err := a.post(ctx, name, envelope)
	if err != nil && ctx.Err() != nil && req.Context().Err() == nil {
		return ownAnswer(req, http.StatusGatewayTimeout, "the function took too long"), nil
	}
	if err != nil {
		return nil, err
	}
	result, err := got.result()
	if err != nil {
		if fault.CodeOf(err) == fault.DeadlineExceeded {
			return nil, err
		}
		return azureAnswer(req, http.StatusInternalServerError, nil, nil), nil // what callers see of any failure
	}
	return result.http(req, f.out), nil
}

// frontEnd changes a request that is passed on: in place for the proxy, and as
// the older code builds it anew.
func (a *azure) frontEnd(out *http.Request) {
	id := azureGUID()
	out.Header.Set("X-Forwarded-For", "192.0.2.1")
	out.Header.Set("X-Forwarded-Proto", "https")
	out.Header.Set("X-ARR-LOG-ID", azureGUID())
	if a.variant == "proxied" {
		out.Header.Set("X-Azure-Functions-InvocationId", id)
		out.Header.Set("X-Azure-Functions-HostVersion", azureHostVersion)
		out.Header.Set("x-ms-invocation-id", id)
		return
	}
	out.Header.Add("X-Azure-Functions-InvocationId", id)
	out.Header.Add("X-Azure-Functions-HostVersion", azureHostVersion)
	out.Header.Set("User-Agent", strings.TrimSpace(out.Header.Get("User-Agent")+" Azure-Functions-Host/"+azureHostVersion))
	// .NET keeps these with the content, where the host puts the type alone.
	for _, name := range []string{"Allow", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Content-MD5", "Content-Range", "Expires", "Last-Modified"} {
		out.Header.Del(name)
	}
	query := out.URL.Query()
	for name, values := range query { // a dictionary of strings
		query[name] = []string{strings.Join(values, ",")}
	}
	out.URL.RawQuery = query.Encode()
	if out.ContentLength <= 0 {
		out.Body, out.ContentLength = nil, 0
		out.Header.Del("Content-Type")
	}
}

// azureReply is a handler's answer to an envelope.
type azureReply struct {
	status int
	header http.Header
	body   []byte
}

// post sends an envelope, in chunks as .NET does where it serializes to a stream.
func (a *azure) post(ctx context.Context, function string, envelope []byte) (*azureReply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.address()+"/"+function, io.NopCloser(bytes.NewReader(envelope)))
	if err != nil {
		return nil, fault.New(fault.Usage, "emulate.Deliver", function, "%w", err)
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("X-Azure-Functions-HostVersion", azureHostVersion)
	req.Header.Set("X-Azure-Functions-InvocationId", azureGUID())
	req.Header.Set("User-Agent", "Azure-Functions-Host/"+azureHostVersion)
	begun := time.Now()
	resp, err := a.client.RoundTrip(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "emulate.Deliver", function, "%w", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "emulate.Deliver", function, "%w", err)
	}
	traced(a.opts, begun, envelope, got)
	return &azureReply{resp.StatusCode, resp.Header, got}, nil
}

// azureResult is what the host reads of a reply.
type azureResult struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// result reads a reply as the host does. Errors: DeadlineExceeded where the host
// would wait for the function's timeout, Invalid for a failed invocation.
func (r *azureReply) result() (*azureResult, error) {
	if r.status < 200 || r.status > 299 {
		return nil, fault.New(fault.Invalid, "emulate.Deliver", "", "want a status of 2xx, got %d: %s", r.status, bytes.TrimSpace(r.body))
	}
	if body := bytes.TrimSpace(r.body); len(body) == 0 || string(body) == "null" {
		return nil, fault.New(fault.DeadlineExceeded, "emulate.Deliver", "", "the host waits for the function's timeout, as the reply with status %d is empty", r.status)
	}
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || media != "application/json" && media != "text/json" {
		return nil, fault.New(fault.Invalid, "emulate.Deliver", "Content-Type", "the host has no formatter for %q", r.header.Get("Content-Type"))
	}
	result := new(azureResult)
	if err := json.Unmarshal(r.body, result); err != nil {
		return nil, fault.New(fault.Invalid, "emulate.Deliver", "", "want a reply with Outputs, Logs and ReturnValue: %w", err)
	}
	return result, nil
}

// deliver posts the envelope that d holds.
func (a *azure) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	name := d.Function
	if name == "" {
		name = a.app.first()
	}
	if _, ok := a.app.functions[name]; !ok {
		return nil, fault.New(fault.Usage, "emulate.Deliver", fmt.Sprintf("function %q", name), "want one of %s", strings.Join(a.app.names(), ", "))
	}
	timed, cancel := context.WithTimeout(ctx, a.app.timeout)
	defer cancel()
	got, err := a.post(timed, name, d.Body)
	if err != nil && timed.Err() != nil && ctx.Err() == nil { // and starts the process anew
		return &Reply{Status: http.StatusGatewayTimeout, Retry: true}, nil
	}
	if err != nil {
		return nil, err
	}
	_, failed := got.result()
	if fault.CodeOf(failed) == fault.DeadlineExceeded {
		return nil, failed
	}
	return &Reply{Status: got.status, Header: got.header, Body: got.body, Retry: failed != nil}, nil
}
