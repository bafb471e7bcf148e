package testmodels

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/onnx"
)

// A Model is an ONNX ModelProto. Zero fields take the defaults noted beside
// them, so that most models are a Graph and nothing else.
type Model struct {
	IR              int64   // 0 means 8
	Opsets          []Opset // nil means the default domain at 17
	Producer        string  // "" means "godwit-testmodels"
	ProducerVersion string
	Domain          string
	Version         int64
	Doc             string
	Metadata        [][2]string
	Functions       []Function
	Graph           Graph
}

// An Opset says which version of a domain's operators a model uses.
type Opset struct {
	Domain  string
	Version int64
}

// A Graph is an ONNX GraphProto.
type Graph struct {
	Name    string // "" means "g"
	Nodes   []Node
	Inits   []Tensor
	Inputs  []Value
	Outputs []Value
}

// A Function is an ONNX FunctionProto: an operator that the model defines itself.
type Function struct {
	Domain, Name    string
	Inputs, Outputs []string
	Nodes           []Node
	Opsets          []Opset
}

// A Node is one operator.
type Node struct {
	Op, Domain string
	In, Out    []string
	Attrs      []Attr
}

// A Value is a graph's input or output.
type Value struct {
	Name string
	Type Type
}

// A Type is the type of a Value. Exactly one of Elem, Seq, Map and Optional is
// used: Elem alone is a tensor; Map is the value type of a map with keys Elem.
type Type struct {
	Elem     onnx.ElemType
	Dims     []any // int, or string for a symbolic dimension, or nil for an unnamed one
	NoShape  bool  // the rank is not known
	Sparse   bool
	Seq      *Type
	Map      *Type
	Optional *Type
}

// A Tensor is an initializer or an attribute's value.
type Tensor struct {
	Name     string
	Elem     onnx.ElemType
	Dims     []int64
	Raw      []byte      // little-endian elements
	Strings  []string    // the elements of a string tensor
	External [][2]string // external_data entries; then Raw stays in another file
}

// An Attr is one attribute of a Node, already encoded.
type Attr struct {
	name  string
	kind  uint64
	value func(m *msg)
}

// T is a tensor type. Its dimensions are ints, strings for symbolic ones and
// nil for a dynamic one without a name; none is a scalar.
func T(elem onnx.ElemType, dims ...any) Type { return Type{Elem: elem, Dims: dims} }

// V is a named tensor.
func V(name string, elem onnx.ElemType, dims ...any) Value {
	return Value{Name: name, Type: T(elem, dims...)}
}

// N is a node of the default domain.
func N(op string, in, out []string, attrs ...Attr) Node {
	return Node{Op: op, In: in, Out: out, Attrs: attrs}
}

// Float is a FLOAT attribute.
func Float(name string, v float32) Attr {
	return Attr{name, 1, func(m *msg) { m.fixed32(2, math.Float32bits(v)) }}
}

// Int is an INT attribute.
func Int(name string, v int64) Attr {
	return Attr{name, 2, func(m *msg) { m.varint(3, uint64(v)) }}
}

// Str is a STRING attribute.
func Str(name, v string) Attr {
	return Attr{name, 3, func(m *msg) { m.str(4, v) }}
}

// TensorAttr is a TENSOR attribute, as Constant's "value".
func TensorAttr(name string, t Tensor) Attr {
	return Attr{name, 4, func(m *msg) { m.sub(5, t.encode()) }}
}

// Body is a GRAPH attribute, as the branches of If.
func Body(name string, g Graph) Attr {
	return Attr{name, 5, func(m *msg) { m.sub(6, g.encode()) }}
}

// Floats is a FLOATS attribute.
func Floats(name string, vs ...float32) Attr {
	return Attr{name, 6, func(m *msg) {
		for _, v := range vs {
			m.fixed32(7, math.Float32bits(v))
		}
	}}
}

// Ints is an INTS attribute.
func Ints(name string, vs ...int64) Attr {
	return Attr{name, 7, func(m *msg) {
		for _, v := range vs {
			m.varint(8, uint64(v))
		}
	}}
}

// Strs is a STRINGS attribute.
func Strs(name string, vs ...string) Attr {
	return Attr{name, 8, func(m *msg) {
		for _, v := range vs {
			m.str(9, v)
		}
	}}
}

// Bytes is the model as an ONNX file. The same Model gives the same bytes.
func (m Model) Bytes() []byte {
	var b msg
	ir, opsets, producer := m.IR, m.Opsets, m.Producer
	if ir == 0 {
		ir = 8
	}
	if opsets == nil {
		opsets = []Opset{{"", 17}}
	}
	if producer == "" {
		producer = "godwit-testmodels"
	}
	b.varint(1, uint64(ir))
	b.str(2, producer)
	b.optStr(3, m.ProducerVersion)
	b.optStr(4, m.Domain)
	if m.Version != 0 {
		b.varint(5, uint64(m.Version))
	}
	b.optStr(6, m.Doc)
	b.sub(7, m.Graph.encode())
	for _, o := range opsets {
		b.sub(8, o.encode())
	}
	for _, kv := range m.Metadata {
		b.sub(14, entry(kv))
	}
	for _, f := range m.Functions {
		b.sub(25, f.encode())
	}
	return b
}

func (o Opset) encode() (b msg) {
	b.optStr(1, o.Domain)
	b.varint(2, uint64(o.Version))
	return b
}

func (g Graph) encode() (b msg) {
	for _, n := range g.Nodes {
		b.sub(1, n.encode())
	}
	if g.Name == "" {
		g.Name = "g"
	}
	b.str(2, g.Name)
	for _, t := range g.Inits {
		b.sub(5, t.encode())
	}
	for _, v := range g.Inputs {
		b.sub(11, v.encode())
	}
	for _, v := range g.Outputs {
		b.sub(12, v.encode())
	}
	return b
}

func (f Function) encode() (b msg) {
	b.str(1, f.Name)
	for _, s := range f.Inputs {
		b.str(4, s)
	}
	for _, s := range f.Outputs {
		b.str(5, s)
	}
	for _, n := range f.Nodes {
		b.sub(7, n.encode())
	}
	for _, o := range f.Opsets {
		b.sub(9, o.encode())
	}
	b.str(10, f.Domain)
	return b
}

func (n Node) encode() (b msg) {
	for _, s := range n.In {
		b.str(1, s)
	}
	for _, s := range n.Out {
		b.str(2, s)
	}
	b.str(4, n.Op)
	for _, a := range n.Attrs {
		var am msg
		am.str(1, a.name)
		a.value(&am)
		am.varint(20, a.kind)
		b.sub(5, am)
	}
	b.optStr(7, n.Domain)
	return b
}

func (v Value) encode() (b msg) {
	b.str(1, v.Name)
	b.sub(2, v.Type.encode())
	return b
}

func (t Type) encode() (b msg) {
	var inner msg
	switch {
	case t.Seq != nil:
		inner.sub(1, t.Seq.encode())
		b.sub(4, inner)
		return b
	case t.Optional != nil:
		inner.sub(1, t.Optional.encode())
		b.sub(9, inner)
		return b
	case t.Map != nil:
		inner.varint(1, uint64(t.Elem))
		inner.sub(2, t.Map.encode())
		b.sub(5, inner)
		return b
	}
	inner.varint(1, uint64(t.Elem))
	if !t.NoShape {
		var shape msg
		for _, d := range t.Dims {
			var dim msg
			switch d := d.(type) {
			case int:
				dim.varint(1, uint64(d))
			case string:
				dim.str(2, d)
			}
			shape.sub(1, dim)
		}
		inner.sub(2, shape)
	}
	if t.Sparse {
		b.sub(8, inner)
	} else {
		b.sub(1, inner)
	}
	return b
}

func (t Tensor) encode() (b msg) {
	b = make(msg, 0, len(t.Raw)+64+len(t.Name))
	for _, d := range t.Dims {
		b.varint(1, uint64(d))
	}
	b.varint(2, uint64(t.Elem))
	for _, s := range t.Strings {
		b.str(6, s)
	}
	b.optStr(8, t.Name)
	if t.External == nil && t.Elem != onnx.String {
		b.sub(9, t.Raw)
	}
	for _, kv := range t.External {
		b.sub(13, entry(kv))
	}
	if t.External != nil {
		b.varint(14, 1)
	}
	return b
}

func entry(kv [2]string) (b msg) {
	b.str(1, kv[0])
	b.str(2, kv[1])
	return b
}

// msg is a protobuf message being written.
type msg []byte

func (m *msg) varint(num protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, num, protowire.VarintType), v)
}

func (m *msg) fixed32(num protowire.Number, v uint32) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, num, protowire.Fixed32Type), v)
}

func (m *msg) str(num protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, num, protowire.BytesType), s)
}

func (m *msg) optStr(num protowire.Number, s string) {
	if s != "" {
		m.str(num, s)
	}
}

func (m *msg) sub(num protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, num, protowire.BytesType), b)
}
