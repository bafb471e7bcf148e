package doctor_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/internal/doctor"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// built are programs and libraries as small as can be.
func built(t testing.TB) *pack.Built {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "fn-lambda", program().bytes(), 0o755)
	write(t, dir, "fn-server", program().bytes(), 0o755)
	write(t, dir, "libonnxruntime.so.1.31.1", runtimeLibrary("1.31.1").bytes(), 0o644)
	write(t, dir, "libstdc++.so.6", libstdcxx().bytes(), 0o644)
	write(t, dir, "libgcc_s.so.1", libgcc().bytes(), 0o644)
	at := func(name string) string { return filepath.Join(dir, name) }
	return &pack.Built{Arch: "amd64", Lambda: at("fn-lambda"), Server: at("fn-server"), ONNXRuntime: at("libonnxruntime.so.1.31.1"), Version: "1.31.1",
		Libraries: []string{at("libgcc_s.so.1"), at("libstdc++.so.6")}}
}

// base is an image's base with nothing but a glibc.
func base(t testing.TB, files map[string][]byte) *pack.Base {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		write(t, root, name, content, 0o755)
	}
	for link, to := range map[string]string{"lib64": "usr/lib64", "lib": "usr/lib"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "base")
	if _, err := pack.Rootfs(context.Background(), map[string]string{"amd64": root}, out, nil); err != nil {
		t.Fatal(err)
	}
	b, err := pack.OpenBase(context.Background(), "oci:"+out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// function is a function folder of a model with a recorded request and answer
// of zeros.
func function(t testing.TB, m testmodels.Model, more string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "m.onnx", m.Bytes(), 0o644)
	write(t, dir, "godwit.yaml", []byte("model: m.onnx\n"+more), 0o644)
	read, err := onnx.Read(filepath.Join(dir, "m.onnx"), nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "requests/m/1.json", []byte(`{"inputs": [`+zeros(t, read.Inputs)+`]}`), 0o644)
	write(t, dir, "requests/m/1.want.json", []byte(`{"outputs": [`+zeros(t, read.Outputs)+`]}`), 0o644)
	return dir
}

func zeros(t testing.TB, values []onnx.Value) string {
	t.Helper()
	var all []string
	for _, v := range values {
		d, ok := v.Type.Elem.DType()
		if !ok {
			t.Fatalf("%s: want a type that the protocol has", v.Name)
		}
		shape, n := []string{}, int64(1)
		for _, dim := range v.Type.Shape {
			size := max(dim.Size, 1)
			shape, n = append(shape, fmt.Sprint(size)), n*size
		}
		zero := map[tensor.DType]string{tensor.Bytes: `"",`, tensor.Bool: "false,"}[d]
		if zero == "" {
			zero = "0,"
		}
		all = append(all, fmt.Sprintf(`{"name": %q, "shape": [%s], "datatype": %q, "data": [%s]}`, v.Name, strings.Join(shape, ","), d, strings.TrimSuffix(strings.Repeat(zero, int(n)), ",")))
	}
	return strings.Join(all, ", ")
}

const everywhere = "targets: {awslambda: {}, cloudrun: {}, azurefunctions: {}, knative: {mesh: istio}, sagemaker: {}, vertexai: {}, azureml: {}, edge: {architecture: amd64, memory: 512MiB}}\n"

// packaged makes what target takes, as the package command does.
func packaged(t testing.TB, dir, target string, b *pack.Built, on *pack.Base) string {
	t.Helper()
	ctx := context.Background()
	tree, err := pack.Contents(ctx, dir, &pack.Options{Target: target, Built: b})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	switch target {
	case "awslambda":
		out += ".zip"
		_, err = pack.Zip(ctx, tree, out, nil)
	case "azurefunctions":
		_, err = pack.Folder(ctx, tree, out, nil)
	case "edge":
		out += ".tar.gz"
		_, err = pack.Tar(ctx, tree, out, nil)
	default:
		out += ".tar"
		image, imageErr := pack.Image(ctx, on, map[string]*pack.Tree{"amd64": tree}, nil)
		if imageErr != nil {
			t.Fatal(imageErr)
		}
		defer image.Close()
		_, err = image.WriteTar(ctx, out, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Six models for every target: forty-eight good packages without an alarm.
func TestNoAlarm(t *testing.T) {
	t.Parallel()
	b, on := built(t), base(t, glibc("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.25", "GLIBC_2.27", "GLIBC_2.28", "GLIBC_2.36"))
	small := testmodels.Small()
	dirs := map[string]string{
		"digits":   filepath.Join("..", "..", "examples", "digits"),
		"penguins": filepath.Join("..", "..", "examples", "penguins"),
		"small":    function(t, small, everywhere),
		"addsub":   function(t, testmodels.AddSub(), everywhere),
		"multiio":  function(t, testmodels.MultiIO(), everywhere),
		"function": function(t, testmodels.LocalFunction(), everywhere),
	}
	packages := 0
	for name, dir := range dirs {
		image := packaged(t, dir, "cloudrun", b, on) // one for all of them
		for _, target := range []string{"awslambda", "cloudrun", "azurefunctions", "knative", "sagemaker", "vertexai", "azureml", "edge"} {
			packages++
			file := image
			if target == "awslambda" || target == "azurefunctions" || target == "edge" {
				file = packaged(t, dir, target, b, on)
			}
			r := examine(t, file, target)
			for _, f := range r.Findings {
				if f.Level == doctor.Error || f.Level == doctor.Warning {
					t.Errorf("%s for %s: want no alarm, got %s %s: %s", name, target, f.Level, f.Code, f.What)
				}
			}
			if len(r.Models) != 1 || r.Runtime != "1.31.1" || len(r.Limits) == 0 || r.Platform != "linux/amd64" {
				t.Errorf("%s for %s: want the model, the runtime, limits and the platform told, got %d models, %q, %d limits, %s", name, target, len(r.Models), r.Runtime, len(r.Limits), r.Platform)
			}
		}
		for _, f := range examine(t, dir, "awslambda").Findings {
			if f.Level == doctor.Error || f.Level == doctor.Warning {
				t.Errorf("%s as a folder: want no alarm, got %s: %s", name, f.Code, f.What)
			}
		}
	}
	if packages < 20 {
		t.Errorf("want at least 20 good packages, got %d", packages)
	}
}

// SAM and CDK take a folder and zip it themselves: what lies in it is judged as
// a zip's, and Lambda's limits hold.
func TestFolderForLambda(t *testing.T) {
	t.Parallel()
	b := built(t)
	for name, tt := range map[string]struct {
		spec, target string
		spoil        func(t *testing.T, dir string)
		want         string // the error's code; "" none
	}{
		"as it should be":               {everywhere, "awslambda", nil, ""},
		"without its program":           {everywhere, "awslambda", remove("bootstrap"), "no-program"},
		"a file that was changed":       {everywhere, "awslambda", put("requests/m/1.json", []byte("{}"), 0o644), "manifest-changed"},
		"too large when it is unpacked": {everywhere, "awslambda", sparse("data.bin", 251<<20), "size-unpacked"},
		"where godwit.yaml says image":  {"targets: {awslambda: {package: image}}\n", "awslambda", nil, "package-kind"},
		"where images run":              {everywhere, "cloudrun", nil, "package-kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := pack.Contents(t.Context(), function(t, testmodels.AddSub(), tt.spec), &pack.Options{Target: "awslambda", Built: b})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			if _, err := pack.Folder(t.Context(), tree, out, nil); err != nil {
				t.Fatal(err)
			}
			if tt.spoil != nil {
				tt.spoil(t, out)
			}
			r := examine(t, out, tt.target)
			f := find(r, tt.want)
			if tt.want != "" && (f == nil || f.Level != doctor.Error) || tt.want == "" && r.Count(doctor.Error)+r.Count(doctor.Warning) > 0 {
				t.Errorf("want %q, got %+v", tt.want, r.Findings)
			}
			if tt.want != "package-kind" && find(r, "package-kind") != nil {
				t.Errorf("a folder is refused: %+v", r.Findings)
			}
		})
	}
}

// What nobody knows is told as unknown: a device's glibc is one such thing.
func TestUnknown(t *testing.T) {
	dir := function(t, testmodels.Small(), "targets: {edge: {architecture: amd64}}\n")
	r := examine(t, packaged(t, dir, "edge", built(t), nil), "edge")
	for _, code := range []string{"glibc-unknown", "memory-unknown"} {
		if f := find(r, code); f == nil || f.Level != doctor.Unknown {
			t.Errorf("want %s as unknown, got %+v", code, r.Findings)
		}
	}
	if n := r.Count(doctor.Error) + r.Count(doctor.Warning); n > 0 {
		t.Errorf("want no alarm, got %+v", r.Findings)
	}
}

func find(r *doctor.Report, code string) *doctor.Finding {
	for i := range r.Findings {
		if r.Findings[i].Code == code {
			return &r.Findings[i]
		}
	}
	return nil
}
