//go:build cgo

package ort

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	binding "github.com/yalue/onnxruntime_go"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

var _ driver.Baker = (*engine)(nil)

// Bake opens a session that writes its graph, and closes it.
func (e *engine) Bake(ctx context.Context, path, out string, level driver.Level) error {
	for _, file := range []string{out, out + driver.DataSuffix} {
		if _, err := os.Lstat(file); err == nil { // ONNX Runtime would write over it, or behind what it holds
			return fault.New(fault.BadConfig, "ort.Bake", file, "want a new file, got one that is there")
		}
	}
	s, err := e.open(ctx, path, &driver.Options{IntraOp: 1, Runs: 1}, func(o *binding.SessionOptions) error {
		to := binding.GraphOptimizationLevel(binding.GraphOptimizationLevelEnableExtended)
		if level == driver.All {
			to = binding.GraphOptimizationLevelEnableAll
		}
		return errors.Join(
			o.SetGraphOptimizationLevel(to),
			o.SetOptimizedModelFilePath(out),
			o.AddSessionConfigEntry("session.save_model_format", "ONNX"),
			o.AddSessionConfigEntry("session.optimized_model_external_initializers_file_name", filepath.Base(out)+driver.DataSuffix),
		)
	})
	if err != nil {
		return err
	}
	return s.Close()
}
