package app_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/quota"
)

// layers is y = x·w·w with 64×64 weights behind what is given: 16 KiB.
func layers(in testmodels.Value, before ...testmodels.Node) testmodels.Model {
	w := make([]float32, 64*64)
	from := in.Name
	for _, n := range before {
		from = n.Out[0]
	}
	return testmodels.Model{Graph: testmodels.Graph{
		Inputs:  []testmodels.Value{in},
		Outputs: []testmodels.Value{testmodels.V("y", onnx.Float)},
		Inits:   []testmodels.Tensor{testmodels.Floats32("w", []int64{64, 64}, w...), testmodels.Floats32("k", []int64{1, 1, 1, 1}, 1)},
		Nodes: append(before, testmodels.N("MatMul", []string{from, "w"}, []string{"h"}),
			testmodels.N("Gemm", []string{"h", "w"}, []string{"y"})),
	}}
}

func TestStreams(t *testing.T) {
	rows := testmodels.V("x", onnx.Float, "N", 64)
	images := testmodels.V("x", onnx.Float, "N", 1, 8, 64)
	tests := []struct {
		name  string
		model testmodels.Model
		cache int64
		cpus  float64
		want  bool
	}{
		{"more weights than cache", layers(rows), 8 << 10, 2, true},
		{"activations between", layers(rows, testmodels.N("Relu", []string{"x"}, []string{"r"})), 8 << 10, 2, true},
		{"weights that stay in the cache", layers(rows), 32 << 10, 2, false},
		{"a large cache, of which others have their part", testmodels.MLP(1, 1024, 5000), 300 << 20, 1, true},
		{"the same part for each thread", testmodels.MLP(1, 1024, 5000), 300 << 20, 2, false},
		{"a cache of which nothing is known", testmodels.MLP(1, 1024, 5000), 0, 1, true},
		{"a sequence, whose positions use them again", layers(testmodels.V("x", onnx.Float, "N", "S", 64)), 8 << 10, 2, false},
		{"a rank that is not told", layers(testmodels.Value{Name: "x", Type: testmodels.Type{Elem: onnx.Float, NoShape: true}}), 8 << 10, 2, false},
		{"convolutions", layers(images, testmodels.N("Conv", []string{"x", "k"}, []string{"c"})), 8 << 10, 2, false},
		{"rows looked up in a table", layers(testmodels.V("x", onnx.Int64, "N"), testmodels.N("Gather", []string{"w", "x"}, []string{"g"})), 8 << 10, 2, false},
		{"nothing is multiplied by", testmodels.AddSub(), 1, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := onnx.Read(tt.model.File(t, "m"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := app.Streams(m, quota.Quota{CPUs: tt.cpus, Cache: tt.cache}); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestThreadsOfModelsThatStream(t *testing.T) {
	tests := []struct {
		name, yaml    string
		intraOp, runs int
	}{
		{"one run has all threads", "model: addsub.onnx\n", 4, 1},
		{"throughput is what the spec says", "models: [{path: addsub.onnx, threads: throughput}]\n", 1, 4},
		{"so are numbers", "models: [{path: addsub.onnx, threads: {intraOp: 2, runs: 2}}]\n", 2, 2},
		{"a GPU has memory of its own", "model: addsub.onnx\nauth: none\ntargets: {knative: {gpu: 1, provider: cuda}}\n", 1, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := function(t, tt.yaml)
			write(t, filepath.Join(dir, "addsub.onnx"), layers(testmodels.V("x", onnx.Float, "N", 64)).Bytes())
			eng := engine(dir)
			f, err := app.Open(dir, eng, &app.Options{Target: "knative", Quota: quota.Quota{CPUs: 4, Cache: 8 << 10}})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close(context.Background())
			_ = f.Load(t.Context()) // the engine has no CUDA
			if got := eng.opts[0]; got.IntraOp != tt.intraOp || got.Runs != tt.runs {
				t.Errorf("%d threads, %d runs; want %d and %d", got.IntraOp, got.Runs, tt.intraOp, tt.runs)
			}
		})
	}
}

// settling is an engine that tells when it settles.
type settling struct {
	driver.Engine
	settled chan struct{}
}

func (s settling) Settle(context.Context) { close(s.settled) }

// The first requests have the processors to themselves for as long as Rest says,
// and who stops meanwhile does not wait for its end.
func TestFirstRequestsComeFirst(t *testing.T) {
	for _, rest := range []time.Duration{0, time.Second, time.Hour} {
		t.Run(rest.String(), func(t *testing.T) {
			dir := function(t, "model: addsub.onnx\n")
			synctest.Test(t, func(t *testing.T) {
				eng := settling{engine(dir), make(chan struct{})}
				begun := time.Now()
				f, err := app.Open(dir, eng, &app.Options{Rest: rest})
				if err != nil {
					t.Fatal(err)
				}
				if err := f.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				if rest < time.Hour {
					<-eng.settled
				}
				if err := f.Close(context.Background()); err != nil {
					t.Error(err)
				}
				select {
				case <-eng.settled:
					if rest == time.Hour {
						t.Error("it settles although it is closed")
					}
				default:
				}
				if took := time.Since(begun); rest < time.Hour && took != rest || rest == time.Hour && took != 0 {
					t.Errorf("settled and closed after %v", took)
				}
			})
		})
	}
}
