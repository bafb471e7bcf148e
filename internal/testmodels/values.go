package testmodels

import (
	"encoding/binary"
	"math"

	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// Rand is a seeded generator (splitmix64). It is our own because test models
// must have the same bytes under every version of Go.
type Rand struct{ state uint64 }

// NewRand returns a generator; equal seeds give equal sequences.
func NewRand(seed uint64) *Rand { return &Rand{seed} }

// Uint64 returns the next 64 bits.
func (r *Rand) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// IntN returns a number in [0, n).
func (r *Rand) IntN(n int) int { return int(r.Uint64() % uint64(n)) }

// Float32 returns a number in [-1, 1) with 24 random bits, so it is exact.
func (r *Rand) Float32() float32 { return float32(int32(r.Uint64()>>40)-1<<23) / (1 << 23) }

// Floats32 is a FLOAT tensor of the values.
func Floats32(name string, dims []int64, values ...float32) Tensor {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return Tensor{Name: name, Elem: onnx.Float, Dims: dims, Raw: raw}
}

// Ints64 is an INT64 tensor of the values.
func Ints64(name string, dims []int64, values ...int64) Tensor {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return Tensor{Name: name, Elem: onnx.Int64, Dims: dims, Raw: raw}
}

// Const is an initializer that shares t's data.
func Const(t tensor.Tensor) Tensor {
	c := Tensor{Name: t.Name, Elem: onnx.ElemOf(t.Type), Dims: t.Shape, Raw: t.Data}
	for _, s := range t.Strings {
		c.Strings = append(c.Strings, string(s))
	}
	return c
}

// weights is a FLOAT tensor of random numbers in [-limit, limit).
func weights(r *Rand, name string, limit float64, dims ...int64) Tensor {
	n, _ := tensor.Elements(dims)
	raw := make([]byte, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(r.Float32()*float32(limit)))
	}
	return Tensor{Name: name, Elem: onnx.Float, Dims: dims, Raw: raw}
}

// RandomTensor returns a tensor with tame elements: integers in [-9, 9] (or
// [0, 9] where unsigned), floats in [-1, 1), both truth values, and strings
// that include "", an embedded NUL, and letters beyond ASCII. Its elements
// depend on r alone.
func RandomTensor(r *Rand, name string, d tensor.DType, shape ...int64) tensor.Tensor {
	n, _ := tensor.Elements(shape)
	t := tensor.Tensor{Name: name, Type: d, Shape: append([]int64{}, shape...)}
	if d == tensor.Bytes {
		words := []string{"", "a", "a\x00b", "Grün", "日本", "pinguin"}
		t.Strings = make([][]byte, n)
		for i := range t.Strings {
			t.Strings[i] = []byte(words[r.IntN(len(words))])
		}
		return t
	}
	t.Data = make([]byte, 0, n*d.Size())
	for range n {
		t.Data = appendElement(t.Data, r, d)
	}
	return t
}

func appendElement(b []byte, r *Rand, d tensor.DType) []byte {
	le := binary.LittleEndian
	switch d {
	case tensor.Bool:
		return append(b, byte(r.IntN(2)))
	case tensor.FP16:
		return le.AppendUint16(b, tensor.ToFloat16(float64(r.Float32())))
	case tensor.BF16:
		return le.AppendUint16(b, tensor.ToBFloat16(float64(r.Float32())))
	case tensor.FP32:
		return le.AppendUint32(b, math.Float32bits(r.Float32()))
	case tensor.FP64:
		return le.AppendUint64(b, math.Float64bits(float64(r.Float32())))
	}
	var v int64
	switch d {
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		v = int64(r.IntN(10))
	default:
		v = int64(r.IntN(19)) - 9
	}
	switch d.Size() {
	case 1:
		return append(b, byte(v))
	case 2:
		return le.AppendUint16(b, uint16(v))
	case 4:
		return le.AppendUint32(b, uint32(v))
	}
	return le.AppendUint64(b, uint64(v))
}
