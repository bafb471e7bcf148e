package emulate

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// The platform's limits ("Custom inference code with hosting services").
const (
	sageMakerBody    = 6 << 20 // of requests and of answers
	sageMakerTimeout = 60 * time.Second
	sageMakerPing    = 2 * time.Second
	sageMakerConnect = 250 * time.Millisecond
	sageMakerStart   = 8 * time.Minute // ContainerStartupHealthCheckTimeoutInSeconds
)

// sageMaker plays a real-time endpoint to a container: one route, and of a
// caller's headers those that InvokeEndpoint has parameters for.
type sageMaker struct {
	*container
	binary bool
}

// newSageMaker has two kinds of callers: "json" sends the protocol's JSON only,
// and "binary" has Triton's content type for bodies with binary tensors.
func newSageMaker(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, false)
	if err != nil {
		return nil, err
	}
	c.probe, c.timeout, c.wait, c.maxBody = "/ping", sageMakerTimeout, 30*time.Second, sageMakerBody
	c.client.DialContext = (&net.Dialer{Timeout: sageMakerConnect}).DialContext
	c.vars = []string{"SAGEMAKER_BIND_TO_PORT=" + strconv.Itoa(c.port), "SAGEMAKER_SAFE_PORT_RANGE=" + strconv.Itoa(c.port) + "-" + strconv.Itoa(c.port)}
	return &sageMaker{c, variant == "binary"}, nil
}

func (s *sageMaker) env() []string { return s.vars }

// ready pings until a ping is answered within its time, with nothing.
func (s *sageMaker) ready(ctx context.Context) error {
	ping := *s.container
	ping.client = s.client.Clone()
	ping.client.ResponseHeaderTimeout = sageMakerPing
	defer ping.client.CloseIdleConnections()
	return ping.ready(ctx)
}

// sageMakerBinary is Triton's content type here.
const sageMakerBinary = "application/vnd.sagemaker-triton.binary+json"

// roundTrip is a caller who asks by InvokeEndpoint: the model goes into the
// custom attributes, and the length of a body's JSON into its content type.
func (s *sageMaker) roundTrip(req *http.Request) (*http.Response, error) {
	model, version, ok := inferRoute(req)
	if !ok {
		return ownAnswer(req, http.StatusNotFound, "no such operation"), nil
	}
	out := req.Clone(req.Context())
	out.URL.Path, out.URL.RawPath, out.URL.RawQuery = "/invocations", "", ""
	out.Header = http.Header{}
	for _, name := range []string{"Content-Type", "Accept"} {
		if v := req.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	if n := req.Header.Values("Inference-Header-Content-Length"); len(n) == 1 && s.binary {
		out.Header.Set("Content-Type", sageMakerBinary+";json-header-size="+n[0])
	}
	attributes := url.Values{}
	if model != "" {
		attributes.Set("model", model)
	}
	if version != "" {
		attributes.Set("version", version)
	}
	if text := attributes.Encode(); len(text) <= 1024 { // of ASCII, says InvokeEndpoint
		out.Header.Set("X-Amzn-SageMaker-Custom-Attributes", text)
	} else {
		return ownAnswer(req, http.StatusBadRequest, "CustomAttributes: at most 1024 characters"), nil
	}
	resp, err := s.container.roundTrip(out)
	if err != nil {
		return nil, err
	}
	// A caller gets 424 with the container's status and body as OriginalStatusCode
	// and OriginalMessage; its library makes of these what is returned here.
	return s.back(req, resp)
}

// back is what of an answer gets back to the caller.
func (s *sageMaker) back(req *http.Request, resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > sageMakerBody {
		return ownAnswer(req, http.StatusRequestEntityTooLarge, "the answer is too large for the platform"), nil
	}
	kept := http.Header{}
	given := resp.Header.Get("Content-Type")
	if given != "" {
		kept.Set("Content-Type", given)
	}
	if n, ok := strings.CutPrefix(given, sageMakerBinary+";json-header-size="); ok {
		kept.Set("Content-Type", "application/octet-stream")
		kept.Set("Inference-Header-Content-Length", n)
	}
	resp.Header, resp.Body, resp.ContentLength = kept, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// inferRoute takes the path of an inference request apart.
func inferRoute(req *http.Request) (model, version string, ok bool) {
	rest, ok := strings.CutPrefix(req.URL.EscapedPath(), "/v2/models/")
	rest, infer := strings.CutSuffix(rest, "/infer")
	if !ok || !infer || req.Method != http.MethodPost {
		return "", "", false
	}
	model, version, _ = strings.Cut(rest, "/versions/")
	for _, name := range []*string{&model, &version} {
		plain, err := url.PathUnescape(*name)
		if err != nil {
			return "", "", false
		}
		*name = plain
	}
	return model, version, true
}

func (s *sageMaker) deliver(context.Context, *Delivery) (*Reply, error) {
	return nil, fault.New(fault.Unsupported, "emulate.Deliver", "sagemaker", "an endpoint has no events")
}
