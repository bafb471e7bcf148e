package fetch

import (
	"context"
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

func (f *Fetcher) store(ctx context.Context, at *location) (store, error) {
	switch at.Scheme {
	case "https":
		return &plain{url: at.URL, http: &http.Client{Transport: f.base, CheckRedirect: follow}}, nil
	}
	return nil, fault.New(fault.Unsupported, "fetch.Get", at.shown, "models cannot be fetched from %s:// here", at.Scheme).
		WithHint("godwit package puts the model into the package.")
}

// plain is an object behind a URL that needs nothing else.
type plain struct {
	url  *url.URL
	http *http.Client
}

func (p *plain) request(ctx context.Context) (*http.Request, error) {
	return newRequest(ctx, p.url)
}

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
