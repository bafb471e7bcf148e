//go:build cgo

package ort

/*
#include "engine.h"

#cgo noescape gw_run
#cgo nocallback gw_run
#cgo noescape gw_reset
#cgo nocallback gw_reset
#cgo noescape gw_terminate
#cgo nocallback gw_terminate
#cgo noescape gw_unterminate
#cgo nocallback gw_unterminate
*/
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// part says which of ONNX Runtime's outputs one of ours is taken from: a
// sequence of maps gives two.
type part struct {
	slot       int
	maps, keys bool
}

type session struct {
	lib       *C.gw_library
	raw       *C.OrtSession
	log       *slog.Logger
	sig       driver.Signature
	inNames   []*C.char
	slots     []*C.char // names of ONNX Runtime's outputs
	parts     []part    // one for each of sig.Outputs
	providers []string
	guard     atomic.Bool // the first run may replace Go's signal handlers

	mu    sync.Mutex
	calls []*call // free ones; as many as have ever run at once
}

var (
	_ driver.Session = (*session)(nil)
	_ driver.Placer  = (*session)(nil)
)

func (s *session) Signature() *driver.Signature { return &s.sig }

func (s *session) Providers() []string { return s.providers }

func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		c.free()
	}
	for _, name := range append(s.inNames, s.slots...) {
		C.free(unsafe.Pointer(name))
	}
	s.calls, s.inNames, s.slots = nil, nil, nil
	if s.raw != nil {
		C.gw_session_close(s.lib, s.raw)
		s.raw = nil
	}
	return nil
}

func (s *session) lease() (*call, error) {
	s.mu.Lock()
	if n := len(s.calls); n > 0 {
		c := s.calls[n-1]
		s.calls = s.calls[:n-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	return newCall(s)
}

func (s *session) giveBack(c *call) {
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
}

// Run is as driver.Session says. The outputs of at most copyBelow bytes are
// copied into Go's memory; larger ones stay in ONNX Runtime's until released.
func (s *session) Run(ctx context.Context, in, out []tensor.Tensor) error {
	c, err := s.lease()
	if err != nil {
		return err
	}
	defer s.giveBack(c)
	if err := c.setOutputs(s, out); err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	if err := c.setInputs(s, in, &pins); err != nil {
		return err
	}
	if ctx.Done() != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		stop := c.terminateWith(ctx)
		defer stop()
	}
	code := s.run(c)
	if code != C.ORT_OK {
		drain(ctx, s.log)
		return runError(int(code), C.GoString(c.c.error))
	}
	return c.takeOutputs(s, out)
}

func (s *session) run(c *call) C.int {
	if !s.guard.Load() {
		return C.gw_run(c.c)
	}
	signals.Lock()
	defer signals.Unlock()
	C.gw_signals_save()
	defer C.gw_signals_restore()
	defer s.guard.Store(false)
	return C.gw_run(c.c)
}

// runError classifies what ONNX Runtime says of a run whose inputs fit the
// signature. Graphs refuse values too, such as an index beyond a table.
func runError(code int, msg string) error {
	text := scrub(msg)
	switch {
	case strings.Contains(msg, "bad_alloc") || strings.Contains(msg, "Failed to allocate memory"):
		return fault.New(fault.Unavailable, "ort.Run", "", "the model needs more memory than there is").
			WithHint("Send fewer rows at once, or give the function more memory.")
	case code == C.ORT_INVALID_ARGUMENT:
		return fault.New(fault.Invalid, "ort.Run", "", "the model refuses these values: %s", text)
	case code == C.ORT_EP_FAIL, code == C.ORT_ENGINE_ERROR:
		return fault.New(fault.Internal, "ort.Run", "", "the execution provider failed: %s", text)
	}
	return fault.New(fault.Unprocessable, "ort.Run", "", "the model cannot compute an answer for these values: %s", text)
}

// copyBelow is the size in bytes up to which copying an output is cheaper than
// a second crossing into C to release it and the bookkeeping for that.
const copyBelow = 64 << 10

// takeOutputs fills out from the run's outputs.
func (c *call) takeOutputs(s *session, out []tensor.Tensor) error {
	reset := false
	for i := range out {
		w := c.wanted[i]
		from := &c.out[w.slot]
		if w.keys {
			from = &c.keys[w.slot]
		}
		t, err := c.take(out[i], from, w)
		if err != nil {
			for j := range i {
				out[j].Release()
			}
			C.gw_reset(c.c)
			return err
		}
		// Memory that is held until the next run must stay small.
		reset = reset || t.Bytes() > copyBelow
		out[i] = t
	}
	if reset {
		C.gw_reset(c.c)
	}
	return nil
}

func (c *call) take(into tensor.Tensor, from *C.gw_tensor, w wanted) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: into.Name, Type: dtype(from._type)}
	if w.maps && from._type == 0 {
		t.Type = w.dtype // no map, so no tensor told its type
	}
	if t.Type == tensor.None {
		return t, fault.New(fault.Internal, "ort.Run", fmt.Sprintf("output %q", into.Name), "element type %d", from._type)
	}
	t.Shape = make([]int64, from.rank)
	for i, d := range unsafe.Slice(from.dims, from.rank) {
		t.Shape[i] = int64(d)
	}
	size := int(from.size)
	data := unsafe.Slice((*byte)(from.data), size)
	if t.Type == tensor.Bytes {
		t.Strings = splitStrings(data, unsafe.Slice(from.offsets, from.count))
		return t, nil
	}
	if cap(into.Data) >= size || size <= copyBelow || w.maps {
		t.Data = append(into.Data[:0], data...)
		if t.Data == nil {
			t.Data = []byte{}
		}
		return t, nil
	}
	t.Data = data[:size:size]
	value, lib := c.outValues[w.slot], c.c.lib
	c.outValues[w.slot] = nil
	t.SetFree(func() { C.gw_release_value(lib, value) })
	return t, nil
}

// splitStrings copies joined elements into Go's memory, in one piece.
func splitStrings(data []byte, offsets []C.size_t) [][]byte {
	all := append(make([]byte, 0, len(data)), data...)
	elements := make([][]byte, len(offsets))
	for i, begin := range offsets {
		end := C.size_t(len(all))
		if i+1 < len(offsets) {
			end = offsets[i+1]
		}
		elements[i] = all[begin:end:end]
	}
	return elements
}
