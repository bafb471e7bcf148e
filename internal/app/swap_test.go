package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/tensor"
)

// plus is a model that tells itself apart: x FP32 [N] → y = x + k FP32 [N].
func plus(k float32) testmodels.Model {
	return testmodels.Model{Graph: testmodels.Graph{
		Nodes:   []testmodels.Node{testmodels.N("Add", []string{"x", "k"}, []string{"y"})},
		Inits:   []testmodels.Tensor{testmodels.Floats32("k", nil, k)},
		Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, "N")},
		Outputs: []testmodels.Value{testmodels.V("y", onnx.Float, "N")},
	}}
}

// place puts content into the function's folder as the documents ask for:
// beside what is there, then renamed.
func place(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	temp := filepath.Join(dir, ".new")
	if err := errors.Join(os.WriteFile(temp, content, 0o644), os.Rename(temp, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

// opened is a function with the model plus(1) in m.onnx, loaded.
func opened(t *testing.T, yaml string, eng driver.Engine, opts *app.Options) (string, *app.Function) {
	t.Helper()
	dir := t.TempDir()
	place(t, dir, "m.onnx", plus(1).Bytes())
	place(t, dir, "godwit.yaml", []byte(yaml))
	f, err := app.Open(dir, eng, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir, f
}

// answer is what model m makes of 1, with the version and digest that say so.
func answer(t *testing.T, f *app.Function) (y float32, version, digest string, err error) {
	resp, err := f.Handler.Infer(t.Context(), &infer.Request{Model: "m", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}})
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Release()
	all, _ := tensor.View[float32](&resp.Outputs[0])
	return all[0], resp.Version, resp.Digest, nil
}

// load asks from several goroutines until stop is called, which returns how
// many were answered. right says whether an answer is that of the version and
// digest that it names.
func load(t *testing.T, f *app.Function, right func(y float32, version, digest string) bool) (stop func() int64) {
	t.Helper()
	var count atomic.Int64
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				y, version, digest, err := answer(t, f)
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				if !right(y, version, digest) {
					t.Errorf("answer %v of version %q with digest %q: another model's", y, version, digest)
					return
				}
				count.Add(1)
				select {
				case <-quit:
					return
				default:
				}
			}
		})
	}
	return func() int64 { close(quit); wg.Wait(); return count.Load() }
}

// Twenty changes there and back, of a version's file and of the version, under
// load: no request fails, and every answer is that of the model it names.
func TestSwapUnderLoad(t *testing.T) {
	yaml := func(version string) []byte {
		return []byte("models: [{name: m, path: m.onnx, version: \"" + version + "\"}]\n")
	}
	for _, tt := range []struct {
		name   string
		change func(dir string, i int)
	}{
		{"of the file", func(dir string, i int) { place(t, dir, "m.onnx", plus(float32(1+i%2)).Bytes()) }},
		{"of the version", func(dir string, i int) {
			place(t, dir, "m.onnx", plus(float32(1+i%2)).Bytes())
			place(t, dir, "godwit.yaml", yaml(strconv.Itoa(1+i%2)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, f := opened(t, string(yaml("1")), drivertest.ONNXRuntime(t), nil)
			var known sync.Map // digest → answer
			note := func(k float32) string {
				path := plus(k).File(t, "m")
				digest, err := onnx.DigestAll(path, nil)
				if err != nil {
					t.Fatal(err)
				}
				known.Store(digest, 1+k)
				return digest
			}
			one, two := note(1), note(2)
			byVersion := strings.HasSuffix(tt.name, "version")
			stop := load(t, f, func(y float32, version, digest string) bool {
				want, ok := known.Load(digest)
				return ok && want == y && (!byVersion || version == strconv.Itoa(int(y)-1))
			})
			for i := 1; i <= 20; i++ {
				tt.change(dir, i)
				changes, err := f.Reload(t.Context())
				if err != nil {
					t.Fatalf("swap %d: %v, %+v", i, err, changes)
				}
				want := []string{one, two}[i%2]
				if _, _, digest, err := answer(t, f); digest != want || err != nil {
					t.Fatalf("after swap %d: digest %q, %v; want %q", i, digest, err, want)
				}
				if err := f.Models.Ready(); err != nil {
					t.Errorf("after swap %d: %v", i, err)
				}
			}
			t.Logf("%d answers during 20 swaps", stop())
			if index := f.Models.Index(); len(index) != 1 {
				t.Errorf("index %+v, want one version", index)
			}
		})
	}
}

// A version that is refused, for whatever reason, leaves the old one serving
// and the function ready, and the index says why.
func TestFailingVersions(t *testing.T) {
	trap := testmodels.CustomOp()
	wrongType := testmodels.Identity(onnx.Int64, "N")
	renamed := plus(1)
	renamed.Graph.Outputs[0].Name, renamed.Graph.Nodes[0].Out = "z", []string{"z"}
	unknown := plus(1) // passes the reader, not the engine
	unknown.Graph.Nodes[0].Op = "Sparkle"
	large := plus(1)
	large.Graph.Inits = append(large.Graph.Inits, testmodels.Tensor{Name: "w", Elem: onnx.Uint8, Dims: []int64{64 << 20}, Raw: make([]byte, 64<<20)})
	for _, tt := range []struct {
		name    string
		model   []byte // nil: the file is taken away
		canary  error
		code    fault.Code
		because string
	}{
		{"no file", nil, nil, fault.BadModel, "want a model file, got none"},
		{"a page", []byte("<!DOCTYPE html>"), nil, fault.BadModel, "web page"},
		{"a custom operator", trap.Bytes(), nil, fault.BadModel, "acme.ops.Sparkle"},
		{"cut short", plus(2).Bytes()[:60], nil, fault.BadModel, ""},
		{"an operator that does not exist", unknown.Bytes(), nil, fault.BadModel, "Sparkle"},
		{"other answers than recorded", plus(2).Bytes(), nil, fault.Mismatch, "the tolerance is"},
		{"other inputs than recorded", wrongType.Bytes(), nil, fault.Invalid, "recorded request"},
		{"other outputs than recorded", renamed.Bytes(), nil, fault.Mismatch, "no such output"},
		{"its canary died", plus(1.0000001).Bytes(), fault.New(fault.BadModel, "isolate.Canary", "m.onnx", "its process ended"), fault.BadModel, "its process ended"},
		{"more than the memory", large.Bytes(), nil, fault.BadModel, "bytes of memory for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, f := opened(t, "model: m.onnx\n", drivertest.ONNXRuntime(t), &app.Options{
				Quota:  quota.Quota{CPUs: 2, Memory: 64 << 20},
				Canary: func(context.Context, string, *driver.Options) error { return tt.canary },
			})
			req := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{2}, []float32{1, 5})}}
			resp, err := f.Handler.Infer(t.Context(), req)
			if err == nil {
				err = recorded.Save(dir, "m", "1", req, resp, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			stop := load(t, f, func(y float32, _, digest string) bool { return y == 2 && digest == resp.Digest })
			if tt.model == nil {
				if err := os.Remove(filepath.Join(dir, "m.onnx")); err != nil {
					t.Fatal(err)
				}
			} else {
				place(t, dir, "m.onnx", tt.model)
			}
			changes, err := f.Reload(t.Context())
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.because) {
				t.Errorf("Reload: %v (%v), want %v with %q", err, fault.CodeOf(err), tt.code, tt.because)
			}
			if len(changes) != 1 || changes[0].What != "refused" || changes[0].Digest != resp.Digest {
				t.Errorf("changes %+v, want one that was refused, and the old digest", changes)
			}
			if stop() == 0 {
				t.Error("nothing was answered meanwhile")
			}
			status := f.Models.Index()[0]
			if err := f.Models.Ready(); err != nil || status.State != infer.Ready || !strings.HasPrefix(status.Reason, "the newer one was refused: ") {
				t.Errorf("ready: %v; status %+v, want ready, with a reason", err, status)
			}
			if strings.Contains(status.Reason, dir) {
				t.Errorf("the reason shows a path: %q", status.Reason)
			}
			place(t, dir, "m.onnx", plus(1).Bytes())
			if changes, err := f.Reload(t.Context()); err != nil || changes[0].What != "unchanged" || f.Models.Index()[0].Reason != "" {
				t.Errorf("with the old file again: %+v, %v, %+v", changes, err, f.Models.Index())
			}
		})
	}
}

func TestReloadFollowsTheSpec(t *testing.T) {
	dir, f := opened(t, "models: [{name: m, path: m.onnx}]\n", drivertest.ONNXRuntime(t), nil)
	place(t, dir, "n.onnx", plus(7).Bytes())
	place(t, dir, "bad.onnx", []byte("<html>"))
	for _, step := range []struct {
		yaml  string
		names []string
		want  []string
		code  fault.Code
	}{
		{"models: [{name: m, path: m.onnx}]\n", nil, []string{"unchanged m 1"}, fault.OK},
		{"models: [{name: m, path: m.onnx}, {name: n, path: n.onnx}]\n", []string{"m"}, []string{"unchanged m 1"}, fault.OK},
		{"models: [{name: m, path: m.onnx}, {name: n, path: n.onnx}]\n", nil, []string{"unchanged m 1", "added n 1"}, fault.OK},
		{"models: [{name: m, path: m.onnx, threads: latency}, {name: n, path: n.onnx}]\n", nil, []string{"replaced m 1", "unchanged n 1"}, fault.OK},
		{"models: [{name: m, path: n.onnx, threads: latency, version: \"2\"}, {name: n, path: n.onnx}]\n", nil, []string{"added m 2", "unchanged n 1", "removed m 1"}, fault.OK},
		{"models: [{name: m, path: bad.onnx, version: \"3\"}]\n", nil, []string{"refused m 3", "removed n 1"}, fault.BadModel},
		{"models: [{name: m, path: m.onnx}]\nnonsense: 1\n", nil, nil, fault.BadConfig},
		{"models: [{name: m, path: m.onnx, nanPolicy: string}]\n", nil, nil, fault.Unsupported},
		{"models: [{name: m, path: m.onnx}]\n", []string{"other"}, nil, fault.NotFound},
		{"models: [{name: m, path: m.onnx, version: \"2\", threads: latency}]\n", []string{"m"}, []string{"replaced m 2"}, fault.OK},
	} {
		place(t, dir, "godwit.yaml", []byte(step.yaml))
		changes, err := f.Reload(t.Context(), step.names...)
		if fault.CodeOf(err) != step.code {
			t.Fatalf("%s%v: %v (%v), want %v", step.yaml, step.names, err, fault.CodeOf(err), step.code)
		}
		var got []string
		for _, c := range changes {
			got = append(got, c.What+" "+c.Model+" "+c.Version)
		}
		if diff := cmp.Diff(step.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%schanges (-want +got):\n%s", step.yaml, diff)
		}
		if err := f.Models.Ready(); err != nil {
			t.Fatalf("%s: %v", step.yaml, err)
		}
		if _, _, _, err := answer(t, f); err != nil {
			t.Fatalf("%s: %v", step.yaml, err)
		}
	}
}

// The answer that was recorded from one version says nothing of the others.
func TestVersionsAreNotComparedWithEachOther(t *testing.T) {
	dir, f := opened(t, "models: [{name: m, path: m.onnx}]\n", drivertest.ONNXRuntime(t), nil)
	req := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}}
	resp, err := f.Handler.Infer(t.Context(), req)
	if err == nil {
		err = recorded.Save(dir, "m", "1", req, resp, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	place(t, dir, "n.onnx", plus(7).Bytes())
	place(t, dir, "godwit.yaml", []byte("models: [{name: m, path: m.onnx}, {name: m, path: n.onnx, version: \"2\"}]\n"))
	if changes, err := f.Reload(t.Context()); err != nil || changes[1].What != "added" {
		t.Errorf("%+v, %v; want version 2 beside version 1", changes, err)
	}
}

// stopping is an engine that opens models when it is told to.
type stopping struct {
	driver.Engine
	asked, goOn chan struct{}
}

func (s *stopping) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	s.asked <- struct{}{}
	<-s.goOn
	return s.Engine.Open(ctx, path, opts)
}

func TestReloadWaitsItsTurnAndEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "m.onnx", plus(1).Bytes())
	place(t, dir, "godwit.yaml", []byte("model: m.onnx\n"))
	inner := memengine.New(map[string]memengine.Model{filepath.Join(dir, "m.onnx"): memengine.Identity(tensor.FP32, -1)})
	eng := &stopping{inner, make(chan struct{}), make(chan struct{})}
	f, err := app.Open(dir, eng, nil)
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error)
	go func() { loaded <- f.Load(t.Context()) }()
	<-eng.asked
	eng.goOn <- struct{}{}
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	place(t, dir, "m.onnx", plus(2).Bytes())
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { _, err := f.Reload(ctx); first <- err }()
	<-eng.asked // the first is in the engine, which cannot stop
	waiting, giveUp := context.WithCancel(t.Context())
	go func() { _, err := f.Reload(waiting); second <- err }()
	giveUp()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("a reload during another: %v, want that it waited until its context ended", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the reload: %v, want Canceled while the engine still loads", err)
	}
	closed := make(chan error)
	go func() { closed <- f.Close(t.Context()) }()
	eng.goOn <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := inner.Sessions(); n != 0 {
		t.Errorf("%d sessions are open after Close, want what was still being loaded dropped", n)
	}
	if _, err := f.Reload(t.Context()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a reload after Close: %v, want Unavailable", err)
	}
}

// The user's code sees the requests that try a model, on one path with all others.
func TestCandidatesAreTriedThroughTheHandler(t *testing.T) {
	var seen atomic.Int64
	wrap := func(next infer.Handler) infer.Handler {
		return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			seen.Add(1)
			return next.Infer(ctx, req)
		})
	}
	dir, f := opened(t, "model: m.onnx\n", drivertest.ONNXRuntime(t), &app.Options{Wrap: wrap})
	if err := recorded.Save(dir, "m", "1", &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	place(t, dir, "m.onnx", plus(2).Bytes())
	if _, err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen.Load() != 1 {
		t.Errorf("the handler saw %d requests, want the recorded one", seen.Load())
	}
}

// A hundred swaps of a 10 MB model leave the process as large as it was.
// In a process of its own, because what other tests left for the collector comes
// and goes, and under the race detector counts many times.
func TestMemoryIsFlatOverSwaps(t *testing.T) {
	const child = "APP_TEST_SWAPS"
	if os.Getenv(child) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	// With GOGC set the collector is not paced: what it would leave lying for a
	// while takes up to 32 MiB, and many times that under the race detector.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	dir, f := opened(t, "model: m.onnx\n", drivertest.ONNXRuntime(t), nil)
	place(t, dir, "a.onnx", testmodels.MLP(3, 512, 1024, 1024, 1024, 10).Bytes())
	place(t, dir, "b.onnx", testmodels.MLP(4, 512, 1024, 1024, 1024, 10).Bytes())
	x := tensor.Of("x", []int64{1, 512}, make([]float32, 512))
	round := func(n int) {
		for i := range n {
			place(t, dir, "godwit.yaml", []byte("models: [{name: m, path: "+[]string{"a", "b"}[i%2]+".onnx}]\n"))
			if changes, err := f.Reload(t.Context()); err != nil || changes[0].What != "replaced" {
				t.Fatalf("%+v, %v", changes, err)
			}
			resp, err := f.Handler.Infer(t.Context(), &infer.Request{Inputs: []tensor.Tensor{x}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Release()
		}
	}
	round(60) // what the allocator takes once and keeps is there after that
	// The least of several moments, because what the allocator keeps for the
	// next run differs between two.
	least := func() int64 {
		low := int64(math.MaxInt64)
		for range 4 {
			round(10)
			low = min(low, resident(t))
		}
		return low
	}
	before := least()
	round(40)
	after := least()
	t.Logf("resident early %d KiB, 80 swaps later %d KiB", before>>10, after>>10)
	if grown := after - before; grown > 8<<20 {
		t.Errorf("80 swaps of a model of 10 MB grew the process by %d KiB", grown>>10)
	}
}

// resident is the process's resident memory in bytes, after the Go heap gave
// back what it does not need; 0 where /proc does not tell.
func resident(t testing.TB) int64 {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
