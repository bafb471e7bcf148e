package emulate

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// mlFront is what SageMaker and Vertex AI have in common in front of a container:
// a health route with a time of its own, one route for requests, and of their
// headers and of answers' nearly none.
type mlFront struct {
	*container
	health time.Duration // for an answer of the health route
	most   int           // bytes of an answer
	tensor string        // Triton's content type there for bodies with binary tensors
}

func (f *mlFront) env() []string { return f.vars }

// ready asks for health until an answer comes within its time.
func (f *mlFront) ready(ctx context.Context) error {
	health := *f.container
	health.client = f.client.Clone()
	health.client.ResponseHeaderTimeout = f.health
	defer health.client.CloseIdleConnections()
	return health.ready(ctx)
}

// request is req for the one route, with those of its headers that are named;
// with binary, the length of a body's JSON goes into the content type.
func (f *mlFront) request(req *http.Request, route string, binary bool, headers ...string) *http.Request {
	out := req.Clone(req.Context())
	out.URL.Path, out.URL.RawPath, out.URL.RawQuery = route, "", ""
	out.Header = http.Header{}
	for _, name := range headers {
		if v := req.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	if n := req.Header.Values("Inference-Header-Content-Length"); len(n) == 1 && binary {
		out.Header.Set("Content-Type", f.tensor+";json-header-size="+n[0])
	}
	return out
}

// back sends out, and lets of the answer's headers only the content type through,
// which the caller's library takes apart. translate, if not nil, is what the
// caller makes of the body.
func (f *mlFront) back(req, out *http.Request, translate func([]byte) ([]byte, error)) (*http.Response, error) {
	resp, err := f.container.roundTrip(out)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if len(body) > f.most {
		return ownAnswer(req, http.StatusRequestEntityTooLarge, "the answer is too large for the platform"), nil
	}
	kept := http.Header{}
	given := resp.Header.Get("Content-Type")
	if given != "" {
		kept.Set("Content-Type", given)
	}
	if n, ok := strings.CutPrefix(given, f.tensor+";json-header-size="); ok {
		kept.Set("Content-Type", "application/octet-stream")
		kept.Set("Inference-Header-Content-Length", n)
	}
	if translate != nil && resp.StatusCode == http.StatusOK {
		if body, err = translate(body); err != nil {
			return nil, err
		}
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
