package onnx

import (
	"fmt"
	"strconv"
	"strings"
)

// memoryMarker is how ONNX Runtime marks a tensor whose "file" is an address
// in its own memory. In a file it would make the runtime read wherever the
// file says.
const memoryMarker = "_ORT_MEM_ADDR_"

// external turns the entries of a tensor into an External.
func (p *parser) external(s *stored, name string, bytes int64) {
	p.keep(len(name) + 64)
	e := External{Tensor: name, Length: -1, Bytes: bytes}
	seen := map[string]bool{}
	for _, kv := range s.entries {
		if seen[kv.key] {
			e.refuse("key %s is there twice", short(kv.key))
		}
		seen[kv.key] = true
		switch kv.key {
		case "location":
			e.Location = kv.value
		case "offset":
			e.Offset = e.number(kv)
		case "length":
			e.Length = e.number(kv)
		case "checksum":
			e.Checksum = kv.value
		default:
			e.refuse("want keys location, offset, length and checksum, got %s", short(kv.key))
		}
	}
	if strings.Contains(e.Location, memoryMarker) {
		e.refuse("location %s is an address in memory, which no file may hold", short(e.Location))
	}
	if e.Location == "" {
		e.refuse("it has no location")
	}
	if e.Length >= 0 && e.Length != bytes {
		e.refuse("want length %d, as type and shape need, got %d", bytes, e.Length)
	}
	p.m.External = append(p.m.External, e)
}

// number is a size in decimal digits.
func (e *External) number(kv entry) int64 {
	n, err := strconv.ParseInt(kv.value, 10, 64)
	if err != nil || n < 0 {
		e.refuse("%s: want a number of bytes, got %s", kv.key, short(kv.value))
		return 0
	}
	return n
}

// refuse keeps the first reason for CheckExternal.
func (e *External) refuse(format string, args ...any) {
	if e.problem == "" {
		e.problem = fmt.Sprintf(format, args...)
	}
}
