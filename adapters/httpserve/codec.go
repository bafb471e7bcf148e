package httpserve

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec for all but infer messages
	"google.golang.org/grpc/mem"
)

// request is an infer message as it arrived: its bytes, which tensors borrow.
type request struct {
	buf  mem.Buffer
	data []byte
}

// free gives the bytes back; nothing may borrow them any more.
func (r *request) free() {
	if r.buf != nil {
		r.buf.Free()
		r.buf, r.data = nil, nil
	}
}

// reply is an infer message that has been encoded already.
type reply struct{ parts mem.BufferSlice }

// codecV2 passes infer messages through and leaves the others to protobuf.
type codecV2 struct {
	proto encoding.CodecV2
	pool  mem.BufferPool
}

var _ encoding.CodecV2 = (*codecV2)(nil)

func newCodec() *codecV2 {
	return &codecV2{proto: encoding.GetCodecV2("proto"), pool: mem.DefaultBufferPool()}
}

func (c *codecV2) Name() string { return "proto" }

func (c *codecV2) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*reply); ok {
		return r.parts, nil
	}
	return c.proto.Marshal(v)
}

func (c *codecV2) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	if r.buf != nil {
		return fmt.Errorf("httpserve: a request was received into twice")
	}
	r.buf = data.MaterializeToBuffer(c.pool)
	r.data = r.buf.ReadOnlyData()
	return nil
}
