package testmodels

import (
	"fmt"
	"slices"

	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// RandomGraph returns a small valid model that depends on seed alone, and one
// request for it: the model's inputs in its order. It has 1 to 4 inputs of
// any served type and rank 0 to 4, with a dynamic dimension "N" (1 to 4 in
// the request) here and there, up to 16 operators (arithmetic, MatMul, Concat,
// Slice, Transpose, Reduce, Cast, Where, …), opset 17 to 21, and 1 to 4
// outputs whose shapes are declared in full, in part or by rank alone.
//
// Results are tame: integers, booleans and strings are the same on every
// runtime, and floats stay within ±100 and agree to 1e-4.
func RandomGraph(seed uint64) (Model, []tensor.Tensor) {
	g := &graphs{r: NewRand(seed ^ 0x6f6e6e78)}
	g.opset = int64(17 + g.r.IntN(5))
	g.rows = int64(1 + g.r.IntN(4))
	for i := range 1 + g.r.IntN(4) {
		g.input(fmt.Sprintf("in%d", i))
	}
	ops := []func(*value) bool{g.unary, g.unary, g.binary, g.binary, g.binary, g.matmul, g.matmul, g.matmul, g.matmul,
		g.concat, g.slice, g.transpose, g.reduce, g.reduce, g.cast, g.cast, g.compare, g.logic, g.where,
		g.shapeOf, g.gather, g.reorder, g.softmax, g.tile}
	for want := 3 + g.r.IntN(14); len(g.nodes) < want; {
		ops[g.r.IntN(len(ops))](&g.pool[g.r.IntN(len(g.pool))])
	}
	m := Model{IR: 8, Opsets: []Opset{{"", g.opset}}, Graph: Graph{
		Name: fmt.Sprintf("random%d", seed), Nodes: g.nodes, Inits: g.inits, Inputs: g.inputs, Outputs: g.outputs(),
	}}
	if g.opset >= 19 {
		m.IR = 9
	}
	if g.opset >= 21 {
		m.IR = 10
	}
	return m, g.request
}

// graphs is a graph that grows operator by operator.
type graphs struct {
	r       *Rand
	opset   int64
	rows    int64 // what N is in the request
	n       int   // names given
	pool    []value
	nodes   []Node
	inits   []Tensor
	inputs  []Value
	request []tensor.Tensor
}

// A value is one tensor of the graph as it will be in the request.
type value struct {
	name  string
	typ   tensor.DType
	dims  []any   // as declared: int, "N", or nil
	shape []int64 // in the request
	bound float64 // elements are within ±bound
	// exact is false once rounding may differ between runtimes: then nothing
	// may be compared or made an integer.
	exact bool
	given bool // a graph input, which cannot be an output
}

const maxElements = 4096

func (g *graphs) input(name string) {
	types := tensor.DTypes()
	v := value{name: name, typ: types[g.r.IntN(len(types))], bound: 9, exact: true, given: true}
	if g.r.IntN(2) == 0 { // the types that have arithmetic
		v.typ = []tensor.DType{tensor.FP32, tensor.FP32, tensor.FP64, tensor.Int32, tensor.Int64}[g.r.IntN(5)]
	}
	for i := range g.r.IntN(5) {
		if g.r.IntN(3) == 0 || i == 0 && g.r.IntN(2) == 0 {
			v.dims, v.shape = append(v.dims, "N"), append(v.shape, g.rows)
			continue
		}
		d := 1 + g.r.IntN(4)
		v.dims, v.shape = append(v.dims, d), append(v.shape, int64(d))
	}
	g.inputs = append(g.inputs, V(name, onnx.ElemOf(v.typ), v.dims...))
	g.request = append(g.request, RandomTensor(g.r, name, v.typ, v.shape...))
	g.pool = append(g.pool, v)
}

// outputs picks the last value and up to three others.
func (g *graphs) outputs() (outs []Value) {
	made := slices.DeleteFunc(slices.Clone(g.pool), func(v value) bool { return v.given })
	for i := range 1 + g.r.IntN(4) {
		k := len(made) - 1
		if i > 0 {
			k = g.r.IntN(len(made))
		}
		v := made[k]
		out := V(v.name, onnx.ElemOf(v.typ), v.dims...)
		if g.r.IntN(4) == 0 {
			out.Type.Dims = make([]any, len(v.dims)) // rank only
		}
		outs = append(outs, out)
		if made = slices.Delete(made, k, k+1); len(made) == 0 {
			break
		}
	}
	return outs
}

// emit adds a node with one output and makes out, which says all but the
// name, part of the pool. It refuses what would be too large.
func (g *graphs) emit(op string, out value, in []string, attrs ...Attr) bool {
	n, ok := tensor.Elements(out.shape)
	if !ok || n > maxElements || out.bound > 100 || len(out.shape) > 5 {
		return false
	}
	g.n++
	out.name, out.given = fmt.Sprintf("v%d", g.n), false
	g.nodes = append(g.nodes, N(op, in, names(out.name), attrs...))
	g.pool = append(g.pool, out)
	return true
}

func (g *graphs) constant(t Tensor) string {
	g.n++
	t.Name = fmt.Sprintf("c%d", g.n)
	g.inits = append(g.inits, t)
	return t.Name
}

func (g *graphs) ints(values ...int64) string {
	return g.constant(Ints64("", []int64{int64(len(values))}, values...))
}

// fresh is v's description for a result of the same type and shape.
func (v *value) fresh() value {
	c := *v
	c.dims, c.shape = slices.Clone(v.dims), slices.Clone(v.shape)
	return c
}

func (v *value) float() bool { return v.typ == tensor.FP32 || v.typ == tensor.FP64 }
func (v *value) arithmetic() bool {
	return v.float() || v.typ == tensor.Int32 || v.typ == tensor.Int64
}

// axis picks a dimension of fixed size, at least least.
func (g *graphs) axis(v *value, least int64) (int, bool) {
	var axes []int
	for i, d := range v.dims {
		if n, ok := d.(int); ok && int64(n) >= least {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return 0, false
	}
	return axes[g.r.IntN(len(axes))], true
}

func (v *value) resize(axis int, size int64) {
	v.dims[axis], v.shape[axis] = int(size), size
}

// like returns another value of v's type and shape, or v itself.
func (g *graphs) like(v *value) value {
	start := g.r.IntN(len(g.pool))
	for i := range g.pool {
		o := g.pool[(start+i)%len(g.pool)]
		if o.typ == v.typ && slices.Equal(o.dims, v.dims) && o.name != v.name {
			return o
		}
	}
	return *v
}
