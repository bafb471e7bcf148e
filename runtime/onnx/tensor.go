package onnx

import (
	"math"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/tensor"
)

// tensorInfo is what is worth knowing of a TensorProto besides its weights.
type tensorInfo struct {
	name   uint64
	isFlag bool // one constant truth value
	flag   bool
	constant
}

// stored is what a TensorProto holds, counted while its fields pass by.
type stored struct {
	elem     ElemType
	dims     []int64
	raw      int64 // bytes of raw_data, -1 without
	typed    int64 // elements of the typed lists
	strings  int64 // elements of string_data
	text     int64 // bytes of string_data
	external bool
	entries  []entry
	first    uint64    // the first element's bits, of raw_data or int32_data
	values   []float64 // the first numbers, until there are too many to matter
	rawAt    field
}

type entry struct{ key, value string }

// tensor reads a TensorProto without its data. Those of initializers are summed up.
func (p *parser) tensor(f field, what string, initializer bool) (info tensorInfo) {
	s := stored{raw: -1}
	var name string
	info.name = p.hashOf("")
	p.message(f, what, func(f field) {
		switch f.num {
		case 1:
			p.integers(f, "a tensor's dimension", func(v uint64) {
				s.dims = append(s.dims, int64(v))
				p.atMost(len(s.dims), p.lim.Dims, "dimensions")
			})
		case 2:
			s.elem = p.elem(f)
		case 4: // float_data
			s.typed += p.fixed(f, 4)
			s.keep(p, f, Float)
		case 10: // double_data
			s.typed += p.fixed(f, 8)
			s.keep(p, f, Double)
		case 5, 7, 11: // int32_data, int64_data, uint64_data
			p.integers(f, "a tensor's element", func(v uint64) {
				if s.typed++; s.typed == 1 {
					s.first = v
				}
				if len(s.values) < maxFoldValues {
					s.values = append(s.values, float64(int64(v)))
				}
			})
		case 6:
			s.strings++
			s.text += f.len()
			p.is(f, protowire.BytesType, "a tensor's string")
		case 8:
			name = string(p.bytes(f, what+"'s name", p.lim.Name))
			info.name = p.hashOf(name)
		case 9:
			p.is(f, protowire.BytesType, "a tensor's data")
			s.raw, s.rawAt = f.len(), f
			if b := p.peek(f.start, int(min(f.len(), 1))); len(b) > 0 {
				s.first = uint64(b[0])
			}
		case 13:
			key, value := p.entry(f, "an entry of external data", p.name)
			s.entries = append(s.entries, entry{key, value})
			p.atMost(len(s.entries), p.lim.Entries, "entries of external data")
		case 14:
			s.external = p.integer(f, "a tensor's data location") == 1
		}
	})
	if p.err != nil {
		return info
	}
	bytes := p.fits(&s, what, name)
	if p.err == nil && s.external {
		p.external(&s, name, bytes)
	}
	if initializer {
		p.sum(s.elem, bytes)
	} else {
		p.m.Constants = addSat(p.m.Constants, bytes)
	}
	info.constant = p.constant(&s)
	if n, _ := tensor.Elements(s.dims); n == 1 && s.elem == Bool && !s.external {
		info.isFlag, info.flag = true, s.first != 0
	}
	return info
}

// fits fails when a tensor's data contradict its type and shape, and returns
// the bytes that they need.
func (p *parser) fits(s *stored, what, name string) int64 {
	describe := func() string { return what + " " + short(name) }
	elements, ok := tensor.Elements(s.dims)
	size, fits := bytesOf(s.elem, int64(elements))
	switch {
	case !ok || !fits:
		p.fail("%s: shape %s has a negative dimension or too many elements", describe(), tensor.FormatShape(s.dims)).Hint = hintCorrupt
	case s.external && (s.raw > 0 || s.typed > 0 || s.strings > 0):
		p.fail("%s has data both in this file and in another", describe()).Hint = hintCorrupt
	case !s.external && len(s.entries) > 0:
		p.fail("%s has external data but is not marked as external", describe()).Hint = hintCorrupt
	case !s.elem.known():
		p.fail("%s: element type %v is not one that ONNX had when this program was made", describe(), s.elem).
			Hint = "Export the model with an older opset, or use a newer Godwit."
	case s.external && s.elem == String:
		p.fail("%s: strings cannot be external data", describe()).Hint = hintCorrupt
	case s.external:
	case s.elem == String:
		if s.strings != int64(elements) {
			p.fail("%s: want %d strings for shape %s, got %d", describe(), elements, tensor.FormatShape(s.dims), s.strings).Hint = hintCorrupt
		}
		return s.text
	case s.raw >= 0 && s.typed == 0:
		if s.raw != size {
			p.fail("%s: want %d bytes for %v %s, got %d", describe(), size, s.elem, tensor.FormatShape(s.dims), s.raw).Hint = hintCorrupt
		}
	default:
		if want := typedLen(s.elem, int64(elements)); s.typed != want || s.raw > 0 {
			p.fail("%s: want %d numbers for %v %s, got %d", describe(), want, s.elem, tensor.FormatShape(s.dims), s.typed).Hint = hintCorrupt
		}
	}
	return size
}

// bytesOf is the size of n elements in raw_data: those of less than a byte are packed.
func bytesOf(e ElemType, n int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(n), uint64(e.Bits()))
	if hi != 0 || lo > math.MaxInt64-7 {
		return 0, false
	}
	return int64(lo+7) / 8, true
}

// typedLen is how many numbers the typed lists have for n elements: complex
// numbers take two, and types of less than a byte share a byte.
func typedLen(e ElemType, n int64) int64 {
	switch b := int64(e.Bits()); {
	case e == Complex64 || e == Complex128:
		return 2 * n
	case b < 8:
		return (n*b + 7) / 8
	}
	return n
}

// fixed is the number of elements of a repeated fixed-size number.
func (p *parser) fixed(f field, size int64) int64 {
	if f.typ == protowire.BytesType {
		if f.len()%size != 0 {
			p.fail("a list of numbers at byte %d has %d bytes, not a multiple of %d", f.start, f.len(), size).Hint = hintCorrupt
		}
		return f.len() / size
	}
	want := protowire.Fixed32Type
	if size == 8 {
		want = protowire.Fixed64Type
	}
	p.is(f, want, "a tensor's element")
	return 1
}

// sparse is a SparseTensorProto: values, indices, dims. Its name is its values'.
func (p *parser) sparse(f field, initializer bool) (info tensorInfo) {
	p.message(f, "a sparse tensor", func(f field) {
		switch f.num {
		case 1:
			info = p.tensor(f, "a sparse tensor's values", initializer)
		case 2:
			p.tensor(f, "a sparse tensor's indices", initializer)
		}
	})
	info.isFlag, info.constant = false, constant{}
	return info
}

func (p *parser) sum(e ElemType, bytes int64) {
	if p.err != nil {
		return
	}
	t := p.types[e]
	t.Type, t.Count, t.Bytes = e, t.Count+1, addSat(t.Bytes, bytes)
	p.types[e] = t
	p.m.Initializers.Bytes = addSat(p.m.Initializers.Bytes, bytes)
}

// addSat adds sizes that a hostile file may have chosen.
func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
