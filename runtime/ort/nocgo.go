//go:build !cgo

package ort

import (
	"context"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

type engine struct{}

func newEngine(*driver.Setup) driver.Engine { return engine{} }

func (engine) Info() driver.Info {
	return driver.Info{Name: "onnxruntime", Platform: "onnx_onnxv1"}
}

func (engine) Open(_ context.Context, path string, _ *driver.Options) (driver.Session, error) {
	return nil, fault.New(fault.Runtime, "ort.Open", path, "this binary was built without cgo, so it has no ONNX Runtime").
		WithHint("Build with CGO_ENABLED=1 and a C compiler.")
}

// Library is "": nothing is ever loaded.
func Library() string { return "" }
