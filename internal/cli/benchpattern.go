package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
)

// patternOptions say when requests come.
type patternOptions struct {
	arrivals string
	on, off  time.Duration
	idle     time.Duration
	until    string
	trace    string
	function string // of a trace of many
	speed    float64
}

func (o *patternOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.arrivals, "arrivals", "poisson", "how they arrive: poisson, as independent callers, constant, burst or burst-from-zero")
	f.DurationVar(&o.on, "on", 5*time.Second, "with bursts: how long one lasts")
	f.DurationVar(&o.off, "off", 5*time.Second, "with --arrivals burst: how long nothing comes between two")
	f.DurationVar(&o.idle, "idle", 2*time.Minute, "with burst-from-zero and a URL: how long it is left alone before each burst")
	f.StringVar(&o.until, "until", "", "with burst-from-zero and a URL: a shell's command that succeeds when nothing serves any more, asked each second instead of --idle alone, which bounds it")
	f.StringVar(&o.trace, "trace", "", "file of when requests came, one on each line: seconds, CSV or JSON; or a trace in Azure Functions' format of 2019 or 2021")
	f.StringVar(&o.function, "trace-function", "", "with --trace in a format of Azure's: only this function's requests (default: all functions')")
	f.Float64Var(&o.speed, "speed", 1, "with --trace: how many times as fast as it was")
}

const fromZero = "burst-from-zero"

// apply has the load come as o says. changed tells whether a flag was given.
func (o *patternOptions) apply(load *loadtest.Options, changed func(string) bool) error {
	only := func(names []string, where string, allowed bool) error {
		for _, name := range names {
			if changed(name) && !allowed {
				return fault.New(fault.Usage, "", "--"+name, "want it with %s", where).WithHint("godwit bench --help")
			}
		}
		return nil
	}
	bursts := o.arrivals == "burst" || o.arrivals == fromZero
	if err := errors.Join(only([]string{"on"}, "--arrivals burst or burst-from-zero", bursts), only([]string{"off"}, "--arrivals burst", o.arrivals == "burst"),
		only([]string{"idle", "until"}, "--arrivals burst-from-zero", o.arrivals == fromZero), only([]string{"speed", "trace-function"}, "--trace", o.trace != "")); err != nil {
		return err
	}
	switch o.arrivals {
	case "poisson":
	case "constant":
		load.Constant = true
	case "burst", fromZero:
		if load.Rate == 0 {
			return fault.New(fault.Usage, "", "--rate", "want the rate within a burst with --arrivals %s, got none", o.arrivals)
		}
		load.Burst = &loadtest.Burst{On: o.on, Off: o.off}
	default:
		return fault.New(fault.Usage, "", "--arrivals", "want poisson, constant, burst or burst-from-zero, got %q", o.arrivals)
	}
	if o.arrivals == fromZero {
		load.Burst.Off = 0
		if !changed("timeout") {
			load.Timeout = time.Minute
		}
		if !changed("on") {
			load.Burst.On = load.Duration
		}
	}
	if o.trace == "" {
		return nil
	}
	if load.Rate != 0 || changed("arrivals") {
		return fault.New(fault.Usage, "", "--trace", "want it without --rate and --arrivals: it says itself when requests come")
	}
	return o.play(load, changed("duration"))
}

// play reads the trace to its end, so that what is wrong with it is said before
// any load, and has the load read it again.
func (o *patternOptions) play(load *loadtest.Options, bounded bool) error {
	if !(o.speed > 0 && o.speed <= 1e6) {
		return fault.New(fault.Usage, "", "--speed", "want more than 0, got %g", o.speed)
	}
	n, last := 0, time.Duration(0)
	for at, err := range o.offsets() {
		if err != nil {
			return err
		}
		n, last = n+1, at
	}
	if n == 0 {
		return fault.New(fault.Invalid, "", o.trace, "want requests in the trace, got none")
	}
	load.Offsets = o.offsets()
	if whole := last + time.Millisecond; !bounded || load.Duration > whole {
		load.Duration = whole
	}
	return nil
}

// offsets are the trace's requests, all of them as if of this one function, or
// those of one.
func (o *patternOptions) offsets() iter.Seq2[time.Duration, error] {
	return func(yield func(time.Duration, error) bool) {
		src, err := (&costOptions{trace: o.trace, traceFunction: o.function}).openTrace()
		if err != nil {
			yield(0, err)
			return
		}
		if c, ok := src.(io.Closer); ok {
			defer c.Close()
		}
		for {
			a, err := src.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			var e *fault.Error
			if errors.As(err, &e) {
				named := *e
				named.Op, named.Subject = "", strings.TrimSpace(o.trace+" "+e.Subject)
				err = &named
			}
			if !yield(time.Duration(float64(a.At)/o.speed), err) || err != nil {
				return
			}
		}
	}
}

// readRequests reads the bodies that are to be sent.
func (o *benchOptions) readRequests() error {
	for _, path := range o.requests {
		body, err := os.ReadFile(path)
		if err != nil {
			return fault.New(fault.NotFound, "", path, "%w", err)
		}
		r, err := codec.DecodeRequest(body, -1, nil)
		if err != nil {
			return fault.New(fault.Invalid, "", path, "%w", err)
		}
		o.load.Requests = append(o.load.Requests, request(r))
	}
	return nil
}

// starter is the server of a folder, which may be at rest: who connects then
// starts it, and waits until it serves.
type starter struct {
	p       *program
	ctx     context.Context
	dir     string
	address string // fixed with the first start

	mu    sync.Mutex
	child *child
}

func (s *starter) start() error {
	c, err := s.p.startServerAt(s.ctx, s.dir, s.address)
	if err != nil {
		return err
	}
	s.child = c
	if u, err := url.Parse(c.url); err == nil {
		s.address = u.Host
	}
	return nil
}

// dial connects, to a server that it starts where there is none.
func (s *starter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	if s.child == nil {
		if err := s.start(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
	}
	s.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// rest stops the server.
func (s *starter) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.stop()
		s.child = nil
	}
}

// usage is what the server that serves now has taken.
func (s *starter) usage() (loadtest.Usage, bool) {
	if !s.mu.TryLock() { // it is being started
		return loadtest.Usage{}, false
	}
	defer s.mu.Unlock()
	if s.child == nil {
		return loadtest.Usage{}, false
	}
	return loadtest.ProcessUsage(s.child.pid)
}

// zero returns what waits until nothing serves any more.
func (p *program) zero(o *patternOptions, st *starter) func(context.Context, int) error {
	if st != nil {
		return func(context.Context, int) error { st.rest(); return nil }
	}
	return func(ctx context.Context, _ int) error {
		stop := p.working("leaving the server alone")
		defer stop()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		ctx, cancel := context.WithTimeout(ctx, o.idle)
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.DeadlineExceeded) && o.until == "" {
					return nil
				}
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					return fault.New(fault.Unavailable, "", "--until", "want success of %q within %v, got none: something serves still", o.until, o.idle)
				}
				return ctx.Err()
			case <-tick.C:
				if o.until != "" && exec.CommandContext(ctx, "sh", "-c", o.until).Run() == nil {
					return nil
				}
			}
		}
	}
}

// local finds the process of this machine that serves u.
func local(u *url.URL) (pid int, ok bool) {
	port, err := net.LookupPort("tcp", u.Port())
	if u.Port() == "" {
		port, err = map[string]int{"http": 80, "https": 443}[u.Scheme], nil
	}
	if err != nil {
		return 0, false
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, false
	}
	return loadtest.Listener(port)
}

// isResult says whether a path is a result file.
func isResult(path string) bool {
	ext := filepath.Ext(path)
	info, err := os.Stat(path)
	return (ext == ".json" || ext == ".jsonl") && !strings.Contains(path, "://") && (err != nil || info.Mode().IsRegular())
}

// benchResult makes something of a result that is there already.
func (p *program) benchResult(cmd *cobra.Command, path string, o *benchOptions) error {
	for _, name := range loadFlags {
		switch name {
		case "html", "compare", "tolerance", "force", "benchstat":
			continue
		}
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Usage, "", "--"+name, "want it with a load, got the result %s", path).WithHint("godwit bench --help")
		}
	}
	r, err := readResult(path)
	if err != nil {
		return err
	}
	return p.present(r, &o.output, fmt.Sprintf("godwit bench %s --html report.html", path))
}
