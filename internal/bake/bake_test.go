package bake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/internal/bake"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/tensor"
)

// childFolder tells this program to bake into that folder and end.
const childFolder = "BAKE_TEST_FOLDER"

func TestMain(m *testing.M) {
	if p := app.OS(); p.IsWorker() {
		os.Exit(p.End(p.Work(ort.New)))
	}
	os.Exit(m.Run())
}

func TestEveryModelIsBakedOrRefusedWithTheReason(t *testing.T) {
	eng := drivertest.ONNXRuntime(t)
	all := append(testmodels.All(), testmodels.Named{Name: "convs", Model: testmodels.Convs(), Runs: true})
	for seed := range uint64(40) {
		m, _ := testmodels.RandomGraph(seed)
		all = append(all, testmodels.Named{Name: fmt.Sprintf("graph-%d", seed), Model: m, Runs: true})
	}
	// Why some are to be packaged as they are.
	unsupported := map[string]string{
		"random": "random or custom operators", "dropout-on": "random or custom operators",
		"gathertrap": "", "reshapetrap": "",
	}
	baked := 0
	for _, n := range all {
		file := n.Model.File(t, n.Name)
		s, err := eng.Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			continue // it cannot be served either
		}
		s.Close()
		for _, cold := range []bool{false, true} {
			forms, err := bake.Model(t.Context(), eng, file, t.TempDir(), &bake.Options{Cold: cold})
			if why, ok := unsupported[n.Name]; ok && why != "" {
				if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), why) {
					t.Errorf("%s: %v, want Unsupported because of %s", n.Name, err, why)
				}
				continue
			}
			if err != nil && fault.CodeOf(err) != fault.Unsupported {
				t.Errorf("%s: %v", n.Name, err)
				continue
			}
			if err != nil {
				t.Logf("%s: %v", n.Name, err)
				continue
			}
			baked++
			if len(forms) != 1 || forms[0].Baked.Level != "extended" || forms[0].Baked.CPU != "" {
				t.Errorf("%s: want one form that is right everywhere, got %+v", n.Name, forms)
			}
		}
	}
	if baked < len(all) {
		t.Errorf("%d forms of %d models, want more", baked, len(all))
	}
}

func TestFormsFollowThePurpose(t *testing.T) {
	eng := drivertest.ONNXRuntime(t)
	type form struct {
		Level               string
		Optimized, Unpacked bool
		CPU                 bool
	}
	for _, c := range []struct {
		name  string
		model testmodels.Model
		o     bake.Options
		want  []form
	}{
		{"dense, for long", testmodels.Small(), bake.Options{}, []form{{"extended", true, false, false}}},
		{"dense, cold", testmodels.Small(), bake.Options{Cold: true}, []form{{"extended", true, true, false}}},
		{"convolutions, for long", testmodels.Convs(), bake.Options{}, []form{{"extended", false, false, false}}},
		{"convolutions, cold", testmodels.Convs(), bake.Options{Cold: true}, []form{{"extended", true, false, false}}},
		{"convolutions, for this processor too", testmodels.Convs(), bake.Options{Processor: true}, []form{{"all", true, false, true}, {"extended", false, false, false}}},
		{"dense, for this processor: there is nothing to gain", testmodels.Small(), bake.Options{Processor: true}, []form{{"extended", true, false, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := function(t, "m", c.model)
			var err error
			c.o.Name = "m"
			if c.o.Requests, err = recorded.Load(dir); err != nil {
				t.Fatal(err)
			}
			forms, err := bake.Model(t.Context(), eng, filepath.Join(dir, "m.onnx"), t.TempDir(), &c.o)
			if err != nil {
				t.Fatal(err)
			}
			var got []form
			for _, f := range forms {
				var g app.Graph
				if err := json.Unmarshal(f.Baked.Graph, &g); err != nil {
					t.Fatal(err)
				}
				got = append(got, form{f.Baked.Level, g.Optimized, g.Unpacked, f.Baked.CPU == app.Processor()})
				if len(f.Files) != 1+len(f.Baked.Data) || f.Files[f.Baked.Path] == "" {
					t.Errorf("files %v of %+v", f.Files, f.Baked)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("forms (-want +got):\n%s", diff)
			}
		})
	}
}

// What is served of a form is decided by the model that was baked, however the
// form's own graph looks.
func TestFormsTellOfTheModel(t *testing.T) {
	eng := drivertest.ONNXRuntime(t)
	for name, m := range map[string]testmodels.Model{"tiny": testmodels.Tiny(), "small": testmodels.Small(), "convs": testmodels.Convs()} {
		file := m.File(t, name)
		forms, err := bake.Model(t.Context(), eng, file, t.TempDir(), &bake.Options{Cold: true})
		if err != nil {
			t.Fatal(err)
		}
		var got app.Graph
		if err := json.Unmarshal(forms[0].Baked.Graph, &got); err != nil {
			t.Fatal(err)
		}
		want := *app.GraphOf(read(t, file))
		want.Runtime, want.Optimized, want.Unpacked = eng.Info().Version, true, want.Dense
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSameBytesInOtherFoldersAndProcesses(t *testing.T) {
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Println("sums:", sums(t, dir))
		return
	}
	want := sums(t, t.TempDir())
	if len(want) == 0 || strings.Contains(want, "{}") {
		t.Fatalf("no files: %s", want)
	}
	for i := range 3 {
		dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", i+1))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), childFolder+"="+dir, "TZ=Pacific/Kiritimati", "HOME="+os.Getenv("HOME"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if !bytes.Contains(out, []byte("sums: "+want+"\n")) {
			t.Errorf("want %s, got %s", want, out)
		}
	}
}

// sums bakes two models into dir in all forms, and lists digests.
func sums(t *testing.T, dir string) string {
	eng := drivertest.ONNXRuntime(t)
	list := map[string]string{}
	for name, m := range map[string]testmodels.Model{"convs": testmodels.Convs(), "small": testmodels.Small()} {
		folder := function(t, name, m)
		requests, err := recorded.Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		forms, err := bake.Model(t.Context(), eng, filepath.Join(folder, name+".onnx"), dir, &bake.Options{Name: name, Path: "models/" + name + ".onnx", Requests: requests, Processor: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range forms {
			for inside, file := range f.Files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				list[inside] = fmt.Sprintf("%x", sha256.Sum256(data))
			}
			list[f.Baked.Path+" entry"] = fmt.Sprintf("%s %v", f.Baked.Graph, f.Baked.Data)
		}
	}
	return fmt.Sprint(list)
}

// spoiling bakes wrongly.
type spoiling struct {
	driver.Engine
	spoil func(out string) error
}

func (s *spoiling) Bake(ctx context.Context, path, out string, level driver.Level) error {
	if err := s.Engine.(driver.Baker).Bake(ctx, path, out, level); err != nil {
		return err
	}
	return s.spoil(out)
}

func TestWrongFormsAreRefused(t *testing.T) {
	real := drivertest.ONNXRuntime(t)
	other := testmodels.MLP(99, 64, 256, 256, 16).File(t, "other")
	wide := testmodels.MLP(2, 64, 256, 256, 17).File(t, "wide")
	for _, c := range []struct {
		name     string
		spoil    func(out string) error
		recorded bool
		code     fault.Code
		because  []string
	}{
		{"one weight of a recorded model", flip, true, fault.Mismatch, []string{`recorded request "`, `output "y"`, "the tolerance is"}},
		{"one weight of a model without recorded requests", flip, false, fault.Mismatch, []string{"made-up request ", `output "y"`, "the tolerance is"}},
		{"another model of that signature", func(out string) error {
			return errors.Join(os.Remove(out), os.Remove(out+driver.DataSuffix), real.(driver.Baker).Bake(t.Context(), other, out, driver.Extended))
		}, true, fault.Mismatch, []string{`output "y"`, "the tolerance is"}},
		{"another signature", func(out string) error {
			return errors.Join(os.Remove(out), os.Remove(out+driver.DataSuffix), real.(driver.Baker).Bake(t.Context(), wide, out, driver.Extended))
		}, true, fault.Mismatch, []string{`want the output "y" FP32 [-1 16]`, "[-1 17]"}},
		{"weights cut off", func(out string) error { return os.Truncate(out+driver.DataSuffix, 4096) }, true, fault.BadModel, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := function(t, "small", testmodels.Small())
			o := &bake.Options{Name: "small", Cold: true}
			if c.recorded {
				var err error
				if o.Requests, err = recorded.Load(dir); err != nil {
					t.Fatal(err)
				}
			}
			forms, err := bake.Model(t.Context(), &spoiling{real, c.spoil}, filepath.Join(dir, "small.onnx"), t.TempDir(), o)
			if fault.CodeOf(err) != c.code || len(forms) != 0 {
				t.Fatalf("%v (%v), want %v", err, fault.CodeOf(err), c.code)
			}
			for _, word := range c.because {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("want %q in %q", word, err)
				}
			}
		})
	}
}

// flip changes the weights' largest bits somewhere in the middle.
func flip(out string) error {
	data, err := os.ReadFile(out + driver.DataSuffix)
	if err != nil {
		return err
	}
	for i := len(data) / 2; i < len(data)/2+256; i++ {
		data[i] ^= 0x40
	}
	return os.WriteFile(out+driver.DataSuffix, data, 0o644)
}

func TestWhatCannotBeBaked(t *testing.T) {
	real := drivertest.ONNXRuntime(t)
	file := testmodels.Tiny().File(t, "tiny")
	arch := "arm64"
	if runtime.GOARCH == arch {
		arch = "amd64"
	}
	for _, c := range []struct {
		name string
		eng  driver.Engine
		o    bake.Options
		want string
	}{
		{"another architecture", real, bake.Options{Arch: arch}, runtime.GOARCH},
		{"another provider", real, bake.Options{Provider: "cuda"}, `"cuda"`},
		{"an engine that does not bake", memengine.New(nil), bake.Options{}, "engine that bakes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := bake.Model(t.Context(), c.eng, file, t.TempDir(), &c.o)
			if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want Unsupported with %s", err, c.want)
			}
		})
	}
	dir := t.TempDir()
	if _, err := bake.Model(t.Context(), real, file, dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := bake.Model(t.Context(), real, file, dir, nil); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("into a folder that has the form: %v, want BadConfig", err)
	}
}

// function writes a folder with the model NAME.onnx and two recorded requests
// with its answers.
func function(t *testing.T, name string, m testmodels.Model) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name+".onnx")
	write(t, file, m.Bytes())
	write(t, filepath.Join(dir, "godwit.yaml"), []byte("model: "+name+".onnx\n"))
	loaded, err := infer.Load(t.Context(), drivertest.ONNXRuntime(t), file, &infer.Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close(context.Background())
	shape := slices.Clone(loaded.Signature().Inputs[0].Shape)
	shape[0] = 1
	n, _ := tensor.Elements(shape)
	for k := range 2 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((i*7+k*3)%11)/11 - 0.4
		}
		req := &infer.Request{Model: name, Inputs: []tensor.Tensor{tensor.Of("x", shape, v)}}
		resp, err := loaded.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if err := recorded.Save(dir, name, fmt.Sprint(k+1), req, resp, nil); err != nil {
			t.Fatal(err)
		}
		resp.Release()
	}
	return dir
}

func read(t *testing.T, file string) *onnx.Model {
	t.Helper()
	m, err := onnx.Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
