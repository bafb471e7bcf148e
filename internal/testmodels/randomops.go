package testmodels

import (
	"slices"

	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// Each function below tries to put one operator behind v and reports whether
// it fits. The types are those that ONNX Runtime's CPU provider has kernels for.

func (g *graphs) unary(v *value) bool {
	out := v.fresh()
	switch {
	case v.float() && g.r.IntN(2) == 0:
		op := []string{"Sigmoid", "Tanh"}[g.r.IntN(2)]
		if v.typ == tensor.FP64 {
			op = "Tanh" // ONNX Runtime 1.30 fuses x·Sigmoid(x) of doubles into an operator that it lacks
		}
		out.exact, out.bound = false, 1
		return g.emit(op, out, names(v.name))
	case v.float():
		return g.emit([]string{"Relu", "Abs", "Neg"}[g.r.IntN(3)], out, names(v.name))
	case v.arithmetic():
		return g.emit([]string{"Abs", "Neg"}[g.r.IntN(2)], out, names(v.name))
	}
	return g.emit("Identity", out, names(v.name))
}

func (g *graphs) binary(v *value) bool {
	if !v.arithmetic() {
		return false
	}
	o := g.like(v)
	out := v.fresh()
	out.exact = v.exact && o.exact
	switch op := []string{"Add", "Sub", "Mul", "Max", "Min"}[g.r.IntN(5)]; op {
	case "Max", "Min":
		out.bound = max(v.bound, o.bound)
		return g.emit(op, out, names(v.name, o.name))
	case "Mul":
		out.bound = v.bound * o.bound
		out.exact = out.exact && !v.float()
		return g.emit(op, out, names(v.name, o.name))
	default:
		out.bound = v.bound + o.bound
		out.exact = out.exact && !v.float()
		return g.emit(op, out, names(v.name, o.name))
	}
}

// matmul multiplies the last dimension with a constant matrix.
func (g *graphs) matmul(v *value) bool {
	last := len(v.dims) - 1
	if !v.float() || last < 1 {
		return false
	}
	k, fixed := v.dims[last].(int)
	if !fixed {
		return false
	}
	out := v.fresh()
	n := int64(1 + g.r.IntN(4))
	out.resize(last, n)
	out.exact, out.bound = false, v.bound*float64(k)
	w := g.constant(Const(RandomTensor(g.r, "", v.typ, int64(k), n)))
	if last == 1 && g.r.IntN(2) == 0 {
		out.bound++
		return g.emit("Gemm", out, names(v.name, w, g.constant(Const(RandomTensor(g.r, "", v.typ, n)))))
	}
	return g.emit("MatMul", out, names(v.name, w))
}

func (g *graphs) concat(v *value) bool {
	axis, ok := g.axis(v, 1)
	if !ok {
		return false
	}
	o := g.like(v)
	out := v.fresh()
	out.resize(axis, 2*v.shape[axis])
	out.exact, out.bound = v.exact && o.exact, max(v.bound, o.bound)
	return g.emit("Concat", out, names(v.name, o.name), Int("axis", int64(axis)))
}

func (g *graphs) slice(v *value) bool {
	axis, ok := g.axis(v, 2)
	if !ok {
		return false
	}
	size := v.shape[axis]
	out := v.fresh()
	if g.r.IntN(3) == 0 { // backwards, all of it
		return g.emit("Slice", out, names(v.name, g.ints(-1), g.ints(-1<<40), g.ints(int64(axis)), g.ints(-1)))
	}
	from := int64(g.r.IntN(int(size) - 1))
	to := from + 1 + int64(g.r.IntN(int(size-from)))
	out.resize(axis, to-from)
	return g.emit("Slice", out, names(v.name, g.ints(from), g.ints(to), g.ints(int64(axis))))
}

func (g *graphs) transpose(v *value) bool {
	if len(v.dims) < 2 {
		return false
	}
	out := v.fresh()
	perm := make([]int64, len(v.dims))
	for i := range perm {
		perm[i] = int64(i)
	}
	for i := len(perm) - 1; i > 0; i-- {
		j := g.r.IntN(i + 1)
		perm[i], perm[j] = perm[j], perm[i]
	}
	for i, p := range perm {
		out.dims[i], out.shape[i] = v.dims[p], v.shape[p]
	}
	return g.emit("Transpose", out, names(v.name), Ints("perm", perm...))
}

func (g *graphs) reduce(v *value) bool {
	if !v.arithmetic() || len(v.dims) == 0 {
		return false
	}
	axis := g.r.IntN(len(v.dims))
	out := v.fresh()
	keep := int64(g.r.IntN(2))
	if keep == 1 {
		out.resize(axis, 1)
	} else {
		out.dims, out.shape = slices.Delete(out.dims, axis, axis+1), slices.Delete(out.shape, axis, axis+1)
	}
	op := []string{"ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"}[g.r.IntN(4)]
	switch {
	case op == "ReduceSum":
		out.bound *= float64(v.shape[axis])
		out.exact = out.exact && !v.float()
	case op == "ReduceMean" && v.float():
		out.exact = false
	case op == "ReduceMean":
		return false // how integers are rounded is nobody's promise
	}
	if op == "ReduceSum" || g.opset >= 18 {
		return g.emit(op, out, names(v.name, g.ints(int64(axis))), Int("keepdims", keep))
	}
	return g.emit(op, out, names(v.name), Ints("axes", int64(axis)), Int("keepdims", keep))
}

// cast goes to a type that holds every value that v may have.
func (g *graphs) cast(v *value) bool {
	to := []tensor.DType{tensor.FP32, tensor.FP64}
	switch v.typ {
	case tensor.Bytes:
		return false
	case tensor.FP32:
		to = []tensor.DType{tensor.FP64, tensor.FP16, tensor.BF16}
	case tensor.FP16, tensor.BF16:
		to = []tensor.DType{tensor.FP32}
	case tensor.FP64:
		to = []tensor.DType{tensor.FP32}
	default:
		to = append(to, tensor.Int64, tensor.Int32, tensor.Bool)
	}
	if v.exact && v.float() {
		to = append(to, tensor.Int8, tensor.Int32, tensor.Int64, tensor.Bool)
	}
	out := v.fresh()
	out.typ = to[g.r.IntN(len(to))]
	if !v.exact && (out.typ == tensor.FP16 || out.typ == tensor.BF16) {
		return false // one ulp there is more than the tolerance
	}
	return g.emit("Cast", out, names(v.name), Int("to", int64(onnx.ElemOf(out.typ))))
}

// compare needs exact values: a rounding error would flip the truth.
func (g *graphs) compare(v *value) bool {
	if !v.exact || !v.arithmetic() {
		return false
	}
	o := g.like(v)
	if !o.exact {
		return false
	}
	out := v.fresh()
	out.typ, out.bound = tensor.Bool, 1
	return g.emit([]string{"Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"}[g.r.IntN(5)], out, names(v.name, o.name))
}

func (g *graphs) logic(v *value) bool {
	if v.typ != tensor.Bool {
		return false
	}
	if g.r.IntN(3) == 0 {
		return g.emit("Not", v.fresh(), names(v.name))
	}
	o := g.like(v)
	return g.emit([]string{"And", "Or", "Xor"}[g.r.IntN(3)], v.fresh(), names(v.name, o.name))
}

// where chooses between two values by a condition of the same shape.
func (g *graphs) where(v *value) bool {
	if v.typ != tensor.FP32 && v.typ != tensor.Int32 && v.typ != tensor.Int64 && v.typ != tensor.Bytes {
		return false
	}
	for _, c := range g.pool {
		if c.typ == tensor.Bool && slices.Equal(c.dims, v.dims) {
			o := g.like(v)
			out := v.fresh()
			out.exact, out.bound = v.exact && o.exact, max(v.bound, o.bound)
			return g.emit("Where", out, names(c.name, v.name, o.name))
		}
	}
	return false
}

func (g *graphs) shapeOf(v *value) bool {
	if len(v.dims) == 0 || g.r.IntN(4) > 0 {
		return false
	}
	rank := int64(len(v.dims))
	return g.emit("Shape", value{typ: tensor.Int64, dims: []any{int(rank)}, shape: []int64{rank}, bound: 64, exact: true}, names(v.name))
}

func (g *graphs) gather(v *value) bool {
	axis, ok := g.axis(v, 1)
	if !ok {
		return false
	}
	indices := make([]int64, 1+g.r.IntN(3))
	for i := range indices {
		indices[i] = int64(g.r.IntN(int(2*v.shape[axis]))) - v.shape[axis]
	}
	out := v.fresh()
	out.resize(axis, int64(len(indices)))
	return g.emit("Gather", out, names(v.name, g.ints(indices...)), Int("axis", int64(axis)))
}

// reorder changes the rank and keeps the elements.
func (g *graphs) reorder(v *value) bool {
	out := v.fresh()
	at := g.r.IntN(len(v.dims) + 1)
	if g.r.IntN(2) == 0 {
		out.dims, out.shape = slices.Insert(out.dims, at, any(1)), slices.Insert(out.shape, at, 1)
		return g.emit("Unsqueeze", out, names(v.name, g.ints(int64(at))))
	}
	if len(v.dims) < 2 {
		return false
	}
	rest, fixed := int64(1), true
	for i, d := range v.dims[1:] {
		_, ok := d.(int)
		fixed = fixed && ok
		rest *= v.shape[i+1]
	}
	out.dims, out.shape = []any{v.dims[0], nil}, []int64{v.shape[0], rest}
	if fixed {
		out.dims[1] = int(rest)
	}
	return g.emit("Flatten", out, names(v.name), Int("axis", 1))
}

func (g *graphs) softmax(v *value) bool {
	if !v.float() || len(v.dims) == 0 {
		return false
	}
	out := v.fresh()
	out.exact, out.bound = false, 1
	return g.emit("Softmax", out, names(v.name), Int("axis", int64(g.r.IntN(len(v.dims)))))
}

func (g *graphs) tile(v *value) bool {
	axis, ok := g.axis(v, 1)
	if !ok || v.typ == tensor.FP16 || v.typ == tensor.BF16 {
		return false
	}
	repeats := make([]int64, len(v.dims))
	for i := range repeats {
		repeats[i] = 1
	}
	repeats[axis] = 2
	out := v.fresh()
	out.resize(axis, 2*v.shape[axis])
	return g.emit("Tile", out, names(v.name, g.ints(repeats...)))
}
