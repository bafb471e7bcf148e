package emulate

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// azureML plays a managed online endpoint to a container of one's own: three
// routes and their port as the environment's inference_config names them, one
// request at a time unless the deployment says otherwise, 5 s for each, 10 MB.
type azureML struct {
	*container
	variant string
}

// The routes of the environment that is played.
const (
	azureMLLiveness  = "/v2/health/live"
	azureMLReadiness = "/v2/health/ready"
	azureMLScoring   = "/score"
)

// newAzureML has the forms that a scoring route can have: "score" is one path
// for all requests, and "protocol" is the path "/", below which everything is
// passed on.
func newAzureML(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, false)
	if err != nil {
		return nil, err
	}
	a := &azureML{c, variant}
	c.probe, c.timeout, c.wait, c.front = azureMLReadiness, 5*time.Second, 30*time.Second, a.proxy
	c.maxBody, c.queue = 10<<20, 500*time.Millisecond // max_queue_wait_ms
	c.slots = make(chan struct{}, max(o.Concurrency, 1))
	// The deployment's own variables: the port that inference_config names.
	c.vars = []string{"PORT=" + strconv.Itoa(c.port)}
	if lookup(o.Env, "AZUREML_MODEL_DIR") == "" {
		c.vars = append(c.vars, "AZUREML_MODEL_DIR=/var/azureml-app/azureml-models/function/1")
	}
	return a, nil
}

func (a *azureML) env() []string { return a.vars }

// ready asks whether it is alive too, as the platform does from then on.
func (a *azureML) ready(ctx context.Context) error {
	if err := a.container.ready(ctx); err != nil {
		return err
	}
	alive := *a.container
	alive.probe = azureMLLiveness
	return alive.ask(ctx)
}

// roundTrip lets callers reach the scoring route and nothing beside it.
func (a *azureML) roundTrip(req *http.Request) (*http.Response, error) {
	if a.variant == "protocol" {
		return a.container.roundTrip(req)
	}
	rest, ok := strings.CutPrefix(req.URL.EscapedPath(), "/v2/models/")
	rest, infer := strings.CutSuffix(rest, "/infer")
	if !ok || !infer || req.Method != http.MethodPost {
		return ownAnswer(req, http.StatusNotFound, "no such route"), nil
	}
	model, version, _ := strings.Cut(rest, "/versions/")
	query := req.URL.Query()
	for name, escaped := range map[string]string{"model": model, "version": version} {
		if value, err := url.PathUnescape(escaped); err == nil && value != "" {
			query.Set(name, value)
		}
	}
	out := req.Clone(req.Context())
	out.URL.Path, out.URL.RawPath, out.URL.RawQuery = azureMLScoring, "", query.Encode()
	return a.container.roundTrip(out)
}

// proxy is what the endpoint's proxy changes. The deployment's name is its own
// to read, and it checks the key.
func (a *azureML) proxy(out *http.Request) {
	out.Header.Del("azureml-model-deployment")
	out.Header.Set("X-Forwarded-For", "192.0.2.1")
	out.Header.Set("X-Forwarded-Proto", "https")
	out.Header.Set("X-Ms-Request-Id", azureGUID())
}

func (a *azureML) deliver(context.Context, *Delivery) (*Reply, error) {
	return nil, fault.New(fault.Unsupported, "emulate.Deliver", "azureml", "an online endpoint has no events")
}
