package onnx

import "syscall"

func changed(s *syscall.Stat_t) any { return s.Ctim }
