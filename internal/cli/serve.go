package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/page"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry/prom"
)

type serveOptions struct {
	listen, metricsListen string
	provider              string
	providerOptions       map[string]string
	behindProxy           bool
	isolate               string
}

func (p *program) newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve [DIR|MODEL]",
		GroupID: "run",
		Short:   "Serve a function on this machine",
		Long: `serve answers the Open Inference Protocol, REST and gRPC, for a function folder
or a lone model file, with a page to try it on, metrics and an OpenAPI
document. It listens at once and is ready when every model is loaded. On
SIGHUP it reads godwit.yaml and the models again and brings what changed into
service, without a failed request; what does not answer the recorded requests
as recorded is refused, and the old one serves on. Replace files by renaming.
On SIGTERM it finishes what it has begun; a second signal ends it at once.

Without DIR the folder is GODWIT_FUNCTION, or the one the binary lies in.

Exit codes: 0 stopped and drained, 2 cannot listen there, 11 a model does not
load, 12 godwit.yaml is wrong, 13 ONNX Runtime or the provider is missing.`,
		Example: `  godwit serve fraud/
  godwit serve fraud.onnx --listen 127.0.0.1:9000`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := p.serve(cmd.Context(), args, &o)
			var child exited
			if err != nil && !errors.As(err, &child) {
				tell(terminationLog, err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "", "HOST:PORT to listen on (default 127.0.0.1:8080, or the port in PORT)")
	f.StringVar(&o.metricsListen, "metrics-listen", "", "HOST:PORT for /metrics (default: the same port as the rest)")
	f.StringVar(&o.provider, "provider", "", "execution provider: cpu, cuda, tensorrt, … (default cpu)")
	f.StringToStringVar(&o.providerOptions, "provider-option", nil, "option of the provider, KEY=VALUE; may be repeated")
	f.BoolVar(&o.behindProxy, "behind-proxy", false, "a proxy puts gRPC and other requests on the same connections")
	f.StringVar(&o.isolate, "isolate", "", "on or off: the engine in a worker process, where its crash costs one request (default: as godwit.yaml says)")
	f.Lookup("isolate").NoOptDefVal = "on"
	return cmd
}

func (p *program) serve(ctx context.Context, args []string, o *serveOptions) error {
	path, err := p.function(args)
	if err != nil {
		return err
	}
	path, done, err := p.withHandler(ctx, path)
	if done || err != nil {
		return err
	}
	listen, err := p.listenAddress(o.listen)
	if err != nil {
		return err
	}
	log := p.logger(slog.LevelInfo)
	metrics := prom.New(nil)
	open := &app.Options{
		Logger: log, Sink: metrics, Wrap: p.Wrap, Quota: p.quota(), Memory: p.memory(),
		Provider: driver.Provider{Name: o.provider, Options: o.providerOptions},
	}
	eng, err := p.isolate(path, o.isolate, log, open)
	if err != nil {
		return err
	}
	f, err := app.Open(path, eng, open)
	if err != nil {
		return err
	}
	requests, err := f.Requests()
	if err != nil {
		return err
	}
	ln, err := httpserve.Listen(ctx, listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	if err := f.CheckAuth(ln.Addr()); err != nil {
		return err
	}
	callers, err := f.Authorizer(p.Getenv)
	if err != nil {
		return err
	}
	options := app.ServeOptions(&f.Spec.Limits)
	options.Log, options.Mixed = log, o.behindProxy
	routes := oip.Options{Page: page.Handler(), Examples: examples(requests)}
	if callers != nil {
		defer callers.Close()
		routes.Auth = callers
	}
	if o.metricsListen == "" {
		routes.Metrics = metrics.Handler()
	} else {
		if options.MetricsListener, err = httpserve.Listen(ctx, o.metricsListen); err != nil {
			return err
		}
		options.Metrics = metrics.Handler()
	}
	started := &atomic.Bool{}
	routes.Ready = func() error {
		if !started.Load() {
			return fault.New(fault.Unavailable, "cli.serve", "", "the server is starting")
		}
		return nil
	}
	return p.run(ctx, f, ln, requests, f.Server(routes), &options, started)
}

// run serves and loads at the same time, so that probes are answered from the
// first moment on, and ends when serving ends or a model does not load. started
// becomes true once everything that is said at the start has been said.
func (p *program) run(ctx context.Context, f *app.Function, ln net.Listener, requests []recorded.Request,
	server *oip.Server, options *httpserve.Options, started *atomic.Bool) error {
	serving, stop := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer stop()
	reloads.Go(func() { p.reloads(serving, f, options.Log, stop) })
	served := make(chan error, 1)
	go func() { served <- httpserve.Serve(serving, ln, nil, server, options) }()

	show := p.working("loading " + f.Spec.Models[0].Name)
	err := f.Load(ctx)
	show()
	if err != nil && ctx.Err() == nil {
		stop()
		return errors.Join(err, <-served)
	}
	if err == nil {
		p.welcome(f, ln.Addr(), requests)
		started.Store(true)
	}
	err = <-served
	stop()
	if err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	return f.Close(end)
}

// reloads reads the function again whenever a signal says so, until ctx ends.
// A signal that comes because the terminal went away ends the server, as it
// ends every program that a person has left.
func (p *program) reloads(ctx context.Context, f *app.Function, log *slog.Logger, stop func()) {
	if p.Hangup == nil {
		return
	}
	signals, done := p.Hangup()
	defer done()
	attended := isTerminal(p.Stdin)
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		if attended && !isTerminal(p.Stdin) {
			stop()
			return
		}
		changes, err := f.Reload(ctx)
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "not everything was reloaded", "error", err)
		}
		log.InfoContext(ctx, "reloaded", "changes", len(changes))
	}
}

// closeWait bounds the wait for runs that outlive their cancelled requests: an
// engine stops only between operators. The process ends either way.
const closeWait = 2 * time.Second

func (p *program) listenAddress(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	port := "8080"
	if env := p.Getenv("PORT"); env != "" {
		if n, err := strconv.ParseUint(env, 10, 16); err != nil || n == 0 {
			return "", fault.New(fault.Usage, "", "PORT", "want a port from 1 to 65535, got %q", env).
				WithHint("Correct PORT, or use --listen.")
		}
		port = env
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

func examples(requests []recorded.Request) []oip.Example {
	var all []oip.Example
	for _, r := range requests {
		all = append(all, oip.Example{Model: r.Model, Name: r.Name, Request: r.Body})
	}
	return all
}

// welcome tells a person where the server is and what to do next.
func (p *program) welcome(f *app.Function, addr net.Addr, requests []recorded.Request) {
	url := "http://" + addr.String()
	if p.json {
		p.welcomeJSON(f, url)
		return
	}
	if p.quiet {
		return
	}
	w := p.Stdout
	fmt.Fprintf(w, "\n%s serves at %s\n\n", f.Spec.Name, url)
	for _, m := range f.Spec.Models {
		loaded, err := f.Models.Lookup(m.Name, m.Version)
		if err != nil {
			continue
		}
		intraOp, runs := loaded.Threads()
		fmt.Fprintf(w, "  model %s, version %s, on %s, %s at once on %s each\n", m.Name, m.Version,
			loaded.Providers()[0], plural(runs, "run"), plural(intraOp, "thread"))
		signature(w, "    ", loaded.Signature())
	}
	if p.isolated {
		fmt.Fprintln(w, "  the engine in a worker process of its own")
	}
	header := ""
	if mode := f.Spec.Auth.Mode; mode == "key" || mode == "jwt" {
		header = ` -H "Authorization: Bearer $` + strings.ToUpper(mode) + `"`
	}
	next(w, url, header, requests)
}

// welcomeJSON is the document of serve --json, printed once all models are loaded.
func (p *program) welcomeJSON(f *app.Function, url string) {
	type model struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		Digest   string `json:"digest"`
		Provider string `json:"provider"`
		Threads  int    `json:"threads"` // of one run
		Runs     int    `json:"runs"`    // at once
	}
	models := []model{}
	for _, m := range f.Spec.Models {
		loaded, err := f.Models.Lookup(m.Name, m.Version)
		if err != nil {
			continue
		}
		threads, runs := loaded.Threads()
		models = append(models, model{m.Name, m.Version, loaded.Digest(), loaded.Providers()[0], threads, runs})
	}
	writeJSON(p.Stdout, struct {
		URL      string  `json:"url"`
		Isolated bool    `json:"isolated"`
		Models   []model `json:"models"`
	}{url, p.isolated, models})
}

// next says what to try; header is what curl needs for a server that checks callers.
func next(w io.Writer, url, header string, requests []recorded.Request) {
	fmt.Fprintln(w, "\nTry:")
	if len(requests) > 0 {
		r := requests[0]
		fmt.Fprintf(w, "  curl -s%s %s/v2/models/%s/infer -d @%s\n", header, url, r.Model, r.Path)
	}
	fmt.Fprintf(w, "  open %s/ in a browser, %s/openapi.json, %s/metrics\n", url, url, url)
	fmt.Fprintf(w, "  Ctrl-C stops it.\n\n")
}
