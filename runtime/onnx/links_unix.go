//go:build unix

package onnx

import (
	"fmt"
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

// patient does not wait for a pipe that has taken a file's place either. Links
// to the model's own file are its owner's.
const patient = syscall.O_NONBLOCK

// identity tells which content info belongs to. The inode's own change time
// cannot be set back by whoever writes the file.
func identity(info fs.FileInfo) string {
	id := fmt.Sprintf("%d@%d", info.Size(), info.ModTime().UnixNano())
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		id = fmt.Sprintf("%d:%d:%v:%s", s.Dev, s.Ino, changed(s), id)
	}
	return id
}
