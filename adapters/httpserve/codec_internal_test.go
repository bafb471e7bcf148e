package httpserve

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"pgregory.net/rapid"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// pieces cuts a message up as frames do.
func pieces(msg []byte, size int) mem.BufferSlice {
	var all mem.BufferSlice
	for len(msg) > 0 {
		n := min(size, len(msg))
		all = append(all, mem.SliceBuffer(msg[:n]))
		msg = msg[n:]
	}
	return all
}

// However long the fields before it are, a raw tensor of more than one frame
// is copied once, to where engines want it.
func TestRawTensorsAreAligned(t *testing.T) {
	c := newCodec(&oip.Buffers{})
	values := make([]float32, 10_000)
	for i := range values {
		values[i] = float32(i)
	}
	for extra := range 80 {
		for _, size := range []int{3, 1000, 16 << 10} {
			x := tensor.Of(strings.Repeat("n", 1+extra), []int64{1, 10_000}, values)
			msg, err := codec.AppendInferRequestGRPC(nil, &infer.Request{Model: "m", ID: "1", Params: infer.Params{"a": "b"}, Inputs: []tensor.Tensor{x}}, true)
			if err != nil {
				t.Fatal(err)
			}
			var in request
			if err := c.Unmarshal(pieces(msg, size), &in); err != nil {
				t.Fatal(err)
			}
			req, raw, err := codec.DecodeInferGRPC(in.data, nil)
			if err != nil || !raw {
				t.Fatal(raw, err)
			}
			got := &req.Inputs[0]
			if tensor.ToAligned(got.Data) != 0 {
				t.Errorf("a name of %d bytes in pieces of %d: not aligned", 1+extra, size)
			}
			if !bytes.Equal(got.Data, x.Data) {
				t.Errorf("a name of %d bytes in pieces of %d: other bytes", 1+extra, size)
			}
			in.free()
			in.free()
		}
	}
}

// Looking for the tensor takes any bytes.
func TestMessagesAreCopiedWhole(t *testing.T) {
	c := newCodec(&oip.Buffers{})
	rapid.Check(t, func(t *rapid.T) {
		msg := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Custom(func(t *rapid.T) []byte {
			// A field of bytes with a length that may be wrong.
			head := []byte{rapid.SampledFrom([]byte{0x0a, 0x3a, 0x3d, 0xba}).Draw(t, "tag"), rapid.Byte().Draw(t, "length"), rapid.Byte().Draw(t, "more")}
			return append(head, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "rest")...)
		})).Draw(t, "message")
		var in request
		if err := c.Unmarshal(pieces(msg, rapid.IntRange(1, 100).Draw(t, "piece")), &in); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in.data, msg) {
			t.Errorf("got %x, want %x", in.data, msg)
		}
		in.free()
	})
}
