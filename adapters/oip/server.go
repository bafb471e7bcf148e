package oip

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Server answers the protocol for the models of one registry. It is an
// http.Handler; all methods may be called concurrently.
type Server struct {
	registry *infer.Registry
	handler  infer.Handler
	opts     Options
	mux      *http.ServeMux
	infer    route // what most requests are for, and the mux need not be asked about
	routes   []Route

	draining atomic.Bool
	held     atomic.Int64 // bytes of bodies in progress
	answered atomic.Int64 // bytes of the last answer, which the next one may have too
	buffers  Buffers
	numbers  numbers
	coders   coders
}

var _ http.Handler = (*Server)(nil)

// New returns a server whose inference requests go to handler, which resolves
// models itself. registry tells everything else about them.
func New(registry *infer.Registry, handler infer.Handler, opts *Options) *Server {
	s := &Server{registry: registry, handler: handler, opts: opts.withDefaults(), mux: http.NewServeMux()}
	s.addRoutes()
	return s
}

// Drain makes readiness false from now on; requests are still answered.
func (s *Server) Drain() { s.draining.Store(true) }

// Ready is nil when the server should get requests: every model is loaded, the
// options' Ready agrees and Drain was not called. Errors: Unavailable.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return fault.New(fault.Unavailable, "oip.Ready", "", "the server is stopping")
	}
	if err := s.opts.Ready(); err != nil {
		return err
	}
	return s.registry.Ready()
}

// Options are those in force, defaults filled in.
func (s *Server) Options() Options { return s.opts }

// Buffers is where the server takes the memory of bodies from.
func (s *Server) Buffers() *Buffers { return &s.buffers }

// A Route is one line of the server's routing table.
type Route struct {
	Method, Pattern string // as http.ServeMux reads patterns
	// Probe marks liveness and readiness, which platforms ask without
	// credentials and which tell nothing else.
	Probe bool
	Scope Scope // what a caller needs; "" for probes
}

// Routes lists what the server answers, so that access rules can be checked
// against every route there is. The caller must not change it.
func (s *Server) Routes() []Route { return s.routes }

// endpoint answers one route. It either writes a whole response and returns
// nil, or writes nothing and returns why.
type endpoint func(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error

func (s *Server) addRoutes() {
	type methods = map[string]endpoint
	// Without a scope a route is open to everybody.
	add := func(scope Scope, pattern string, m methods) {
		allow := make([]string, 0, 4)
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if method == http.MethodHead && m[http.MethodGet] != nil {
				m[method] = m[http.MethodGet] // net/http leaves the body out
			}
			if m[method] != nil {
				allow = append(allow, method)
				s.routes = append(s.routes, Route{method, pattern, scope == "", scope})
			}
		}
		rt := route{scope: scope, endpoints: m, allow: strings.Join(append(allow, http.MethodOptions), ", "), infer: scope == ScopeInfer}
		s.mux.Handle(pattern, s.serve(rt))
		if strings.HasSuffix(pattern, "/infer") {
			s.infer = rt
		}
	}
	get := func(e endpoint) methods { return methods{http.MethodGet: e} }
	post := func(e endpoint) methods { return methods{http.MethodPost: e} }

	add("", "/v2/health/live", get(s.serveLive))
	add("", "/v2/health/ready", get(s.serveReady))
	add(ScopeMetadata, "/v2", get(s.serveMetadata))
	add(ScopeMetadata, "/v2/{$}", get(s.serveMetadata))
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		add(ScopeMetadata, model, get(s.serveModel))
		add(ScopeMetadata, model+"/ready", get(s.serveModelReady))
		add(ScopeMetadata, model+"/config", get(s.serveConfig))
		add(ScopeMetadata, model+"/stats", get(s.serveStatistics))
		add(ScopeInfer, model+"/infer", post(s.serveInfer))
		if s.opts.MaxAge > 0 {
			add(ScopeInfer, model+"/infer/{request}", get(s.serveCacheable))
		}
	}
	add(ScopeMetadata, "/v2/models/stats", get(s.serveStatistics))
	add(ScopeMetadata, "/v2/repository/index", post(s.serveIndex))
	add(ScopeAdmin, "/v2/repository/models/{model}/load", post(s.serveLoad))
	add(ScopeAdmin, "/v2/repository/models/{model}/unload", post(s.serveUnsupported))
	add(ScopeMetadata, "/openapi.json", get(s.serveOpenAPI))
	if s.opts.Metrics != nil {
		add(ScopeMetrics, "/metrics", get(pass(s.opts.Metrics)))
	}
	if s.opts.Page != nil {
		add(ScopeMetadata, "/{$}", get(pass(s.opts.Page)))
	}
	s.mux.Handle("/", s.serve(route{scope: ScopeMetadata}))
}

// pass makes an endpoint of a handler that was handed in. When it panics after
// it began to answer, the connection is dropped: half an answer must not look
// like a whole one.
func pass(h http.Handler) endpoint {
	return func(ctx context.Context, _ *Exchange, w http.ResponseWriter, r *http.Request) (err error) {
		began := &tracked{ResponseWriter: w}
		defer func() {
			if err != nil && began.wrote {
				panic(http.ErrAbortHandler)
			}
		}()
		defer Recover(&err)
		h.ServeHTTP(began, r.WithContext(ctx))
		return nil
	}
}

type tracked struct {
	http.ResponseWriter
	wrote bool
}

func (t *tracked) WriteHeader(status int) {
	t.wrote = true
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracked) Write(p []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(p)
}

func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if model, version, ok := inferPath(r.URL); ok {
		s.answer(w, r, &s.infer, model, version)
		return
	}
	if !cleanPath(r.URL.Path) {
		// Before the mux, which would redirect "//" and "..".
		s.serve(route{scope: ScopeMetadata, endpoints: map[string]endpoint{r.Method: badPath}}).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// inferPath reads the path of an inference without the mux, where the mux could
// not read it in another way.
func inferPath(u *url.URL) (model, version string, ok bool) {
	rest, ok := strings.CutPrefix(u.Path, "/v2/models/")
	if !ok || u.RawPath != "" {
		return "", "", false
	}
	rest, ok = strings.CutSuffix(rest, "/infer")
	model, version, versioned := strings.Cut(rest, "/versions/")
	return model, version, ok && infer.ValidName(model) && (!versioned || infer.ValidName(version))
}

func badPath(context.Context, *Exchange, http.ResponseWriter, *http.Request) error {
	return fault.New(fault.Invalid, "oip.ServeHTTP", "", "want a path without empty, '.' and '..' segments or control characters")
}

func cleanPath(p string) bool {
	if !strings.HasPrefix(p, "/") || !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	return p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/") && !strings.HasSuffix(p, "//")
}

// route is what one pattern is answered with. No endpoints at all is an unknown
// route.
type route struct {
	scope     Scope
	endpoints map[string]endpoint
	allow     string // the methods
	infer     bool
}

func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, &rt, r.PathValue("model"), r.PathValue("version"))
	})
}

// answer does around a route's endpoints what all have in common: access,
// method, names in the path, panics, error bodies, request id, trace, log line.
// Who may not call learns nothing but that: not whether the route, the method or
// the model exists, and no byte of the body is read.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rt *route, model, version string) {
	ctx, x := s.beginHTTP(r)
	x.model, x.version = model, version
	h := w.Header()
	h["X-Content-Type-Options"] = nosniff
	h["Traceparent"] = x.value(x.TraceParent())
	if x.line.RequestID != "" {
		h["X-Request-Id"] = x.value(x.line.RequestID)
	}
	e := rt.endpoints[r.Method]
	var err error
	if e == nil || rt.scope != "" {
		err = x.Authorize(ctx, rt.scope)
	}
	switch {
	case err != nil:
	case e != nil:
		err = s.call(ctx, x, w, r, rt, e)
	case len(rt.endpoints) == 0:
		err = fault.New(fault.NotFound, "oip.ServeHTTP", "", "no such route").WithHint("GET /openapi.json lists what there is.")
	case r.Method == http.MethodOptions:
		h.Set("Allow", rt.allow)
		w.WriteHeader(http.StatusNoContent)
	default:
		h.Set("Allow", rt.allow)
		err = &methodError{fault.New(fault.Invalid, "oip.ServeHTTP", "", "want one of the methods %s, got %q", rt.allow, clip(r.Method))}
	}
	if err != nil {
		s.writeError(w, x, err)
	}
	x.End(ctx, err)
}

// headerOf gives a header's values by its lower-case name. net/http would make
// the name that it keeps them under anew, each time.
func headerOf(h http.Header) func(name string) []string {
	return func(name string) []string {
		switch name {
		case "traceparent":
			return h["Traceparent"]
		case "tracestate":
			return h["Tracestate"]
		case "x-request-id":
			return h["X-Request-Id"]
		case "authorization":
			return h["Authorization"]
		case "x-api-key":
			return h["X-Api-Key"]
		}
		return h.Values(name)
	}
}

func (s *Server) call(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request, rt *route, e endpoint) (err error) {
	defer Recover(&err)
	if rt.infer {
		x.Asked(x.model, x.version)
	}
	if !infer.ValidName(x.model) && (x.model != "" || strings.Contains(r.Pattern, "{model}")) {
		return badName("model", x.model)
	}
	if !infer.ValidName(x.version) && (x.version != "" || strings.Contains(r.Pattern, "{version}")) {
		return badName("version", x.version)
	}
	return e(ctx, x, w, r)
}
