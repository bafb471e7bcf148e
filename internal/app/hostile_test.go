//go:build unix

package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/quota"
)

// loading opens the function in dir and loads it with an engine that only
// remembers that it was asked.
func loading(t *testing.T, dir string, opts *app.Options) (asked bool, err error) {
	t.Helper()
	eng := &recording{Engine: memengine.New(nil)}
	f, err := app.Open(dir, eng, opts)
	if err != nil {
		return false, err
	}
	err = f.Load(t.Context())
	if ready := f.Models.Ready(); ready == nil {
		t.Error("the function says that it is ready")
	}
	return len(eng.opts) > 0, err
}

// What a supplier of models can do to us: nothing of it gets as far as the
// engine, from a folder or from memory, and every refusal says why.
func TestHostileModels(t *testing.T) {
	for _, trap := range testmodels.Hostile() {
		t.Run(trap.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			for _, d := range []string{dir, filepath.Join(filepath.Dir(dir), "outside")} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			trap.Make(t, dir)
			write(t, filepath.Join(dir, "godwit.yaml"), []byte("model: m.onnx\n"))
			asked, err := loading(t, dir, nil)
			if asked {
				t.Fatal("the engine was asked to open it")
			}
			refused(t, "from the folder", err, trap.Want)

			info, err := os.Stat(filepath.Join(dir, "m.onnx"))
			if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
				return // seen from the folder; reading it again shows nothing new
			}
			data, err := os.ReadFile(filepath.Join(dir, "m.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnx.ReadFrom(bytes.NewReader(data), int64(len(data)), "m.onnx", nil)
			if err == nil {
				err = m.Check(nil)
			}
			want := trap.Want
			if err == nil {
				want = "no folder to look in" // all data elsewhere is out of reach
				err = m.CheckExternal("")
			}
			refused(t, "from memory", err, want)
		})
	}
}

func refused(t *testing.T, how string, err error, want string) {
	t.Helper()
	if fault.CodeOf(err) != fault.BadModel || fault.HintOf(err) == "" || !strings.Contains(err.Error()+" "+fault.HintOf(err), want) {
		t.Errorf("%s: %v (code %v, hint %q), want BadModel with %q and a hint", how, err, fault.CodeOf(err), fault.HintOf(err), want)
	}
}

func TestTruncatedModels(t *testing.T) {
	dir := function(t, "model: addsub.onnx\n")
	whole := testmodels.Tiny().Bytes()
	for n := range len(whole) {
		write(t, filepath.Join(dir, "addsub.onnx"), whole[:n])
		if asked, err := loading(t, dir, nil); asked || fault.CodeOf(err) != fault.BadModel {
			t.Fatalf("the first %d of %d bytes: engine asked %v, %v", n, len(whole), asked, err)
		}
	}
}

// A damaged model is refused, or the engine decides: then in a process of its
// own, which may fail and die, and this one goes on.
func TestBitFlippedModels(t *testing.T) {
	const seeds = 1000
	dir, passed := function(t, "model: addsub.onnx\n"), t.TempDir()
	sources := [][]byte{testmodels.Branches().Bytes(), testmodels.Tiny().Bytes(), testmodels.StringConcat().Bytes(), testmodels.LocalFunction().Bytes()}
	count := 0
	for seed := range uint64(seeds) {
		b := bytes.Clone(sources[seed%uint64(len(sources))])
		r := testmodels.NewRand(seed)
		for range 1 + seed%3 {
			at := r.IntN(8 * len(b))
			b[at/8] ^= 1 << (at % 8)
		}
		write(t, filepath.Join(dir, "addsub.onnx"), b)
		asked, err := loading(t, dir, nil)
		switch {
		case asked:
			count++
			write(t, filepath.Join(passed, fmt.Sprintf("%04d.onnx", seed)), b)
		case fault.CodeOf(err) != fault.BadModel:
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	loaded, failed, crashed := loadInChild(t, passed, count)
	t.Logf("%d seeds: %d refused here; ONNX Runtime loaded %d, refused %d, and died of %d", seeds, seeds-count, loaded, failed, crashed)
	if count == 0 || count == seeds || loaded+failed+crashed != count {
		t.Errorf("%d of %d models passed, %d, %d and %d had an end", count, seeds, loaded, failed, crashed)
	}
}

const childFolder = "GODWIT_TEST_LOAD"

// loadInChild loads the n models in dir with the real engine, in as many
// processes as it takes.
func loadInChild(t *testing.T, dir string, n int) (loaded, failed, crashed int) {
	t.Helper()
	for loaded+failed+crashed < n {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildLoads$", "-test.v=false")
		cmd.Env = append(os.Environ(), childFolder+"="+dir, fmt.Sprintf("%s_FROM=%d", childFolder, loaded+failed+crashed))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := loaded + failed
		for lines := bufio.NewScanner(out); lines.Scan(); {
			switch lines.Text() {
			case "loaded":
				loaded++
			case "refused":
				failed++
			}
		}
		err = cmd.Wait()
		cancel()
		if loaded+failed+crashed < n {
			if err == nil || loaded+failed == before && crashed > 20 {
				t.Fatalf("the child ended early: %v\n%s", err, stderr.String())
			}
			crashed++
		}
	}
	return loaded, failed, crashed
}

// TestChildLoads is the child process of loadInChild.
func TestChildLoads(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		return // no child
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: 4 << 30, Max: 4 << 30}); err != nil {
		t.Fatal(err)
	}
	var from int
	if _, err := fmt.Sscan(os.Getenv(childFolder+"_FROM"), &from); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	eng := drivertest.ONNXRuntime(t)
	for _, file := range files[from:] {
		s, err := eng.Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			fmt.Println("refused")
			continue
		}
		s.Close()
		fmt.Println("loaded")
	}
}

// A model whose weights do not fit is refused with both numbers.
func TestModelLargerThanMemory(t *testing.T) {
	small, large := testmodels.Small(), testmodels.Medium()
	data := []byte{}
	for _, tt := range []struct {
		name  string
		make  func(dir string)
		limit int64
		want  string
	}{
		{"fits", func(dir string) { write(t, filepath.Join(dir, "addsub.onnx"), small.Bytes()) }, 16 << 20, ""},
		{"in the file", func(dir string) { write(t, filepath.Join(dir, "addsub.onnx"), large.Bytes()) }, 16 << 20, "want 20245037 bytes of memory for 10539048 bytes of weights, got 16777216"},
		{"in another file", func(dir string) {
			var m testmodels.Model
			m, data = large.Externalize("w.bin")
			write(t, filepath.Join(dir, "addsub.onnx"), m.Bytes())
			write(t, filepath.Join(dir, "w.bin"), data)
		}, 16 << 20, "bytes of weights, got 16777216"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, "model: addsub.onnx\n")
			tt.make(dir)
			asked, err := loading(t, dir, &app.Options{Quota: quota.Quota{CPUs: 1, Memory: tt.limit}})
			if tt.want == "" {
				if !asked {
					t.Error(err)
				}
				return
			}
			if asked {
				t.Error("the engine was asked to open it")
			}
			refused(t, "from the folder", err, tt.want)
		})
	}
}

// The spec's digest covers the data files: one that changed is refused.
func TestDigestCoversDataFiles(t *testing.T) {
	m, data := testmodels.Tiny().Externalize("w.bin")
	dir := function(t, "model: addsub.onnx\n")
	path := filepath.Join(dir, "addsub.onnx")
	write(t, path, m.Bytes())
	write(t, filepath.Join(dir, "w.bin"), data)
	all, err := onnx.DigestAll(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := onnx.Digest(path)
	if err != nil {
		t.Fatal(err)
	}
	spec := func(digest string) {
		write(t, filepath.Join(dir, "godwit.yaml"), []byte("models: [{path: addsub.onnx, sha256: "+strings.TrimPrefix(digest, "sha256:")+"}]\n"))
	}
	spec(own)
	asked, err := loading(t, dir, nil)
	if asked {
		t.Error("with the digest of the .onnx alone: the engine was asked")
	}
	refused(t, "with the digest of the .onnx alone", err, "Write sha256: "+strings.TrimPrefix(all, "sha256:"))
	spec(all)
	if asked, err := loading(t, dir, nil); !asked {
		t.Errorf("with the digest of all: %v", err)
	}
	data[len(data)-1] ^= 1
	write(t, filepath.Join(dir, "w.bin"), data)
	asked, err = loading(t, dir, nil)
	if asked {
		t.Error("with changed data: the engine was asked")
	}
	refused(t, "with changed data", err, "want "+all)
}

// swapping is an engine during whose load the file changes.
type swapping struct {
	driver.Engine
	change func()
}

func (s *swapping) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	s.change()
	return s.Engine.Open(ctx, path, opts)
}

func TestFilesReplacedWhileLoading(t *testing.T) {
	m, data := testmodels.Tiny().Externalize("w.bin")
	for _, name := range []string{"addsub.onnx", "w.bin", ""} {
		t.Run("change "+name, func(t *testing.T) {
			dir := function(t, "model: addsub.onnx\n")
			write(t, filepath.Join(dir, "addsub.onnx"), m.Bytes())
			write(t, filepath.Join(dir, "w.bin"), data)
			inner := engine(dir)
			f, err := app.Open(dir, &swapping{inner, func() {
				if name == "" {
					return
				}
				b, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Error(err)
				}
				write(t, filepath.Join(dir, "new"), b)
				if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			err = f.Load(t.Context())
			if name == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, "replaced", err, "replaced while")
			if n := inner.Engine.(*memengine.Engine).Sessions(); n != 0 {
				t.Errorf("%d sessions are open", n)
			}
		})
	}
}
