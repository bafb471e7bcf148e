// Writes models with one thing wrong each into a folder.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	good := testmodels.AddSub()
	ir, opset, ml := good, good, good
	ir.IR = 14
	opset.Opsets = []testmodels.Opset{{Version: 27}}
	ml.Opsets = append([]testmodels.Opset{{Domain: "ai.onnx.ml", Version: 6}}, good.Opsets...)
	external, data := testmodels.Small().Externalize("m.bin")
	escaping, _ := testmodels.Small().Externalize("../m.bin")
	files := map[string][]byte{
		"good.onnx": good.Bytes(), "ir.onnx": ir.Bytes(), "opset.onnx": opset.Bytes(), "ml.onnx": ml.Bytes(),
		"custom.onnx": testmodels.CustomOp().Bytes(), "complex.onnx": testmodels.Identity(onnx.Complex64, 2).Bytes(),
		"external.onnx": external.Bytes(), "m.bin": data, "escaping.onnx": escaping.Bytes(),
		"row.onnx": testmodels.Identity(onnx.Float, 1, 4096).Bytes(), "wide.onnx": testmodels.Wide().Bytes(),
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
