package app

import (
	"context"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/quota"
)

// threads turns the spec's mode into numbers, and says why in a clause. On a
// platform with one request at a time a run gets the whole quota; elsewhere it
// is the model that decides.
func (f *Function) threads(m *spec.Model, g *Graph) (intraOp, runs int, why string) {
	n := f.opts.Quota.Threads()
	onCPU := f.provider().Name == "" || f.provider().Name == "cpu"
	switch mode := m.Threads.Mode; {
	case mode == "fixed":
		return m.Threads.IntraOp, m.Threads.Runs, "as godwit.yaml says"
	case mode == "latency":
		return n, 1, "as godwit.yaml says"
	case mode == "throughput":
		return 1, n, "as godwit.yaml says"
	case f.oneAtATime():
		return n, 1, "requests come one at a time"
	case onCPU && g.streams(f.opts.Quota):
		return n, 1, "a run reads more weights than the cache holds"
	}
	return 1, n, "many runs share the processors"
}

// oneAtATime tells that the platform waits for an answer before it sends another
// request, as Lambda does but for Managed Instances.
func (f *Function) oneAtATime() bool { return f.opts.Target == "awslambda" && f.opts.Concurrency <= 1 }

// cachePerThread is the most of the last-level cache that one thread of the
// quota is believed to have: others share the rest, which a virtual machine
// sees all the same.
const cachePerThread = 16 << 20

// Streams reports whether a run of model reads all its weights from memory,
// and each once for a row: then runs at once, of one thread each, only take
// the memory's bandwidth from each other, and one run on all threads of q
// answers 1.4 times as many requests in half the time. That is so for networks
// of nothing but dense layers over rows of features, of more weights than fit
// the cache. Where weights are used again within a run, as those of
// convolutions and over the positions of a sequence are, runs of one thread
// each waste nothing on waiting for each other. What it cannot tell is false.
func Streams(model *onnx.Model, q quota.Quota) bool { return GraphOf(model).streams(q) }

func (g *Graph) streams(q quota.Quota) bool {
	fits := int64(q.Threads()) * cachePerThread
	if q.Cache > 0 {
		fits = min(fits, q.Cache)
	}
	return g.Dense && g.Weights > fits
}

// isDense reports whether the model has nothing but dense layers over rows of features.
func isDense(model *onnx.Model) bool {
	if model.Format != onnx.FormatONNX {
		return false
	}
	products := 0
	for _, o := range model.Ops {
		multiplies, known := dense[o.Op]
		if !known {
			return false
		}
		if multiplies {
			products += o.Count
		}
	}
	for _, in := range model.Inputs {
		if in.Type.Kind != onnx.KindTensor || !in.Type.Ranked || len(in.Type.Shape) > 2 {
			return false
		}
	}
	return products > 0
}

// dense has the operators of networks of dense layers; true for those that
// multiply by a matrix of weights. None makes more rows than it is given.
var dense = map[onnx.Op]bool{
	{Name: "Gemm"}: true, {Name: "MatMul"}: true, {Name: "MatMulInteger"}: true, {Name: "QLinearMatMul"}: true,
	{Domain: "com.microsoft", Name: "FusedMatMul"}: true, {Domain: "com.microsoft", Name: "FusedGemm"}: true,
	{Domain: "com.microsoft", Name: "MatMulNBits"}: true, {Domain: "com.microsoft", Name: "QGemm"}: true,

	{Name: "Add"}: false, {Name: "Sub"}: false, {Name: "Mul"}: false, {Name: "Div"}: false, {Name: "Sqrt"}: false, {Name: "Pow"}: false,
	{Name: "Relu"}: false, {Name: "LeakyRelu"}: false, {Name: "PRelu"}: false, {Name: "Elu"}: false, {Name: "Selu"}: false,
	{Name: "Sigmoid"}: false, {Name: "HardSigmoid"}: false, {Name: "HardSwish"}: false, {Name: "Tanh"}: false, {Name: "Softplus"}: false,
	{Name: "Gelu"}: false, {Name: "Erf"}: false, {Name: "Softmax"}: false, {Name: "LogSoftmax"}: false, {Name: "ArgMax"}: false,
	{Name: "BatchNormalization"}: false, {Name: "LayerNormalization"}: false, {Name: "ReduceMean"}: false, {Name: "Dropout"}: false,
	{Name: "Clip"}: false, {Name: "Cast"}: false, {Name: "Identity"}: false, {Name: "Constant"}: false, {Name: "Concat"}: false, {Name: "Flatten"}: false,
	{Name: "QuantizeLinear"}: false, {Name: "DequantizeLinear"}: false, {Name: "DynamicQuantizeLinear"}: false,
}

// rest waits for Options.Rest, and reports whether the function is still open.
func (f *Function) rest() bool {
	if f.opts.Rest <= 0 {
		return true
	}
	timer := time.NewTimer(f.opts.Rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.swap.closed:
		return false
	}
}

// settle lets the engine do what makes runs faster and no start should wait for.
func (f *Function) settle(ctx context.Context) {
	e, ok := f.eng.(driver.Settler)
	if !ok || f.opts.Single {
		return
	}
	start := time.Now()
	e.Settle(context.WithoutCancel(ctx)) // the start is over
	f.opts.Logger.DebugContext(ctx, "engine settled", "duration_ms", time.Since(start).Milliseconds())
}
