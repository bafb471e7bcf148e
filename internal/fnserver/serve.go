// Package fnserver is the life of a function behind a port: opened, listened
// for, loaded, served and drained, by `godwit serve` on a laptop and by fn-server
// on every container platform.
package fnserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry/prom"
)

// Options of Serve.
type Options struct {
	Process *app.Process
	Path    string // the function folder or model file
	Engine  driver.NewEngine
	Wrap    func(infer.Handler) infer.Handler
	Target  string // default app.Local
	Log     *slog.Logger

	Listen        string // HOST:PORT
	MetricsListen string // HOST:PORT of /metrics; "": the same port as the rest
	Provider      driver.Provider
	Isolate       string // "on", "off", or "" as the spec says
	Mixed         bool   // see httpserve.Options

	// Start says when a platform may be let in.
	Start Start

	Page http.Handler // GET /; nil: none
	// Limits changes how the server lives, as its platform has it; nil: as the
	// spec says.
	Limits func(*httpserve.Options)
	// Adapt puts the platform's own routes around the protocol's; nil: none.
	Adapt func(*Function) (http.Handler, error)

	// Life is what goes on beside the function; nil: nothing.
	Life *Life
	// Loading is told when the models begin to load, and its result when that
	// has ended; Started when the function serves. Both may be nil.
	Loading func(*app.Function) (done func())
	Started func(*Function)
	// Hangup begins to take the signals that mean to read everything again, and
	// Attended says whether somebody still is at the terminal; nil: none come.
	Hangup   func() (signals <-chan os.Signal, stop func())
	Attended func() bool
}

// Start says what a platform takes for the sign that it may send requests.
type Start uint8

// The kinds of start.
const (
	// Probed platforms ask for readiness: the port is open at once, and says
	// 503 until the models are loaded.
	Probed Start = iota
	// Connected platforms send requests as soon as a connection is accepted:
	// the port opens when the models are loaded.
	Connected
	// Impatient platforms give up on a port that does not open soon, and send
	// requests as soon as it has: these wait until the models are loaded.
	Impatient
)

// Function is one that is about to be served.
type Function struct {
	*app.Function
	API      *oip.Server
	Auth     oip.Authorizer // nil where it checks nobody
	Addr     net.Addr
	Isolated bool // the engine is in a worker process
	Requests []recorded.Request

	ends []func() // what Serve does last
}

// ServerOptions are the spec's limits on connections and time.
func ServerOptions(l *spec.Limits) httpserve.Options {
	return httpserve.Options{
		Drain: time.Duration(l.Drain), MaxStreams: l.Streams,
		MaxHeaderBytes: int(l.HeaderBytes), MaxHeaderFields: l.HeaderFields, MaxChunks: l.Chunks,
		HeaderTimeout: time.Duration(l.ReadHeader), IdleTimeout: time.Duration(l.Idle),
	}
}

// firstRequests is how long the first requests have the processors to themselves.
const firstRequests = 300 * time.Millisecond

// Serve opens the function, listens, and answers until ctx ends; then it drains.
// It is ready when the models are loaded, and listens when Options.Start says.
func Serve(ctx context.Context, o *Options) error {
	begun := time.Now()
	metrics := prom.New(nil)
	open := &app.Options{
		Target: o.Target, Logger: o.Log, Sink: metrics, Phase: metrics.Start, Wrap: o.Wrap, Provider: o.Provider,
		Output: o.Process.Getenv("GODWIT_OUTPUT"), Rest: firstRequests, Stores: Stores(o.Process), Tables: Tables(o.Process), Queue: Queue(o.Process),
	}
	defer open.Stores.Close()
	if o.Life != nil {
		open.Answers, open.Output = o.Life.Answers, o.Life.Output
	}
	eng, apart, err := o.Process.Isolate(o.Path, o.Isolate, o.Engine, open)
	if err != nil {
		return err
	}
	open.Quota, open.Memory = o.Process.Quota(), o.Process.Memory() // while the library loads
	f := &Function{Isolated: apart}
	if f.Function, err = app.Open(o.Path, eng, open); err != nil {
		return err
	}
	defer func() {
		for _, end := range f.ends {
			end()
		}
	}()
	if f.Requests, err = f.Function.Requests(); err != nil {
		return err
	}
	if o.Start == Connected {
		switch err := o.load(ctx, f); {
		case ctx.Err() != nil: // told to stop before it began
			return nil
		case err != nil:
			return err
		}
	}
	ln, err := httpserve.Listen(ctx, o.Listen)
	if err != nil {
		return err
	}
	defer ln.Close()
	f.Addr = ln.Addr()
	if err := f.CheckAuth(f.Addr); err != nil {
		return err
	}
	callers, err := f.Authorizer(o.Process.Getenv)
	if err != nil {
		return err
	}
	options := ServerOptions(&f.Spec.Limits)
	options.Log, options.Mixed = o.Log, o.Mixed
	if o.Limits != nil {
		o.Limits(&options)
	}
	routes := oip.Options{Page: o.Page, Examples: examples(f.Requests)}
	if callers != nil {
		defer callers.Close()
		routes.Auth, f.Auth = callers, callers
	}
	if o.MetricsListen == "" {
		routes.Metrics = metrics.Handler()
	} else {
		if options.MetricsListener, err = httpserve.Listen(ctx, o.MetricsListen); err != nil {
			return err
		}
		options.Metrics = metrics.Handler()
	}
	started := newGate()
	started.first = func() { open.Sink.Start("ready", time.Since(begun)) }
	routes.Ready = started.check
	f.API = f.Server(routes)
	var h http.Handler // nil is the API
	if o.Adapt != nil {
		if h, err = o.Adapt(f); err != nil {
			return err
		}
	}
	if o.Start == Impatient {
		if h == nil {
			h = f.API
		}
		h = started.before(h)
	}
	return o.run(ctx, f, ln, h, &options, started)
}

func examples(requests []recorded.Request) []oip.Example {
	var all []oip.Example
	for _, r := range requests {
		all = append(all, oip.Example{Model: r.Model, Name: r.Name, Request: r.Body})
	}
	return all
}

// closeWait bounds the wait for runs that outlive their cancelled requests: an
// engine stops only between operators. The process ends either way.
const closeWait = 2 * time.Second

// run serves and loads at the same time, and ends when serving ends or a model
// does not load. started opens once everything that is said at the start has
// been said.
func (o *Options) run(ctx context.Context, f *Function, ln net.Listener, h http.Handler, options *httpserve.Options, started *gate) error {
	serving, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { o.reloads(serving, f.Function, stop) })
	served := make(chan error, 1)
	go func() { served <- httpserve.Serve(serving, ln, h, f.API, options) }()

	var err error
	if o.Start != Connected {
		err = o.load(ctx, f)
	}
	if err == nil && o.Life != nil && o.Life.Loaded != nil {
		err = o.Life.Loaded(ctx, f)
	}
	if err != nil && ctx.Err() == nil {
		stop()
		return errors.Join(err, <-served)
	}
	var ended error // of what goes on beside
	if err == nil {
		if o.Started != nil {
			o.Started(f)
		}
		started.open()
		if o.Life != nil {
			beside.Go(func() {
				if ended = o.Life.Serving(serving, f); ended != nil {
					stop()
				}
			})
		}
	}
	err = <-served
	stop()
	beside.Wait() // which may be asking the models something
	if err = errors.Join(ended, err); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	return f.Close(end)
}

// load loads the models.
func (o *Options) load(ctx context.Context, f *Function) error {
	if o.Loading != nil {
		defer o.Loading(f.Function)()
	}
	return f.Load(ctx)
}

// gate opens once.
type gate struct {
	opened chan struct{}
	first  func() // told right before it opens; nil: nobody is
}

func newGate() *gate { return &gate{opened: make(chan struct{})} }

func (g *gate) open() {
	if g.first != nil {
		g.first()
	}
	close(g.opened)
}

// check is nil when the gate is open.
func (g *gate) check() error {
	select {
	case <-g.opened:
		return nil
	default:
		return fault.New(fault.Unavailable, "fnserver.Serve", "", "the server is starting")
	}
}

// before lets requests that want work done wait until the gate opens, but not
// those that only ask. Who gives up before is told by what next makes of a
// context that has ended.
func (g *gate) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			select {
			case <-g.opened:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
}

// reloads reads the function again whenever a signal says so, until ctx ends.
// A signal that comes because the terminal went away ends the server, as it
// ends every program that a person has left.
func (o *Options) reloads(ctx context.Context, f *app.Function, stop func()) {
	if o.Hangup == nil {
		return
	}
	signals, done := o.Hangup()
	defer done()
	attended := o.Attended != nil && o.Attended()
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		if attended && !o.Attended() {
			stop()
			return
		}
		changes, err := f.Reload(ctx)
		if err != nil && ctx.Err() == nil {
			o.Log.ErrorContext(ctx, "not everything was reloaded", "error", err)
		}
		o.Log.InfoContext(ctx, "reloaded", "changes", len(changes))
	}
}
