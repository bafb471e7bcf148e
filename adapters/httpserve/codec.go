package httpserve

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec for all but infer messages
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/tensor"
)

// request is an infer message as it arrived: its bytes, which tensors borrow.
type request struct {
	data []byte

	// data's memory: gRPC's own buffer where there is only one, else ours.
	buf     mem.Buffer
	copied  *[]byte
	buffers *oip.Buffers
}

// free gives the bytes back; nothing may borrow them any more.
func (r *request) free() {
	if r.buf != nil {
		r.buf.Free()
	}
	if r.copied != nil {
		r.buffers.Put(r.copied)
	}
	*r = request{}
}

// reply is an infer message that has been encoded already.
type reply struct{ parts mem.BufferSlice }

// codecV2 passes infer messages through and leaves the others to protobuf.
type codecV2 struct {
	proto   encoding.CodecV2
	buffers *oip.Buffers
}

var _ encoding.CodecV2 = (*codecV2)(nil)

func newCodec(buffers *oip.Buffers) *codecV2 {
	return &codecV2{proto: encoding.GetCodecV2("proto"), buffers: buffers}
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
	if r.data != nil {
		return fmt.Errorf("httpserve: a request was received into twice")
	}
	if len(data) == 1 {
		data[0].Ref()
		r.buf = data[0]
		r.data = r.buf.ReadOnlyData()
		return nil
	}
	// The one copy there is puts the elements where engines want them.
	n := data.Len()
	r.buffers, r.copied = c.buffers, c.buffers.Get(n+tensor.Alignment)
	pad := (tensor.ToAligned(*r.copied) - rawOffset(data)) & (tensor.Alignment - 1)
	r.data = (*r.copied)[pad : pad+n : pad+n]
	data.CopyTo(r.data)
	return nil
}

// fieldRaw is raw_input_contents of a ModelInferRequest.
const fieldRaw = 7

// rawOffset is where in a ModelInferRequest the bytes of its first raw tensor
// begin; 0 where there are none, or no such message, which the decoder finds out.
func rawOffset(data mem.BufferSlice) int {
	r := data.Reader()
	defer r.Close()
	size := r.Remaining()
	for range 64 { // more than the fields before the tensors usually are
		tag, err := binary.ReadUvarint(r)
		if err != nil || protowire.Type(tag&7) != protowire.BytesType {
			return 0
		}
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(r.Remaining()) {
			return 0
		}
		if tag>>3 == fieldRaw {
			return size - r.Remaining()
		}
		_, _ = r.Discard(int(n)) // as many are there
	}
	return 0
}
