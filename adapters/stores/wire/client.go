// Package wire is what object stores behind HTTP have in common: requests that
// are tried again, ranges that go on where they broke off, and objects that are
// written in parts with bounded memory. It knows no store: s3, gcs and azblob
// say what their requests and errors are.
package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// A Client sends requests to one store. Its methods may be called concurrently.
type Client struct {
	// HTTP is NewHTTP's, or has as little of a mind of its own.
	HTTP *http.Client
	// Sign gives a request its credentials, at every attempt anew. body is what
	// it carries.
	Sign func(ctx context.Context, req *http.Request, body []byte) error
	// Read reads a store's own name and text of an error from an answer that is
	// none of 2xx. body is its first 64 KiB.
	Read func(resp *http.Response, body []byte) (name, text string)
	// Again may change what Sign does after an answer that is none of 2xx, and
	// reports whether the request is to be sent at once again; nil never does.
	Again func(ctx context.Context, resp *http.Response) bool
	// Hint says what to do about an error with a code, "" where nobody knows.
	Hint func(code fault.Code, name string) string
	// Attempts is how often a request is sent at most; 0 means 5.
	Attempts int
	// Pause is the first of the times between attempts, which double up to
	// 5 seconds; 0 means 100 ms.
	Pause time.Duration
	// Idle is how long nothing may come of an object before its range is asked
	// for again; 0 means 30 s.
	Idle time.Duration
}

// NewHTTP is a client without redirects, whose connections are its own: HTTP/1.1,
// since one connection is slower than many, and bytes come as they are stored.
func NewHTTP() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  60 * time.Second,
			ExpectContinueTimeout:  time.Second,
			IdleConnTimeout:        60 * time.Second,
			MaxIdleConnsPerHost:    64,
			MaxResponseHeaderBytes: 256 << 10,
			DisableCompression:     true,
		},
	}
}

// A Call is a request that can be sent again.
type Call struct {
	Op, Key string // of errors
	Method  string
	// URL makes the address, at every attempt, since a store's may move.
	URL    func() *url.URL
	Header http.Header
	Body   []byte
	// Fine are answers other than 2xx that are not errors.
	Fine []int
	// Failed, where it is not nil, reports that a body of 2xx is an error after
	// all, which may pass.
	Failed func(body []byte) bool
}

// An Answer is what came for a Call.
type Answer struct {
	*http.Response
	// Tries is how many attempts it took: where it was more than one, an earlier
	// one may have had its effect.
	Tries int
}

// maxText is how much of an answer's text is read: a list of 1,000 keys of
// 1,024 bytes, escaped, has less than 8 MiB.
const maxText = 16 << 20

// Text sends c and reads the answer whole. Errors are coded.
func (c *Client) Text(ctx context.Context, call *Call) (*Answer, []byte, error) {
	var body []byte
	a, err := c.send(ctx, call, func(resp *http.Response) (err error) {
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxText+1))
		if err == nil && len(body) > maxText {
			err = fault.New(fault.Invalid, call.Op, call.Key, "want an answer of at most %d bytes, got more", maxText)
		}
		return err
	}, func() bool { return call.Failed != nil && call.Failed(body) })
	return a, body, err
}

// Stream sends c and leaves the body to the caller, who closes it.
func (c *Client) Stream(ctx context.Context, call *Call) (*Answer, error) {
	return c.send(ctx, call, func(*http.Response) error { return nil }, func() bool { return false })
}

// send sends until there is an answer that no further attempt makes better.
func (c *Client) send(ctx context.Context, call *Call, take func(*http.Response) error, failed func() bool) (*Answer, error) {
	attempts := c.Attempts
	if attempts == 0 {
		attempts = 5
	}
	moved := 0
	for try := 1; ; try++ {
		resp, err := c.once(ctx, call)
		wait := time.Duration(0)
		passes := true // what went wrong
		if err == nil && (resp.StatusCode/100 == 2 || fine(call, resp.StatusCode)) {
			if err = take(resp); err == nil && !(resp.StatusCode/100 == 2 && failed()) {
				return &Answer{resp, try}, nil
			}
			if err == nil {
				err = fault.New(fault.Unavailable, call.Op, call.Key, "the store says that it failed after all")
			}
		} else if err == nil {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			resp.Body.Close()
			if c.Again != nil && moved < 3 && c.Again(ctx, resp) {
				moved++
				try--
				continue
			}
			name, text := c.Read(resp, body)
			f := c.fault(call, resp.StatusCode, name, text)
			err, passes = f, f.Code == fault.Unavailable
			if s, e := strconv.Atoi(resp.Header.Get("Retry-After")); e == nil && s > 0 {
				wait = min(time.Duration(s)*time.Second, 20*time.Second)
			}
		} else if f := fault.Of(err); f != nil {
			passes = f.Code == fault.Unavailable // of Sign
		}
		if ctx.Err() != nil {
			return nil, store.Fault(call.Op, call.Key, ctx.Err())
		}
		if !passes || try >= attempts {
			return nil, located(call, bare(err))
		}
		if err := c.pause(ctx, try, wait); err != nil {
			return nil, store.Fault(call.Op, call.Key, err)
		}
	}
}

// once sends one request.
func (c *Client) once(ctx context.Context, call *Call) (*http.Response, error) {
	var body io.Reader
	if call.Body != nil {
		body = bytes.NewReader(call.Body)
	}
	// NewRequest takes the address apart again, and would take an odd key for something else.
	req, err := http.NewRequestWithContext(ctx, call.Method, "http://host/", body)
	if err != nil {
		return nil, fault.New(fault.Internal, call.Op, call.Key, "want a request: %w", err)
	}
	req.URL = call.URL()
	req.Host = req.URL.Host
	for name, values := range call.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "godwit")
	if c.Sign != nil {
		if err := c.Sign(ctx, req, call.Body); err != nil {
			return nil, err
		}
	}
	return c.HTTP.Do(req)
}

func fine(call *Call, status int) bool {
	for _, s := range call.Fine {
		if s == status {
			return true
		}
	}
	return false
}

// pause waits after an attempt.
func (c *Client) pause(ctx context.Context, try int, least time.Duration) error {
	d := c.Pause
	if d == 0 {
		d = 100 * time.Millisecond
	}
	d = min(d<<(try-1), 5*time.Second)
	d = max(d/2+rand.N(d/2+1), least)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fault is the error of an answer.
func (c *Client) fault(call *Call, status int, name, text string) *fault.Error {
	f := &fault.Error{Op: call.Op, Subject: call.Key, Code: fault.Invalid}
	switch {
	case status == http.StatusUnauthorized:
		f.Code = fault.Unauthenticated
	case status == http.StatusForbidden:
		f.Code = fault.Denied
	case status == http.StatusNotFound:
		f.Code = fault.NotFound
	case status == http.StatusPreconditionFailed:
		f.Code = fault.Mismatch
	case status == http.StatusRequestEntityTooLarge:
		f.Code = fault.TooLarge
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		f.Code = fault.Unavailable
	}
	switch name {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthenticationFailed", "InvalidAuthenticationInfo", "TokenRefreshRequired":
		f.Code = fault.Unauthenticated
	case "RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict", "ServerBusy", "RequestTimeTooSkewed":
		f.Code = fault.Unavailable
	}
	what := strconv.Itoa(status)
	if name != "" {
		what += " " + line(name)
	}
	if text != "" {
		what += ": " + line(text)
	}
	f.Err = errors.New("the store says " + what)
	if c.Hint != nil {
		f.Hint = c.Hint(f.Code, name)
	}
	return f
}

// located gives an error the call that it is of.
func located(call *Call, err error) error {
	if f, ok := err.(*fault.Error); ok && f.Op == "" {
		f.Op, f.Subject = call.Op, call.Key
	}
	return store.Fault(call.Op, call.Key, err)
}

// bare is an error of a request without its URL, which may carry a signature.
func bare(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fault.New(fault.Unavailable, "", "", "there is no host %q", dns.Name).
			WithHint("Mend the name of the account or the endpoint, or let this machine's network reach the store.")
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// line is text on one line, and not much of it.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// Escape is the percent-encoding that stores sign: all but unreserved
// characters, and but slashes in a key.
func Escape(text string, slashes bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || c == '/' && slashes {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// Query is a query string, sorted by names: pairs are names and values.
func Query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(Escape(pairs[i], false) + "=" + Escape(pairs[i+1], false))
	}
	return b.String()
}

// At is the address of a path, which is a key's as it is after a root's that is
// escaped already.
func At(root *url.URL, path, query string) *url.URL {
	u := *root
	u.Path = strings.TrimSuffix(root.Path, "/") + "/" + path
	u.RawPath = strings.TrimSuffix(root.EscapedPath(), "/") + "/" + Escape(path, true)
	u.RawQuery = query
	return &u
}
