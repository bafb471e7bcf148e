package httpserve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// server is one call of Serve.
type server struct {
	opts Options
	api  *oip.Server

	http                 *http.Server
	grpc                 *grpcServer // nil without gRPC
	httpConns, grpcConns *handoff
	lanes                *laneSet

	open       atomic.Int64 // connections
	sniffing   connSet
	sniffers   sync.WaitGroup
	unsettled  atomic.Int64  // connections handed over that their server does not know yet
	stopAccept chan struct{} // closed to end the accept loop
	accepted   chan struct{} // closed when it has ended
	stopOnce   sync.Once

	draining atomic.Bool
	inFlight atomic.Int64 // requests in progress over HTTP, but gRPC
	cut      context.CancelCauseFunc
	running  sync.WaitGroup
	failed   chan error
}

// Serve answers HTTP and gRPC on ln until ctx ends, then drains: readiness
// becomes false, PreStop passes, ln is closed, requests in progress end for at
// most Drain. h answers HTTP; nil means api itself, of which the readiness, the
// limits and gRPC are in any case. Serve closes ln.
//
// It returns nil after a drain in which every request was answered. Errors:
// Canceled when connections were cut off with requests in progress, Internal
// when serving failed.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, api *oip.Server, opts *Options) error {
	if h == nil {
		h = api
	}
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	s := &server{
		opts: opts.withDefaults(), api: api, cut: cut,
		httpConns: newHandoff(ln.Addr()), grpcConns: newHandoff(ln.Addr()),
		stopAccept: make(chan struct{}), accepted: make(chan struct{}), failed: make(chan error, 4),
	}
	if !s.opts.NoGRPC {
		s.grpc = newGRPC(base, api, &s.opts)
		go s.grpc.serve(s.grpcConns) // s.grpc.close waits for it
	}
	s.http = s.newHTTP(base, h)
	s.lanes = newLaneSet(s, base, h)
	defer context.AfterFunc(base, func() { s.lanes.cut(context.Canceled) })()
	s.running.Go(s.lanes.watch)
	s.run(func() error { return s.http.Serve(s.httpConns) })
	s.run(func() error {
		defer close(s.accepted)
		return s.accept(ln)
	})
	metrics := s.serveMetrics()

	var err error
	select {
	case err = <-s.failed:
	case <-ctx.Done():
		err = s.drain(ctx, ln)
	}
	s.close(ln)
	if metrics != nil {
		_ = metrics.Close()
	}
	s.running.Wait()
	return err
}

// run runs one of the servers in a goroutine that Serve waits for.
func (s *server) run(serve func() error) {
	s.running.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			if fault.Of(err) == nil {
				err = fault.New(fault.Internal, "httpserve.Serve", "", "%w", err)
			}
			s.failed <- err
		}
	})
}

func (s *server) newHTTP(base context.Context, h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:   s.guard(h),
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{ // what it declares, settingsFrames do too
			MaxConcurrentStreams: s.opts.MaxStreams, MaxReceiveBufferPerStream: streamWindow, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerConnection: connWindow,
			WriteByteTimeout:              s.opts.BodyTimeout, SendPingTimeout: s.opts.IdleTimeout,
		},
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    s.opts.MaxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*conn); ok && state != http.StateNew {
				c.settle()
				if c.lines != nil && state == http.StateIdle {
					c.lines.idle()
				}
			}
		},
		ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelWarn),
	}
}

func (s *server) serveMetrics() *http.Server {
	if s.opts.MetricsListener == nil {
		return nil
	}
	h := s.opts.Metrics
	if h == nil {
		h = http.NotFoundHandler()
	}
	m := &http.Server{
		Handler: h, ReadHeaderTimeout: s.opts.HeaderTimeout, IdleTimeout: s.opts.IdleTimeout, MaxHeaderBytes: s.opts.MaxHeaderBytes,
		ReadTimeout: s.opts.BodyTimeout, WriteTimeout: s.opts.BodyTimeout,
		ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelWarn),
	}
	s.run(func() error { return m.Serve(s.opts.MetricsListener) })
	return m
}

// drain ends the server's work without losing any of it.
func (s *server) drain(ctx context.Context, ln net.Listener) error {
	s.draining.Store(true)
	s.api.Drain() // 1. stop being chosen
	s.opts.Log.Info("draining", "pre_stop_ms", s.opts.PreStop.Milliseconds(), "drain_ms", s.opts.Drain.Milliseconds())
	if s.opts.PreStop > 0 { // 2. let the balancer notice
		select {
		case <-time.After(s.opts.PreStop):
		case err := <-s.failed:
			return err
		}
	}
	s.stopAccepting(ln)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Drain)
	defer cancel()
	// What has been accepted is known to its server before that is told to stop.
	s.sniffing.empty() // each ends within HeaderTimeout
	s.sniffers.Wait()
	s.lanes.settle(ctx)
	s.settle(ctx)

	// Callers whose requests would be cut off get an answer instead.
	margin := min(s.opts.Drain/5, time.Second)
	last := time.AfterFunc(s.opts.Drain-margin, func() {
		s.cut(fault.New(fault.Unavailable, "httpserve.Serve", "", "the server is stopping, and the request took too long").
			WithHint("Send it again; another instance answers."))
	})
	defer last.Stop()

	var stops sync.WaitGroup // 3. finish what is in flight
	if s.grpc != nil {
		stops.Go(func() { s.grpc.stop(ctx) })
	}
	stops.Go(func() { s.lanes.drained(ctx) })
	err := s.http.Shutdown(ctx)
	stops.Wait()
	lost := s.inFlight.Load()
	if s.grpc != nil {
		lost += s.grpc.inFlight.Load()
	}
	if lost > 0 {
		return fault.New(fault.Canceled, "httpserve.Serve", "", "%d requests were cut off after %v", lost, s.opts.Drain)
	}
	if err != nil { // connections, but no requests
		s.opts.Log.Debug("connections were closed", "error", err)
	}
	return nil
}

// settle waits until the servers have all connections in their books.
func (s *server) settle(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.unsettled.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lastCall is how long connections that wait in the kernel's queue get to be
// accepted: closing the port resets those that are still in it.
const lastCall = 20 * time.Millisecond

func (s *server) stopAccepting(ln net.Listener) {
	s.stopOnce.Do(func() {
		close(s.stopAccept)
		if l, ok := ln.(interface{ SetDeadline(time.Time) error }); ok && l.SetDeadline(time.Now().Add(lastCall)) == nil {
			<-s.accepted
		}
	})
	_ = ln.Close()
}

// close ends whatever still runs.
func (s *server) close(ln net.Listener) {
	s.stopAccepting(ln)
	_ = s.http.Close()
	_ = s.httpConns.Close()
	_ = s.grpcConns.Close()
	if s.grpc != nil {
		s.grpc.close()
	}
	s.sniffing.closeAll()
	s.sniffers.Wait()
	s.lanes.close()
}
