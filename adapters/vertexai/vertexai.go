package vertexai

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// What the platform grants ("Custom container requirements for inference",
// "Get online inferences").
const (
	// SharedBody and DedicatedBody bound a request and an answer of a shared
	// and a dedicated public endpoint.
	SharedBody    = 1_500_000
	DedicatedBody = 10_000_000
	// Timeout is what a request has, unless a dedicated endpoint says otherwise.
	Timeout = 60 * time.Second
	// HealthTimeout is what an answer to the health route has.
	HealthTimeout = 10 * time.Second
)

// BinaryType is the content type of bodies with binary tensors, without its
// parameter json-header-size.
const BinaryType = "application/vnd.vertex-ai-triton.binary+json"

// redirectHeader holds the path of the protocol that a raw request is for.
const redirectHeader = "X-Vertex-Ai-Triton-Redirect"

// Options of New; nil means defaults.
type Options struct {
	// Health and Predict are the routes of the container's specification;
	// defaults /health and /predict.
	Health, Predict string
	// Model is what requests are for that name none; "" if there are several.
	Model string
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Health == "" {
		d.Health = "/health"
	}
	if d.Predict == "" {
		d.Predict = "/predict"
	}
	return d
}

// Routes are the options that the container's environment says.
func Routes(getenv func(string) string) *Options {
	return &Options{Health: getenv("AIP_HEALTH_ROUTE"), Predict: getenv("AIP_PREDICT_ROUTE")}
}

// Address is where the container listens: $AIP_HTTP_PORT, on all addresses.
func Address(getenv func(string) string) string {
	if port := getenv("AIP_HTTP_PORT"); port != "" {
		return net.JoinHostPort("", port)
	}
	return ":8080"
}

// Here reports whether the process runs in a container of Vertex AI.
func Here(getenv func(string) string) bool {
	return getenv("AIP_HTTP_PORT") != "" || getenv("AIP_PREDICT_ROUTE") != ""
}

// NoFunction is the error for a container without a function: err, unless it was
// meant to come from where Vertex AI keeps the model's artifacts.
func NoFunction(getenv func(string) string, err error) error {
	if uri := getenv("AIP_STORAGE_URI"); uri != "" {
		return fault.New(fault.Unsupported, "vertexai.Start", "AIP_STORAGE_URI", "want a function in the image, got only %q, which is not fetched: %w", uri, err).
			WithHint("Put the function folder into the image, and upload the model without artifactUri.")
	}
	return err
}

// Limits sets what the platform's contract says of a server's life. How long a
// container has after SIGTERM is not documented; 10 s are assumed. gRPC has the
// same port: only an endpoint whose container names grpcPorts sends any.
func Limits(o *httpserve.Options) {
	o.Drain = min(max(o.Drain, time.Second), 9*time.Second)
}

type handler struct {
	api  *oip.Server
	opts Options
}

// New is the container's handler.
func New(api *oip.Server, opts *Options) http.Handler { return &handler{api, opts.withDefaults()} }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == h.opts.Predict && (path != h.opts.Health || r.Method == http.MethodPost): // one path may be for both
		h.predict(w, r)
	case path == h.opts.Health:
		h.api.ServeHTTP(w, oip.Forward(r, "/v2/health/ready"))
	default:
		h.api.ServeHTTP(w, r)
	}
}

// predict answers what arrives on the predict route.
func (h *handler) predict(w http.ResponseWriter, r *http.Request) {
	raw, binary := oip.LengthInType(BinaryType).Request(r)
	path := strings.TrimPrefix(r.Header.Get(redirectHeader), "/")
	switch {
	case path != "" && !strings.HasPrefix(path, "v2/"):
		h.api.Refuse(w, r, fault.New(fault.Invalid, "vertexai.Predict", redirectHeader, "want a path such as v2/models/NAME/infer, got %q", path))
	case path != "":
		if _, err := url.PathUnescape(path); err != nil {
			h.api.Refuse(w, r, fault.New(fault.Invalid, "vertexai.Predict", redirectHeader, "%w", err))
			return
		}
		other := oip.Forward(raw, "/"+path)
		if other.Method == http.MethodPost && !strings.HasSuffix(path, "/infer") && !strings.HasPrefix(path, "v2/repository/") {
			other.Method, other.Body, other.ContentLength = http.MethodGet, http.NoBody, 0 // rawPredict has no GET
		}
		h.api.ServeHTTP(oip.LengthInType(BinaryType).Writer(w), other)
	case binary && h.opts.Model == "":
		h.api.Refuse(w, r, fault.New(fault.Invalid, "vertexai.Predict", "model", "want the name of one of several models, got none").
			WithHint("Send the header %s: v2/models/NAME/infer.", redirectHeader))
	case binary:
		h.api.ServeHTTP(oip.LengthInType(BinaryType).Writer(w), oip.Forward(raw, oip.InferPath(h.opts.Model, "")))
	default:
		h.json(w, r)
	}
}

// json answers a body of JSON: a predict request, or one of the protocol.
func (h *handler) json(w http.ResponseWriter, r *http.Request) {
	// Vertex AI sends application/json; what says that it is something else is.
	if name, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); name != "" && !strings.EqualFold(strings.TrimSpace(name), "application/json") {
		h.api.Refuse(w, r, fault.New(fault.UnsupportedMedia, "vertexai.Predict", "Content-Type", "want application/json or %s, got %q", BinaryType, name))
		return
	}
	o := h.api.Options()
	encode := &codec.EncodeOptions{NaN: o.NaN, Limits: o.Limits}
	var predict bool
	h.api.InferAs(w, r, &oip.Form{
		Decode: func(body []byte) (*infer.Request, error) {
			model, version := h.opts.Model, ""
			req, isPredict, err := codec.DecodeInstances(body, func(params infer.Params) (_ *driver.Signature, err error) {
				if model, err = take(params, "model", model); err != nil {
					return nil, err
				}
				if version, err = take(params, "version", ""); err != nil {
					return nil, err
				}
				return h.api.Signature(model, version)
			}, o.Limits)
			if err != nil {
				return nil, err
			}
			predict = isPredict
			req.Model, req.Version = model, version
			if model == "" {
				return nil, fault.New(fault.Invalid, "vertexai.Predict", "model", "want the name of one of several models, got none").
					WithHint("Send the header %s: v2/models/NAME/infer.", redirectHeader)
			}
			return req, nil
		},
		Encode: func(dst []byte, req *infer.Request, resp *infer.Response) (body []byte, contentType string, err error) {
			if predict {
				body, err = codec.EncodePredictions(dst, req, resp, encode)
				return body, "application/json", err
			}
			body, length, err := codec.EncodeResponse(dst, req, resp, encode)
			if length >= 0 { // the request has asked for binary tensors
				return body, BinaryType + ";json-header-size=" + strconv.Itoa(length), err
			}
			return body, "application/json", err
		},
	})
}

// take takes a text out of params.
func take(params infer.Params, name, or string) (string, error) {
	v, ok := params[name]
	if !ok {
		return or, nil
	}
	text, ok := v.(string)
	if !ok {
		return "", fault.New(fault.Invalid, "vertexai.Predict", `parameter "`+name+`"`, "want a text, got %v", v)
	}
	delete(params, name)
	return text, nil
}
