package codec

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// typedForm is how the elements of a type stand in InferTensorContents.
type typedForm struct {
	num  protowire.Number // 0: the type has no typed form
	name string
	size int // bytes of one element, at least
}

var contentsNames = [...]string{1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents",
	5: "uint64_contents", 6: "fp32_contents", 7: "fp64_contents", 8: "bytes_contents"}

func typedFormOf(t tensor.DType) typedForm {
	var num protowire.Number
	size := 1
	switch t {
	case tensor.Bool:
		num = 1
	case tensor.Int8, tensor.Int16, tensor.Int32:
		num = 2
	case tensor.Int64:
		num = 3
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		num = 4
	case tensor.Uint64:
		num = 5
	case tensor.FP32:
		num, size = 6, 4
	case tensor.FP64:
		num, size = 7, 8
	case tensor.Bytes:
		num, size = 8, 2
	default:
		return typedForm{}
	}
	return typedForm{num, contentsNames[num], size}
}

// contents decodes an InferTensorContents into t, whose type and shape are known.
func (d *wire) contents(t *tensor.Tensor, msg []byte) error {
	form := typedFormOf(t.Type)
	if form.num == 0 {
		return d.fail(fault.Invalid, "want %v in raw contents, for which it has no typed form", t.Type)
	}
	n, err := d.count(t)
	if err != nil {
		return err
	}
	if n > len(msg)/form.size {
		return d.fail(fault.Invalid, "want %s in %s for shape %s, got %d bytes", plural(n, "element"), form.name, tensor.FormatShape(t.Shape), len(msg))
	}
	if t.Type == tensor.Bytes {
		t.Strings = make([][]byte, n)
	} else {
		t.Data = make([]byte, n*t.Type.Size())
	}
	k := 0
	var f field
	for rest := msg; len(rest) > 0; {
		if rest, err = d.next(rest, &f); err != nil {
			return err
		}
		switch {
		case int(f.num) >= len(contentsNames):
		case f.num != form.num:
			if f.typ != protowire.BytesType || len(f.bytes) > 0 {
				return d.fail(fault.Invalid, "want %s for %v, got %s", form.name, t.Type, contentsNames[f.num])
			}
		default:
			if k, err = d.values(t, k, n, &f, form.name); err != nil {
				return err
			}
		}
	}
	if k != n {
		return d.fail(fault.Invalid, "want %s in %s for shape %s, got %d", plural(n, "element"), form.name, tensor.FormatShape(t.Shape), k)
	}
	return nil
}

// values decodes one field of contents, packed or single, as elements from k
// on, of n, and returns the number after the last.
func (d *wire) values(t *tensor.Tensor, k, n int, f *field, name string) (int, error) {
	single := protowire.VarintType
	switch t.Type {
	case tensor.FP32:
		single = protowire.Fixed32Type
	case tensor.FP64:
		single = protowire.Fixed64Type
	case tensor.Bytes:
		single = protowire.BytesType
	}
	more := func() (int, error) {
		return k, d.fail(fault.Invalid, "want %s in %s for shape %s, got more", plural(n, "element"), name, tensor.FormatShape(t.Shape))
	}
	if f.typ == single {
		if k >= n {
			return more()
		}
		if t.Type == tensor.Bytes {
			if len(f.bytes) > d.lim.StringBytes {
				return k, d.fail(fault.Invalid, "element %d: want at most %d bytes, got %d", k, d.lim.StringBytes, len(f.bytes))
			}
			t.Strings[k] = f.bytes
			return k + 1, nil
		}
		return k + 1, d.put(t, k, f.n)
	}
	if err := d.want(f, name, protowire.BytesType); err != nil {
		return k, err
	}
	if single != protowire.VarintType {
		size := t.Type.Size()
		switch {
		case len(f.bytes)%size != 0:
			return k, d.fail(fault.Invalid, "want a multiple of %d bytes in %s, got %d", size, name, len(f.bytes))
		case len(f.bytes)/size > n-k:
			return more()
		}
		copy(t.Data[k*size:], f.bytes)
		return k + len(f.bytes)/size, nil
	}
	for b := f.bytes; len(b) > 0; k++ {
		v, used := protowire.ConsumeVarint(b)
		switch {
		case used < 0:
			return k, d.malformed(used)
		case k >= n:
			return more()
		}
		b = b[used:]
		if err := d.put(t, k, v); err != nil {
			return k, err
		}
	}
	return k, nil
}

// put stores v, as a varint or a fixed-size field carries it, as element k.
func (d *wire) put(t *tensor.Tensor, k int, v uint64) error {
	ok := true
	switch t.Type {
	case tensor.Bool:
		ok = v <= 1
		t.Data[k] = byte(v)
	case tensor.Int8:
		ok = int64(v) == int64(int8(v))
		t.Data[k] = byte(v)
	case tensor.Uint8:
		ok = v <= math.MaxUint8
		t.Data[k] = byte(v)
	case tensor.Int16:
		ok = int64(v) == int64(int16(v))
		binary.LittleEndian.PutUint16(t.Data[2*k:], uint16(v))
	case tensor.Uint16:
		ok = v <= math.MaxUint16
		binary.LittleEndian.PutUint16(t.Data[2*k:], uint16(v))
	case tensor.Int32:
		ok = int64(v) == int64(int32(v))
		binary.LittleEndian.PutUint32(t.Data[4*k:], uint32(v))
	case tensor.Uint32, tensor.FP32:
		ok = v <= math.MaxUint32
		binary.LittleEndian.PutUint32(t.Data[4*k:], uint32(v))
	default:
		binary.LittleEndian.PutUint64(t.Data[8*k:], v)
	}
	switch {
	case ok:
		return nil
	case t.Type == tensor.Bool:
		return d.fail(fault.Invalid, "element %d: want 0 or 1 for BOOL, got %d", k, v)
	case t.Type >= tensor.Int8 && t.Type <= tensor.Int64:
		return d.fail(fault.Invalid, "element %d: want %s, got %d", k, elementOf(t.Type), int64(v))
	}
	return d.fail(fault.Invalid, "element %d: want %s, got %d", k, elementOf(t.Type), v)
}
