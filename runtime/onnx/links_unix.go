//go:build unix

package onnx

import (
	"io/fs"
	"syscall"
)

// links is the number of hard links to a file, 1 where the system does not say.
func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// careful opens a file that was a plain one a moment ago: it neither follows a
// link nor waits for a pipe that has taken its place.
const careful = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
