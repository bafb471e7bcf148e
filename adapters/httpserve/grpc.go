package httpserve

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // callers may compress
	"google.golang.org/grpc/experimental"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

// grpcServer is the gRPC side of one Serve. Its two servers have the same
// services: direct owns its connections, and mixed answers single calls on
// connections of net/http. They are two because stopping one that does both
// cuts the calls on net/http's connections off.
type grpcServer struct {
	direct, mixed *grpc.Server
	api           *oip.Server
	base          context.Context // ends requests at the end of a drain

	conns    connSet // of direct
	inFlight atomic.Int64
	stopping chan struct{}  // closed when a drain begins: streams end
	stopped  chan struct{}  // closed when direct has stopped by itself; nil before stop
	served   chan struct{}  // closed when serve has returned
	receives sync.WaitGroup // goroutines that wait for a stream's next message
}

// The windows within which a caller may send before it is acknowledged: a
// tensor of some megabytes in one go.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// streamWorkers are goroutines that answer calls and keep their grown stacks.
// Calls that find none idle get a goroutine of their own, so there are more
// than run at once: most wait for the engine.
const streamWorkers = 64

// keepaliveEvery is how often a silent connection with calls is checked;
// keepaliveMin is how often a caller may check without being sent away.
const (
	keepaliveEvery = time.Minute
	keepaliveMin   = 10 * time.Second
)

func newGRPC(base context.Context, api *oip.Server, opts *Options) *grpcServer {
	g := &grpcServer{api: api, base: base, stopping: make(chan struct{}), served: make(chan struct{})}
	limits := api.Options().Limits
	common := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec(api.Buffers())),
		// gRPC's own pool writes zeros over each buffer before it is used again.
		experimental.BufferPool(api.Buffers()),
		grpc.MaxRecvMsgSize(int(limits.Body)),
		grpc.MaxConcurrentStreams(uint32(opts.MaxStreams)),
		grpc.MaxHeaderListSize(uint32(opts.MaxHeaderBytes)),
		grpc.StreamInterceptor(g.intercept), // all calls are streams here, see lazily
		grpc.UnknownServiceHandler(unknownMethod),
	}
	if limits.Response > 0 {
		common = append(common, grpc.MaxSendMsgSize(int(limits.Response)))
	}
	g.direct = grpc.NewServer(append(common,
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ConnectionTimeout(opts.HeaderTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: opts.IdleTimeout, Time: keepaliveEvery}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMin, PermitWithoutStream: true}),
	)...)
	g.mixed = grpc.NewServer(common...)
	for _, s := range []*grpc.Server{g.direct, g.mixed} {
		s.RegisterService(serviceDesc(), &service{grpcServer: g})
		s.RegisterService(lazily(healthpb.Health_ServiceDesc), &health{grpcServer: g})
		s.RegisterService(reflectionDesc("v1"), nil)
		s.RegisterService(reflectionDesc("v1alpha"), nil)
	}
	return g
}

// serve answers the calls on l's connections until stop or close. It fails in
// no other way, since l is a handoff.
func (g *grpcServer) serve(l *handoff) {
	defer close(g.served)
	_ = g.direct.Serve(l)
}

// stop ends streams, lets calls in progress end, and cuts them off with ctx.
// Calls on net/http's connections are net/http's to wait for.
func (g *grpcServer) stop(ctx context.Context) {
	close(g.stopping)
	g.stopped = make(chan struct{})
	go func() { // ends with the last handler, which nothing can force
		defer close(g.stopped)
		g.direct.GracefulStop()
	}()
	select {
	case <-g.stopped:
	case <-ctx.Done():
		// Not with Stop, which would wait for a lock that GracefulStop holds
		// until the last handler has ended.
		g.conns.closeAll()
	}
}

// close ends whatever still runs, but handlers that stop gave up.
func (g *grpcServer) close() {
	g.mixed.Stop()
	if g.stopped == nil {
		g.direct.Stop()
	} else {
		select {
		case <-g.stopped:
		default:
			return
		}
	}
	<-g.served
	g.receives.Wait()
}

// begin starts the exchange of one request of c.
func (g *grpcServer) begin(c *call) (context.Context, *oip.Exchange) {
	return g.api.Begin(c.Context(), telemetry.ProtocolGRPC, c.header)
}

// codeTrailer carries the fault code, of which there are more than gRPC has.
const codeTrailer = "godwit-code"

// pushbackTrailer tells gRPC's own retries how long to wait.
const pushbackTrailer = "grpc-retry-pushback-ms"

// status is the gRPC status of err's code, with the text for callers.
func (g *grpcServer) status(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok && fault.Of(err) == nil {
		return err // made by grpc itself, as for a method that does not exist
	}
	code := fault.CodeOf(err)
	// It fails only when the answer has been sent, and then there is no trailer to set.
	_ = grpc.SetTrailer(ctx, metadata.Pairs(codeTrailer, code.String()))
	if wait := fault.RetryOf(err); wait > 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushbackTrailer, strconv.FormatInt(wait.Milliseconds(), 10)))
	}
	return status.Error(codes.Code(code.GRPC()), fault.Public(err))
}
