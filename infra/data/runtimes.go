package data

import (
	"cmp"
	"strconv"
	"strings"
)

// A Runtime is what releases of ONNX Runtime read.
type Runtime struct {
	Version string // "1.31": all of its patch releases
	IR      int64  // the newest IR version of a model
	Opset   int64  // the newest opset of the ONNX operators
	ML      int64  // the newest opset of ai.onnx.ml
}

// RuntimeSource is how the table of Runtimes was made.
var RuntimeSource = Source{Doc: "measured: models of each IR version and opset loaded by PyPI's onnxruntime of each release", Day: "2026-11-23"}

// LeastRuntime is the oldest ONNX Runtime that the engine takes: the version of
// the C interface that it is compiled for.
const LeastRuntime = "1.29"

// ORTFormat is the newest version of ONNX Runtime's own model format that it
// reads: measured with 1.30.0 and 1.31.1, which also read every older one.
const ORTFormat = 6

var runtimes = []Runtime{
	{"1.20", 10, 21, 5},
	{"1.21", 10, 22, 5},
	{"1.22", 10, 22, 5},
	{"1.23", 11, 23, 5},
	{"1.24", 13, 25, 5},
	{"1.25", 13, 26, 5},
	{"1.26", 13, 26, 5},
	{"1.27", 13, 26, 5},
	{"1.28", 13, 26, 5},
	{"1.29", 13, 26, 5},
	{"1.30", 13, 26, 5},
	{"1.31", 13, 26, 5},
}

// FindRuntime is what the ONNX Runtime of version ("1.31.1") reads; false for a
// release that was not measured.
func FindRuntime(version string) (Runtime, bool) {
	for _, r := range runtimes {
		if version == r.Version || strings.HasPrefix(version, r.Version+".") {
			return r, true
		}
	}
	return Runtime{}, false
}

// Runtimes are all that were measured, the oldest first.
func Runtimes() []Runtime { return append([]Runtime(nil), runtimes...) }

// Compare orders versions made of numbers and dots: -1 where a is older than b,
// 0 where they are equal, 1 where it is newer. What is no number counts as 0.
func Compare(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(number(as, i), number(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

func number(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0
	}
	return n
}

// What loading a model takes, measured as VmHWM of `godwit serve` with ONNX
// Runtime 1.31.1 on linux/amd64: models of 0.7 kB, 10, 101, 102 and 436 MB
// peaked at 50, 69, 218, 311 and 756 MB.
const (
	// MemoryProcess is the process with the library and no model.
	MemoryProcess = 50 * mb
	// MemoryLeast and MemoryMost are peak bytes for each 100 bytes of weights:
	// what every model took, and what one of convolutions did, whose weights
	// are also kept in another layout.
	MemoryLeast = 158
	MemoryMost  = 255
)

// MemorySource is where these are from.
var MemorySource = Source{Doc: "measured: peak resident memory of five models", Day: "2026-11-23"}
