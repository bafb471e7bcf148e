package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/verify"
	"godwit.dev/runtime/fault"
)

// invokePath is where AWS's own emulator takes events, so what is written for
// that one finds this one.
const invokePath = "POST /2015-03-31/functions/function/invocations"

// serveAs serves a function under a target's contract: a process as
// the platform would start it, and in front of it the platform.
func (p *program) serveAs(ctx context.Context, from *source, o *serveOptions) error {
	if !slices.Contains(emulate.Targets(), o.as) {
		return fault.New(fault.Usage, "", "--as", "want one of %s, got %q", strings.Join(emulate.Targets(), ", "), o.as)
	}
	t, err := p.start(o.as, from, p.Stderr)
	if err != nil {
		return err
	}
	s := &platformServer{p: p, dir: from.dir, target: o.as, form: cmp.Or(o.form, emulate.Variants(o.as)[0]), function: t, ended: make(chan struct{}, 1)}
	// Scores of a platform that is played are beside the function, as without one;
	// a package is not a place for them.
	if from.pkg == nil {
		s.output = from.dir
	}
	if s.output, err = filepath.Abs(s.output); err != nil {
		return fault.New(fault.Usage, "", from.dir, "%w", err)
	}
	if o.event != "" {
		d, err := s.delivery(o.event)
		if err != nil {
			return err
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		return s.deliverOnce(ctx, d)
	}
	listen, err := p.listenAddress(o.listen)
	if err != nil {
		return err
	}
	ln, err := httpserve.Listen(ctx, listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	begun := time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	p.welcomeAs(s, ln.Addr(), time.Since(begun))
	return s.serve(ctx, ln)
}

// delivery is the sample event with that name, about the function's first
// recorded request if there is one, or what a file says.
func (s *platformServer) delivery(name string) (*emulate.Delivery, error) {
	if sample, ok := emulate.SampleOf(s.target, name); ok {
		folder, _, err := app.ReadSpec(s.dir)
		if err != nil {
			return nil, err
		}
		requests, err := recorded.Load(folder)
		if err != nil {
			return nil, err
		}
		if len(requests) == 0 {
			return &sample.Delivery, nil
		}
		d := sample.With(requests[0].Model, requests[0].Body)
		return &d, nil
	}
	data, err := os.ReadFile(name)
	if err == nil {
		d, err := emulate.ParseDelivery(name, data)
		return &d, err
	}
	var names []string
	for _, sample := range emulate.Samples(s.target) {
		names = append(names, sample.Name)
	}
	return nil, fault.New(fault.Usage, "", "--event", "want a file or one of %s, got %q", strings.Join(names, ", "), name)
}

// platformServer is a platform with one function, started again when its files
// change or when it ends.
type platformServer struct {
	p            *program
	dir          string
	target, form string
	function     *verify.Target
	output       string // the folder that a relative batch.output is in

	mu       sync.Mutex
	instance *emulate.Instance // nil while none runs
	ended    chan struct{}     // an instance ended by itself
}

func (s *platformServer) start(ctx context.Context) error {
	// Platforms are played without a network: so are their stores.
	env := append(slices.Clone(s.function.Env), "GODWIT_OUTPUT="+s.output, app.PlayedStores+"="+cmp.Or(s.p.Getenv(app.PlayedStores), filepath.Join(s.output, "stores")))
	i, err := emulate.Start(ctx, s.target, s.function.Launch, &emulate.Options{Variant: s.form, Env: env})
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.instance
	s.instance = i
	s.mu.Unlock()
	go s.attend(i)
	if old != nil {
		return s.stop(ctx, old)
	}
	return nil
}

// attend tells when i, which is still in use, has ended.
func (s *platformServer) attend(i *emulate.Instance) {
	<-i.Done()
	s.mu.Lock()
	current := s.instance == i
	s.mu.Unlock()
	if current {
		select {
		case s.ended <- struct{}{}:
		default:
		}
	}
}

func (s *platformServer) stop(ctx context.Context, i *emulate.Instance) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return i.Stop(ctx)
}

// take gives the instance up.
func (s *platformServer) take() *emulate.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instance
	s.instance = nil
	return i
}

// RoundTrip carries a request to whichever instance runs.
func (s *platformServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	i := s.instance
	s.mu.Unlock()
	if i == nil {
		return nil, fault.New(fault.Unavailable, "", s.target, "the function is not running")
	}
	return i.RoundTrip(r)
}

func (s *platformServer) deliverOnce(ctx context.Context, d *emulate.Delivery) error {
	i := s.take()
	reply, err := i.Deliver(ctx, d)
	if err := s.stop(ctx, i); err != nil {
		s.p.say("%v\n", err)
	}
	if err != nil {
		return err
	}
	s.p.printReply(reply)
	_, spec, err := app.ReadSpec(s.dir)
	if err != nil {
		return err
	}
	var failed *fault.Error
	switch {
	case reply.Retry || len(reply.Failed) > 0:
		failed = fault.New(fault.Unavailable, "", s.target, "the platform would deliver it again")
	case reply.Status >= http.StatusBadRequest:
		failed = fault.New(fault.Invalid, "", s.target, "the event was refused, and the platform would not deliver it again")
	default:
		if b := spec.Batch; b != nil {
			scores := filepath.Join(s.output, filepath.FromSlash(b.Output))
			if _, err := os.Stat(scores); err == nil && !strings.Contains(b.Output, "://") {
				s.p.say("scores are in %s\n", scores)
			}
		}
		return nil
	}
	if len(spec.Triggers) == 0 {
		failed = failed.WithHint("%s has no triggers, so it refuses every event. Add to its godwit.yaml: triggers: [queue] and batch: {input: rows/, output: scores/}.", spec.Name)
	}
	return failed
}

// printReply prints what the function answered to an event.
func (p *program) printReply(r *emulate.Reply) {
	if p.json {
		body := json.RawMessage(r.Body)
		if !json.Valid(body) {
			body, _ = json.Marshal(string(r.Body))
		}
		writeJSON(p.Stdout, struct {
			Status int             `json:"status"`
			Header http.Header     `json:"header,omitempty"`
			Retry  bool            `json:"retry"`
			Failed []string        `json:"failed,omitempty"`
			Body   json.RawMessage `json:"body,omitempty"`
		}{r.Status, r.Header, r.Retry, r.Failed, body})
		return
	}
	var text bytes.Buffer
	if json.Indent(&text, r.Body, "", "  ") != nil {
		text.Reset()
		text.Write(r.Body)
	}
	fmt.Fprintf(p.Stdout, "%s\n", text.Bytes())
	again := "nothing is delivered again"
	switch {
	case len(r.Failed) > 0:
		again = "delivered again: " + strings.Join(r.Failed, ", ")
	case r.Retry:
		again = "all of it is delivered again"
	}
	p.say("status %d; %s\n", r.Status, again)
}

// serve answers until ctx ends, and keeps the function running and up to date.
func (s *platformServer) serve(ctx context.Context, ln net.Listener) error {
	defer func() {
		if i := s.take(); i != nil {
			if err := s.stop(ctx, i); err != nil {
				s.p.say("%v\n", err)
			}
		}
	}()
	proxy := &httputil.ReverseProxy{
		Transport:     s,
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: r.In.Host}) },
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the caller is told
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			writeJSON(w, map[string]string{"error": err.Error(), "code": fault.CodeOf(err).String()})
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	if s.target == "awslambda" {
		mux.HandleFunc(invokePath, s.invoke)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	seen := s.state()
	for {
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			return server.Shutdown(end)
		case <-s.ended:
			s.p.say("the function has ended; the platform starts it again\n")
			s.take()
			s.restart(ctx, "started again")
		case <-watch.C:
			if now := s.state(); now != seen {
				seen = now
				s.restart(ctx, "started anew, as its files have changed")
			}
		}
	}
}

// watchEvery is how often the function's files are looked at.
const watchEvery = 300 * time.Millisecond

// restart brings a new instance up before it stops the old one, which stays
// where the new one does not start.
func (s *platformServer) restart(ctx context.Context, what string) {
	begun := time.Now()
	switch err := s.start(ctx); {
	case ctx.Err() != nil:
	case err != nil:
		s.p.say("not %s: %v\n", what, err)
	default:
		s.p.say("%s in %d ms\n", what, time.Since(begun).Milliseconds())
	}
}

// state is a text that changes when a file of the function does: the spec, the
// models and what lies beside them, but not what is recorded or written.
func (s *platformServer) state() string {
	var b strings.Builder
	folder, spec, err := app.ReadSpec(s.dir)
	if err != nil {
		return err.Error()
	}
	note := func(path string) {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
	}
	note(filepath.Join(folder, "godwit.yaml"))
	for i := range spec.Models {
		path := filepath.Join(folder, filepath.FromSlash(spec.Models[i].Path))
		beside, err := fs.Glob(os.DirFS(filepath.Dir(path)), "*") // external data has any name
		if err != nil {
			continue
		}
		for _, name := range beside[:min(len(beside), 1000)] {
			note(filepath.Join(filepath.Dir(path), name))
		}
	}
	return b.String()
}

// invoke takes an event as AWS's own emulator does.
func (s *platformServer) invoke(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	var reply *emulate.Reply
	if err == nil {
		s.mu.Lock()
		i := s.instance
		s.mu.Unlock()
		if i == nil {
			err = fault.New(fault.Unavailable, "", s.target, "the function is not running")
		} else {
			reply, err = i.Deliver(r.Context(), &emulate.Delivery{Body: body})
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(reply.Body)
}

func (p *program) welcomeAs(s *platformServer, addr net.Addr, took time.Duration) {
	base := "http://" + addr.String()
	kind, from := emulate.EvidenceOf(s.target)
	if p.json {
		writeJSON(p.Stdout, struct {
			URL      string           `json:"url"`
			Target   string           `json:"target"`
			Form     string           `json:"form"`
			Evidence emulate.Evidence `json:"evidence"`
			Contract string           `json:"contract"`
			PID      int              `json:"pid"`
			ReadyMS  int64            `json:"ready_ms"`
		}{base, s.target, s.form, kind, from, s.instance.PID(), took.Milliseconds()})
		return
	}
	if p.quiet {
		return
	}
	w := p.Stdout
	fmt.Fprintf(w, "\n%s as %s (%s) at %s, ready after %d ms\n\n", filepath.Base(s.dir), s.target, s.form, base, took.Milliseconds())
	fmt.Fprintf(w, "  contract  %s (%s)\n", from, kind)
	fmt.Fprintf(w, "  process   %d\n", s.instance.PID())
	if forms := emulate.Variants(s.target); len(forms) > 1 {
		fmt.Fprintf(w, "  forms     %s (--form)\n", strings.Join(forms, ", "))
	}
	if samples := emulate.Samples(s.target); len(samples) > 0 {
		fmt.Fprintln(w, "\nEvents (--event NAME):")
		var t table
		for _, sample := range samples {
			t.add(sample.Name, sample.About)
		}
		t.print(w, "  ")
	}
	fmt.Fprintln(w)
}
