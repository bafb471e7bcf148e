package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"godwit.dev/runtime/fault"
)

// A store makes the requests for one object.
type store interface {
	// request is a GET of the whole object, with the credentials that there are.
	request(ctx context.Context) (*http.Request, error)
	// refused is told of an answer other than the object, and reports whether it
	// makes sense to ask again at once, with credentials or at another place.
	refused(ctx context.Context, resp *http.Response) (bool, error)
	client() *http.Client
	hint() string // what to do about an object that may not be read
}

// store is where at's object with the digest sum is.
func (f *Fetcher) store(at *location, sum string) (store, error) {
	// What is signed for one place is not sent to another.
	stay := &http.Client{Transport: f.base, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	switch at.Scheme {
	case "https":
		return &plain{url: at.URL, http: &http.Client{Transport: f.base, CheckRedirect: follow}}, nil
	case "s3":
		return newS3(at, f.o.Getenv, stay)
	case "gs":
		return newGCS(at, f.o.Getenv, stay), nil
	case "azblob":
		return newAzure(at, f.o.Getenv, stay)
	}
	if f.o.OCI == nil {
		return nil, fault.New(fault.Unsupported, "fetch.Get", at.shown, "models are not fetched from oci:// here").
			WithHint("godwit package puts the model into the package.")
	}
	return &artifact{ref: at.Host + at.Path, sum: sum, find: f.o.OCI, base: f.base}, nil
}

// plain is an object behind a URL that needs nothing else.
type plain struct {
	url  *url.URL
	http *http.Client
}

func (p *plain) request(ctx context.Context) (*http.Request, error)    { return newRequest(ctx, p.url) }
func (p *plain) refused(context.Context, *http.Response) (bool, error) { return false, nil }
func (p *plain) client() *http.Client                                  { return p.http }
func (p *plain) hint() string {
	return "Use a URL that is signed, or a store that knows this machine's identity (s3://, gs://, azblob://)."
}

func newRequest(ctx context.Context, u *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fetch.Get", u.Host, "want a URL that can be asked for")
	}
	return req, nil
}

// artifact is a blob of an artifact in a registry.
type artifact struct {
	ref, sum string
	find     func(ctx context.Context, ref, sum string, over http.RoundTripper) (string, http.RoundTripper, error)
	base     *http.Transport

	blob *url.URL
	http *http.Client
}

func (a *artifact) request(ctx context.Context) (*http.Request, error) {
	if a.blob == nil {
		text, t, err := a.find(ctx, a.ref, a.sum, secure{a.base})
		if err != nil {
			return nil, err
		}
		if a.blob, err = url.Parse(text); err != nil {
			return nil, fault.New(fault.Internal, "fetch.Get", a.ref, "want a blob's URL, got none")
		}
		a.http = &http.Client{Transport: t, CheckRedirect: follow}
	}
	return newRequest(ctx, a.blob)
}

func (a *artifact) refused(context.Context, *http.Response) (bool, error) { return false, nil }
func (a *artifact) client() *http.Client                                  { return a.http }
func (a *artifact) hint() string                                          { return "Log in with podman login or docker login." }

// secure refuses what is not TLS, which libraries of registries try where a host
// looks like one of a test.
type secure struct{ http.RoundTripper }

func (s secure) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("want https://")
	}
	return s.RoundTripper.RoundTrip(r)
}

// credentials that were asked for once. A place that knows this machine's
// identity is not there on every machine, so it is asked only when the object is
// not public.
type credentials struct{ asked bool }

// first reports whether credentials were refused, or wanted, for the first time.
func (c *credentials) first(resp *http.Response) bool {
	if c.asked || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusConflict {
		return false
	}
	c.asked = true
	return true
}
