package loadtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const inferMethod = "/inference.GRPCInferenceService/ModelInfer"

// maxMessage bounds an answer over gRPC, in bytes.
const maxMessage = 256 << 20

// grpcConn is a caller over one gRPC connection, with messages made before.
type grpcConn struct {
	conn     *grpc.ClientConn
	payloads [][]byte
	meta     metadata.MD
}

func newGRPCConn(u *url.URL, o *Options, payloads [][]byte) (*grpcConn, error) {
	creds := insecure.NewCredentials()
	if u.Scheme == "https" {
		creds = credentials.NewTLS(&tls.Config{ServerName: u.Hostname()})
	}
	conn, err := grpc.NewClient("passthrough:///"+hostPort(u), grpc.WithTransportCredentials(creds),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return o.Dial(ctx, "tcp", address) }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return &grpcConn{conn: conn, payloads: payloads, meta: metadataOf(o.Header)}, nil
}

func metadataOf(h http.Header) metadata.MD {
	md := metadata.MD{}
	for name, values := range h {
		md.Append(strings.ToLower(name), values...)
	}
	return md
}

func (c *grpcConn) open(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c.conn.Connect()
	for {
		state := c.conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if state == connectivity.TransientFailure {
			return fmt.Errorf("%s: no gRPC connection", c.conn.Target())
		}
		if !c.conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}

func (c *grpcConn) call(ctx context.Context, i int, deadline time.Time, capture bool) answer {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if len(c.meta) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, c.meta)
	}
	reply := rawReply{capture: capture}
	err := c.conn.Invoke(ctx, inferMethod, &rawMessage{c.payloads[i]}, &reply)
	a := answer{in: reply.n, out: len(c.payloads[i]), body: reply.data, ok: err == nil}
	if err != nil {
		code := status.Code(err)
		a.code, a.outcome = int(code), code.String()
		a.later = code == codes.ResourceExhausted && len(status.Convert(err).Details()) > 0
		if code == codes.DeadlineExceeded && !time.Now().Before(deadline) {
			a.outcome = "timeout"
		}
		if capture {
			a.body = []byte(status.Convert(err).Message())
		}
	}
	return a
}

func (c *grpcConn) close() { c.conn.Close() }
func (c *grpcConn) rest()  {} // it connects again by itself, when it is asked
func (c *grpcConn) abort() {} // the context does it

// rawMessage is a request's bytes, rawReply an answer's.
type (
	rawMessage struct{ data []byte }
	rawReply   struct {
		capture bool
		n       int
		data    []byte
	}
)

// rawCodec sends bytes as they are and counts those that come.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*rawMessage).data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r := v.(*rawReply)
	r.n = data.Len()
	if r.capture {
		r.data = data.Materialize()
	}
	return nil
}
