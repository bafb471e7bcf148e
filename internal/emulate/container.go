package emulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// container is what the platforms have in common that start a container and
// speak HTTP to it: a port on loopback, probes, requests passed through.
type container struct {
	opts    *Options
	port    int
	client  *http.Transport
	h2c     bool
	probe   string // GET this until it answers 200; "": a connection is enough
	silent  bool   // the probe's answer has no body
	timeout time.Duration
	wait    time.Duration // after SIGTERM
	vars    []string
	front   func(out *http.Request) // what the platform's front end adds or changes
	acked   func(status int) bool   // whether a delivery with that status is over
	events  string                  // where deliveries go that do not say
	agent   string                  // what calls itself so when it delivers

	// What the front end answers itself; zero values are no limit.
	maxBody   int64         // bytes of a request; more is 413
	maxAnswer int64         // bytes of an answer that is not streamed; more is 500
	slots     chan struct{} // as many requests go to the function at once
	queue     time.Duration // how long one waits for a slot; then 429
}

// newContainer takes a port that is free now, as nobody else will take it.
func newContainer(o *Options, h2c bool) (*container, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fault.New(fault.Internal, "emulate.Start", "port", "%w", err)
	}
	defer ln.Close()
	c := &container{opts: o, port: ln.Addr().(*net.TCPAddr).Port, h2c: h2c, client: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}
	if h2c {
		c.client.Protocols = new(http.Protocols)
		c.client.Protocols.SetUnencryptedHTTP2(true)
	}
	return c, nil
}

func (c *container) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

func (c *container) env() []string { return append(c.vars, "PORT="+strconv.Itoa(c.port)) }

func (c *container) grace() time.Duration { return c.wait }

func (c *container) close() { c.client.CloseIdleConnections() }

// ready asks every few milliseconds, as nobody is billed for it here.
func (c *container) ready(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // the process has ended, and knows better why
				return ctx.Err()
			}
			return err
		}
	}
}

func (c *container) ask(ctx context.Context) error {
	if c.probe == "" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address()+c.probe, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: want 200, got %d: %s", c.probe, resp.StatusCode, bytes.TrimSpace(body))
	}
	if c.silent && len(body) > 0 {
		return fmt.Errorf("GET %s: want an empty body, got %q", c.probe, body)
	}
	return nil
}

func (c *container) roundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), c.limit())
	defer cancel()
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	if c.maxBody > 0 && int64(len(sent)) > c.maxBody {
		return ownAnswer(req, http.StatusRequestEntityTooLarge, "the request is too large for the platform"), nil
	}
	if c.slots != nil {
		wait := time.NewTimer(c.queue)
		defer wait.Stop()
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-wait.C:
			return ownAnswer(req, http.StatusTooManyRequests, "no instance was free in time"), nil
		case <-ctx.Done():
		}
	}
	out := req.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = "http", c.address(), req.URL.Host
	out.RequestURI = ""
	if req.Body != nil {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	}
	if c.front != nil {
		c.front(out)
	}
	begun := time.Now()
	resp, got, err := c.exchange(out)
	switch {
	case err == nil && c.maxAnswer > 0 && resp.ContentLength > c.maxAnswer:
		return ownAnswer(req, http.StatusInternalServerError, "the answer is too large for the platform"), nil
	case err == nil:
		resp.Body = io.NopCloser(bytes.NewReader(got))
		traced(c.opts, begun, sent, got)
		return resp, nil
	case ctx.Err() != nil && req.Context().Err() == nil: // the platform's time, not the caller's
		return ownAnswer(req, http.StatusGatewayTimeout, "upstream request timeout"), nil
	}
	return nil, err
}

func (c *container) exchange(out *http.Request) (*http.Response, []byte, error) {
	resp, err := c.client.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, got, err
}

// ownAnswer is what the platform answers in the function's stead.
func ownAnswer(req *http.Request, status int, text string) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}
}

func (c *container) limit() time.Duration {
	if c.opts.Timeout > 0 {
		return c.opts.Timeout
	}
	return c.timeout
}

// deliver POSTs the event; the status says whether it is delivered again.
func (c *container) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	path := d.Path
	if path == "" {
		path = c.events
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function/"+strings.TrimLeft(path, "/"), bytes.NewReader(d.Body))
	if err != nil {
		return nil, fault.New(fault.Usage, "emulate.Deliver", d.Path, "%w", err)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if c.opts.Identity != nil {
		token, err := c.opts.Identity()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	maps.Copy(req.Header, d.Header)
	resp, err := c.roundTrip(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "emulate.Deliver", "", "%w", err)
	}
	body, err := io.ReadAll(resp.Body)
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: body, Retry: !c.acked(resp.StatusCode)}, err
}
