package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/tensor"
)

// A few bytes of constants can ask for terabytes: ConstantOfShape, Expand, Tile
// and their like, in chains. A runtime that folds constants does the work as
// soon as it loads the model. fold computes how large such values get, without
// computing them. What it cannot tell counts as nothing, so that no sound model
// is refused; a canary load under a memory limit is there for the rest.

// maxFoldValues is how many numbers of a constant are kept: shapes, repeats and
// the like have a few, weights are of no interest.
const maxFoldValues = 256

// constant is what is known of a value that does not depend on a request, or
// at least has a shape that does not.
type constant struct {
	known  bool
	elem   ElemType
	dims   []int64
	values []float64 // nil unless all of them are known
}

// Produced is what operators make of constants, whatever the request.
type Produced struct {
	Largest int64  // bytes of the largest value
	Op      string // the operator that makes it
	Total   int64  // bytes of all such values
}

func (c *constant) elements() int64 {
	n := int64(1)
	for _, d := range c.dims {
		n = mulSat(n, d)
	}
	return n
}

func (c *constant) bytes() int64 { return mulSat(c.elements(), max(int64(c.elem.Bits()), 8)/8) }

// mulSat multiplies sizes that a hostile file may have chosen; negative ones count as 0.
func mulSat(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

// fold walks every graph once.
func (p *parser) fold() {
	if p.err != nil {
		return
	}
	var in []constant
	for _, s := range p.scopes {
		for _, i := range s.order {
			n := &s.nodes[i]
			if n.rule == nil || n.out == n.end {
				continue
			}
			in = in[:0]
			for _, name := range s.edges[n.in:n.out] {
				in = append(in, s.constant(name))
			}
			c := n.rule(in, n.attrs)
			if !c.known {
				continue
			}
			s.consts[s.edges[n.out]] = c
			if n.attrs.op == "Constant" {
				continue // in Model.Constants already
			}
			b := c.bytes()
			p.m.Produced.Total = addSat(p.m.Produced.Total, b)
			if b > p.m.Produced.Largest {
				p.m.Produced.Largest, p.m.Produced.Op = b, n.attrs.op
			}
		}
	}
}

// constant looks name up in s and in the graphs around it.
func (s *scope) constant(name uint64) constant {
	for ; s != nil; s = s.outer {
		if c, ok := s.consts[name]; ok {
			return c
		}
		if s.given[name] {
			break
		}
	}
	return constant{}
}

// constant is what a TensorProto holds.
func (p *parser) constant(s *stored) constant {
	if p.err != nil {
		return constant{}
	}
	c := constant{known: true, elem: s.elem, dims: s.dims}
	elements, _ := tensor.Elements(s.dims)
	if elements > maxFoldValues || s.external {
		return c
	}
	if s.raw > 0 {
		s.values = numbers(p.peek(s.rawAt.start, int(s.raw)), s.elem)
	}
	if len(s.values) == elements {
		c.values = s.values
	}
	return c
}

// numbers decodes raw_data of the types that shapes and sizes come in.
func numbers(raw []byte, e ElemType) (all []float64) {
	size := int(e.Bits() / 8)
	if size == 0 {
		return nil
	}
	for ; len(raw) >= size; raw = raw[size:] {
		switch e {
		case Int64:
			all = append(all, float64(int64(binary.LittleEndian.Uint64(raw))))
		case Int32:
			all = append(all, float64(int32(binary.LittleEndian.Uint32(raw))))
		case Float:
			all = append(all, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		case Double:
			all = append(all, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		case Int8:
			all = append(all, float64(int8(raw[0])))
		case Uint8, Bool:
			all = append(all, float64(raw[0]))
		default:
			return nil
		}
	}
	return all
}

// keep collects the numbers of float_data and double_data.
func (s *stored) keep(p *parser, f field, e ElemType) {
	if len(s.values) < maxFoldValues {
		s.values = append(s.values, p.floats(f, e)...)
	}
}

// floats are the first numbers of a repeated fixed-size field, packed or not.
func (p *parser) floats(f field, e ElemType) []float64 {
	switch f.typ {
	case protowire.Fixed32Type:
		return []float64{float64(math.Float32frombits(uint32(f.val)))}
	case protowire.Fixed64Type:
		return []float64{math.Float64frombits(f.val)}
	}
	return numbers(p.peek(f.start, int(min(f.len(), int64(maxFoldValues*e.Bits()/8)))), e)
}

// foldAttrs are the attributes that a foldRule may need.
type foldAttrs struct {
	op     string
	elem   ElemType // the type made: of ConstantOfShape's value, or Cast's
	value  constant // of Constant, ConstantOfShape
	axis   int64    // of Concat, Gather, Flatten, OneHot
	hasAx  bool
	ints   []float64 // axes, perm, shape, pads, repeats: no operator has two of them
	scales []float64
	transA bool
	transB bool
}

// foldAttr is one attribute while it is read.
type foldAttr struct {
	name   string
	i      int64
	list   []float64
	tensor constant
}

func (p *parser) foldAttr(f field, a *foldAttr) {
	switch f.num {
	case 1:
		if f.len() <= 16 { // no name that matters is longer
			a.name = string(p.bytes(f, "an attribute's name", p.lim.Name))
		}
	case 2:
		if f.typ == protowire.Fixed32Type {
			a.list = []float64{float64(math.Float32frombits(uint32(f.val)))}
		}
	case 3:
		a.i = p.integer(f, "an attribute's number")
	case 7:
		if len(a.list) < maxFoldValues {
			a.list = append(a.list, p.floats(f, Float)...)
		}
	case 8:
		if f.typ != protowire.BytesType || f.len() <= 10*maxFoldValues {
			p.integers(f, "an attribute's numbers", func(v uint64) {
				if len(a.list) <= maxFoldValues {
					a.list = append(a.list, float64(int64(v)))
				}
			})
		}
	}
}

func (a *foldAttrs) set(b *foldAttr) {
	switch b.name {
	case "value":
		a.value = b.tensor
		if b.tensor.known {
			a.elem = b.tensor.elem
		}
	case "value_int":
		a.value = constant{known: true, elem: Int64, values: []float64{float64(b.i)}}
	case "value_float":
		a.value = constant{known: true, elem: Float, values: b.list}
	case "value_ints", "value_floats":
		a.value = constant{known: true, elem: Int64, dims: []int64{int64(len(b.list))}, values: b.list}
	case "axis":
		a.axis, a.hasAx = b.i, true
	case "to", "dtype":
		a.elem = ElemType(b.i)
	case "axes", "perm", "shape", "pads", "paddings", "repeats":
		a.ints = b.list
	case "scales":
		a.scales = b.list
	case "transA":
		a.transA = b.i != 0
	case "transB":
		a.transB = b.i != 0
	}
}
