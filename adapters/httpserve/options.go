package httpserve

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options of Serve; nil means defaults.
type Options struct {
	// PreStop is how long requests are still taken after readiness became
	// false, so that the balancer notices; default 0.
	PreStop time.Duration
	// Drain bounds the wait for requests in progress after that; default 10 s.
	// Shortly before it ends, requests still running are cancelled, so that
	// their callers get 503 instead of a broken connection.
	Drain time.Duration

	// NoGRPC leaves gRPC out: its calls are answered as unknown content.
	NoGRPC bool
	// Mixed is for servers behind a proxy that puts gRPC calls and other
	// requests on one connection: every connection is net/http's then, and
	// gRPC calls cost more. Connections whose first call shows a proxy's
	// headers are treated so in any case.
	Mixed bool

	// NoLane leaves all of HTTP/1.1 to net/http, which answers the same and takes
	// longer.
	NoLane bool

	// MaxConns is how many connections may be open; one more is closed at
	// once. Default 4096.
	MaxConns int
	// MaxStreams is how many requests an HTTP/2 connection may have in
	// progress; default 100.
	MaxStreams int
	// MaxHeaderBytes and MaxHeaderFields bound a request's header; default
	// 64 KiB and 100.
	MaxHeaderBytes, MaxHeaderFields int
	// MaxChunks is how many non-empty chunks a body may come in; default 65,536.
	// net/http hides their borders, so the bound is on the bytes around them:
	// bodies of fewer but larger chunks may meet it at three fifths of that.
	MaxChunks int
	// HeaderTimeout is how long a header may take to arrive; default 5 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request;
	// default 75 s.
	IdleTimeout time.Duration
	// BodyTimeout is what reading a body and writing an answer may take beyond
	// the time that their size takes at 64 KiB a second; default 30 s.
	BodyTimeout time.Duration

	// Metrics, if not nil, is served on MetricsListener, until all requests
	// have been answered. Serve closes the listener.
	Metrics         http.Handler
	MetricsListener net.Listener

	Log *slog.Logger // nil: no log
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for _, f := range []struct {
		v   *int
		def int
	}{{&d.MaxConns, 4096}, {&d.MaxStreams, 100}, {&d.MaxHeaderBytes, 64 << 10}, {&d.MaxHeaderFields, 100}, {&d.MaxChunks, 65536}} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&d.Drain, 10 * time.Second}, {&d.HeaderTimeout, 5 * time.Second}, {&d.IdleTimeout, 75 * time.Second}, {&d.BodyTimeout, 30 * time.Second}} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	d.PreStop = max(d.PreStop, 0)
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// minRate is the slowest caller that is waited for, in bytes a second, and
// stride how many bytes are moved under one deadline.
const (
	minRate = 64 << 10
	stride  = 64 << 10
)

// patience is how long a transfer of n bytes may take.
func patience(base time.Duration, n int64) time.Duration {
	return base + time.Duration(n)*time.Second/minRate
}

// deadline is when the next stride of a transfer, of which n bytes are done,
// must be over: the whole keeps to the rate, and no stride takes longer than
// a slow caller needs for it, however fast the ones before it were.
func deadline(begun time.Time, base time.Duration, n int64) time.Time {
	whole, next := begun.Add(patience(base, n+stride)), time.Now().Add(patience(base, stride))
	if next.Before(whole) {
		return next
	}
	return whole
}
