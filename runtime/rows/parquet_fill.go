package rows

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"

	"godwit.dev/runtime/tensor"
)

// A pqPut writes k values of a fixed width into a tensor, stride bytes apart.
// It stops at one that the tensor's type does not hold, and says how many it
// wrote.
type pqPut func(dst []byte, stride int, view []byte, k int) int

// putter gives the way from a column to a tensor; nil where there is none.
func putter(form pqForm, to tensor.DType) pqPut {
	switch {
	case form == pqF32 && to == tensor.FP32, form == pqI32 && to == tensor.Int32, form == pqU32 && to == tensor.Uint32:
		return put4
	case form == pqF64 && to == tensor.FP64, form == pqI64 && to == tensor.Int64, form == pqU64 && to == tensor.Uint64:
		return put8
	case form == pqBool && to == tensor.Bool:
		return func(dst []byte, stride int, view []byte, k int) int {
			for i, v := range view[:k] {
				dst[i*stride] = v
			}
			return k
		}
	case form == pqF64 && to == tensor.FP32:
		return func(dst []byte, stride int, view []byte, k int) int {
			for i := range k {
				v := math.Float64frombits(binary.LittleEndian.Uint64(view[8*i:]))
				f := float32(v)
				if math.IsInf(float64(f), 0) && !math.IsInf(v, 0) {
					return i
				}
				binary.LittleEndian.PutUint32(dst[i*stride:], math.Float32bits(f))
			}
			return k
		}
	case form == pqI32 && to == tensor.FP32:
		return func(dst []byte, stride int, view []byte, k int) int {
			for i := range k {
				f := float32(int32(binary.LittleEndian.Uint32(view[4*i:])))
				binary.LittleEndian.PutUint32(dst[i*stride:], math.Float32bits(f))
			}
			return k
		}
	case form == pqI64 && to == tensor.FP32:
		return func(dst []byte, stride int, view []byte, k int) int {
			for i := range k {
				f := float32(int64(binary.LittleEndian.Uint64(view[8*i:])))
				binary.LittleEndian.PutUint32(dst[i*stride:], math.Float32bits(f))
			}
			return k
		}
	case form.width() == 0 || to == tensor.Bytes:
		return nil
	}
	return func(dst []byte, stride int, view []byte, k int) int {
		for i := range k {
			if !putNumber(dst[i*stride:], to, number(form, view, i)) {
				return i
			}
		}
		return k
	}
}

// put4 is where wide files spend their time, so bounds are checked once.
func put4(dst []byte, stride int, view []byte, k int) int {
	view = view[:4*k]
	if stride == 4 {
		copy(dst[:4*k], view)
		return k
	}
	_ = dst[:(k-1)*stride+4]
	to, from := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(view))
	for i := range k {
		*(*[4]byte)(unsafe.Add(to, i*stride)) = *(*[4]byte)(unsafe.Add(from, 4*i))
	}
	return k
}

func put8(dst []byte, stride int, view []byte, k int) int {
	view = view[:8*k]
	if stride == 8 {
		copy(dst[:8*k], view)
		return k
	}
	_ = dst[:(k-1)*stride+8]
	to, from := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(view))
	for i := range k {
		*(*[8]byte)(unsafe.Add(to, i*stride)) = *(*[8]byte)(unsafe.Add(from, 8*i))
	}
	return k
}

// A pqNumber is a value on its way to another type: an integer unless float,
// and beyond an int64 where big is set.
type pqNumber struct {
	i     int64
	u     uint64 // where i is too small for it
	f     float64
	float bool
	big   bool
}

func number(form pqForm, view []byte, i int) pqNumber {
	switch form {
	case pqBool:
		return pqNumber{i: int64(view[i])}
	case pqI32:
		return pqNumber{i: int64(int32(binary.LittleEndian.Uint32(view[4*i:])))}
	case pqU32:
		return pqNumber{i: int64(binary.LittleEndian.Uint32(view[4*i:]))}
	case pqI64:
		return pqNumber{i: int64(binary.LittleEndian.Uint64(view[8*i:]))}
	case pqU64:
		u := binary.LittleEndian.Uint64(view[8*i:])
		return pqNumber{i: int64(u), u: u, big: u > math.MaxInt64}
	case pqF16:
		return pqNumber{f: float64(tensor.Float16(binary.LittleEndian.Uint16(view[2*i:]))), float: true}
	case pqF32:
		return pqNumber{f: float64(math.Float32frombits(binary.LittleEndian.Uint32(view[4*i:]))), float: true}
	}
	return pqNumber{f: math.Float64frombits(binary.LittleEndian.Uint64(view[8*i:])), float: true}
}

func (n pqNumber) String() string {
	switch {
	case n.float:
		return strconv.FormatFloat(n.f, 'g', -1, 64)
	case n.big:
		return strconv.FormatUint(n.u, 10)
	}
	return strconv.FormatInt(n.i, 10)
}

func (n pqNumber) double() float64 {
	switch {
	case n.float:
		return n.f
	case n.big:
		return float64(n.u)
	}
	return float64(n.i)
}

// putNumber writes one value, unless to does not hold it: a fraction or what is
// out of range where an integer is wanted, what would become infinite.
func putNumber(dst []byte, to tensor.DType, n pqNumber) bool {
	switch to {
	case tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16:
		v := n.double()
		got := v
		switch to {
		case tensor.FP64:
			binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
		case tensor.FP32:
			f := float32(v)
			got = float64(f)
			binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
		case tensor.FP16:
			h := tensor.ToFloat16(v)
			got = float64(tensor.Float16(h))
			binary.LittleEndian.PutUint16(dst, h)
		case tensor.BF16:
			h := tensor.ToBFloat16(v)
			got = float64(tensor.BFloat16(h))
			binary.LittleEndian.PutUint16(dst, h)
		}
		return !math.IsInf(got, 0) || math.IsInf(v, 0)
	}
	if n.float {
		switch {
		case n.f != math.Trunc(n.f) || !(n.f >= -1<<63 && n.f < 1<<64):
			return false
		case n.f >= 1<<63:
			n = pqNumber{u: uint64(n.f), big: true}
		default:
			n = pqNumber{i: int64(n.f)}
		}
	}
	if n.big {
		if to != tensor.Uint64 {
			return false
		}
		binary.LittleEndian.PutUint64(dst, n.u)
		return true
	}
	least, most := int64(0), int64(math.MaxInt64)
	switch to {
	case tensor.Bool:
		most = 1
	case tensor.Uint8:
		most = math.MaxUint8
	case tensor.Uint16:
		most = math.MaxUint16
	case tensor.Uint32:
		most = math.MaxUint32
	case tensor.Int8:
		least, most = math.MinInt8, math.MaxInt8
	case tensor.Int16:
		least, most = math.MinInt16, math.MaxInt16
	case tensor.Int32:
		least, most = math.MinInt32, math.MaxInt32
	case tensor.Int64:
		least = math.MinInt64
	}
	if n.i < least || n.i > most {
		return false
	}
	switch to.Size() {
	case 1:
		dst[0] = byte(n.i)
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(n.i))
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(n.i))
	case 8:
		binary.LittleEndian.PutUint64(dst, uint64(n.i))
	}
	return true
}

// missing is what a value that is not there becomes in a tensor of floating
// point, NaN; nil in others.
func missing(to tensor.DType) []byte {
	if !isFloat(to) {
		return nil
	}
	b := make([]byte, to.Size())
	putFloat(to, math.NaN(), b)
	return b
}

// keep appends values of a column that goes to the output as it is.
func (v *Values) keep(form pqForm, b *pqBatch) {
	if b.null != nil && v.Null == nil {
		n := v.rows()
		v.Null = make([]bool, n, n+b.n)
	}
	if v.Null != nil {
		if b.null != nil {
			v.Null = append(v.Null, b.null...)
		} else {
			for range b.n {
				v.Null = append(v.Null, false)
			}
		}
	}
	switch v.Kind {
	case Bool, Int:
		for i := range b.n {
			v.Ints = append(v.Ints, number(form, b.view, i).i)
		}
	case Uint:
		for i := range b.n {
			n := number(form, b.view, i)
			v.Uints = append(v.Uints, uint64(n.i))
		}
	case Float, Double:
		for i := range b.n {
			v.Floats = append(v.Floats, number(form, b.view, i).f)
		}
	default:
		v.Raw = append(v.Raw, b.words...)
	}
}

func (v *Values) rows() int { return max(len(v.Raw), len(v.Ints), len(v.Uints), len(v.Floats)) }
