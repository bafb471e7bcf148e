package sagemaker

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// What the platform grants ("Custom inference code with hosting services",
// "Invoke a serverless endpoint").
const (
	// MaxBody bounds a request and an answer of a real-time endpoint; a
	// serverless one has 4 MB.
	MaxBody = 6 << 20
	// Timeout is what a request has.
	Timeout = 60 * time.Second
	// PingTimeout is what an answer to GET /ping has.
	PingTimeout = 2 * time.Second
)

// BinaryType is the content type of bodies with binary tensors, without its
// parameter json-header-size.
const BinaryType = "application/vnd.sagemaker-triton.binary+json"

// ModelFolder is where SageMaker puts what is in the model's archive.
const ModelFolder = "/opt/ml/model"

// The headers that InvokeEndpoint lets through and that say something here.
const (
	attributesHeader = "X-Amzn-Sagemaker-Custom-Attributes"
	targetHeader     = "X-Amzn-Sagemaker-Target-Model"
	inferenceHeader  = "X-Amzn-Sagemaker-Inference-Id" // what the caller calls the request
)

// Options of New; nil means defaults.
type Options struct {
	// Model is what requests are for that name none; "" if there are several.
	Model string
	// Transforms is how many requests of a batch transform job come at once, and
	// Payload how many bytes one has, unless the job says otherwise; defaults 1
	// and MaxBody.
	Transforms int
	Payload    int64
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	d.Transforms = max(d.Transforms, 1)
	if d.Payload <= 0 {
		d.Payload = MaxBody
	}
	return d
}

type handler struct {
	api    *oip.Server
	events trigger.Handler
	opts   Options
}

// New is the container's handler. Everything but SageMaker's own routes is
// api's to answer, as it is. events gets the lines of bodies in JSON Lines, each
// a request of the protocol; nil refuses such bodies.
func New(api *oip.Server, events trigger.Handler, opts *Options) http.Handler {
	return &handler{api, events, opts.withDefaults()}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id := r.Header[inferenceHeader]; len(id) == 1 && r.Header["X-Request-Id"] == nil {
		named := *r
		named.Header = r.Header.Clone()
		named.Header["X-Request-Id"] = id
		r = &named
	}
	switch path := r.URL.Path; {
	case path == "/invocations":
		model, version, err := h.named(r)
		h.invoke(w, r, model, version, err)
	case path == "/ping":
		h.api.Serve(w, r, "", http.MethodGet, h.ping)
	case path == "/execution-parameters":
		h.api.Serve(w, r, oip.ScopeMetadata, http.MethodGet, h.executionParameters)
	case path == "/models" || strings.HasPrefix(path, "/models/"):
		h.models(w, r)
	default:
		h.api.ServeHTTP(w, r)
	}
}

// ping says 200 with nothing when the function may get requests.
func (h *handler) ping(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, _ *http.Request) error {
	if err := h.api.Ready(); err != nil {
		return err
	}
	w.Header()["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
	return nil
}

// named is the model that a request on /invocations is for.
func (h *handler) named(r *http.Request) (model, version string, err error) {
	attributes := r.Header.Get(attributesHeader)
	query, bad := url.ParseQuery(attributes)
	switch ours := query.Has("model") || query.Has("version"); {
	case bad != nil && (ours || strings.Contains(attributes, "model=") || strings.Contains(attributes, "version=")),
		len(query["model"]) > 1, len(query["version"]) > 1:
		return "", "", fault.New(fault.Invalid, "sagemaker.Invoke", attributesHeader, "want model=NAME&version=V, each once and encoded as in a URL, got %q", attributes)
	case ours:
		model, version = query.Get("model"), query.Get("version")
	}
	target := r.Header.Get(targetHeader)
	if target != "" && query.Has("model") && target != model {
		return "", "", fault.New(fault.Invalid, "sagemaker.Invoke", targetHeader, "want one model, got %q, and %q in the custom attributes", target, model)
	}
	if target != "" {
		model = target
	}
	if model == "" && !query.Has("model") {
		model = h.opts.Model
	}
	if model == "" {
		err = fault.New(fault.Invalid, "sagemaker.Invoke", "model", "want the name of one of several models, got none").
			WithHint("Send CustomAttributes model=NAME, or TargetModel.")
	}
	return model, version, err
}

// invoke answers a request for a model in the form that its content type says.
func (h *handler) invoke(w http.ResponseWriter, r *http.Request, model, version string, err error) {
	switch given := typeOf(r.Header.Get("Content-Type")); {
	case err != nil, r.Method != http.MethodPost:
		h.api.Refuse(w, r, err)
	case given == csvType:
		h.api.InferAs(w, r, csvForm(h.api, r.Header, model, version))
	case given == linesType && h.events != nil:
		h.lines(w, r, model, version)
	default:
		short, _ := oip.LengthInType(BinaryType).Request(r)
		h.api.ServeHTTP(oip.LengthInType(BinaryType).Writer(w), oip.Forward(short, oip.InferPath(model, version)))
	}
}

// Address is where the container listens: the port that SageMaker binds it to,
// else 8080, on all addresses.
func Address(getenv func(string) string) string {
	if port := getenv("SAGEMAKER_BIND_TO_PORT"); port != "" {
		return net.JoinHostPort("", port)
	}
	return ":8080"
}

// Here reports whether the process runs in a container of SageMaker.
func Here(getenv func(string) string) bool {
	for _, name := range []string{"SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE", "SAGEMAKER_BATCH", "SAGEMAKER_MULTI_MODEL"} {
		if getenv(name) != "" {
			return true
		}
	}
	return false
}

// Limits sets what the platform's contract says of a server's life: a container
// has 30 s after SIGTERM.
func Limits(o *httpserve.Options) {
	o.NoGRPC = true
	o.Drain = min(max(o.Drain, time.Second), 29*time.Second)
}
