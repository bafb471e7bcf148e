//go:build cgo

package ort

/*
#include "engine.h"

#cgo noescape gw_run
#cgo nocallback gw_run
#cgo noescape gw_reset
#cgo nocallback gw_reset
*/
import "C"

import (
	"context"
	"fmt"
	"log/slog"
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
	slot int
	kind C.gw_output
	keys bool // of kind GW_GATHERED: the keys, not the values
	// passed is true for an input that is an output too: its memory is the input's.
	passed bool
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
	native    bool        // on a provider other than the CPU's
	guard     atomic.Bool // the first run may replace Go's signal handlers
	dynamic   atomic.Bool // outputs' shapes depend on values, so no run writes into the last one's

	answers sync.Pool // of *answer

	mu    sync.Mutex
	calls []*call // free ones
	all   []*call // as many as have ever run at once
	watch watch
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
	s.watch.close()
	for _, c := range s.all {
		c.free()
	}
	for _, name := range append(s.inNames, s.slots...) {
		C.free(unsafe.Pointer(name))
	}
	s.calls, s.all, s.inNames, s.slots = nil, nil, nil, nil
	if s.raw != nil {
		C.gw_session_close(s.lib, s.raw)
		s.raw = nil
	}
	return nil
}

// lease takes a call for a run that ctx may end.
func (s *session) lease(ctx context.Context) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		c, err := newCall(s)
		if err != nil {
			return nil, err
		}
		s.all, s.calls = append(s.all, c), append(s.calls, c)
	}
	c := s.calls[len(s.calls)-1]
	s.calls = s.calls[:len(s.calls)-1]
	// A deadline is asked for first: contexts may build their timer in Done,
	// and the watch needs none.
	if _, ends := ctx.Deadline(); ends || ctx.Done() != nil {
		c.ctx = ctx
		s.watchRuns()
	}
	return c, nil
}

func (s *session) giveBack(c *call) {
	if c.pinned {
		c.pins.Unpin()
		c.pinned = false
	}
	for i := range c.in {
		if c.in[i].size > copyBelow {
			c.in[i].trim()
		}
	}
	s.mu.Lock()
	c.ctx = nil
	if c.stopped {
		C.gw_unterminate(c.c)
		c.stopped = false
	}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
}

// Run is as driver.Session says. The outputs of at most copyBelow bytes are
// copied into Go's memory; larger ones stay in ONNX Runtime's until released.
// Those of keepFrom bytes and more are copied into memory that was released.
func (s *session) Run(ctx context.Context, in, out []tensor.Tensor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := s.lease(ctx)
	if err != nil {
		return err
	}
	defer s.giveBack(c)
	sameOut, err := c.setOutputs(s, out)
	if err != nil {
		return err
	}
	sameIn, err := c.setInputs(in)
	if err != nil {
		c.ready = false
		return err
	}
	c.c.again = 0
	if c.ready && sameIn && sameOut && !s.dynamic.Load() {
		c.c.again = 1
	}
	c.ready = false
	code := s.run(c)
	if code != C.ORT_OK {
		drain(ctx, s.log)
		return runError(int(code), C.GoString(c.c.error))
	}
	if c.c.dynamic != 0 {
		s.dynamic.Store(true)
	}
	err = c.takeOutputs(s, out)
	c.ready = err == nil
	return err
}

func (s *session) run(c *call) C.int {
	if !s.guard.Load() {
		return C.gw_run(c.handle)
	}
	signals.Lock()
	defer signals.Unlock()
	C.gw_signals_save()
	defer C.gw_signals_restore()
	defer s.guard.Store(false)
	return C.gw_run(c.handle)
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

// keepFrom is the size in bytes from which the memory of an output is kept for
// later ones once it is released: to fill new memory takes several times as long.
const keepFrom = 4 << 10

// answer is memory for one output.
type answer struct {
	data []byte
	free func() // gives it back
}

// room is memory for an output of size bytes, and what releases it.
func (s *session) room(size int) (data []byte, free func()) {
	a, ok := s.answers.Get().(*answer)
	if !ok {
		a = &answer{}
		a.free = func() { s.answers.Put(a) }
	}
	if cap(a.data) < size {
		a.data = make([]byte, size)
	}
	return a.data[:0], a.free
}

// takeOutputs fills out from the run's outputs.
func (c *call) takeOutputs(s *session, out []tensor.Tensor) error {
	reset := false
	for i := range out {
		w := &c.wanted[i]
		from := &c.out[w.slot]
		if w.keys {
			from = &c.keys[w.slot]
		}
		if err := c.take(s, &out[i], from, w); err != nil {
			for j := range i {
				out[j].Release()
			}
			C.gw_reset(c.c)
			return err
		}
		// Memory that is held until the next run must stay small.
		reset = reset || out[i].Bytes() > copyBelow
	}
	if reset {
		C.gw_reset(c.c)
	}
	return nil
}

// take fills t, whose capacity it uses where that is enough.
func (c *call) take(s *session, t *tensor.Tensor, from *C.gw_tensor, w *wanted) error {
	typ := w.dtype
	if w.kind != C.GW_GATHERED || from._type != 0 { // no map, so no tensor told its type
		typ = dtype(from._type)
	}
	if typ == tensor.None {
		return fault.New(fault.Internal, "ort.Run", fmt.Sprintf("output %q", t.Name), "element type %d", from._type)
	}
	into := t.Data
	*t = tensor.Tensor{Name: t.Name, Type: typ, Shape: append(t.Shape[:0], unsafe.Slice((*int64)(unsafe.Pointer(from.dims)), from.rank)...)}
	if t.Shape == nil {
		t.Shape = []int64{}
	}
	size := int(from.size)
	data := unsafe.Slice((*byte)(from.data), size)
	if typ == tensor.Bytes {
		t.Strings = splitStrings(data, unsafe.Slice(from.offsets, from.count))
		return nil
	}
	if cap(into) >= size || size <= copyBelow || w.kind == C.GW_GATHERED || w.passed {
		if cap(into) < size && size >= keepFrom && size <= copyBelow {
			var free func()
			into, free = s.room(size)
			t.SetFree(free)
		}
		t.Data = append(into[:0], data...)
		if t.Data == nil {
			t.Data = []byte{}
		}
		return nil
	}
	t.Data = data[:size:size]
	value, lib := c.outValues[w.slot], c.c.lib
	c.outValues[w.slot] = nil
	t.SetFree(func() { C.gw_release_value(lib, value) })
	return nil
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
