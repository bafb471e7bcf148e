package fetch

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"godwit.dev/runtime/fault"
)

// gcs is an object in Google Cloud Storage, by its XML API.
type gcs struct {
	bucket, key string
	token       string // "" asks as anybody
	getenv      func(string) string
	http        *http.Client
	credentials
}

func newGCS(at *location, getenv func(string) string, c *http.Client) *gcs {
	return &gcs{bucket: at.Host, key: strings.TrimPrefix(at.Path, "/"), token: getenv("GOOGLE_OAUTH_ACCESS_TOKEN"), getenv: getenv, http: c}
}

func (g *gcs) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse("https://storage.googleapis.com/" + g.bucket + "/" + escape(g.key))
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fetch.Get", g.bucket, "want a key that can be asked for")
	}
	req, err := newRequest(ctx, u)
	if err == nil && g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	return req, err
}

func (g *gcs) refused(ctx context.Context, resp *http.Response) (bool, error) {
	if g.token != "" || !g.first(resp) {
		return false, nil
	}
	token, err := gcpToken(ctx, g.getenv)
	if err != nil || token == "" {
		return false, nil // not on Google's platforms: the refusal stands
	}
	g.token = token
	return true, nil
}

func (g *gcs) client() *http.Client { return g.http }
func (g *gcs) hint() string {
	return "The service account needs storage.objects.get. On a laptop: export GOOGLE_OAUTH_ACCESS_TOKEN=$(gcloud auth print-access-token)."
}
