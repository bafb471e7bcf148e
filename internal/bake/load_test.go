package bake_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
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
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// packaged is a folder with a function's baked model, as a package holds it.
// change may alter the manifest before it is written.
func packaged(t *testing.T, name string, m testmodels.Model, o bake.Options, change func(*manifest.Manifest)) string {
	t.Helper()
	from := function(t, name, m)
	requests, err := recorded.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	o.Name, o.Requests = name, requests
	forms, err := bake.Model(t.Context(), drivertest.ONNXRuntime(t), filepath.Join(from, name+".onnx"), t.TempDir(), &o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	digest, err := onnx.DigestAll(filepath.Join(dir, name+".onnx"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, name+".onnx")); err != nil {
		t.Fatal(err)
	}
	entry := manifest.Model{Name: name, Version: "1", Path: name + ".onnx", Digest: digest}
	for _, f := range forms {
		entry.Baked = append(entry.Baked, f.Baked)
		for inside, file := range f.Files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, inside), data)
		}
	}
	seal(t, dir, &manifest.Manifest{Function: name, Platform: "linux/amd64", Runtime: manifest.Runtime{Version: "1.31.1", SHA256: strings.Repeat("0", 64)},
		Models: []manifest.Model{entry}}, change)
	return dir
}

// seal writes the manifest over what lies in dir.
func seal(t *testing.T, dir string, m *manifest.Manifest, change func(*manifest.Manifest)) {
	t.Helper()
	m.Version, m.Files = manifest.Version, []manifest.File{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == manifest.Name {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		sum := sha256.Sum256(data)
		m.Files = append(m.Files, manifest.File{Path: path, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(m)
	}
	text, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, manifest.Name), text)
}

// watching is an engine that tells what it was asked to open.
type watching struct {
	driver.Engine
	opened []string
	opts   []driver.Options
}

func (w *watching) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	w.opened, w.opts = append(w.opened, filepath.Base(path)), append(w.opts, *opts)
	return w.Engine.Open(ctx, path, opts)
}

// open loads the function in dir, and answers its recorded requests.
func open(t *testing.T, dir string, eng driver.Engine, o *app.Options) (*app.Function, error) {
	t.Helper()
	f, err := app.Open(dir, eng, o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { f.Close(context.Background()) })
	if err := f.Load(t.Context()); err != nil {
		return f, err
	}
	requests, err := f.Requests()
	if err != nil || len(requests) == 0 {
		t.Fatalf("%d requests: %v", len(requests), err)
	}
	for i := range requests {
		req, err := requests[i].Decode()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := f.Handler.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !requests[i].Want.SameModel(resp.Digest) || resp.Digest == "" {
			t.Errorf("the answer names the digest %q, want the model's own %q", resp.Digest, requests[i].Want.ModelDigest)
		}
		if err := requests[i].Want.Check(resp); err != nil {
			t.Error(err)
		}
		resp.Release()
	}
	return f, nil
}

func TestBakedIsServedAsTheModelWouldBe(t *testing.T) {
	for _, c := range []struct {
		name                string
		model               testmodels.Model
		o                   bake.Options
		opened              string
		optimized, unpacked bool
	}{
		{"small", testmodels.Small(), bake.Options{Cold: true}, "small.extended.onnx", true, true},
		{"small", testmodels.Small(), bake.Options{}, "small.extended.onnx", true, false},
		{"tiny", testmodels.Tiny(), bake.Options{}, "tiny.extended.onnx", true, false},
		{"convs", testmodels.Convs(), bake.Options{}, "convs.extended.onnx", false, false},
		{"convs", testmodels.Convs(), bake.Options{Cold: true, Processor: true}, "convs.all.onnx", true, false},
	} {
		plain, eng := &watching{Engine: drivertest.ONNXRuntime(t)}, &watching{Engine: drivertest.ONNXRuntime(t)}
		if _, err := open(t, function(t, c.name, c.model), plain, nil); err != nil {
			t.Fatal(err)
		}
		f, err := open(t, packaged(t, c.name, c.model, c.o, nil), eng, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := plain.opts[0]
		want.Optimized, want.Unpacked = c.optimized, c.unpacked
		if diff := cmp.Diff(want, eng.opts[0]); diff != "" || eng.opened[0] != c.opened {
			t.Errorf("%s: opened %v, want %s; options (-want +got):\n%s", c.name, eng.opened, c.opened, diff)
		}
		m, err := f.Models.Lookup(c.name, "")
		if err != nil || !m.Deterministic() || m.Batchable() != nil {
			t.Errorf("%s: deterministic %v, batchable %v, %v", c.name, m.Deterministic(), m.Batchable(), err)
		}
	}
}

func TestChangedPackagesAreRefused(t *testing.T) {
	edit := func(name string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name), change(data))
		}
	}
	bit := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	onManifest := func(change func(*manifest.Manifest)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			m, err := manifest.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			seal(t, dir, m, change)
		}
	}
	graph := func(from, to string) func(*testing.T, string) {
		return onManifest(func(m *manifest.Manifest) {
			b := &m.Models[0].Baked[0]
			b.Graph = json.RawMessage(strings.Replace(string(b.Graph), from, to, 1))
		})
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, string)
		code   fault.Code
		want   string
	}{
		{"one bit of the weights", edit("small.extended.onnx.data", bit), fault.BadModel, "small.extended.onnx.data"},
		{"one bit of the graph", edit("small.extended.onnx", func(b []byte) []byte { return []byte(strings.Replace(string(b), "fused Gemm", "fuseD Gemm", 1)) }), fault.BadModel, "small.extended.onnx"},
		{"the spec", edit("godwit.yaml", func(b []byte) []byte { return append(b, "# more\n"...) }), fault.BadModel, "godwit.yaml"},
		{"a recorded answer", edit("requests/small/1.want.json", func(b []byte) []byte { return append(b, '\n') }), fault.BadModel, "1.want.json"},
		{"no weights", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "small.extended.onnx.data")) }, fault.BadModel, "small.extended.onnx"},
		{"no form", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "small.extended.onnx")) }, fault.BadModel, "small.extended.onnx"},
		{"another minor version of ONNX Runtime", graph(`"runtime": "1.`, `"runtime": "1.9`), fault.Runtime, "with which the form was baked"},
		{"nothing of the graph", onManifest(func(m *manifest.Manifest) { m.Models[0].Baked[0].Graph = nil }), fault.BadConfig, "graph"},
		{"an unknown word about the graph", graph(`"lean"`, `"meagre"`), fault.BadConfig, "meagre"},
		{"only a form for other processors", onManifest(func(m *manifest.Manifest) {
			m.Models[0].Baked[0].Level, m.Models[0].Baked[0].CPU = "all", "pdp11"
		}), fault.Runtime, "pdp11"},
		{"another model in the spec", onManifest(func(m *manifest.Manifest) { m.Models[0].Name = "other" }), fault.BadConfig, `"small"`},
		{"a manifest that is cut off", edit(manifest.Name, func(b []byte) []byte { return b[:len(b)-9] }), fault.BadConfig, manifest.Name},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := packaged(t, "small", testmodels.Small(), bake.Options{Cold: true}, nil)
			c.change(t, dir)
			f, err := open(t, dir, drivertest.ONNXRuntime(t), nil)
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v (%v), want %v with %q", err, fault.CodeOf(err), c.code, c.want)
			}
			if f == nil {
				return
			}
			if _, err := f.Models.Lookup("small", ""); err == nil {
				t.Error("it serves all the same")
			}
			requests, err := recorded.Load(dir)
			if err != nil {
				return
			}
			// Where one request is all, files are compared until it is answered.
			once, err := app.Open(dir, drivertest.ONNXRuntime(t), &app.Options{Single: true})
			if err != nil {
				t.Fatal(err)
			}
			defer once.Close(context.Background())
			if err = once.Load(t.Context()); err == nil {
				req, _ := requests[0].Decode()
				_, err = once.Handler.Infer(t.Context(), req)
			}
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("one request: %v (%v), want %v with %q", err, fault.CodeOf(err), c.code, c.want)
			}
		})
	}
}

// A package may hold a model as it was given; then its digest must be the manifest's.
func TestModelsAsTheyWereGivenAreCompared(t *testing.T) {
	dir := function(t, "small", testmodels.Small())
	digest, err := onnx.DigestAll(filepath.Join(dir, "small.onnx"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Function: "small", Runtime: manifest.Runtime{SHA256: strings.Repeat("0", 64)},
		Models: []manifest.Model{{Name: "small", Version: "1", Path: "small.onnx", Digest: digest}}}
	seal(t, dir, m, nil)
	if _, err := open(t, dir, drivertest.ONNXRuntime(t), nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "small.onnx"), testmodels.MLP(3, 64, 256, 256, 16).Bytes())
	if _, err := open(t, dir, drivertest.ONNXRuntime(t), nil); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), digest) {
		t.Errorf("%v, want BadModel with %s", err, digest)
	}
}

// A form for this class of processors that answers wrongly here gives way to
// the one that is right everywhere; so does one that nothing can be compared with.
func TestWrongFormForTheProcessorGivesWay(t *testing.T) {
	wrong := testmodels.Convs()
	for i := range wrong.Graph.Inits[0].Raw {
		wrong.Graph.Inits[0].Raw[i] ^= byte(i%3) << 2
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, string)
		want   []string
	}{
		{"right", func(*testing.T, string) {}, []string{"convs.all.onnx"}},
		{"wrong answers", func(t *testing.T, dir string) {
			out := filepath.Join(t.TempDir(), "convs.all.onnx")
			if err := drivertest.ONNXRuntime(t).(driver.Baker).Bake(t.Context(), wrong.File(t, "wrong"), out, driver.All); err != nil {
				t.Fatal(err)
			}
			for _, end := range []string{"", driver.DataSuffix} {
				if err := os.Rename(out+end, filepath.Join(dir, "convs.all.onnx"+end)); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"convs.all.onnx", "convs.extended.onnx"}},
		{"no recorded answer", func(t *testing.T, dir string) {
			for _, name := range []string{"1", "2"} {
				os.Remove(filepath.Join(dir, "requests/convs/"+name+".want.json"))
			}
		}, []string{"convs.all.onnx", "convs.extended.onnx"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := packaged(t, "convs", testmodels.Convs(), bake.Options{Cold: true, Processor: true}, nil)
			c.change(t, dir)
			m, err := manifest.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			seal(t, dir, m, nil)
			eng := &watching{Engine: drivertest.ONNXRuntime(t)}
			f, err := app.Open(dir, eng, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			if err := f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, eng.opened); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBakedInAWorkerProcess(t *testing.T) {
	dir := packaged(t, "small", testmodels.Small(), bake.Options{Cold: true}, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := app.OS()
	if err := os.Setenv("GODWIT_ONNXRUNTIME", os.Getenv("GODWIT_ONNXRUNTIME")); err != nil {
		t.Fatal(err)
	}
	o := &app.Options{}
	eng, err := app.Isolate(dir, o, &app.Isolation{Mode: "on", Command: []string{self, "worker-process"}, Env: p.Passed(), Info: driver.Info{Name: "onnxruntime"}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(t, dir, eng, o)
	if err != nil {
		t.Fatal(err)
	}
	if changes, err := f.Reload(t.Context()); err != nil || changes[0].What != "unchanged" {
		t.Errorf("Reload: %v, %v", changes, err)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReloadOfABakedFunction(t *testing.T) {
	dir := packaged(t, "small", testmodels.Small(), bake.Options{}, nil)
	eng := &watching{Engine: drivertest.ONNXRuntime(t)}
	var tried []string
	o := &app.Options{Canary: func(_ context.Context, path string, d *driver.Options) error {
		tried = append(tried, filepath.Base(path))
		if !d.Optimized {
			t.Error("the canary is not told that the model is optimised")
		}
		return nil
	}}
	f, err := open(t, dir, eng, o)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := f.Models.Lookup("small", "")
	reload := func(what string, code fault.Code) *infer.Model {
		t.Helper()
		changes, err := f.Reload(t.Context())
		if fault.CodeOf(err) != code || len(changes) != 1 || changes[0].What != what {
			t.Fatalf("Reload: %+v, %v, want %s, %v", changes, err, what, code)
		}
		m, err := f.Models.Lookup("small", "")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	reload("unchanged", fault.OK)
	damaged := filepath.Join(dir, "small.extended.onnx.data")
	good, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good)
	bad[99] ^= 1
	replace(t, damaged, bad)
	if reload("refused", fault.BadModel) != before {
		t.Error("what served was replaced by what was refused")
	}
	replace(t, damaged, good)
	reload("unchanged", fault.OK)

	other := packaged(t, "small", testmodels.MLP(77, 64, 256, 256, 16), bake.Options{}, nil)
	err = fs.WalkDir(os.DirFS(other), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(other, path))
		if err == nil {
			replace(t, filepath.Join(dir, path), data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	after := reload("replaced", fault.OK)
	want, err := manifest.Load(other)
	if err != nil {
		t.Fatal(err)
	}
	if after.Digest() != want.Models[0].Digest || after.Digest() == before.Digest() {
		t.Errorf("digest %s, want %s", after.Digest(), want.Models[0].Digest)
	}
	if diff := cmp.Diff([]string{"small.extended.onnx"}, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
}

// replace renames a new file over path.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	write(t, path+".new", data)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
