package onnx

import (
	"math"
	"slices"
)

// A foldRule tells what an operator of the default domain makes of its inputs,
// of which some may not be known. The result is unknown rather than too large.
type foldRule func(in []constant, a *foldAttrs) constant

// foldRules are the operators that can make much out of little, and those that
// pass on what the others need.
var foldRules = func() map[string]foldRule {
	rules := map[string]foldRule{
		"Constant":        func(_ []constant, a *foldAttrs) constant { return a.value },
		"ConstantOfShape": constantOfShape,
		"RandomNormal":    shapeAttr, "RandomUniform": shapeAttr,
		"Expand": expand, "Tile": tile, "Range": rangeOf, "Pad": pad,
		"Resize": resize, "Upsample": resize, "OneHot": oneHot, "Concat": concat,
		"Shape": shapeOf, "Size": sizeOf, "Reshape": reshape, "Gather": gather,
		"Unsqueeze": unsqueeze, "Transpose": transpose, "Flatten": flatten,
		"MatMul": matMul, "Gemm": gemm, "Identity": same, "Cast": cast,
		"HannWindow": windowOf, "HammingWindow": windowOf, "BlackmanWindow": windowOf,
	}
	for _, name := range []string{"Abs", "Ceil", "Clip", "Cos", "CumSum", "DequantizeLinear", "Elu", "Erf", "Exp", "EyeLike",
		"Floor", "HardSigmoid", "LeakyRelu", "Log", "Neg", "Not", "QuantizeLinear", "RandomNormalLike", "RandomUniformLike",
		"Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Sqrt", "Tanh"} {
		rules[name] = sameShape
	}
	for _, name := range []string{"Add", "Sub", "Mul", "Div", "Pow", "Mod", "And", "Or", "Xor", "Equal", "Less", "Greater",
		"LessOrEqual", "GreaterOrEqual", "Where", "Max", "Min", "Sum", "Mean", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "PRelu"} {
		rules[name] = elementwise
	}
	for name, f := range map[string]func(x, y float64) float64{
		"Add": func(x, y float64) float64 { return x + y }, "Sub": func(x, y float64) float64 { return x - y },
		"Mul": func(x, y float64) float64 { return x * y }, "Div": func(x, y float64) float64 { return x / y },
		"Pow": math.Pow,
	} {
		rules[name] = computed(f)
	}
	return rules
}()

// sizes are values as a shape; not ok when they are not known or no shape.
func sizes(c constant) (dims []int64, ok bool) {
	if !c.known || c.values == nil && c.elements() != 0 {
		return nil, false
	}
	for _, v := range c.values {
		switch {
		case math.IsNaN(v) || v < 0:
			return nil, false
		case v >= math.MaxInt64:
			dims = append(dims, math.MaxInt64)
		default:
			dims = append(dims, int64(v))
		}
	}
	return dims, true
}

func at(in []constant, i int) constant {
	if i < len(in) {
		return in[i]
	}
	return constant{}
}

func shaped(elem ElemType, dims []int64) constant {
	return constant{known: true, elem: elem, dims: dims}
}

func constantOfShape(in []constant, a *foldAttrs) constant {
	dims, ok := sizes(at(in, 0))
	if !ok {
		return constant{}
	}
	c := shaped(a.elem, dims)
	if n := c.elements(); n <= maxFoldValues {
		v := 0.0
		if len(a.value.values) == 1 {
			v = a.value.values[0]
		}
		c.values = slices.Repeat([]float64{v}, int(n))
	}
	return c
}

func shapeAttr(_ []constant, a *foldAttrs) constant {
	dims, ok := sizes(constant{known: true, values: a.ints})
	if !ok || len(dims) == 0 {
		return constant{}
	}
	return shaped(a.elem, dims)
}

// expand gives at least the shape asked for, also of a value that is not known.
func expand(in []constant, _ *foldAttrs) constant {
	dims, ok := sizes(at(in, 1))
	if !ok {
		return constant{}
	}
	x := at(in, 0)
	if !x.known {
		x.elem = Uint8
	}
	return shaped(x.elem, broadcast(x.dims, dims))
}

// broadcast is the shape of an elementwise operator over a and b.
func broadcast(a, b []int64) []int64 {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i := range b {
		at := len(a) - len(b) + i
		if out[at] != 0 && b[i] != 0 {
			out[at] = max(out[at], b[i])
		} else {
			out[at] = 0
		}
	}
	return out
}

func tile(in []constant, a *foldAttrs) constant {
	repeats, ok := sizes(at(in, 1))
	x := at(in, 0)
	if !ok || !x.known {
		return constant{}
	}
	if len(repeats) != len(x.dims) {
		return constant{}
	}
	dims := make([]int64, len(repeats))
	for i := range dims {
		dims[i] = mulSat(x.dims[i], repeats[i])
	}
	return shaped(x.elem, dims)
}

func rangeOf(in []constant, _ *foldAttrs) constant {
	start, limit, delta := at(in, 0), at(in, 1), at(in, 2)
	if len(start.values) != 1 || len(limit.values) != 1 || len(delta.values) != 1 || delta.values[0] == 0 {
		return constant{}
	}
	n := math.Ceil((limit.values[0] - start.values[0]) / delta.values[0])
	dims, ok := sizes(constant{known: true, values: []float64{max(n, 0)}})
	if !ok {
		return constant{}
	}
	c := shaped(start.elem, dims)
	if n <= maxFoldValues {
		c.values = make([]float64, 0, dims[0])
		for i := range dims[0] {
			c.values = append(c.values, start.values[0]+float64(i)*delta.values[0])
		}
	}
	return c
}

func pad(in []constant, a *foldAttrs) constant {
	x, pads := at(in, 0), a.ints
	if len(in) > 1 {
		pads = in[1].values
	}
	if !x.known || len(pads) != 2*len(x.dims) || len(in) > 3 {
		return constant{}
	}
	dims := slices.Clone(x.dims)
	for i := range dims {
		more := pads[i] + pads[i+len(dims)]
		if !(more > -float64(dims[i])) {
			return constant{}
		}
		dims[i] = int64(min(float64(dims[i])+more, 1<<62))
	}
	return shaped(x.elem, dims)
}

func resize(in []constant, a *foldAttrs) constant {
	x := at(in, 0)
	if !x.known {
		return constant{}
	}
	if to, ok := sizes(at(in, 3)); ok && len(to) == len(x.dims) && len(to) > 0 {
		return shaped(x.elem, to)
	}
	scales := a.scales
	for _, c := range in[1:] { // before opset 11 they are the second input, then the third
		if len(c.values) == len(x.dims) {
			scales = c.values
		}
	}
	if len(scales) != len(x.dims) {
		return constant{}
	}
	grown := make([]float64, len(scales))
	for i := range grown {
		grown[i] = math.Floor(float64(x.dims[i]) * scales[i])
	}
	dims, ok := sizes(constant{known: true, values: grown})
	if !ok {
		return constant{}
	}
	return shaped(x.elem, dims)
}

func oneHot(in []constant, _ *foldAttrs) constant {
	x, depth, values := at(in, 0), at(in, 1), at(in, 2)
	n, ok := sizes(depth)
	if !x.known || !ok || len(n) != 1 {
		return constant{}
	}
	return shaped(values.elem, append(slices.Clone(x.dims), n[0]))
}

func concat(in []constant, a *foldAttrs) constant {
	if len(in) == 0 || !in[0].known {
		return constant{}
	}
	out := constant{known: true, elem: in[0].elem, dims: slices.Clone(in[0].dims), values: slices.Clone(in[0].values)}
	axis := int(a.axis)
	if axis < 0 {
		axis += len(out.dims)
	}
	if axis < 0 || axis >= len(out.dims) {
		return constant{}
	}
	for _, c := range in[1:] {
		if !c.known || len(c.dims) != len(out.dims) {
			return constant{}
		}
		out.dims[axis] = addSat(out.dims[axis], c.dims[axis])
		if out.values != nil && c.values != nil && len(out.dims) == 1 && len(out.values)+len(c.values) <= maxFoldValues {
			out.values = append(out.values, c.values...)
		} else {
			out.values = nil
		}
	}
	return out
}

func shapeOf(in []constant, _ *foldAttrs) constant {
	x := at(in, 0)
	if !x.known {
		return constant{}
	}
	c := shaped(Int64, []int64{int64(len(x.dims))})
	c.values = []float64{}
	for _, d := range x.dims {
		c.values = append(c.values, float64(d))
	}
	return c
}

func sizeOf(in []constant, _ *foldAttrs) constant {
	x := at(in, 0)
	if !x.known {
		return constant{}
	}
	return constant{known: true, elem: Int64, values: []float64{float64(x.elements())}}
}

// reshape keeps the elements; which dimension has them does not matter where
// it is not known.
func reshape(in []constant, _ *foldAttrs) constant {
	x, to := at(in, 0), at(in, 1)
	if !x.known || to.values == nil {
		return constant{}
	}
	out := constant{known: true, elem: x.elem, values: x.values, dims: make([]int64, len(to.values))}
	rest, free := x.elements(), -1
	for i, v := range to.values {
		switch {
		case v == 0 && i < len(x.dims):
			out.dims[i] = x.dims[i]
		case v < 0:
			free = i
			continue
		case v > float64(x.elements()):
			return constant{}
		default:
			out.dims[i] = int64(v)
		}
		rest /= max(out.dims[i], 1)
	}
	if free >= 0 {
		out.dims[free] = rest
	}
	return out
}

func gather(in []constant, a *foldAttrs) constant {
	x, index := at(in, 0), at(in, 1)
	if !x.known || !index.known {
		return constant{}
	}
	axis := int(a.axis)
	if axis < 0 {
		axis += len(x.dims)
	}
	if axis < 0 || axis >= len(x.dims) {
		return constant{}
	}
	out := shaped(x.elem, slices.Concat(x.dims[:axis], index.dims, x.dims[axis+1:]))
	if len(x.dims) == 1 && x.values != nil && index.values != nil {
		for _, v := range index.values {
			if v < 0 {
				v += float64(len(x.values))
			}
			if !(v >= 0 && v < float64(len(x.values))) {
				return shaped(x.elem, out.dims)
			}
			out.values = append(out.values, x.values[int(v)])
		}
	}
	return out
}

func unsqueeze(in []constant, a *foldAttrs) constant {
	x, axes := at(in, 0), a.ints
	if len(in) > 1 {
		axes = in[1].values
	}
	if !x.known || len(axes) == 0 || len(axes) > 16 {
		return constant{}
	}
	out := constant{known: true, elem: x.elem, values: x.values, dims: slices.Clone(x.dims)}
	rank := len(x.dims) + len(axes)
	for _, v := range slices.Sorted(slices.Values(axes)) {
		if v < 0 {
			v += float64(rank)
		}
		if !(v >= 0 && v <= float64(len(out.dims))) {
			return constant{}
		}
		out.dims = slices.Insert(out.dims, int(v), 1)
	}
	return out
}

func transpose(in []constant, a *foldAttrs) constant {
	x := at(in, 0)
	if !x.known || len(a.ints) != 0 && len(a.ints) != len(x.dims) {
		return constant{}
	}
	out := shaped(x.elem, slices.Clone(x.dims))
	slices.Reverse(out.dims)
	for i, v := range a.ints {
		if !(v >= 0 && v < float64(len(x.dims))) {
			return constant{}
		}
		out.dims[i] = x.dims[int(v)]
	}
	return out
}

func flatten(in []constant, a *foldAttrs) constant {
	x, axis := at(in, 0), int64(1)
	if a.hasAx {
		axis = a.axis
	}
	if axis < 0 {
		axis += int64(len(x.dims))
	}
	if !x.known || axis < 0 || axis > int64(len(x.dims)) {
		return constant{}
	}
	front, back := shaped(x.elem, x.dims[:axis]), shaped(x.elem, x.dims[axis:])
	return shaped(x.elem, []int64{front.elements(), back.elements()})
}

func matMul(in []constant, _ *foldAttrs) constant {
	x, y := at(in, 0), at(in, 1)
	if !x.known || !y.known || len(x.dims) < 2 || len(y.dims) < 2 {
		return constant{}
	}
	m, n := x.dims[len(x.dims)-2], y.dims[len(y.dims)-1]
	return shaped(x.elem, append(broadcast(x.dims[:len(x.dims)-2], y.dims[:len(y.dims)-2]), m, n))
}

func gemm(in []constant, a *foldAttrs) constant {
	x, y := at(in, 0), at(in, 1)
	if !x.known || !y.known || len(x.dims) != 2 || len(y.dims) != 2 {
		return constant{}
	}
	m, n := x.dims[0], y.dims[1]
	if a.transA {
		m = x.dims[1]
	}
	if a.transB {
		n = y.dims[0]
	}
	return shaped(x.elem, []int64{m, n})
}

func same(in []constant, _ *foldAttrs) constant { return at(in, 0) }

// cast keeps the values: they are sizes, which all types hold well enough.
func cast(in []constant, a *foldAttrs) constant {
	c := at(in, 0)
	c.elem = a.elem
	return c
}

func sameShape(in []constant, _ *foldAttrs) constant {
	c := at(in, 0)
	c.values = nil
	return c
}

func elementwise(in []constant, _ *foldAttrs) constant {
	var dims []int64
	for _, c := range in {
		if !c.known {
			return constant{}
		}
		dims = broadcast(dims, c.dims)
	}
	if len(in) == 0 {
		return constant{}
	}
	return shaped(in[len(in)-1].elem, dims)
}

// computed is an elementwise operator of two inputs whose values are followed
// while they are few.
func computed(f func(x, y float64) float64) foldRule {
	return func(in []constant, a *foldAttrs) constant {
		out := elementwise(in, a)
		n := out.elements()
		if !out.known || n > maxFoldValues || len(in) != 2 || in[0].values == nil || in[1].values == nil {
			return out
		}
		x, y := in[0].values, in[1].values
		if int64(len(x)) != n && len(x) != 1 || int64(len(y)) != n && len(y) != 1 {
			return out
		}
		for i := range n {
			v := f(x[min(i, int64(len(x)-1))], y[min(i, int64(len(y)-1))])
			if in[0].elem != Float && in[0].elem != Double {
				v = math.Trunc(v)
			}
			out.values = append(out.values, v)
		}
		return out
	}
}

func windowOf(in []constant, a *foldAttrs) constant {
	n, ok := sizes(at(in, 0))
	if !ok || len(n) != 1 {
		return constant{}
	}
	return shaped(Float, n)
}
