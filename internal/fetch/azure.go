package fetch

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"godwit.dev/runtime/fault"
)

// azure is a blob in Azure Storage.
type azure struct {
	account, path string // path is CONTAINER/BLOB
	sas           string // a shared access signature, as a query
	token         string // "" asks as anybody
	getenv        func(string) string
	http          *http.Client
	credentials
}

func newAzure(at *location, getenv func(string) string, c *http.Client) (*azure, error) {
	a := &azure{account: at.Host, path: strings.TrimPrefix(at.Path, "/"), getenv: getenv, http: c}
	if text := getenv("AZURE_STORAGE_SAS_TOKEN"); text != "" {
		q, err := url.ParseQuery(strings.TrimPrefix(text, "?"))
		if err != nil || q.Get("sig") == "" {
			return nil, fault.New(fault.BadConfig, "fetch.Get", "AZURE_STORAGE_SAS_TOKEN", "want a shared access signature, got something else")
		}
		a.sas = q.Encode()
	}
	return a, nil
}

func (a *azure) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse("https://" + a.account + ".blob.core.windows.net/" + escape(a.path))
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fetch.Get", a.account, "want a blob that can be asked for")
	}
	u.RawQuery = a.sas
	req, err := newRequest(ctx, u)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Ms-Version", "2021-12-02")
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	return req, nil
}

// refused: Azure says 404 and 409 of what is not public, too.
func (a *azure) refused(ctx context.Context, resp *http.Response) (bool, error) {
	if a.sas != "" || a.token != "" || !a.first(resp) {
		return false, nil
	}
	token, err := azureToken(ctx, a.getenv)
	if err != nil || token == "" {
		return false, nil // not on Azure's platforms: the refusal stands
	}
	a.token = token
	return true, nil
}

func (a *azure) client() *http.Client { return a.http }
func (a *azure) hint() string {
	return "The identity needs the role Storage Blob Data Reader. On a laptop set AZURE_STORAGE_SAS_TOKEN."
}
