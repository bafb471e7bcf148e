package onnx

// maxNesting bounds types inside of types; ONNX itself uses at most three.
const maxNesting = 8

// value is a ValueInfoProto.
func (p *parser) value(f field, what string) (v Value) {
	p.message(f, what, func(f field) {
		switch f.num {
		case 1:
			v.Name = p.name(f, what+"'s name")
		case 2:
			v.Type = p.typ(f, 0)
		}
	})
	return v
}

// valueName is the name alone.
func (p *parser) valueName(f field) (name uint64) {
	p.message(f, "a subgraph's value", func(f field) {
		if f.num == 1 {
			name = p.hash(f, "a value's name")
		}
	})
	return name
}

// typ is a TypeProto.
func (p *parser) typ(f field, nesting int) (t Type) {
	if nesting > maxNesting {
		p.fail("types nest deeper than %d", maxNesting).Hint = hintCorrupt
		return t
	}
	p.message(f, "a type", func(f field) {
		switch f.num {
		case 1, 8:
			t = Type{Kind: KindTensor}
			if f.num == 8 {
				t.Kind = KindSparse
			}
			p.tensorType(f, &t)
		case 4, 9:
			t = Type{Kind: KindSequence}
			if f.num == 9 {
				t.Kind = KindOptional
			}
			p.message(f, "an element type", func(f field) {
				if f.num == 1 {
					of := p.typ(f, nesting+1)
					t.Of = &of
				}
			})
		case 5:
			t = Type{Kind: KindMap}
			p.message(f, "a map's type", func(f field) {
				switch f.num {
				case 1:
					t.Elem = p.elem(f)
				case 2:
					of := p.typ(f, nesting+1)
					t.Of = &of
				}
			})
		case 7:
			t = Type{Kind: KindOpaque}
		}
	})
	return t
}

func (p *parser) tensorType(f field, t *Type) {
	p.message(f, "a tensor's type", func(f field) {
		switch f.num {
		case 1:
			t.Elem = p.elem(f)
		case 2:
			t.Ranked, t.Shape = true, []Dim{}
			p.message(f, "a shape", func(f field) {
				if f.num == 1 {
					t.Shape = append(t.Shape, p.dim(f))
					p.atMost(len(t.Shape), p.lim.Dims, "dimensions")
				}
			})
		}
	})
}

// dim is one dimension. Exporters write -1, and others nothing, for one that
// is free; both mean the same to ONNX Runtime.
func (p *parser) dim(f field) Dim {
	d := Dim{Size: -1}
	p.message(f, "a dimension", func(f field) {
		switch f.num {
		case 1:
			d = Dim{Size: max(p.integer(f, "a dimension"), -1)}
		case 2:
			d = Dim{Size: -1, Symbol: p.name(f, "a dimension's name")}
		}
	})
	return d
}

// elem is an element type's number. Beyond int32 it is no type that ever was;
// Undefined says so without wrapping into one.
func (p *parser) elem(f field) ElemType {
	n := p.integer(f, "an element type")
	if n != int64(ElemType(n)) {
		return Undefined
	}
	return ElemType(n)
}
