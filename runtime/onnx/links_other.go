//go:build !unix

package onnx

import (
	"fmt"
	"io/fs"
)

// links is 1: this system's files do not tell without being opened.
func links(fs.FileInfo) uint64 { return 1 }

const (
	careful = 0
	patient = 0
)

// identity tells which content info belongs to, as far as this system says.
func identity(info fs.FileInfo) string {
	return fmt.Sprintf("%d@%d", info.Size(), info.ModTime().UnixNano())
}
