// Package client speaks the Open Inference Protocol to a running server: what
// `godwit predict URL` sends, signed as the target wants. `godwit bench` signs
// with it too.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 20

// Client asks one server. It may be used concurrently.
type Client struct {
	base *url.URL
	http *http.Client
	sign *Signer
}

// New returns a client for the server at address, or for one model when the
// address is that of its infer route. caller is who asks; nil shows nobody.
// Errors: Usage.
func New(address string, caller *Caller) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fault.New(fault.Usage, "", address, "want a URL such as http://localhost:8080, got %q", address)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	sign, err := caller.Signer(u)
	if err != nil {
		return nil, err
	}
	return &Client{base: u, sign: sign, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a request body must not follow to a place that nobody named
	}}}, nil
}

// NamesModel reports whether the address itself is a model's infer route.
func (c *Client) NamesModel() bool { return strings.HasSuffix(c.base.Path, "/infer") }

// Models lists the names of the server's models.
func (c *Client) Models(ctx context.Context) ([]string, error) {
	answer, err := c.post(ctx, c.base.JoinPath("v2/repository/index"), []byte("{}"))
	if err != nil {
		return nil, err
	}
	var index []struct{ Name string }
	if err := json.Unmarshal(answer, &index); err != nil {
		return nil, fault.New(fault.Internal, "", c.base.String(), "the answer is no repository index: %w", err).
			WithHint("Give the model with --model.")
	}
	var names []string
	for _, m := range index {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// Infer posts a protocol body and returns the answer's. The error has the
// server's own message and the code of its status.
func (c *Client) Infer(ctx context.Context, model, version string, body []byte) ([]byte, error) {
	u := c.base
	if !c.NamesModel() {
		u = u.JoinPath("v2/models", model)
		if version != "" {
			u = u.JoinPath("versions", version)
		}
		u = u.JoinPath("infer")
	}
	return c.post(ctx, u, body)
}

func (c *Client) post(ctx context.Context, u *url.URL, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Usage, "", u.String(), "%w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := c.sign.Sign(ctx, req, body); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", u, ctx.Err())
		}
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fault.New(fault.Unavailable, "", u.String(), "%w", err).
			WithHint("Check that the server runs there: `godwit serve`.")
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fault.New(fault.Unavailable, "", u.String(), "the answer was cut short: %w", err)
	case len(answer) > maxAnswer:
		return nil, fault.New(fault.TooLarge, "", u.String(), "want an answer of at most %d bytes, got more", maxAnswer)
	case resp.StatusCode == http.StatusOK:
		return answer, nil
	}
	var said struct{ Error string }
	if json.Unmarshal(answer, &said) != nil || said.Error == "" {
		said.Error = firstLine(string(answer))
	}
	e := fault.New(codeOf(resp.StatusCode), "", u.String(), "%s: %s", resp.Status, said.Error)
	if e.Code == fault.Unauthenticated || e.Code == fault.Denied {
		e = e.WithHint("See --auth in `godwit predict --help`.")
	}
	return nil, e
}

// codeOf treats a redirect as what it is here: the wrong address.
func codeOf(status int) fault.Code {
	if status >= 300 && status < 400 {
		return fault.Usage
	}
	return fault.OfHTTP(status)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 200 {
		line = line[:200] + "…"
	}
	return line
}
