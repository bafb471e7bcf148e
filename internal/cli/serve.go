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

	"github.com/spf13/cobra"

	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/page"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

type serveOptions struct {
	listen, metricsListen string
	provider              string
	providerOptions       map[string]string
	behindProxy           bool
	isolate               string
	as, form, event       string
}

func (p *program) newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve [DIR|MODEL|PACKAGE]",
		GroupID: "run",
		Short:   "Serve a function on this machine",
		Long: `serve answers the Open Inference Protocol, REST and gRPC, for a function folder
or a lone model file, with a page to try it on, metrics and an OpenAPI
document; with --as under a target's contract, for packages too. It listens at once and is ready when every model is loaded. On
SIGHUP it reads godwit.yaml and the models again and brings what changed into
service, without a failed request; what does not answer the recorded requests
as recorded is refused, and the old one serves on. Replace files by renaming.
On SIGTERM it finishes what it has begun; a second signal ends it at once.

With --as the function runs as the process that this target starts, and behind
the target's own wire format: what curl sends becomes the platform's event or
request. It is started anew when godwit.yaml or a model changes, and again when
it ends. --event hands it one event, prints the reply and ends.

Without DIR the folder is GODWIT_FUNCTION, or the one the binary lies in.

Exit codes: 0 stopped and drained, 2 cannot listen there, 11 a model does not
load, 12 godwit.yaml is wrong, 13 ONNX Runtime or the provider is missing.`,
		Example: `  godwit serve fraud/
  godwit serve fraud.onnx --listen 127.0.0.1:9000
  godwit serve fraud/ --as awslambda
  godwit serve fraud/ --as cloudrun --event event.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := p.serve(cmd.Context(), args, &o)
			var child exited
			if err != nil && !errors.As(err, &child) {
				app.Tell(err)
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
	f.StringVar(&o.as, "as", "", "serve under this target's contract: "+strings.Join(emulate.Targets(), ", "))
	f.StringVar(&o.form, "form", "", "with --as: the form of the platform's requests (default: the usual one)")
	f.StringVar(&o.event, "event", "", "with --as: a sample event's name or a file; hand it over, print the reply and end")
	return cmd
}

func (p *program) serve(ctx context.Context, args []string, o *serveOptions) error {
	path, err := p.function(args)
	if err != nil {
		return err
	}
	from, err := p.openSource(path)
	if err != nil {
		return err
	}
	defer from.Close()
	if from.pkg == nil {
		if _, done, err := p.withHandler(ctx, path); done || err != nil {
			return err
		}
	}
	if o.as != "" {
		return p.serveAs(ctx, from, o)
	}
	path = from.dir
	if o.form != "" || o.event != "" {
		return fault.New(fault.Usage, "", "--form, --event", "want a target, got none").WithHint("Add --as TARGET.")
	}
	listen, err := p.listenAddress(o.listen)
	if err != nil {
		return err
	}
	return fnserver.Serve(ctx, &fnserver.Options{
		Process: &p.Env, Path: path, Engine: p.Engine, Wrap: p.Wrap, Log: p.logger(slog.LevelInfo),
		Listen: listen, MetricsListen: o.metricsListen, Isolate: o.isolate, Mixed: o.behindProxy,
		Provider: driver.Provider{Name: o.provider, Options: o.providerOptions},
		Page:     page.Handler(),
		Loading:  func(f *app.Function) func() { return p.working("loading " + f.Spec.Models[0].Name) },
		Started:  p.welcome,
		Hangup:   p.Hangup, Attended: func() bool { return isTerminal(p.Stdin) },
	})
}

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

// welcome tells a person where the server is and what to do next.
func (p *program) welcome(f *fnserver.Function) {
	url := "http://" + f.Addr.String()
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
	if f.Isolated {
		fmt.Fprintln(w, "  the engine in a worker process of its own")
	}
	header := ""
	if mode := f.Spec.Auth.Mode; mode == "key" || mode == "jwt" {
		header = ` -H "Authorization: Bearer $` + strings.ToUpper(mode) + `"`
	}
	next(w, url, header, f.Requests)
}

// welcomeJSON is the document of serve --json, printed once all models are loaded.
func (p *program) welcomeJSON(f *fnserver.Function, url string) {
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
	}{url, f.Isolated, models})
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
