package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
)

// How often the issuer is asked for its keys.
const (
	refreshEvery = 15 * time.Minute // so that a key that was taken back stops working
	refreshGap   = time.Minute      // at least between two times, whatever callers send
	firstRetry   = time.Second      // doubles up to refreshGap, until there are keys
	staleAfter   = 24 * time.Hour   // keys that could not be fetched again any longer are not used
	fetchTimeout = 10 * time.Second // one time, all requests together
)

// keySource fetches the issuer's keys and keeps them. A goroutine of its own
// fetches, so that no caller's hurry ends a fetch that others wait for.
type keySource struct {
	issuer, jwks string
	client       *http.Client
	log          *slog.Logger
	ask          chan struct{} // wakes run; at most one waits
	stop         context.CancelFunc
	ended        chan struct{}

	mu      sync.Mutex
	set     *keySet       // nil until there is one
	loaded  time.Time     // when set was fetched last
	last    time.Time     // when the last try ended
	retry   time.Duration // until the next one, after last
	pending chan struct{} // closed when the try that was asked for, or goes on, has ended; nil without one
}

func newKeySource(o *TokenOptions) *keySource {
	ctx, stop := context.WithCancel(context.Background())
	s := &keySource{issuer: o.Issuer, jwks: o.JWKSURL, client: newClient(o.Client), log: o.Log,
		ask: make(chan struct{}, 1), stop: stop, ended: make(chan struct{}), pending: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	go s.run(ctx)
	return s
}

func (s *keySource) close() {
	s.stop()
	<-s.ended
	s.client.CloseIdleConnections()
}

// get returns the keys, after waiting for the try that goes on if there are
// none yet. Errors: Unavailable, or ctx's.
func (s *keySource) get(ctx context.Context) (*keySet, error) {
	s.mu.Lock()
	set, pending := s.set, s.pending
	if set != nil && time.Since(s.loaded) < staleAfter {
		s.mu.Unlock()
		return set, nil
	}
	s.mu.Unlock()
	if err := s.wait(ctx, pending); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set != nil && time.Since(s.loaded) < staleAfter {
		return s.set, nil
	}
	return nil, fault.New(fault.Unavailable, op, "", "the issuer's keys are not there yet").
		WithRetry(max(time.Until(s.last.Add(s.retry)), time.Second))
}

// refresh returns the keys fetched after it was called, or the same ones when
// it is too early to ask again. Errors: those of get.
func (s *keySource) refresh(ctx context.Context, had *keySet) (*keySet, error) {
	s.mu.Lock()
	if s.set != had { // fetched since the caller looked
		defer s.mu.Unlock()
		return s.set, nil
	}
	if s.pending == nil && time.Since(s.last) >= refreshGap {
		s.pending = make(chan struct{})
		s.ask <- struct{}{} // never blocks: one pending try asks once
	}
	pending := s.pending
	s.mu.Unlock()
	if err := s.wait(ctx, pending); err != nil {
		return nil, err
	}
	return s.get(ctx)
}

// wait returns when pending is closed, at once if it is nil.
func (s *keySource) wait(ctx context.Context, pending chan struct{}) error {
	if pending == nil {
		return nil
	}
	select {
	case <-pending:
		return nil
	case <-s.ended: // nobody fetches any more
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *keySource) run(ctx context.Context) {
	defer close(s.ended)
	backoff := firstRetry
	for {
		set, err := s.fetch(ctx)
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if err != nil {
			s.log.Error("the issuer's keys could not be fetched", "issuer", s.issuer, "error", err)
		}
		s.mu.Lock()
		s.last = time.Now()
		next := refreshEvery
		switch {
		case err == nil && s.set != nil && set.digest == s.set.digest:
			s.loaded = s.last // the same keys keep the tokens that they accepted
		case err == nil:
			s.set, s.loaded = set, s.last
		case s.set == nil:
			next, backoff = backoff, min(2*backoff, refreshGap)
		default:
			next = refreshGap
		}
		s.retry = next
		if s.pending != nil {
			close(s.pending)
			s.pending = nil
		}
		s.mu.Unlock()
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.ask:
		case <-timer.C:
			s.mu.Lock()
			if s.pending == nil {
				s.pending = make(chan struct{})
			}
			s.mu.Unlock()
		}
		timer.Stop()
		select { // asked and due at once
		case <-s.ask:
		default:
		}
	}
}

func (s *keySource) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	at := s.jwks
	if at == "" {
		data, err := s.read(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration")
		if err != nil {
			return nil, err
		}
		var doc struct {
			Issuer string `json:"issuer"`
			JWKS   string `json:"jwks_uri"`
		}
		if err := unmarshal(data, &doc); err != nil {
			return nil, fmt.Errorf("want a discovery document: %w", err)
		}
		if doc.Issuer != s.issuer {
			return nil, fmt.Errorf("want a discovery document of issuer %q, got one of %q", s.issuer, doc.Issuer)
		}
		if at = doc.JWKS; !isHTTPS(at) {
			return nil, fmt.Errorf("want jwks_uri with https://, got %q", at)
		}
	}
	data, err := s.read(ctx, at)
	if err != nil {
		return nil, err
	}
	set, err := parseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return set, nil
}

// read fetches a document.
func (s *keySource) read(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: want status 200, got %d", at, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at, err)
	case len(data) > maxJWKS:
		return nil, fmt.Errorf("%s: want at most %d bytes, got more", at, maxJWKS)
	}
	return data, nil
}

// newClient is c, or one of our own, with the rules for keys: no other host
// than the one that was asked, and never without TLS.
func newClient(c *http.Client) *http.Client {
	own := http.Client{Timeout: fetchTimeout}
	if c != nil {
		own.Transport = c.Transport
	} else {
		own.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: 2, IdleConnTimeout: time.Minute}
	}
	own.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > 3 || req.URL.Scheme != "https" || req.URL.Host != via[0].URL.Host {
			return errors.New("want keys where they were asked for, got a redirect to another place")
		}
		return nil
	}
	return &own
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}
