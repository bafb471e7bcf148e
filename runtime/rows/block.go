package rows

import (
	"unsafe"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// begin makes room in b for n rows of p, the values of the columns that pass
// through being of kind. What b has held is used again.
func (b *Block) begin(p *Plan, n int, kind Kind) {
	if len(b.Inputs) != len(p.Inputs) {
		b.Inputs = make([]tensor.Tensor, len(p.Inputs))
	}
	for i := range p.Inputs {
		in, t := &p.Inputs[i], &b.Inputs[i]
		t.Name, t.Type = in.Name, in.Type
		t.Shape = append(append(t.Shape[:0], int64(n)), in.Shape...)
		elements := n * in.Elements()
		if in.Type == tensor.Bytes {
			if cap(t.Strings) < elements {
				t.Strings = make([][]byte, elements)
			}
			t.Strings = t.Strings[:elements]
			continue
		}
		size := elements * in.Type.Size()
		if cap(t.Data) < size {
			raw := make([]byte, size+tensor.Alignment)
			at := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % tensor.Alignment)
			t.Data = raw[at : at+size : at+size]
		}
		t.Data = t.Data[:size]
	}
	if len(b.Pass) != len(p.Pass) {
		b.Pass = make([]Values, len(p.Pass))
	}
	for i := range b.Pass {
		v := &b.Pass[i]
		*v = Values{Name: p.Pass[i], Kind: kind, Raw: v.Raw[:0]}
	}
	b.Rows, b.At, b.Bad, b.text = 0, b.At[:0], b.Bad[:0], b.text[:0]
}

// row keeps the row that has been filled, which begins at line.
func (b *Block) row(line int64) {
	b.Rows++
	b.At = append(b.At, line)
}

// bad leaves out the row that was being filled.
func (b *Block) bad(line, offset int64, column string, code fault.Code, reason string) {
	for i := range b.Pass {
		b.Pass[i].Raw = b.Pass[i].Raw[:min(len(b.Pass[i].Raw), b.Rows)]
	}
	b.Bad = append(b.Bad, Bad{Row: line, Offset: offset, Column: column, Code: code.String(), Reason: reason})
}

// end cuts what begin made to the rows that there are.
func (b *Block) end(p *Plan) {
	for i := range b.Pass {
		if v := &b.Pass[i]; v.Null != nil {
			v.Null = v.Null[:b.Rows]
		}
	}
	for i := range p.Inputs {
		in, t := &p.Inputs[i], &b.Inputs[i]
		t.Shape[0] = int64(b.Rows)
		if elements := b.Rows * in.Elements(); in.Type == tensor.Bytes {
			t.Strings = t.Strings[:elements]
		} else {
			t.Data = t.Data[:elements*in.Type.Size()]
		}
	}
}

// keep copies text into the block.
func (b *Block) keep(text []byte) []byte {
	from := len(b.text)
	b.text = append(b.text, text...)
	return b.text[from:len(b.text):len(b.text)]
}

// null marks the value of column i in the row being filled as missing.
func (b *Block) null(i, n int) {
	v := &b.Pass[i]
	if v.Null == nil {
		v.Null = make([]bool, n)
	}
	v.Null[b.Rows] = true
}
