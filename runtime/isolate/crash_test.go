package isolate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/tensor"
)

// safe is a writer for a log that several goroutines write.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Whatever ends the process costs the request that was in it, whose error says
// nothing of the inside, and no other.
func TestCrashCostsOneRequest(t *testing.T) {
	var restarted atomic.Int64
	log := &safe{}
	e := newEngine(t, "memengine", isolate.Options{Restarted: func() { restarted.Add(1) }, Logger: slog.New(slog.NewTextHandler(log, nil))})
	s := open(t, e, "crash")
	other := open(t, e, "addsub")
	for i, c := range []struct {
		name string
		what int
		log  string
	}{
		{"SIGSEGV", segfaults, "SIGSEGV"},
		{"SIGABRT", aborts, "SIGABRT"},
		{"stack overflow", recurses, "stack overflow"},
		{"exit", exits, "exit status 7"},
		{"panic", panics, "panic: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := ask(t.Context(), s, c.what)
			if fault.CodeOf(err) != fault.Internal {
				t.Fatalf("the run: %v, want Internal", err)
			}
			if text := err.Error(); strings.Contains(text, "SIG") || strings.Contains(text, "secret") || strings.Contains(text, "exit") {
				t.Errorf("the error tells too much: %s", text)
			}
			works(t, s)
			t.Logf("failed and answered again after %v", time.Since(start))
			a := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
			out := []tensor.Tensor{{Name: "sum"}}
			if err := other.Run(t.Context(), []tensor.Tensor{a, a}, out); err != nil {
				t.Errorf("another model: %v", err)
			} else if v, _ := tensor.View[float32](&out[0]); v[3] != 8 {
				t.Errorf("another model answers %v", v)
			}
			if n := restarted.Load(); n != int64(i+1) || e.Restarts() != i+1 {
				t.Errorf("%d restarts counted, %d known; want %d", n, e.Restarts(), i+1)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("the log does not say %q:\n%s", c.log, log)
			}
		})
	}
}

// The same inputs at two crashes: the third time they do not reach the worker.
func TestPoisonIsQuarantined(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{})
	s := open(t, e, "crash")
	for i, want := range []fault.Code{fault.Internal, fault.Internal, fault.Unprocessable, fault.Unprocessable} {
		_, err := ask(t.Context(), s, segfaults)
		if fault.CodeOf(err) != want {
			t.Errorf("time %d: %v, want %v", i+1, err, want)
		}
		if want == fault.Unprocessable && fault.HintOf(err) == "" {
			t.Errorf("no hint: %v", err)
		}
		works(t, s)
	}
	if n := e.Restarts(); n != 2 {
		t.Errorf("%d restarts, want 2", n)
	}
	if _, err := ask(t.Context(), s, exits); fault.CodeOf(err) != fault.Internal {
		t.Errorf("other inputs: %v, want Internal: they have crashed nothing yet", err)
	}
}

// Of several in flight, all are done again, one at a time, and only the
// culprit fails.
func TestOnlyTheCulpritFails(t *testing.T) {
	restarted := make(chan struct{}, 100)
	e := newEngine(t, "memengine", isolate.Options{Restarted: func() { restarted <- struct{}{} }})
	once, bad := open(t, e, "once"), open(t, e, "poison")
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const innocents = 5
	run := func(s driver.Session, name string) (string, error) {
		out := []tensor.Tensor{{Name: "y"}}
		if err := s.Run(t.Context(), []tensor.Tensor{tensor.OfStrings("dir", []int64{2}, dir, name)}, out); err != nil {
			return "", err
		}
		return string(out[0].Strings[0]), nil
	}
	// The second time the innocent have been at two crashes, of which they were
	// absolved.
	for round := range 2 {
		var all sync.WaitGroup
		for i := range innocents {
			name := fmt.Sprint("innocent-", i)
			os.Remove(filepath.Join(dir, name)) // blocks again
			all.Go(func() {
				if got, err := run(once, name); err != nil || got != name {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			})
		}
		for range innocents { // one byte each says that all are in the worker
			if _, err := in.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		culprit := fmt.Sprint("poison-", round)
		if _, err := run(bad, culprit); fault.CodeOf(err) != fault.Internal {
			t.Errorf("the culprit: %v, want Internal", err)
		}
		all.Wait()
		<-restarted // with company
		<-restarted // alone
		if _, err := run(bad, culprit); fault.CodeOf(err) != fault.Unprocessable {
			t.Errorf("the culprit again: %v, want Unprocessable", err)
		}
	}
}

// A worker that is killed while nothing runs is there again for the next run.
func TestKilledWhileIdle(t *testing.T) {
	restarted := make(chan struct{}, 1)
	e := newEngine(t, "memengine", isolate.Options{Restarted: func() { restarted <- struct{}{} }})
	s := open(t, e, "crash")
	for range 3 {
		pid := e.Worker()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-restarted
		works(t, s)
		t.Logf("back after %v", time.Since(start))
		if again := e.Worker(); again == pid || again == 0 {
			t.Errorf("worker %d after %d was killed", again, pid)
		}
	}
}

// A platform may send its signals to every process: the worker stays until the
// parent has drained.
func TestStopSignalsAreTheParents(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{})
	s := open(t, e, "crash")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM} {
		if err := syscall.Kill(-e.Worker(), sig); err != nil {
			t.Fatal(err)
		}
		works(t, s)
	}
	if n := e.Restarts(); n != 0 {
		t.Errorf("%d restarts, want none", n)
	}
}

func TestNoSecretsNoCoreOwnGroup(t *testing.T) {
	t.Setenv("GODWIT_API_KEY", "canary-secret")
	e := newEngine(t, "memengine", isolate.Options{})
	s := open(t, e, "crash")
	got, err := ask(t.Context(), s, tells)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pgrp true", "ORT_DISABLE_TELEMETRY=1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.HasPrefix(got, "core 0\n") && !strings.HasPrefix(got, "core 1\n") {
		t.Errorf("core dumps are on:\n%s", got)
	}
	if strings.Contains(got, "canary-secret") || strings.Contains(got, "HOME=") {
		t.Errorf("the parent's environment is there:\n%s", got)
	}
}

// A crash while a model loads is that model's; the others are there again.
func TestCrashAtLoad(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{})
	s := open(t, e, "crash")
	_, err := e.Open(t.Context(), "killer", &driver.Options{IntraOp: 1, Runs: 1})
	if fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "SIGABRT") {
		t.Errorf("Open: %v, want BadModel that names SIGABRT", err)
	}
	works(t, s)
}

func TestNoWorker(t *testing.T) {
	for name, e := range map[string]*isolate.Engine{
		"no program":        isolate.New([]string{filepath.Join(t.TempDir(), "none")}, nil),
		"ends at its start": newEngine(t, "mute", isolate.Options{}),
	} {
		for range 2 {
			if _, err := e.Open(t.Context(), "crash", &driver.Options{}); fault.CodeOf(err) != fault.Runtime {
				t.Errorf("%s: %v, want Runtime", name, err)
			}
		}
	}
}

// While no worker can be had, runs are refused after a while and not kept.
func TestUnavailableWhileRestarting(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "worker")
	data, err := os.ReadFile(self(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	e := isolate.New([]string{exe}, &isolate.Options{Env: env(t, "memengine"), Wait: 10 * time.Millisecond, Backoff: time.Millisecond})
	s := open(t, e, "crash")
	works(t, s)
	if err := os.Remove(exe); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), s, aborts); fault.CodeOf(err) != fault.Internal {
		t.Errorf("the crash: %v, want Internal", err)
	}
	if _, err := ask(t.Context(), s, answers); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("while there is no worker: %v, want Unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(ctx, s, answers); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v, want Canceled", err)
	}
	if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := ask(t.Context(), s, answers)
		if err == nil {
			break
		}
		if fault.CodeOf(err) != fault.Unavailable || time.Now().After(deadline) {
			t.Fatalf("the worker does not come back: %v", err)
		}
	}
}

// A run that goes on after its context has ended costs the worker in the end.
func TestStuckRun(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{Stuck: 10 * time.Millisecond})
	s := open(t, e, "crash")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, s, hangs); err == nil {
		t.Error("no error of a run that never ends")
	}
	works(t, s)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, s, waits); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that listens: %v, want DeadlineExceeded", err)
	}
	if n := e.Restarts(); n != 1 {
		t.Errorf("%d restarts, want 1", n)
	}
}

// A file that is another one since it was loaded is not loaded again: its
// answers would be given under the other's digest.
func TestChangedFileIsNotReopened(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "a.onnx"), "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, "ort", isolate.Options{})
	file, other := model(t), model(t)
	s, good := open(t, e, file), open(t, e, other)
	if err := os.Chtimes(file, time.Now(), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(e.Worker(), syscall.SIGKILL)
	if err := addsub(t, good); err != nil {
		t.Errorf("the other model: %v", err)
	}
	if err := addsub(t, s); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("the changed model: %v, want Unavailable", err)
	}
}

// Sessions, runs and crashes leave no descriptor, no memory and no process.
func TestNothingIsLeft(t *testing.T) {
	restarted := make(chan struct{}, 100)
	e := newEngine(t, "memengine", isolate.Options{Backoff: time.Nanosecond, Restarted: func() { restarted <- struct{}{} }})
	keep := open(t, e, "identity-FP32-2")
	round := func(wait bool) {
		s, err := e.Open(t.Context(), "crash", &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			t.Fatal(err)
		}
		works(t, s)
		if _, err := ask(t.Context(), s, large); err != nil {
			t.Error(err)
		}
		x := tensor.Of("x", []int64{100000, 3}, make([]float32, 300000))
		out := []tensor.Tensor{{Name: "y"}}
		if err := keep.Run(t.Context(), []tensor.Tensor{x}, out); err != nil {
			t.Error(err)
		}
		out[0].Release()
		syscall.Kill(e.Worker(), syscall.SIGKILL)
		if wait { // else the run finds out that the worker is gone
			<-restarted
		}
		works(t, s)
		if !wait {
			<-restarted
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 4 {
		round(true)
	}
	fds, maps := descriptors(t), mappings(t)
	for i := range 30 {
		round(i%2 == 0)
	}
	if n := descriptors(t); n > fds+2 {
		t.Errorf("%d descriptors after 30 restarts, %d before", n, fds)
	}
	if n := mappings(t); n > maps+2 {
		t.Errorf("%d shared mappings after 30 restarts, %d before", n, maps)
	}
	pid := e.Worker()
	keep.Close()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the worker after the last session: %v, want no such process", err)
	}
	if n := mappings(t); n != 0 {
		t.Errorf("%d shared mappings after the last session, want none", n)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if all, err := os.ReadDir(dir); err == nil {
			return len(all)
		}
	}
	t.Fatal("descriptors cannot be counted")
	return 0
}

func mappings(t *testing.T) int {
	t.Helper()
	text, _ := os.ReadFile("/proc/self/maps") // elsewhere there is none, and nothing to compare
	return strings.Count(string(text), "memfd:godwit")
}

// Views stay readable when their session, and their worker, are gone.
func TestViewsOutliveTheWorker(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{})
	s := open(t, e, "identity-UINT8-2")
	x := tensor.Of("x", []int64{100000, 3}, bytes.Repeat([]byte{7}, 300000))
	out := []tensor.Tensor{{Name: "y"}}
	if err := s.Run(t.Context(), []tensor.Tensor{x}, out); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !bytes.Equal(out[0].Data, x.Data) {
		t.Error("the output has changed")
	}
	out[0].Release()
	out[0].Release()
	if n := mappings(t); n != 0 {
		t.Errorf("%d shared mappings, want none", n)
	}
}

// Shared memory is bounded: one request that needs more is too large, and many
// that hold it are told to wait.
func TestSharedMemoryIsBounded(t *testing.T) {
	e := newEngine(t, "memengine", isolate.Options{Memory: 1 << 20})
	s := open(t, e, "identity-UINT8-2")
	run := func(rows int64) ([]tensor.Tensor, error) {
		out := []tensor.Tensor{{Name: "y"}}
		return out, s.Run(t.Context(), []tensor.Tensor{tensor.Of("x", []int64{rows, 3}, make([]byte, 3*rows))}, out)
	}
	if _, err := run(1 << 20); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("3 MiB of 1: %v, want TooLarge", err)
	}
	// The input fits and the output does not fit beside or instead of it.
	c := open(t, e, "crash")
	if _, err := ask(t.Context(), c, large); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("an answer of 5 MiB: %v, want TooLarge", err)
	}
	works(t, c)
	var held [][]tensor.Tensor
	for {
		out, err := run(50000)
		if err != nil {
			if fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("all in use: %v, want Unavailable", err)
			}
			break
		}
		if held = append(held, out); len(held) > 8 {
			t.Fatal("1 MiB holds 8 outputs of 150 kB and their inputs")
		}
	}
	if len(held) == 0 {
		t.Error("not one run fits")
	}
	for _, out := range held {
		out[0].Release()
	}
	if out, err := run(50000); err != nil {
		t.Errorf("after they were released: %v", err)
	} else {
		out[0].Release()
	}
}

// told is a folder for GODWIT_TEST_TOLD, in which the worker's engine tells of
// what it was asked, and waits for the next time that it does.
func told(t *testing.T) (dir string, wait func()) {
	t.Helper()
	dir = t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return dir, func() {
		t.Helper()
		in.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := in.Read(make([]byte, 1)); err != nil {
			t.Fatal("the engine in the worker was not asked:", err)
		}
	}
}

// Memory is given back where the engine is: in the worker.
func TestTrim(t *testing.T) {
	dir, trims := told(t)
	e := newEngine(t, "memengine", isolate.Options{Env: []string{"GODWIT_TEST_TOLD=" + dir}})
	e.Trim(trimmed) // without a worker there is nothing to give back
	open(t, e, "crash")
	e.Trim(trimmed)
	trims()
}

// An engine settles in its worker, and in the one that follows when that ends.
func TestSettle(t *testing.T) {
	dir, settled := told(t)
	e := newEngine(t, "memengine", isolate.Options{Env: []string{"GODWIT_TEST_TOLD=" + dir}})
	s := open(t, e, "crash")
	e.Settle(t.Context())
	settled()
	if _, err := ask(t.Context(), s, segfaults); fault.CodeOf(err) != fault.Internal {
		t.Fatalf("the run: %v, want Internal", err)
	}
	works(t, s)
	settled()
}
