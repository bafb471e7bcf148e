//go:build cgo

package cloop

/*
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include "cloop.h"
*/
import "C"

import (
	"errors"
	"time"
	"unsafe"
)

// Loop is one session on one model with one input and one output of FP32. It
// is for one goroutine.
type Loop struct{ c *C.cloop }

// Open loads the model with the shared library, on one thread. The values have
// the shapes given, and the input's elements are input. The library should be
// the one that package ort has opened, so that telemetry is off and both
// share an environment.
func Open(library, model, in string, inShape []int64, input []float32, out string, outShape []int64, arena bool) (*Loop, error) {
	names := []*C.char{C.CString(library), C.CString(model), C.CString(in), C.CString(out)}
	defer func() {
		for _, n := range names {
			C.free(unsafe.Pointer(n))
		}
	}()
	withArena := C.int(0)
	if arena {
		withArena = 1
	}
	var c *C.cloop
	msg := C.cloop_open(names[0], names[1], names[2], (*C.int64_t)(&inShape[0]), C.size_t(len(inShape)), (*C.float)(&input[0]),
		names[3], (*C.int64_t)(&outShape[0]), C.size_t(len(outShape)), withArena, &c)
	l := &Loop{c}
	if msg != nil {
		defer C.free(unsafe.Pointer(msg))
		l.Close()
		return nil, errors.New("cloop: " + C.GoString(msg))
	}
	return l, nil
}

// Run runs the model n times, in one crossing into C.
func (l *Loop) Run(n int) error {
	if msg := C.cloop_run(l.c, C.long(n)); msg != nil {
		defer C.free(unsafe.Pointer(msg))
		return errors.New("cloop: " + C.GoString(msg))
	}
	return nil
}

// Output is a copy of what the last run answered.
func (l *Loop) Output() []float32 {
	return append([]float32{}, unsafe.Slice((*float32)(l.c.output), l.c.outputs)...)
}

// Close frees everything.
func (l *Loop) Close() { C.cloop_close(l.c) }

// CPU is the processor time that the process has used so far.
func CPU() time.Duration { return time.Duration(C.cloop_cpu()) }
