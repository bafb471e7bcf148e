package isolate_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/tensor"
)

// A worker whose memory is damaged may say anything: the run fails and the
// worker is replaced, whatever it was.
func TestParentTrustsNothing(t *testing.T) {
	for _, how := range isolate.Lies {
		t.Run(how, func(t *testing.T) {
			e := newEngine(t, "lie:"+how, isolate.Options{})
			s := open(t, e, "any")
			out := []tensor.Tensor{{Name: "y"}, {Name: "z"}}
			err := s.Run(t.Context(), []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}, out)
			if fault.CodeOf(err) != fault.Internal {
				t.Errorf("Run: %v, want Internal", err)
			}
		})
	}
	e := newEngine(t, "lie:signature", isolate.Options{})
	if _, err := e.Open(t.Context(), "any", &driver.Options{}); err == nil {
		t.Error("a signature with an unknown type is taken")
	}
}

// A segment that the worker cut short would end the parent with SIGBUS.
func TestSegmentsCannotShrink(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // only Linux can seal a file
	}
	fd, err := isolate.NewMemory(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := isolate.Cut(fd); err == nil {
		t.Error("a segment was cut short")
	}
}
