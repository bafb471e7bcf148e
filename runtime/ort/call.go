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
// one run at a time and kept for the next, which is cheapest when its inputs
// have the shapes of the last: then the native values are used again.
type call struct {
	c         *C.gw_call
	handle    C.uintptr_t // c as a number
	in        []input
	out, keys []C.gw_tensor
	outNames  []*C.char
	outValues []*C.OrtValue
	kinds     []C.gw_output

	wanted []wanted // one for each output of the current run
	slots  []int    // the session's slot behind each slot of the current run
	ready  bool     // the last run ended well, so what it left fits a run like it

	pins   runtime.Pinner // of large inputs
	pinned bool

	// Guarded by the session's mutex.
	ctx     context.Context // of the current run; nil when there is none or it cannot end
	stopped bool            // the terminate flag is set
}

// input is one input's memory in C, which stays where it is until it must grow.
type input struct {
	c     *C.gw_tensor
	dtype tensor.DType
	dims  []int64 // in C, maxRank
	shape []int64 // the part of dims in use
	buf   unsafe.Pointer
	size  int // of buf
}

// wanted is where one asked-for output comes from in the current run.
type wanted struct {
	part
	at    int // in the signature
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
		c: raw, handle: C.uintptr_t(uintptr(unsafe.Pointer(raw))), in: make([]input, len(s.inNames)),
		out: unsafe.Slice(raw.out, len(s.slots)), keys: unsafe.Slice(raw.keys, len(s.slots)),
		outNames: unsafe.Slice(raw.out_names, len(s.slots)), outValues: unsafe.Slice(raw.out_values, len(s.slots)),
		kinds: unsafe.Slice(raw.kinds, len(s.slots)),
	}
	copy(unsafe.Slice(raw.in_names, len(s.inNames)), s.inNames)
	for i := range c.in {
		dims := (*int64)(C.calloc(maxRank, C.sizeof_int64_t))
		c.in[i] = input{c: &unsafe.Slice(raw.in, len(s.inNames))[i], dims: unsafe.Slice(dims, maxRank)}
	}
	return c, nil
}

func (c *call) free() {
	C.gw_call_free(c.c) // first: its values lie over what follows
	for i := range c.in {
		C.free(unsafe.Pointer(unsafe.SliceData(c.in[i].dims)))
		C.free(c.in[i].buf)
	}
}

// setOutputs chooses the slots that out needs, each once. same is true when
// they are those of the last run.
func (c *call) setOutputs(s *session, out []tensor.Tensor) (same bool, err error) {
	same = len(out) == len(c.wanted)
	for i := 0; same && i < len(out); i++ {
		same = s.sig.Outputs[c.wanted[i].at].Name == out[i].Name
	}
	if same {
		return true, nil
	}
	C.gw_reset(c.c) // while it still knows which outputs it holds
	c.wanted, c.slots = c.wanted[:0], c.slots[:0]
	for i := range out {
		at := slices.IndexFunc(s.sig.Outputs, func(o driver.TensorInfo) bool { return o.Name == out[i].Name })
		if at < 0 {
			c.wanted, c.c.outputs = c.wanted[:0], 0
			return false, fault.New(fault.Internal, "ort.Run", fmt.Sprintf("output %q", out[i].Name), "not in the signature")
		}
		p := s.parts[at]
		slot := slices.Index(c.slots, p.slot)
		if slot < 0 {
			slot = len(c.slots)
			c.slots = append(c.slots, p.slot)
			c.outNames[slot] = s.slots[p.slot]
			c.kinds[slot] = p.kind
		}
		p.slot = slot
		c.wanted = append(c.wanted, wanted{p, at, s.sig.Outputs[at].Type})
	}
	c.c.outputs = C.size_t(len(c.slots))
	return false, nil
}

// copyInputBelow is the size in bytes up to which copying an input into C is
// cheaper than pinning it for the run and making a value for where it lies.
const copyInputBelow = 16 << 10

// align is what ONNX Runtime's kernels like best; any element type needs less.
const align = 64

// setInputs describes in to C. Small and misaligned tensors and all strings
// are copied into the input's own memory in C; larger ones are pinned until
// the run ends. same is true when types and shapes are those of the last run.
func (c *call) setInputs(in []tensor.Tensor) (same bool, err error) {
	same = true
	for i := range in {
		t, d := &in[i], &c.in[i]
		d.c.fresh = 0
		if t.Type != d.dtype || !slices.Equal(t.Shape, d.shape) {
			if len(t.Shape) > maxRank {
				return false, fault.New(fault.Invalid, "ort.Run", fmt.Sprintf("input %q", t.Name), "want a rank of at most %d, got %d", maxRank, len(t.Shape))
			}
			same = false
			d.describe(t)
		}
		switch {
		case t.Type == tensor.Bytes:
			d.c.fresh = 1
			err = d.putStrings(t)
		case len(t.Data) > copyInputBelow && uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))%uintptr(t.Type.Size()) == 0:
			c.pins.Pin(unsafe.SliceData(t.Data))
			c.pinned = true
			d.point(unsafe.Pointer(unsafe.SliceData(t.Data)), len(t.Data))
		default:
			if err = d.grow(len(t.Data)); err == nil {
				d.point(d.buf, copy(unsafe.Slice((*byte)(d.buf), d.size), t.Data))
			}
		}
		if err != nil {
			return false, err
		}
	}
	return same, nil
}

// describe takes over t's type and shape.
func (d *input) describe(t *tensor.Tensor) {
	d.c.fresh = 1
	d.dtype, d.shape = t.Type, d.dims[:copy(d.dims, t.Shape)]
	d.c._type, d.c.rank, d.c.count = onnxType(t.Type), C.size_t(len(t.Shape)), C.size_t(t.Len())
	d.c.dims = (*C.int64_t)(unsafe.SliceData(d.dims))
}

// point says where the elements lie.
func (d *input) point(data unsafe.Pointer, size int) {
	if d.c.data != data {
		d.c.data, d.c.fresh = data, 1
	}
	d.c.size = C.size_t(size)
}

// grow makes buf at least n bytes long, and at least 1: even a tensor of no
// elements needs an address. What was in it is lost. It only ever grows for
// another shape, or after trim, so no value lies over what is freed here.
func (d *input) grow(n int) error {
	if n <= d.size && d.buf != nil {
		return nil
	}
	C.free(d.buf)
	d.size = (max(n, 1) + align - 1) &^ (align - 1)
	if d.buf = C.aligned_alloc(align, C.size_t(d.size)); d.buf == nil {
		d.size = 0
		return fault.New(fault.Unavailable, "ort.Run", "", "want %d bytes for an input, got none", n)
	}
	return nil
}

// trim gives back memory that only large strings or large misaligned inputs needed.
func (d *input) trim() {
	C.free(d.buf)
	d.buf, d.size, d.c.data = nil, 0, nil
}

// putStrings lays offsets and then bytes out in the input's memory.
func (d *input) putStrings(t *tensor.Tensor) error {
	head := (len(t.Strings) + 1) * C.sizeof_size_t
	if err := d.grow(head + t.Bytes()); err != nil {
		return err
	}
	offsets := unsafe.Slice((*C.size_t)(d.buf), len(t.Strings)+1)
	text := unsafe.Slice((*byte)(unsafe.Add(d.buf, head)), d.size-head)
	n := 0
	for i, s := range t.Strings {
		offsets[i] = C.size_t(n)
		n += copy(text[n:], s)
	}
	d.c.offsets, d.c.data, d.c.size = &offsets[0], unsafe.Add(d.buf, head), C.size_t(n)
	return nil
}
