package httpserve

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// service is the protocol's gRPC service. All but inference is a translation
// of what oip.Server says.
type service struct {
	*grpcServer
	oippb.UnimplementedGRPCInferenceServiceServer
}

var _ oippb.GRPCInferenceServiceServer = (*service)(nil)

// serviceDesc is the generated one with handlers of our own for infer
// messages, which are not decoded into generated types.
func serviceDesc() *grpc.ServiceDesc {
	desc := lazily(oippb.GRPCInferenceService_ServiceDesc)
	for i := range desc.Streams {
		switch s := &desc.Streams[i]; s.StreamName {
		case "ModelInfer":
			s.Handler = func(srv any, stream grpc.ServerStream) error { return srv.(*service).infer(stream.(*call)) }
		case "ModelStreamInfer":
			s.Handler = func(srv any, stream grpc.ServerStream) error { return srv.(*service).streamInfer(stream.(*call)) }
		}
	}
	return desc
}

// infer answers ModelInfer.
func (s *service) infer(c *call) error {
	err := c.receive(&c.in)
	if err == nil {
		c.part[0], err = s.answer(c.ctx, c.x, &c.in, &c.life)
	} else {
		c.x.Asked("", "") // counted, even if it cannot be received
	}
	c.end(err)
	if err != nil {
		_ = c.SetHeader(c.ids(true)) // it fails only when the caller is gone
		return err
	}
	if ids := c.ids(false); len(ids) > 0 {
		_ = c.SendHeader(ids) // where SetHeader would make copies
	}
	c.out.parts = c.part[:]
	return c.SendMsg(&c.out)
}

// answer runs one infer message and gives its bytes back. l, which is new, is
// what the run's context is made of.
func (s *service) answer(ctx context.Context, x *oip.Exchange, in *request, l *life) (out mem.Buffer, err error) {
	defer func() {
		// After a panic, a goroutine of the handler may still read the request:
		// it stays out of the pool.
		if fault.CodeOf(err) != fault.Internal {
			in.free()
		}
	}()
	defer oip.Recover(&err)
	x.Asked("", "") // counted, even if it cannot be decoded
	l.Context, l.base = ctx, s.base
	defer l.end()
	ctx = l

	limits := s.api.Options().Limits
	req, raw, err := codec.DecodeInferGRPC(in.data, limits)
	if err != nil {
		return nil, err
	}
	resp, err := x.Infer(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Release()
	pool := s.api.Buffers()
	buf := pool.Get(max(sizeHint(resp), 2<<10)) // gRPC gives smaller ones to the garbage collector
	data, err := codec.AppendInferGRPC((*buf)[:0], req, resp, raw)
	if err == nil && limits.Response > 0 && int64(len(data)) > limits.Response {
		err = fault.New(fault.TooLarge, "httpserve.Infer", "response", "want at most %d bytes, got %d", limits.Response, len(data))
	}
	if err != nil {
		pool.Put(buf)
		return nil, err
	}
	if cap(data) != cap(*buf) { // it outgrew the hint
		pool.Put(buf)
		buf = new([]byte)
	}
	*buf = data
	return mem.NewBuffer(buf, pool), nil
}

// sizeHint is about how many bytes resp has on the wire.
func sizeHint(resp *infer.Response) int {
	n := 512
	for i := range resp.Outputs {
		o := &resp.Outputs[i]
		n += o.Bytes() + 4*len(o.Strings) + len(o.Name) + 8*len(o.Shape) + 64
	}
	return n
}

// streamInfer answers the requests of a stream one after another. It ends with
// the caller's side of the stream, or between two requests when the server stops.
func (s *service) streamInfer(stream *call) error {
	type received struct {
		in  *request
		err error
	}
	next := make(chan received)
	ended := make(chan struct{})
	defer close(ended)
	s.receives.Go(func() { // ends with the stream, which ends with this handler
		for {
			r := received{in: new(request)}
			r.err = stream.RecvMsg(r.in)
			select {
			case next <- r:
			case <-ended:
				r.in.free()
				return
			}
			if r.err != nil {
				return
			}
		}
	})
	for first := true; ; first = false {
		select {
		case r := <-next:
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			if r.err != nil {
				return r.err
			}
			if err := s.streamAnswer(stream, r.in, first); err != nil {
				return err
			}
		case <-s.stopping:
			return errStopping()
		}
	}
}

// streamAnswer answers one request of a stream; its own failure is part of
// the answer. Access is checked for each: a token may expire meanwhile, and a
// rate counts requests, not streams.
func (s *service) streamAnswer(stream *call, in *request, first bool) error {
	ctx, x := s.begin(stream)
	var out mem.Buffer
	var err error
	if first {
		x.SameCaller(stream.x)
	} else {
		err = x.Authorize(ctx, oip.ScopeInfer)
	}
	if err == nil {
		out, err = s.answer(ctx, x, in, new(life))
	} else {
		in.free()
	}
	x.End(ctx, err)
	if err != nil {
		return stream.SendMsg(&oippb.ModelStreamInferResponse{ErrorMessage: fault.Public(err)})
	}
	// The answer is field 2 of a ModelStreamInferResponse.
	head := protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.BytesType), uint64(out.Len()))
	return stream.SendMsg(&reply{mem.BufferSlice{mem.SliceBuffer(head), out}})
}

func errStopping() error {
	return fault.New(fault.Unavailable, "httpserve.Serve", "", "the server is stopping").
		WithHint("Open the stream again; another instance answers.")
}
