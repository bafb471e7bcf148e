package emulate

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The platform's limits ("Custom inference code with hosting services").
const (
	sageMakerBody    = 6 << 20 // of requests and of answers
	sageMakerTimeout = 60 * time.Second
	sageMakerPing    = 2 * time.Second
	sageMakerConnect = 250 * time.Millisecond
	sageMakerStart   = 8 * time.Minute // ContainerStartupHealthCheckTimeoutInSeconds
)

// sageMakerBinary is Triton's content type here.
const sageMakerBinary = "application/vnd.sagemaker-triton.binary+json"

// sageMaker plays a real-time endpoint to a container: one route, and of a
// caller's headers those that InvokeEndpoint has parameters for.
type sageMaker struct {
	mlFront
	binary bool
}

// newSageMaker has two kinds of callers: "json" sends the protocol's JSON only,
// and "binary" has Triton's content type for bodies with binary tensors.
func newSageMaker(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, false)
	if err != nil {
		return nil, err
	}
	c.probe, c.silent, c.timeout, c.wait, c.maxBody = "/ping", true, sageMakerTimeout, 30*time.Second, sageMakerBody
	c.client.DialContext = (&net.Dialer{Timeout: sageMakerConnect}).DialContext
	c.vars = []string{"SAGEMAKER_BIND_TO_PORT=" + strconv.Itoa(c.port), "SAGEMAKER_SAFE_PORT_RANGE=" + strconv.Itoa(c.port) + "-" + strconv.Itoa(c.port)}
	return &sageMaker{mlFront{c, sageMakerPing, sageMakerBody, sageMakerBinary}, variant == "binary"}, nil
}

// roundTrip is a caller who asks by InvokeEndpoint: the model goes into the
// custom attributes, the request's id into InferenceId, and the length of a
// body's JSON into its content type.
func (s *sageMaker) roundTrip(req *http.Request) (*http.Response, error) {
	model, version, ok := inferRoute(req)
	if !ok {
		return ownAnswer(req, http.StatusNotFound, "no such operation"), nil
	}
	out := s.request(req, "/invocations", s.binary, "Content-Type", "Accept")
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
	if id := req.Header.Get("X-Request-Id"); id != "" && len(id) <= 64 {
		out.Header.Set("X-Amzn-SageMaker-Inference-Id", id)
	}
	// A caller gets 424 with the container's status and body as OriginalStatusCode
	// and OriginalMessage; its library makes of these what is returned here.
	return s.back(req, out, nil)
}
