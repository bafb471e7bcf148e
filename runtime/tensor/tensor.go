// Package tensor holds the value that crosses every seam of Godwit: a named,
// typed, row-major array. It knows no engine and no protocol.
package tensor

import (
	"fmt"
	"unsafe"
)

// Tensor is a named array. It is a plain value: copying it shares the data.
// Reading one concurrently is safe; writing is the owner's business.
//
// Fixed-size elements live in Data, little-endian and row-major, exactly
// ByteSize(Type, Shape) bytes; Data need not be aligned. Elements of type
// Bytes live in Strings, one per element, and Data is nil. BOOL is one byte,
// 0 or 1. Rank 0 (an empty Shape) is one element; any zero dimension is none.
type Tensor struct {
	Name    string
	Type    DType
	Shape   []int64
	Data    []byte
	Strings [][]byte

	free func() // gives native memory back; nil when the garbage collector owns Data
}

// Element are the Go types that a Tensor's data can be viewed as. FP16 and
// BF16 have none: their bits are uint16.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64
}

// Of makes a tensor that shares data, whose length must be the product of
// shape; it panics if not, since both come from the caller's own code. On
// the little-endian machines that Godwit runs on, no byte is copied.
func Of[T Element](name string, shape []int64, data []T) Tensor {
	d := dtypeOf[T]()
	t := Tensor{Name: name, Type: d, Shape: shape, Data: bytesOf(data)}
	if err := t.Check(); err != nil {
		panic(err)
	}
	return t
}

// OfStrings makes a BYTES tensor; it panics if len(values) is not the product of shape.
func OfStrings(name string, shape []int64, values ...string) Tensor {
	t := Tensor{Name: name, Type: Bytes, Shape: shape, Strings: make([][]byte, len(values))}
	for i, v := range values {
		t.Strings[i] = []byte(v)
	}
	if err := t.Check(); err != nil {
		panic(err)
	}
	return t
}

// OfBits makes an FP16 or BF16 tensor from the elements' bits.
func OfBits(name string, d DType, shape []int64, bits []uint16) Tensor {
	t := Of(name, shape, bits)
	t.Type = d
	return t
}

// View returns t's elements as a slice of T. It shares memory with t when the
// data is aligned for T and copies otherwise. ok is false when T does not fit
// t's type; uint16 fits UINT16, FP16 and BF16. The view dies with t.
func View[T Element](t *Tensor) (values []T, ok bool) {
	want := dtypeOf[T]()
	if t.Type != want && (want != Uint16 || (t.Type != FP16 && t.Type != BF16)) {
		return nil, false
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	n := len(t.Data) / size
	if n == 0 {
		return []T{}, true
	}
	p := unsafe.Pointer(unsafe.SliceData(t.Data))
	if uintptr(p)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(p), n), true
	}
	values = make([]T, n)
	copy(bytesOf(values), t.Data)
	return values, true
}

// Len is the number of elements, 0 when the shape is not valid.
func (t *Tensor) Len() int {
	n, _ := Elements(t.Shape)
	return n
}

// Bytes is what the tensor's data occupies: len(Data), or the sum of Strings' lengths.
func (t *Tensor) Bytes() int {
	n := len(t.Data)
	for _, s := range t.Strings {
		n += len(s)
	}
	return n
}

// Check reports whether type, shape and data belong together.
func (t *Tensor) Check() error {
	if !t.Type.Valid() {
		return fmt.Errorf("tensor %q: no element type", t.Name)
	}
	n, ok := Elements(t.Shape)
	if !ok {
		return fmt.Errorf("tensor %q: shape %s has a negative dimension or too many elements", t.Name, FormatShape(t.Shape))
	}
	if t.Type == Bytes {
		if len(t.Strings) != n {
			return fmt.Errorf("tensor %q: want %d elements for shape %s, got %d", t.Name, n, FormatShape(t.Shape), len(t.Strings))
		}
		return nil
	}
	if size, ok := ByteSize(t.Type, t.Shape); !ok || len(t.Data) != size {
		return fmt.Errorf("tensor %q: want %d bytes for %v %s, got %d", t.Name, size, t.Type, FormatShape(t.Shape), len(t.Data))
	}
	return nil
}

// SetFree hands t the duty to call free once, in Release. Engines call it for
// outputs that live in their own memory.
func (t *Tensor) SetFree(free func()) { t.free = free }

// Release gives native memory back. Data must not be used afterwards. A second
// call, and a call on a tensor that owns nothing, do nothing. Of a tensor and
// its copies only one may be released.
func (t *Tensor) Release() {
	if t.free != nil {
		free := t.free
		t.free, t.Data, t.Strings = nil, nil, nil
		free()
	}
}

// Clone returns a copy that shares no memory with t.
func (t *Tensor) Clone() Tensor {
	c := Tensor{Name: t.Name, Type: t.Type, Shape: append([]int64{}, t.Shape...)}
	if t.Type == Bytes {
		c.Strings = make([][]byte, len(t.Strings))
		for i, s := range t.Strings {
			c.Strings[i] = append([]byte{}, s...)
		}
		return c
	}
	c.Data = append([]byte{}, t.Data...)
	return c
}

func bytesOf[T Element](v []T) []byte {
	if len(v) == 0 {
		return []byte{}
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}

func dtypeOf[T Element]() DType {
	var zero T
	switch any(zero).(type) {
	case bool:
		return Bool
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return FP32
	default:
		return FP64
	}
}

// Alignment is what engines like data to begin at a multiple of, in bytes:
// any type needs less, and vector instructions are happiest with it.
const Alignment = 64

// ToAligned is how many bytes behind the start of b's memory the first multiple
// of Alignment lies. b must have room, though not length.
func ToAligned(b []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % Alignment)
}
