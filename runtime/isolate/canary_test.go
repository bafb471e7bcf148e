package isolate_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

func canary(t *testing.T, kind, path string, more []string, l *isolate.Limits) error {
	t.Helper()
	return isolate.Canary(t.Context(), self(t), &isolate.Options{Env: append(env(t, kind), more...)}, path, &driver.Options{IntraOp: 1, Runs: 1}, l)
}

func TestCanary(t *testing.T) {
	for _, c := range []struct {
		name, model string
		limits      isolate.Limits
		want        fault.Code
		says        string
	}{
		{"good", "crash", isolate.Limits{}, fault.OK, ""},
		{"good under limits", "crash", isolate.Limits{Memory: 256 << 20}, fault.OK, ""},
		{"good with inputs", "crash", isolate.Limits{Inputs: crash(answers)}, fault.OK, ""},
		{"strings made up", "once", isolate.Limits{}, fault.BadModel, ""},
		{"inputs that it should take", "crash", isolate.Limits{Inputs: crash(99)}, fault.BadModel, "value 99"},
		{"segmentation fault", "crash", isolate.Limits{Inputs: crash(segfaults)}, fault.BadModel, "while it ran: SIGSEGV"},
		{"abort", "crash", isolate.Limits{Inputs: crash(aborts)}, fault.BadModel, "while it ran: SIGABRT"},
		{"stack overflow", "crash", isolate.Limits{Inputs: crash(recurses)}, fault.BadModel, "stack overflow"},
		{"exit", "crash", isolate.Limits{Inputs: crash(exits)}, fault.BadModel, "exit status 7"},
		{"abort at load", "killer", isolate.Limits{}, fault.BadModel, "while it loaded: SIGABRT"},
		{"no end", "crash", isolate.Limits{Inputs: crash(hangs), Timeout: 100 * time.Millisecond}, fault.BadModel, "within 100ms"},
		{"no end of memory", "crash", isolate.Limits{Inputs: crash(eats), Memory: 300 << 20}, fault.BadModel, "than the 314572800 bytes that are available"},
		{"no model", "none", isolate.Limits{}, fault.BadModel, "no such model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := canary(t, "memengine", c.model, nil, &c.limits)
			if fault.CodeOf(err) != c.want || (err != nil && !strings.Contains(err.Error(), c.says)) {
				t.Errorf("Canary: %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := isolate.Canary(ctx, self(t), nil, "crash", &driver.Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v, want Canceled", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := isolate.Canary(ctx, self(t), &isolate.Options{Env: env(t, "memengine")}, "crash", &driver.Options{}, &isolate.Limits{Inputs: crash(hangs)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v, want DeadlineExceeded", err)
	}
}

func TestCanaryOfONNXRuntime(t *testing.T) {
	for _, m := range []testmodels.Model{testmodels.AddSub(), testmodels.MultiIO(), testmodels.GatherTrap(), testmodels.ReshapeTrap(), testmodels.Small()} {
		if err := canary(t, "ort", m.File(t, "model"), nil, &isolate.Limits{Memory: 512 << 20}); err != nil {
			t.Errorf("a good model: %v", err)
		}
	}
	// The value of a constant is computed while the model loads.
	constant := testmodels.Model{Graph: testmodels.Graph{
		Inits: []testmodels.Tensor{testmodels.Ints64("shape", []int64{1}, 1<<30)},
		Nodes: []testmodels.Node{
			testmodels.N("ConstantOfShape", []string{"shape"}, []string{"big"}),
			testmodels.N("ReduceSum", []string{"big"}, []string{"sum"}, testmodels.Int("keepdims", 0)),
			testmodels.N("Add", []string{"x", "sum"}, []string{"y"}),
		},
		Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, 1)},
		Outputs: []testmodels.Value{testmodels.V("y", onnx.Float, 1)},
	}}
	err := canary(t, "ort", constant.File(t, "constant"), nil, &isolate.Limits{Memory: 512 << 20})
	if fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "than the 536870912 bytes that are available: at least 4294967296 bytes are required") {
		t.Errorf("4 GiB of constants: %v, want BadModel with both numbers", err)
	}
	slow := testmodels.Slow(2000).File(t, "slow")
	err = canary(t, "ort", slow, nil, &isolate.Limits{Timeout: 300 * time.Millisecond, Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}})
	if fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "within 300ms") {
		t.Errorf("seconds of work: %v, want BadModel", err)
	}
	if err := canary(t, "ort", slow, nil, &isolate.Limits{Memory: 64}); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "are required") {
		t.Errorf("a file larger than the memory: %v, want BadModel with both numbers", err)
	}
}

// stub compiles a libonnxruntime that crashes where it is told to.
func stub(t *testing.T) (library string, real string) {
	t.Helper()
	real = os.Getenv("GODWIT_ONNXRUNTIME")
	if real == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		all, _ := filepath.Glob(filepath.Join(cache, "godwit", "onnxruntime", "*", runtime.GOOS+"-"+runtime.GOARCH, "libonnxruntime*"))
		if len(all) == 0 {
			t.Fatal("no ONNX Runtime: run `make onnxruntime`")
		}
		real = all[len(all)-1]
	}
	library = filepath.Join(t.TempDir(), "libonnxruntime.so")
	cc := exec.Command("cc", "-shared", "-fPIC", "-O0", "-I../ort/include", "-o", library, "testdata/stub.c", "-ldl")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return library, real
}

// Native code that crashes where a model is loaded or run: the canary dies, the
// parent says of what, and serves on.
func TestNativeCrashes(t *testing.T) {
	library, real := stub(t)
	file := model(t)
	for _, c := range []struct{ crash, says string }{
		{"library-abort", "while it loaded: SIGABRT"},
		{"open-segfault", "while it loaded: SIGSEGV"},
		{"open-abort", "while it loaded: SIGABRT"},
		{"run-segfault", "while it ran: SIGSEGV"},
		{"run-recurse", "while it ran: SIGSEGV"},
		{"nothing", ""},
	} {
		t.Run(c.crash, func(t *testing.T) {
			more := []string{"GODWIT_ONNXRUNTIME=" + library, "REAL=" + real, "CRASH=" + c.crash}
			err := canary(t, "ort", file, more, nil)
			if c.says == "" {
				if err != nil {
					t.Errorf("the real library: %v", err)
				}
			} else if fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Canary: %v, want BadModel that says %q", err, c.says)
			}
		})
	}
}
