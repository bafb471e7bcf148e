package drivertest

import (
	"context"
	"strings"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// InGo are the suite's models for memengine, by the names that Harness.Path is
// given. The map is the caller's.
func InGo() map[string]memengine.Model {
	all := map[string]memengine.Model{"addsub": memengine.AddSub()}
	for _, d := range tensor.DTypes() {
		all["identity-"+d.String()+"-2"] = memengine.Identity(d, -1, 3)
		all["identity-"+d.String()+"-0"] = memengine.Identity(d)
	}
	info := func(name string, d tensor.DType, shape ...int64) driver.TensorInfo {
		return driver.TensorInfo{Name: name, Type: d, Shape: shape}
	}
	add := func(name string, in, out []driver.TensorInfo, run func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error)) {
		all[name] = memengine.Model{Signature: driver.Signature{Inputs: in, Outputs: out}, Run: run}
	}
	add("noinputs", nil, []driver.TensorInfo{info("y", tensor.FP32, 3)}, func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) {
		return []tensor.Tensor{tensor.Of("y", []int64{3}, []float32{1, 2, 3})}, nil
	})
	add("multiio",
		[]driver.TensorInfo{info("a", tensor.FP32, -1, 2), info("b", tensor.Int64, -1, 3), info("c", tensor.Bytes, -1), info("d", tensor.Bool)},
		[]driver.TensorInfo{info("a2", tensor.FP32, -1, 2), info("b1", tensor.Int64, -1, 3), info("c1", tensor.Bytes, -1), info("total", tensor.FP32), info("notd", tensor.Bool)},
		multiIO)
	for _, keys := range []tensor.DType{tensor.Bytes, tensor.Int64} {
		add("maps-"+keys.String(), []driver.TensorInfo{info("x", tensor.FP32, -1, 4)},
			[]driver.TensorInfo{info("label", keys, -1), info("probabilities", tensor.FP32, -1, -1), info("probabilities_keys", keys, -1)},
			func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
				return classify(keys, in[0].Shape[0]), nil
			})
	}
	add("slow", []driver.TensorInfo{info("x", tensor.FP32, 1)}, []driver.TensorInfo{info("y", tensor.FP32, 1)},
		func(ctx context.Context, _ []tensor.Tensor) ([]tensor.Tensor, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	all["sequence"] = memengine.Model{Refuse: fault.New(fault.BadModel, "memengine.Open", "sequence", "want a tensor, got a sequence").
		WithHint("Give the model tensors only.")}
	add("trap", []driver.TensorInfo{info("x", tensor.FP32, 3), info("i", tensor.Int64, -1)}, []driver.TensorInfo{info("y", tensor.FP32, -1)}, pick)
	add("nonzero", []driver.TensorInfo{info("x", tensor.FP32, -1)}, []driver.TensorInfo{info("y", tensor.Int64, 1, -1)}, nonzero)
	add("passed", []driver.TensorInfo{info("x", tensor.FP32, -1, 3)},
		[]driver.TensorInfo{info("x", tensor.FP32, -1, 3), info("y", tensor.FP32, -1, 3)},
		func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			y := in[0].Clone()
			v, _ := tensor.View[float32](&y)
			for i := range v {
				v[i] = -v[i]
			}
			return []tensor.Tensor{in[0], tensor.Of("y", in[0].Shape, v)}, nil
		})
	return all
}

// ONNX is Harness.Path for engines that read ONNX files: it writes the model
// into a folder that goes with the test.
func ONNX(t testing.TB, name string) string {
	t.Helper()
	kind, rest, _ := strings.Cut(name, "-")
	var m testmodels.Model
	switch kind {
	case "identity":
		d, rank, _ := strings.Cut(rest, "-")
		var dims []any
		if rank == "2" {
			dims = []any{"N", 3}
		}
		m = testmodels.Identity(elem(t, d), dims...)
	case "addsub":
		m = testmodels.AddSub()
	case "noinputs":
		m = testmodels.NoInputs()
	case "multiio":
		m = testmodels.MultiIO()
	case "maps":
		m = testmodels.SequenceOfMaps(elem(t, rest))
	case "slow":
		m = testmodels.Slow(2000)
	case "sequence":
		m = testmodels.SequenceOutput()
	case "trap":
		m = testmodels.Model{Graph: testmodels.Graph{
			Nodes:   []testmodels.Node{testmodels.N("Gather", []string{"x", "i"}, []string{"y"})},
			Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, 3), testmodels.V("i", onnx.Int64, "N")},
			Outputs: []testmodels.Value{testmodels.V("y", onnx.Float, "N")},
		}}
	case "nonzero":
		m = testmodels.Model{Graph: testmodels.Graph{
			Nodes:   []testmodels.Node{testmodels.N("NonZero", []string{"x"}, []string{"y"})},
			Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, "N")},
			Outputs: []testmodels.Value{testmodels.V("y", onnx.Int64, 1, "K")},
		}}
	case "passed":
		m = testmodels.Model{Graph: testmodels.Graph{
			Nodes:   []testmodels.Node{testmodels.N("Neg", []string{"x"}, []string{"y"})},
			Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, "N", 3)},
			Outputs: []testmodels.Value{testmodels.V("x", onnx.Float, "N", 3), testmodels.V("y", onnx.Float, "N", 3)},
		}}
	default:
		t.Fatalf("no model %q", name)
	}
	return m.File(t, name)
}

func elem(t testing.TB, d string) onnx.ElemType {
	t.Helper()
	want, ok := tensor.ParseDType(d)
	if !ok {
		t.Fatalf("no element type %q", d)
	}
	return onnx.ElemOf(want)
}

func nonzero(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	x, _ := tensor.View[float32](&in[0])
	at := []int64{}
	for i, v := range x {
		if v != 0 {
			at = append(at, int64(i))
		}
	}
	return []tensor.Tensor{tensor.Of("y", []int64{1, int64(len(at))}, at)}, nil
}

func multiIO(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	a, _ := tensor.View[float32](&in[0])
	b, _ := tensor.View[int64](&in[1])
	d, _ := tensor.View[bool](&in[3])
	a2, b1, total := make([]float32, len(a)), make([]int64, len(b)), float32(0)
	for i, v := range a {
		a2[i], total = 2*v, total+v
	}
	for i, v := range b {
		b1[i] = v + 1
	}
	c := in[2].Clone()
	c.Name = "c1"
	return []tensor.Tensor{tensor.Of("a2", in[0].Shape, a2), tensor.Of("b1", in[1].Shape, b1), c,
		tensor.Of("total", nil, []float32{total}), tensor.Of("notd", nil, []bool{!d[0]})}, nil
}

func classify(keys tensor.DType, rows int64) []tensor.Tensor {
	p := tensor.Of("probabilities", []int64{rows, 3}, make([]float32, 3*rows))
	v, _ := tensor.View[float32](&p)
	for i := range v {
		v[i] = 1.0 / 3
	}
	if keys == tensor.Int64 {
		return []tensor.Tensor{tensor.Of("label", []int64{rows}, make([]int64, rows)), p, tensor.Of("probabilities_keys", []int64{3}, []int64{0, 1, 7})}
	}
	labels := strings.Fields(strings.Repeat("a ", int(rows)))
	return []tensor.Tensor{tensor.OfStrings("label", []int64{rows}, labels...), p, tensor.OfStrings("probabilities_keys", []int64{3}, "a", "b", "c")}
}

func pick(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	x, _ := tensor.View[float32](&in[0])
	at, _ := tensor.View[int64](&in[1])
	y := make([]float32, len(at))
	for i, j := range at {
		if j < 0 || int(j) >= len(x) {
			return nil, fault.New(fault.Invalid, "memengine.Run", "", "index %d of %d", j, len(x))
		}
		y[i] = x[j]
	}
	return []tensor.Tensor{tensor.Of("y", in[1].Shape, y)}, nil
}
