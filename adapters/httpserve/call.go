package httpserve

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// call is one gRPC call, as handlers see it.
type call struct {
	grpc.ServerStream
	ctx   context.Context // the stream's, with the trace
	x     *oip.Exchange
	ended bool
	// The caller sent an id of the request, a trace.
	named, traced bool

	// Of ModelInfer, here so that a call is one allocation.
	life life
	in   request
	out  reply
	part [1]mem.Buffer // of out
}

// header is what the caller sent under a lower-case name. Asking for names is
// cheaper than the copy of all metadata that grpc-go otherwise gives.
func (c *call) header(name string) []string {
	values := metadata.ValueFromIncomingContext(c.Context(), name)
	switch name {
	case "x-request-id":
		c.named = values != nil
	case "traceparent":
		c.traced = values != nil
	}
	return values
}

// ids are the header of an answer: those of the kind that the caller sent, or
// all. A header that is new in each answer costs both sides as much as the
// small message itself, and the message names its line in the log anyway, by
// the prediction's id.
func (c *call) ids(all bool) metadata.MD {
	if !all && !c.named && !c.traced {
		return nil
	}
	md := make(metadata.MD, 2)
	if all || c.named {
		md["x-request-id"] = []string{c.x.RequestID()}
	}
	if all || c.traced {
		md["traceparent"] = []string{c.x.TraceParent()}
	}
	return md
}

// end writes the call's log line and counts it, once.
func (c *call) end(err error) {
	if !c.ended {
		c.ended = true
		c.x.End(c.ctx, err)
	}
}

// lazily makes streams of a service's unary calls. On the wire they are the
// same; but grpc-go reads a unary call's message before it asks anybody, and a
// stream's when the handler does. So nothing is read of a caller who is not
// let in.
func lazily(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	methods := desc.Methods
	desc.Methods, desc.Streams = nil, append([]grpc.StreamDesc(nil), desc.Streams...)
	for _, m := range methods {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: m.MethodName, Handler: func(srv any, stream grpc.ServerStream) error {
			c := stream.(*call)
			resp, err := m.Handler(srv, c.ctx, c.receive, nil)
			c.end(err)
			if err != nil {
				return err
			}
			return c.SendMsg(resp)
		}})
	}
	return &desc
}

// receive reads the one message of a unary call.
func (c *call) receive(into any) error {
	err := c.RecvMsg(into)
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "httpserve.receive", "", "want a message, got none")
	}
	text := status.Convert(err).Message()
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return fault.New(fault.TooLarge, "httpserve.receive", "", "%s", text)
	case codes.Unimplemented:
		return fault.New(fault.Unsupported, "httpserve.receive", "", "%s", text)
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	}
	return fault.New(fault.Invalid, "httpserve.receive", "", "%s", text)
}

// intercept is around every call: nobody gets past it who may not, whatever
// the method, and it must be no method that there is.
func (g *grpcServer) intercept(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	c := &call{ServerStream: stream}
	ctx, x := g.begin(c)
	c.ctx, c.x = ctx, x
	allowed := false
	func() {
		defer oip.Recover(&err)
		if scope := scopeOf(info.FullMethod); scope != "" {
			if err = x.Authorize(ctx, scope); err != nil {
				return
			}
		}
		allowed = true
		err = handle(srv, c)
	}()
	switch streams := info.IsClientStream || info.IsServerStream; {
	case !streams || !allowed:
		c.end(err)
	case fault.CodeOf(err) == fault.Internal && fault.Of(err) != nil:
		g.api.Options().Log.Error("stream failed", "error", err)
	}
	return g.status(ctx, err)
}

// scopeOf is what a call needs; "" is nothing, for what platforms ask without
// credentials.
func scopeOf(method string) oip.Scope {
	switch method {
	case healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName,
		oippb.GRPCInferenceService_ServerLive_FullMethodName, oippb.GRPCInferenceService_ServerReady_FullMethodName:
		return ""
	case oippb.GRPCInferenceService_ModelInfer_FullMethodName, oippb.GRPCInferenceService_ModelStreamInfer_FullMethodName:
		return oip.ScopeInfer
	case oippb.GRPCInferenceService_RepositoryModelLoad_FullMethodName, oippb.GRPCInferenceService_RepositoryModelUnload_FullMethodName:
		return oip.ScopeAdmin
	}
	return oip.ScopeMetadata
}

// unknownMethod answers what is registered nowhere, as grpc-go does.
func unknownMethod(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "unknown method %.200q", method)
}
