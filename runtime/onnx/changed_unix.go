//go:build unix && !linux

package onnx

import "syscall"

// changed is nothing where the field's name differs from system to system.
func changed(*syscall.Stat_t) any { return "" }
