//go:build cgo

package ort

/*
#include "engine.h"
*/
import "C"

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	binding "github.com/yalue/onnxruntime_go"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// library is the shared library of this process. ONNX Runtime allows one
// environment a process, and unloading it while its threads end is not safe,
// so it is opened once and stays.
var library struct {
	sync.Mutex
	path string
	c    *C.gw_library
}

// Library is the path of the shared library that this process has loaded, ""
// before the first Open.
func Library() string {
	library.Lock()
	defer library.Unlock()
	return library.path
}

// open loads the first candidate that exists and returns its path.
func open(setup *driver.Setup) (*C.gw_library, error) {
	path, err := find(setup)
	if err != nil {
		return nil, err
	}
	library.Lock()
	defer library.Unlock()
	if library.c != nil {
		if library.path != path {
			return nil, fault.New(fault.Runtime, "ort.Open", path, "another ONNX Runtime is loaded in this process already: %s", library.path)
		}
		return library.c, nil
	}
	// From 1.29 on the Linux builds report home from the moment that the
	// environment is made. Only this variable, and only before that, stops it;
	// os.Setenv reaches C's environment because this package uses cgo.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return nil, fault.New(fault.Runtime, "ort.Open", path, "telemetry could not be switched off: %w", err)
	}
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	lib := (*C.gw_library)(C.calloc(1, C.sizeof_gw_library))
	var msg *C.char
	// The memory that is reserved with the library is the thread's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := time.Now()
	code := C.gw_library_open(cpath, lib, &msg)
	if code == C.ORT_OK {
		begun = phase(setup, "library", begun)
		code = C.gw_library_start(lib, &msg)
	}
	if code != C.ORT_OK {
		C.free(unsafe.Pointer(lib))
		return nil, fault.New(fault.Runtime, "ort.Open", path, "%s", takeString(msg)).
			WithHint("Run `make onnxruntime` for ONNX Runtime %s, or set GODWIT_ONNXRUNTIME to its shared library.", versions[0])
	}
	binding.SetSharedLibraryPath(path)
	if err := binding.InitializeEnvironment(); err != nil {
		return nil, fault.New(fault.Runtime, "ort.Open", path, "%w", err)
	}
	phase(setup, "environment", begun)
	library.path, library.c = path, lib
	return lib, nil
}

// phase says how long a part of the start took, and returns when it ended.
func phase(setup *driver.Setup, name string, begun time.Time) time.Time {
	now := time.Now()
	if setup.Start != nil {
		setup.Start(name, now.Sub(begun))
	}
	return now
}

func find(setup *driver.Setup) (string, error) {
	files := candidates(setup)
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			if abs, err := filepath.Abs(f); err == nil {
				return abs, nil
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fault.New(fault.Runtime, "ort.Open", f, "%w", err)
		}
	}
	return "", fault.New(fault.Runtime, "ort.Open", "", "want ONNX Runtime %s, got no such file: %s", versions[0], strings.Join(files, ", ")).
		WithHint("Run `make onnxruntime`, or set GODWIT_ONNXRUNTIME to the path of libonnxruntime.")
}

// drain hands what ONNX Runtime logged since the last time to the logger.
func drain(ctx context.Context, log *slog.Logger) {
	var m C.gw_message
	for C.gw_log_take(&m) == 1 {
		if log == nil {
			continue
		}
		level := slog.LevelDebug
		switch {
		case m.level >= C.ORT_LOGGING_LEVEL_ERROR:
			level = slog.LevelError
		case m.level == C.ORT_LOGGING_LEVEL_WARNING:
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "onnxruntime", "detail", C.GoString(&m.text[0]))
	}
}

func takeString(s *C.char) string {
	defer C.free(unsafe.Pointer(s))
	return C.GoString(s)
}
