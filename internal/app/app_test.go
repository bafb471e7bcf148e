package app_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// function writes a folder with addsub.onnx and the spec.
func function(t *testing.T, yaml string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "addsub.onnx"), testmodels.AddSub().Bytes())
	write(t, filepath.Join(dir, "godwit.yaml"), []byte(yaml))
	return dir
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// recording is an engine that remembers how it was asked to open models.
type recording struct {
	driver.Engine
	opts []driver.Options
}

func (r *recording) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	r.opts = append(r.opts, *opts)
	return r.Engine.Open(ctx, path, opts)
}

func engine(dir string) *recording {
	return &recording{Engine: memengine.New(map[string]memengine.Model{filepath.Join(dir, "addsub.onnx"): memengine.AddSub()})}
}

func TestFunctionAnswers(t *testing.T) {
	dir := function(t, "model: addsub.onnx\n")
	f, err := app.Open(dir, engine(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	row := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
	other := row
	other.Name = "b"
	req := &infer.Request{Inputs: []tensor.Tensor{row, other}}
	if _, err := f.Handler.Infer(t.Context(), req); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("before Load: %v, want Unavailable", err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := f.Handler.Infer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := onnx.DigestAll(filepath.Join(dir, "addsub.onnx"), nil); resp.Digest != want || resp.Prediction == "" {
		t.Errorf("digest %q, prediction %q; want %q and some id", resp.Digest, resp.Prediction, want)
	}
}

func TestThreadsComeFromSpecTargetAndQuota(t *testing.T) {
	tests := []struct {
		name, yaml, target string
		cpus               float64
		intraOp, runs      int
	}{
		{"many requests share the quota", "model: addsub.onnx\n", "", 4, 1, 4},
		{"one request at a time gets all of it", "model: addsub.onnx\ntargets: {awslambda: {}}\n", "awslambda", 4, 4, 1},
		{"latency", "models: [{path: addsub.onnx, threads: latency}]\n", "", 3, 3, 1},
		{"throughput", "models: [{path: addsub.onnx, threads: throughput}]\n", "awslambda", 2, 1, 2},
		{"numbers", "models: [{path: addsub.onnx, threads: {intraOp: 3, runs: 5}}]\n", "", 1, 3, 5},
		{"a fraction of a CPU", "model: addsub.onnx\n", "", 0.25, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, tt.yaml)
			eng := engine(dir)
			f, err := app.Open(dir, eng, &app.Options{Target: tt.target, Quota: quota.Quota{CPUs: tt.cpus}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			if err := f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := eng.opts[0]; got.IntraOp != tt.intraOp || got.Runs != tt.runs {
				t.Errorf("%d threads, %d runs; want %d and %d", got.IntraOp, got.Runs, tt.intraOp, tt.runs)
			}
		})
	}
}

func TestProviderIsTheTargets(t *testing.T) {
	dir := function(t, "model: addsub.onnx\nauth: none\ntargets: {knative: {gpu: 1, providerOptions: {gpu_mem_limit: \"1\"}}}\n")
	eng := engine(dir)
	f, err := app.Open(dir, eng, &app.Options{Target: "knative"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); fault.CodeOf(err) != fault.Runtime {
		t.Errorf("Load on an engine without CUDA: %v, want Runtime", err)
	}
	if got := eng.opts[0].Provider; got.Name != "cuda" || got.Options["gpu_mem_limit"] != "1" {
		t.Errorf("provider %+v, want cuda with its option", got)
	}
}

// What is refused never reaches the engine.
func TestRefusedBeforeTheEngine(t *testing.T) {
	escape := testmodels.AddSub()
	escape.Graph.Inits = append(escape.Graph.Inits, testmodels.Floats32("w", []int64{1}, 1))
	model, _ := escape.Externalize("../w.bin")
	tests := []struct {
		name, yaml string
		prepare    func(dir string)
		code       fault.Code
		want       string
	}{
		{"another digest", "models: [{path: addsub.onnx, sha256: " + strings.Repeat("a", 64) + "}]\n", nil, fault.BadModel, "sha256:aaaa"},
		{"external data outside the folder", "model: addsub.onnx\n", func(dir string) {
			write(t, filepath.Join(dir, "addsub.onnx"), model.Bytes())
		}, fault.BadModel, `".."`},
		{"a page instead of a model", "model: addsub.onnx\n", func(dir string) {
			write(t, filepath.Join(dir, "addsub.onnx"), []byte("<!DOCTYPE html><p>404"))
		}, fault.BadModel, "want an ONNX model"},
		{"no file", "model: other.onnx\n", nil, fault.NotFound, "other.onnx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, tt.yaml)
			if tt.prepare != nil {
				tt.prepare(dir)
			}
			eng := engine(dir)
			f, err := app.Open(dir, eng, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Load(t.Context())
			if fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load: %v, want code %v and %q", err, tt.code, tt.want)
			}
			if len(eng.opts) != 0 {
				t.Error("the engine was asked to open it")
			}
			if err := f.Models.Ready(); err == nil {
				t.Error("the function says that it is ready")
			}
		})
	}
}

// What the spec asks for and nothing would do is refused, not ignored.
func TestUnsupportedIsNotIgnored(t *testing.T) {
	for _, yaml := range []string{
		"models: [{path: addsub.onnx}, {path: addsub.onnx, version: \"2\", nanPolicy: \"null\"}]\n",
	} {
		dir := function(t, yaml)
		if _, err := app.Open(dir, engine(dir), nil); fault.CodeOf(err) != fault.Unsupported || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, want Unsupported with a hint", yaml, err)
		}
	}
}

func TestLimitsOfTheSpecAreThoseInForce(t *testing.T) {
	dir := function(t, `model: addsub.onnx
limits: {body: 2MiB, compressionRatio: 7, chunks: 100, headerFields: 30, headerBytes: 8KiB, streams: 5, drain: 3s, request: 9s}
`)
	f, err := app.Open(dir, engine(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := f.Server(oip.Options{}).Options()
	if o.Limits.Body != 2<<20 || o.CompressionRatio != 7 || o.Timeout != 9*time.Second {
		t.Errorf("body %d, ratio %d, timeout %v", o.Limits.Body, o.CompressionRatio, o.Timeout)
	}
}

func TestOnlyWhoMayBeReachedIsServed(t *testing.T) {
	loopback, public := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4zero, Port: 1}
	tests := []struct {
		name, yaml, target string
		addr               net.Addr
		want               fault.Code
	}{
		{"platform on loopback", "model: addsub.onnx\n", "", loopback, fault.OK},
		{"platform on every address", "model: addsub.onnx\n", "", public, fault.BadConfig},
		{"platform on a platform", "model: addsub.onnx\n", "cloudrun", public, fault.OK},
		{"platform on Knative without a word", "model: addsub.onnx\n", "knative", public, fault.BadConfig},
		{"platform on Knative with a mesh", "model: addsub.onnx\ntargets: {knative: {mesh: linkerd}}\n", "knative", public, fault.OK},
		{"platform on a Knative that is played", "model: addsub.onnx\n", "knative", loopback, fault.OK},
		{"none on Knative", "model: addsub.onnx\nauth: none\ntargets: {knative: {}}\n", "knative", public, fault.OK},
		{"keys on Knative", "model: addsub.onnx\nauth: key\n", "knative", public, fault.OK},
		{"platform on a device's loopback", "model: addsub.onnx\n", "edge", loopback, fault.OK},
		{"platform on every address of a device", "model: addsub.onnx\n", "edge", public, fault.BadConfig},
		{"none on every address", "model: addsub.onnx\nauth: none\n", "", public, fault.OK},
		{"keys on every address", "model: addsub.onnx\nauth: key\n", "", public, fault.OK},
		{"tokens on every address", "model: addsub.onnx\nauth: {jwt: {issuer: https://issuer.test, audience: [x]}}\n", "", public, fault.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, tt.yaml)
			f, err := app.Open(dir, engine(dir), &app.Options{Target: tt.target})
			if err != nil {
				t.Fatal(err)
			}
			if got := fault.CodeOf(f.CheckAuth(tt.addr)); got != tt.want {
				t.Errorf("CheckAuth(%v) = %v, want %v", tt.addr, got, tt.want)
			}
		})
	}
}
