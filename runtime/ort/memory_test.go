package ort_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/ort/mallocs"
	"godwit.dev/runtime/tensor"
)

// Memory of the whole process, native memory included, stays flat over runs
// of every kind and over sessions that come and go. The bounds are far above
// noise and far below what one leak of the smallest object here would cost.
func TestMemoryIsFlat(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("resident memory is read from /proc; elsewhere this only runs the code")
	}
	ctx := t.Context()
	maps := openFile(t, testmodels.SequenceOfMaps(onnx.String), "maps")
	multi := openFile(t, testmodels.MultiIO(), "multi")
	large := openFile(t, testmodels.Identity(onnx.Float, "N", 3), "large")
	trap := open(t, drivertest.ONNX(t, "trap"))
	names := func(s driver.Session) []tensor.Tensor {
		var out []tensor.Tensor
		for _, o := range s.Signature().Outputs {
			out = append(out, tensor.Tensor{Name: o.Name})
		}
		return out
	}
	run := func(s driver.Session, ok bool, in ...tensor.Tensor) {
		out := names(s)
		if err := s.Run(ctx, in, out); (err == nil) != ok {
			t.Fatalf("Run: %v", err)
		}
		for i := range out {
			out[i].Release()
		}
	}
	x := tensor.Of("x", []int64{5, 4}, make([]float32, 20))
	big := tensor.Of("x", []int64{30000, 3}, make([]float32, 90000))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	round := func() {
		run(maps, true, x)
		run(multi, true, tensor.Of("a", []int64{1, 2}, []float32{1, 2}), tensor.Of("b", []int64{1, 3}, []int64{1, 2, 3}),
			tensor.OfStrings("c", []int64{2}, strings.Repeat("grün", 2000), "b"), tensor.Of("d", nil, []bool{true}))
		run(large, true, big)
		run(trap, false, tensor.Of("x", []int64{3}, []float32{1, 2, 3}), tensor.Of("i", []int64{1}, []int64{9}))
	}
	sessions := func(n int) {
		file := testmodels.Small().File(t, "small")
		for range n {
			s, err := drivertest.ONNXRuntime(t).Open(t.Context(), file, &driver.Options{IntraOp: 2, Runs: 1})
			if err != nil {
				t.Fatal(err)
			}
			run(s, true, tensor.Of("x", []int64{1, 64}, make([]float32, 64)))
			s.Close()
		}
	}
	for range 1000 {
		round()
	}
	sessions(20)
	before := resident(t)
	for range 4000 {
		round()
	}
	runs := resident(t)
	sessions(60)
	after := resident(t)
	t.Logf("resident after warm-up %d KiB, after 16000 runs %d KiB, after 60 sessions %d KiB", before>>10, runs>>10, after>>10)
	if grown := runs - before; grown > 8<<20 {
		t.Errorf("16000 runs grew the process by %d KiB", grown>>10)
	}
	if grown := after - runs; grown > 8<<20 {
		t.Errorf("60 sessions grew the process by %d KiB", grown>>10)
	}
}

// What only a large request needed is given back when it has been answered,
// not kept for the next one.
func TestLargeRequestsAreGivenBack(t *testing.T) {
	const size = 48 << 20
	// The arena is ONNX Runtime's own way of keeping memory, and not what is looked at here.
	opened := func(name string) driver.Session {
		s, err := drivertest.ONNXRuntime(t).Open(t.Context(), drivertest.ONNX(t, name), &driver.Options{IntraOp: 1, Runs: 1, NoArena: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	words, doubles := opened("identity-BYTES-2"), opened("identity-FP64-2")
	run := func(s driver.Session, x, y tensor.Tensor) {
		out := []tensor.Tensor{y}
		if err := s.Run(t.Context(), []tensor.Tensor{x}, out); err != nil {
			t.Fatal(err)
		}
		out[0].Release()
	}
	ask := func(n int) {
		run(words, tensor.OfStrings("x", []int64{1, 3}, strings.Repeat("z", n), "", ""), tensor.Tensor{Name: "y"})
		rows := n / 24
		odd := tensor.Tensor{Name: "x", Type: tensor.FP64, Shape: []int64{int64(rows), 3}, Data: make([]byte, rows*24+1)[1:]}
		run(doubles, odd, tensor.Tensor{Name: "y"})
		even := odd
		even.Data = make([]byte, rows*24)
		run(doubles, even, tensor.Tensor{Name: "y", Data: make([]byte, 0, rows*24)})
	}
	// Not the resident memory, of which the race detector has its own share.
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) + mallocs.Mapped()
	}
	ask(2400)
	before := held()
	ask(size)
	if grown := held() - before; grown > size/2 {
		t.Errorf("requests of %d MiB left %d MiB behind", size>>20, grown>>20)
	}
}

func openFile(t testing.TB, m testmodels.Model, name string) driver.Session {
	t.Helper()
	return open(t, m.File(t, name))
}

func open(t testing.TB, path string) driver.Session {
	t.Helper()
	s, err := drivertest.ONNXRuntime(t).Open(t.Context(), path, &driver.Options{IntraOp: 1, Runs: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// resident is the process's resident memory in bytes, after the Go heap gave
// back what it does not need.
// What runs leave to the C library goes back to the system, if it is enough.
func TestTrim(t *testing.T) {
	if _, ok := mallocs.Count(); !ok {
		return // another C library, which keeps what it likes
	}
	e := drivertest.ONNXRuntime(t).(driver.Trimmer)
	e.Trim(0)
	before := resident(t)
	mallocs.Leave(400)
	left := resident(t)
	e.Trim(1 << 30)
	kept := resident(t)
	e.Trim(30 << 20)
	after := resident(t)
	const most, least = 8 << 20, 30 << 20
	if left < before+least || kept < before+least {
		t.Errorf("%d of 40960 KiB are kept, and %d after a trim that wants more", (left-before)>>10, (kept-before)>>10)
	}
	if after > before+most {
		t.Errorf("%d of 40960 KiB are kept after a trim", (after-before)>>10)
	}
}

func resident(t testing.TB) int64 {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Only the environment, and only before the library is loaded, keeps it from
// reporting home; that nothing leaves the machine is seen in e2e/netns.
func TestTelemetryIsOff(t *testing.T) {
	open(t, drivertest.ONNX(t, "addsub"))
	if got := os.Getenv("ORT_DISABLE_TELEMETRY"); got != "1" {
		t.Errorf("ORT_DISABLE_TELEMETRY = %q once the library is loaded, want 1", got)
	}
}

// The committed headers are those of the pinned binding, whose structs ours must match.
func TestHeadersAreTheBindings(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"onnxruntime_c_api.h", "onnxruntime_ep_c_api.h", "onnxruntime_error_code.h"} {
		theirs, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.ReadFile(filepath.Join("include", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("include/%s differs from the binding's", name)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	model := testmodels.AddSub().File(t, "addsub")
	tests := []struct {
		name   string
		engine driver.Engine
		path   string
		opts   driver.Options
		code   fault.Code
		hint   string
	}{
		{"no such provider", drivertest.ONNXRuntime(t), model, driver.Options{Provider: driver.Provider{Name: "warp"}}, fault.BadConfig, "Use cpu, cuda"},
		{"TensorRT without its library", drivertest.ONNXRuntime(t), model, driver.Options{Provider: driver.Provider{Name: "tensorrt"}}, fault.Runtime, "GODWIT_ONNXRUNTIME"},
		// The official build has this provider, which takes no operator of this model.
		{"a provider that does nothing", drivertest.ONNXRuntime(t), model, driver.Options{Provider: driver.Provider{Name: "azure"}}, fault.Runtime, ""},
		{"a folder", drivertest.ONNXRuntime(t), filepath.Dir(model), driver.Options{}, fault.BadModel, ""},
		{"cut short", drivertest.ONNXRuntime(t), cutShort(t, model), driver.Options{}, fault.BadModel, "compare its size and digest"},
		{"complex numbers", drivertest.ONNXRuntime(t), testmodels.Identity(onnx.Float8E4M3FN, "N").File(t, "f8"), driver.Options{}, fault.BadModel, "Cast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.IntraOp, tt.opts.Runs = 1, 1
			_, err := tt.engine.Open(t.Context(), tt.path, &tt.opts)
			if fault.CodeOf(err) != tt.code || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("Open: %v (hint %q), want code %v and a hint with %q", err, fault.HintOf(err), tt.code, tt.hint)
			}
		})
	}
}

func cutShort(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short.onnx")
	if err := os.WriteFile(short, data[:len(data)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	return short
}
