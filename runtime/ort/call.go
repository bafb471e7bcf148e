//go:build cgo

package ort

/*
#include "engine.h"
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// call is what one run needs in C, with Go's view of its arrays. It is used by
// one run at a time and kept for the next.
type call struct {
	c         *C.gw_call
	in        []C.gw_tensor
	out, keys []C.gw_tensor
	outNames  []*C.char
	outValues []*C.OrtValue
	maps      []C.int

	dims []C.int64_t // in C, maxRank for each input
	slab unsafe.Pointer
	size int // of slab

	wanted []wanted // one for each output of the current run
	slots  []int    // the session's slot behind each slot of the current run
}

// wanted is where one asked-for output comes from in the current run.
type wanted struct {
	part
	dtype tensor.DType
}

// maxRank bounds the dimensions of an input; the codecs refuse more than 16.
const maxRank = 64

func newCall(s *session) (*call, error) {
	raw := C.gw_call_new(s.lib, s.raw, C.size_t(len(s.inNames)), C.size_t(len(s.slots)))
	if raw == nil {
		return nil, fault.New(fault.Internal, "ort.Run", "", "no memory for a run")
	}
	c := &call{
		c: raw, in: unsafe.Slice(raw.in, len(s.inNames)),
		out: unsafe.Slice(raw.out, len(s.slots)), keys: unsafe.Slice(raw.keys, len(s.slots)),
		outNames: unsafe.Slice(raw.out_names, len(s.slots)), outValues: unsafe.Slice(raw.out_values, len(s.slots)),
		maps: unsafe.Slice(raw.maps, len(s.slots)),
	}
	copy(unsafe.Slice(raw.in_names, len(s.inNames)), s.inNames)
	n := max(1, len(s.inNames)) * maxRank
	c.dims = unsafe.Slice((*C.int64_t)(C.calloc(C.size_t(n), C.sizeof_int64_t)), n)
	return c, nil
}

func (c *call) free() {
	C.free(unsafe.Pointer(unsafe.SliceData(c.dims)))
	C.free(c.slab)
	C.gw_call_free(c.c)
}

// setOutputs chooses the slots that out needs, each once.
func (c *call) setOutputs(s *session, out []tensor.Tensor) error {
	c.wanted, c.slots = c.wanted[:0], c.slots[:0]
	for i := range out {
		at := slices.IndexFunc(s.sig.Outputs, func(o driver.TensorInfo) bool { return o.Name == out[i].Name })
		if at < 0 {
			return fault.New(fault.Internal, "ort.Run", fmt.Sprintf("output %q", out[i].Name), "not in the signature")
		}
		p := s.parts[at]
		slot := slices.Index(c.slots, p.slot)
		if slot < 0 {
			slot = len(c.slots)
			c.slots = append(c.slots, p.slot)
			c.outNames[slot] = s.slots[p.slot]
			c.maps[slot] = 0
			if p.maps {
				c.maps[slot] = 1
			}
		}
		p.slot = slot
		c.wanted = append(c.wanted, wanted{p, s.sig.Outputs[at].Type})
	}
	// The last run's outputs are counted in held; this is for the next one.
	c.c.outputs = C.size_t(len(c.slots))
	return nil
}

// copyInputBelow is the size in bytes up to which copying an input into C is
// cheaper than pinning it for the run.
const copyInputBelow = 4 << 10

// align is what ONNX Runtime's kernels like best; any element type needs less.
const align = 64

// setInputs describes in to C. Small and misaligned tensors and all strings
// are copied into the call's slab; larger ones are pinned until the run ends.
func (c *call) setInputs(s *session, in []tensor.Tensor, pins *runtime.Pinner) error {
	need := 0
	for i := range in {
		if n := slabSize(&in[i]); n > 0 {
			need += n + align
		}
	}
	if need > c.size || c.slab == nil {
		C.free(c.slab)
		c.size = max(need, copyInputBelow)
		c.slab = C.malloc(C.size_t(c.size + align))
		if c.slab == nil {
			c.size = 0
			return fault.New(fault.Unavailable, "ort.Run", "", "want %d bytes for the inputs, got none", need)
		}
	}
	at := alignUp(uintptr(c.slab))
	for i := range in {
		t, d := &in[i], &c.in[i]
		if len(t.Shape) > maxRank {
			return fault.New(fault.Invalid, "ort.Run", fmt.Sprintf("input %q", t.Name), "want a rank of at most %d, got %d", maxRank, len(t.Shape))
		}
		dims := c.dims[i*maxRank:]
		for j, n := range t.Shape {
			dims[j] = C.int64_t(n)
		}
		d._type, d.rank, d.dims, d.count = onnxType(t.Type), C.size_t(len(t.Shape)), &dims[0], C.size_t(t.Len())
		n := slabSize(t)
		if n == 0 {
			data := unsafe.SliceData(t.Data)
			pins.Pin(data)
			d.data, d.size = unsafe.Pointer(data), C.size_t(len(t.Data))
			continue
		}
		// The slab is C memory, so this arithmetic hides no Go pointer.
		buf := unsafe.Slice((*byte)(unsafe.Add(c.slab, at-uintptr(c.slab))), n)
		at = alignUp(at + uintptr(n))
		if t.Type == tensor.Bytes {
			c.putStrings(d, t, buf)
			continue
		}
		d.data, d.size = unsafe.Pointer(unsafe.SliceData(buf)), C.size_t(copy(buf, t.Data))
	}
	return nil
}

func alignUp(p uintptr) uintptr { return (p + align - 1) &^ (align - 1) }

// slabSize is how many bytes of slab t needs: at least 1 if any, because even
// a tensor of no elements needs an address, and 0 when it is pinned instead.
func slabSize(t *tensor.Tensor) int {
	if t.Type == tensor.Bytes {
		return (len(t.Strings)+1)*C.sizeof_size_t + t.Bytes() + 1
	}
	aligned := uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))%uintptr(t.Type.Size()) == 0
	if len(t.Data) > copyInputBelow && aligned {
		return 0
	}
	return len(t.Data) + 1
}

// putStrings lays offsets and then bytes out in buf.
func (c *call) putStrings(d *C.gw_tensor, t *tensor.Tensor, buf []byte) {
	offsets := unsafe.Slice((*C.size_t)(unsafe.Pointer(unsafe.SliceData(buf))), len(t.Strings)+1)
	text := buf[len(offsets)*C.sizeof_size_t:]
	n := 0
	for i, s := range t.Strings {
		offsets[i] = C.size_t(n)
		n += copy(text[n:], s)
	}
	d.offsets, d.data, d.size = &offsets[0], unsafe.Pointer(unsafe.SliceData(text)), C.size_t(n)
}

// terminateWith stops the run when ctx ends. The returned stop waits until no
// terminate can come any more and makes the call usable again.
func (c *call) terminateWith(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		C.gw_terminate(c.c)
		close(done)
	})
	return func() {
		if !cancel() {
			<-done
			C.gw_unterminate(c.c)
		}
	}
}
