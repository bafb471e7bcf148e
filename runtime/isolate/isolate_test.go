package isolate_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/tensor"
)

// workerKind names the variable that makes the test binary a worker, and says
// with which engine.
const workerKind = "GODWIT_TEST_WORKER"

func TestMain(m *testing.M) {
	kind := os.Getenv(workerKind)
	how, lies := strings.CutPrefix(kind, "lie:")
	switch {
	case kind == "":
		goleak.VerifyTestMain(m)
	case kind == "mute":
		os.Exit(3)
	case lies:
		isolate.Lie(how)
		os.Exit(0)
	default:
		debug.SetMaxStack(1 << 20)
		err := isolate.Serve(func(log *slog.Logger) driver.Engine {
			if kind == "ort" {
				return ort.New(&driver.Setup{Library: os.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: os.Getenv("GODWIT_TEST_CACHE"), Logger: log})
			}
			return telling{memengine.New(models(log)), os.Getenv("GODWIT_TEST_TOLD")}
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// self is the test binary as a worker.
func self(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{exe}
}

// env is the environment of a worker with that engine.
func env(t testing.TB, kind string) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return []string{workerKind + "=" + kind, "GODWIT_TEST_CACHE=" + filepath.Join(cache, "godwit"),
		"GODWIT_ONNXRUNTIME=" + os.Getenv("GODWIT_ONNXRUNTIME"), "TMPDIR=" + os.TempDir()}
}

func newEngine(t testing.TB, kind string, o isolate.Options) *isolate.Engine {
	t.Helper()
	o.Env = append(o.Env, env(t, kind)...)
	if o.Wait == 0 {
		o.Wait = time.Minute // machines that run tests are slow, and nothing here measures
	}
	return isolate.New(self(t), &o)
}

func open(t testing.TB, e *isolate.Engine, path string) driver.Session {
	t.Helper()
	s, err := e.Open(context.Background(), path, &driver.Options{IntraOp: 1, Runs: 4})
	if err != nil {
		t.Fatalf("Open %s: %v", path, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What the model "crash" does with one value.
const (
	answers = iota
	segfaults
	aborts
	recurses
	exits
	panics
	hangs // and does not listen to cancel
	eats  // all memory it gets
	waits // until it is cancelled
	tells // its environment and limits
	large // an answer that does not fit
)

func crash(value int) []tensor.Tensor {
	return []tensor.Tensor{tensor.Of("x", []int64{1}, []int64{int64(value)})}
}

// ask runs the model "crash" for its only output.
func ask(ctx context.Context, s driver.Session, value int) (string, error) {
	out := []tensor.Tensor{{Name: "y"}}
	if err := s.Run(ctx, crash(value), out); err != nil {
		return "", err
	}
	return string(out[0].Strings[0]), nil
}

// works fails the test unless the session answers.
func works(t *testing.T, s driver.Session) {
	t.Helper()
	if got, err := ask(t.Context(), s, answers); err != nil || got != "well" {
		t.Errorf("an ordinary run: %q, %v", got, err)
	}
}

// settles is an engine that writes a byte into the fifo of a folder when it settles.
type telling struct {
	driver.Engine
	dir string
}

func (s telling) Settle(context.Context) {
	if err := enterFifo(s.dir); err != nil {
		panic(err)
	}
}

// Trim tells when it is asked for what TestTrim asks for.
func (s telling) Trim(least int64) {
	if least != trimmed {
		return
	}
	if err := enterFifo(s.dir); err != nil {
		panic(err)
	}
}

const trimmed = 47 << 20

// models are those of the worker.
func models(log *slog.Logger) map[string]memengine.Model {
	all := drivertest.InGo()
	info := func(name string, d tensor.DType, shape ...int64) []driver.TensorInfo {
		return []driver.TensorInfo{{Name: name, Type: d, Shape: shape}}
	}
	all["crash"] = memengine.Model{
		Signature: driver.Signature{Inputs: info("x", tensor.Int64, 1), Outputs: info("y", tensor.Bytes, 1)},
		Run: func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			v, _ := tensor.View[int64](&in[0])
			log.Warn("asked", "value", v[0])
			text, err := misbehave(ctx, int(v[0]))
			if err != nil {
				return nil, err
			}
			return []tensor.Tensor{tensor.OfStrings("y", []int64{1}, text)}, nil
		},
	}
	// once blocks the first time that it sees a folder and answers from then on;
	// it writes a byte into the folder's fifo when it is there.
	all["once"] = memengine.Model{
		Signature: driver.Signature{Inputs: info("dir", tensor.Bytes, 2), Outputs: info("y", tensor.Bytes, 1)},
		Run: func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			dir, name := string(in[0].Strings[0]), string(in[0].Strings[1])
			err := os.Mkdir(filepath.Join(dir, name), 0o700)
			if os.IsExist(err) {
				return []tensor.Tensor{tensor.OfStrings("y", []int64{1}, name)}, nil
			}
			if err := enterFifo(dir); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	// poison crashes, always.
	all["poison"] = memengine.Model{
		Signature: driver.Signature{Inputs: info("dir", tensor.Bytes, 2), Outputs: info("y", tensor.Bytes, 1)},
		Run: func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) {
			syscall.Kill(os.Getpid(), syscall.SIGSEGV)
			select {}
		},
	}
	all["killer"] = memengine.Model{Refuse: dies{}}
	return all
}

// dies is an error whose text ends the process: a crash while a model loads.
type dies struct{}

func (dies) Error() string {
	syscall.Kill(os.Getpid(), syscall.SIGABRT)
	select {}
}

func enterFifo(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte{1})
	return err
}

func misbehave(ctx context.Context, what int) (string, error) {
	switch what {
	case answers:
		return "well", nil
	case segfaults:
		var p *int
		debug.SetPanicOnFault(false)
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		return fmt.Sprint(*p), nil
	case aborts:
		syscall.Kill(os.Getpid(), syscall.SIGABRT)
		select {}
	case recurses:
		return fmt.Sprint(deep(0)), nil
	case exits:
		os.Exit(7)
	case panics:
		panic("a secret of the caller")
	case hangs:
		select {}
	case eats:
		var all [][]byte
		for {
			b := make([]byte, 64<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) > 1<<20 {
				return "", nil
			}
		}
	case waits:
		<-ctx.Done()
		return "", ctx.Err()
	case tells:
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
			return "", err
		}
		return fmt.Sprintf("core %d\npgrp %v\n%s", limit.Cur, syscall.Getpgrp() == os.Getpid(), strings.Join(os.Environ(), "\n")), nil
	case large:
		return strings.Repeat("x", 5<<20), nil
	}
	return "", fault.New(fault.Invalid, "test.Run", "", "value %d", what)
}

func deep(n int) int {
	var frame [1 << 10]int
	frame[n%len(frame)] = n
	//lint:ignore SA5007 it is meant to run out of stack
	return deep(n+1) + frame[0]
}
