//go:build cgo

package ort

/*
#include "engine.h"
*/
import "C"

import (
	"context"
	"os"
	"strings"
	"time"
	"unsafe"

	binding "github.com/yalue/onnxruntime_go"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

type engine struct {
	setup *driver.Setup
}

var (
	_ driver.Engine   = (*engine)(nil)
	_ driver.Preparer = (*engine)(nil)
	_ driver.Locator  = (*engine)(nil)
	_ driver.Trimmer  = (*engine)(nil)
)

func newEngine(setup *driver.Setup) driver.Engine {
	if setup == nil {
		setup = &driver.Setup{}
	}
	return &engine{setup: setup}
}

func (e *engine) Info() driver.Info {
	info := driver.Info{Name: "onnxruntime", Platform: "onnx_onnxv1"}
	library.Lock()
	defer library.Unlock()
	if library.c != nil {
		info.Version = C.GoString(library.c.version)
	}
	return info
}

// Prepare loads the library and makes the environment, most of what opening a
// small model takes.
func (e *engine) Prepare() error {
	_, err := open(e.setup)
	return err
}

func (e *engine) Locate() (string, error) { return find(e.setup) }

// Trim gives back what the C library keeps. Runs free their intermediate results
// into arenas of which every thread has its own, so that a model that needs
// some MB for a moment keeps them many times over.
func (e *engine) Trim(least int64) { C.gw_trim(C.size_t(least)) }

// Open loads the model at path. ONNX Runtime cannot stop while it loads, so
// ctx is looked at before and after.
func (e *engine) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	return e.open(ctx, path, opts, nil)
}

// open is Open with more set in the session's options.
func (e *engine) open(ctx context.Context, path string, opts *driver.Options, more func(*binding.SessionOptions) error) (driver.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lib, err := open(e.setup)
	if err != nil {
		return nil, err
	}
	defer drain(ctx, e.setup.Logger)
	if info, err := os.Stat(path); err != nil {
		return nil, fault.New(fault.BadModel, "ort.Open", path, "%w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fault.New(fault.BadModel, "ort.Open", path, "want a model file, got %s", info.Mode().Type())
	}
	options, pointer, err := sessionOptions(opts)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if more != nil {
		if err := more(options); err != nil {
			return nil, fault.New(fault.Runtime, "ort.Open", path, "%w", err)
		}
	}

	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	native := opts.Provider.Name != "" && opts.Provider.Name != cpu
	if native {
		signals.Lock()
		defer signals.Unlock()
		C.gw_signals_save()
	}
	var msg *C.char
	var raw *C.OrtSession
	begun := time.Now()
	code := C.gw_session_open(lib, cpath, (*C.OrtSessionOptions)(pointer), &raw, &msg)
	if native {
		C.gw_signals_restore()
	}
	if code != C.ORT_OK {
		return nil, openError(path, int(code), takeString(msg))
	}
	phase(e.setup, "session", begun)
	s := &session{lib: lib, raw: raw, log: e.setup.Logger, native: native}
	s.guard.Store(native)
	if err := s.describe(path, opts); err != nil {
		s.Close()
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openError explains why a model did not load. It is read by whoever deploys
// the model, so it may name the file.
func openError(path string, code int, msg string) error {
	e := fault.New(fault.BadModel, "ort.Open", path, "%s", scrub(msg))
	if strings.Contains(msg, "locale") {
		e.Hint = "The model folds letters with a locale; install it: on Debian the package locales and `locale-gen en_US.UTF-8`."
	}
	switch code {
	case C.ORT_INVALID_PROTOBUF:
		e.Hint = "The file is not an ONNX model, or it is cut short; compare its size and digest with the original."
	case C.ORT_NOT_IMPLEMENTED:
		e.Hint = "This ONNX Runtime has no kernel for an operator of the model; `godwit doctor` lists the operators."
	case C.ORT_INVALID_GRAPH:
		e.Hint = "The graph does not hold together; check it with the tool that exported it."
	case C.ORT_EP_FAIL, C.ORT_ENGINE_ERROR:
		e.Code = fault.Runtime
		e.Hint = "The execution provider failed to start; look at its libraries and the device's driver."
	}
	return e
}
