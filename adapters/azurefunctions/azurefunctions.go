package azurefunctions

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/runtime/trigger"
)

// MaxRequest is how long the platform's front end waits for an HTTP answer,
// whatever functionTimeout says (Microsoft's page on hosting options).
const MaxRequest = 230 * time.Second

// Options of New; nil means defaults.
type Options struct {
	// App is what the app's own files say. nil: the prefix is "api", and what
	// started a function is told from each envelope.
	App *App
	// Envelope bounds one envelope, and Memory all that are read at a time, in
	// bytes; more is refused, and so comes again. Defaults 64 MiB and twice that.
	Envelope, Memory int64
	// Admit says why no delivery is let in now, or nil: memory is full, say. It is
	// asked before an envelope is read. nil lets all in. Errors: Unavailable.
	Admit func() error
	Log   *slog.Logger // nil: no log
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Envelope <= 0 {
		d.Envelope = 64 << 20
	}
	if d.Memory <= 0 {
		d.Memory = 2 * d.Envelope
	}
	d.Memory = max(d.Memory, d.Envelope)
	if d.Admit == nil {
		d.Admit = func() error { return nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

type handler struct {
	api    http.Handler
	events trigger.Handler
	opts   Options
	prefix string       // of the routes, "/api", or ""
	held   atomic.Int64 // bytes of envelopes
	bodies sync.Pool    // of *bytes.Buffer
}

// New is the custom handler: callers' requests go to api, and deliveries to
// events, which may be nil. Timers are acknowledged and start nothing.
func New(api http.Handler, events trigger.Handler, opts *Options) http.Handler {
	h := &handler{api: api, events: events, opts: opts.withDefaults(), prefix: "/api"}
	if app := h.opts.App; app != nil {
		h.prefix = ""
		if p := strings.Trim(app.RoutePrefix, "/"); p != "" {
			h.prefix = "/" + p
		}
	}
	return h
}

// Address is where the host expects the handler: the port of
// FUNCTIONS_CUSTOMHANDLER_PORT, or of FUNCTIONS_HTTPWORKER_PORT as older hosts
// say, on 127.0.0.1; else 8080.
func Address(getenv func(string) string) string {
	for _, name := range []string{"FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"} {
		if port := getenv(name); port != "" {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	return "127.0.0.1:8080"
}

// Limits sets what the platform's contract says of a server's life. The host
// hands over no gRPC. It keeps connections for as long as a minute and uses
// them again, so they must not be closed before that. How long an instance has
// after SIGTERM is not documented: 10 s is what containers of App Service get.
func Limits(o *httpserve.Options) {
	o.NoGRPC = true
	o.IdleTimeout = max(o.IdleTimeout, 150*time.Second)
	o.Drain = min(max(o.Drain, time.Second), 9*time.Second)
}

// Header names as net/http keeps them.
const (
	invocationID = "X-Azure-Functions-Invocationid" // each of the host's requests has it
	proxied      = "X-Ms-Invocation-Id"             // added to those that it proxies
	requestID    = "X-Request-Id"
)

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ids := r.Header[invocationID]
	if len(ids) == 1 && r.Header[requestID] == nil {
		// A copy: the server may keep the header of a connection's requests.
		called := *r
		called.Header = maps.Clone(r.Header)
		called.Header[requestID] = ids
		r = &called
	}
	if fromHost(r) {
		name, ok := function(r.URL.Path)
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/" && len(ids) == 0:
			writeJSON(w, http.StatusOK, []byte("{}")) // the host asks whether the port is open
			return
		case ok && r.Method == http.MethodPost && len(ids) == 1:
			h.invoke(w, r, name, ids[0])
			return
		}
	}
	r = h.strip(r)
	// The proxy hangs up when the front end does; nobody else tells when it is
	// too late.
	if limit := h.limit(); limit > 0 && (limit < MaxRequest || r.Header[proxied] == nil) {
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		r = r.WithContext(ctx)
	}
	h.api.ServeHTTP(w, r)
}

// limit is how long an invocation may take; 0 is for ever. At the function's
// timeout the host kills the process, with whatever else it is doing, so an
// invocation ends before that.
func (h *handler) limit() time.Duration {
	if h.opts.App == nil {
		return 0
	}
	limit := h.opts.App.Timeout
	return limit - min(limit/10, 5*time.Second)
}

// fromHost tells the host's own requests from callers' that it passes on, so
// that nobody can send a made-up envelope through an HTTP function whose
// route covers the names of other functions. The host calls 127.0.0.1, while
// what it forwards keeps the caller's Host, by which the front end found the
// app; and it marks what it proxies, whatever the caller wrote there.
func fromHost(r *http.Request) bool {
	return strings.HasPrefix(r.Host, "127.0.0.1:") && r.Header[proxied] == nil
}

// function is the name of a function in a path of one segment.
func function(path string) (string, bool) {
	name, ok := strings.CutPrefix(path, "/")
	return name, ok && name != "" && len(name) <= 128 && !strings.Contains(name, "/")
}

// strip takes the prefix of routes off a request's path.
func (h *handler) strip(r *http.Request) *http.Request {
	if h.prefix == "" || !under(r.URL.Path, h.prefix) {
		return r
	}
	short, u := *r, *r.URL
	u.Path = "/" + strings.TrimPrefix(u.Path[len(h.prefix):], "/")
	if under(u.RawPath, h.prefix) {
		u.RawPath = "/" + strings.TrimPrefix(u.RawPath[len(h.prefix):], "/")
	} else {
		u.RawPath = ""
	}
	short.URL = &u
	return &short
}

func under(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}
