//go:build !unix

package onnx

import "io/fs"

// links is 1: this system's files do not tell without being opened.
func links(fs.FileInfo) uint64 { return 1 }

const careful = 0
