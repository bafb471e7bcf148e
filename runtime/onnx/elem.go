package onnx

import (
	"fmt"

	"godwit.dev/runtime/tensor"
)

// ElemType is ONNX's own number for a tensor's element type
// (TensorProto.DataType). Files may hold numbers that have no name here.
type ElemType int32

// The element types of ONNX up to IR version 13.
const (
	Undefined      ElemType = 0
	Float          ElemType = 1
	Uint8          ElemType = 2
	Int8           ElemType = 3
	Uint16         ElemType = 4
	Int16          ElemType = 5
	Int32          ElemType = 6
	Int64          ElemType = 7
	String         ElemType = 8
	Bool           ElemType = 9
	Float16        ElemType = 10
	Double         ElemType = 11
	Uint32         ElemType = 12
	Uint64         ElemType = 13
	Complex64      ElemType = 14
	Complex128     ElemType = 15
	BFloat16       ElemType = 16
	Float8E4M3FN   ElemType = 17
	Float8E4M3FNUZ ElemType = 18
	Float8E5M2     ElemType = 19
	Float8E5M2FNUZ ElemType = 20
	Uint4          ElemType = 21
	Int4           ElemType = 22
	Float4E2M1     ElemType = 23
	Float8E8M0     ElemType = 24
	Uint2          ElemType = 25
	Int2           ElemType = 26
)

// elems is indexed by ElemType. bits is the size of one element in raw_data;
// strings have none.
var elems = [...]struct {
	name  string
	bits  int64
	dtype tensor.DType
}{
	Undefined:      {"undefined", 0, tensor.None},
	Float:          {"float", 32, tensor.FP32},
	Uint8:          {"uint8", 8, tensor.Uint8},
	Int8:           {"int8", 8, tensor.Int8},
	Uint16:         {"uint16", 16, tensor.Uint16},
	Int16:          {"int16", 16, tensor.Int16},
	Int32:          {"int32", 32, tensor.Int32},
	Int64:          {"int64", 64, tensor.Int64},
	String:         {"string", 0, tensor.Bytes},
	Bool:           {"bool", 8, tensor.Bool},
	Float16:        {"float16", 16, tensor.FP16},
	Double:         {"double", 64, tensor.FP64},
	Uint32:         {"uint32", 32, tensor.Uint32},
	Uint64:         {"uint64", 64, tensor.Uint64},
	Complex64:      {"complex64", 64, tensor.None},
	Complex128:     {"complex128", 128, tensor.None},
	BFloat16:       {"bfloat16", 16, tensor.BF16},
	Float8E4M3FN:   {"float8e4m3fn", 8, tensor.None},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 8, tensor.None},
	Float8E5M2:     {"float8e5m2", 8, tensor.None},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8, tensor.None},
	Uint4:          {"uint4", 4, tensor.None},
	Int4:           {"int4", 4, tensor.None},
	Float4E2M1:     {"float4e2m1", 4, tensor.None},
	Float8E8M0:     {"float8e8m0", 8, tensor.None},
	Uint2:          {"uint2", 2, tensor.None},
	Int2:           {"int2", 2, tensor.None},
}

// ElemTypes returns every named type but Undefined, in ONNX's order.
func ElemTypes() []ElemType {
	all := make([]ElemType, 0, len(elems)-1)
	for e := Undefined + 1; int(e) < len(elems); e++ {
		all = append(all, e)
	}
	return all
}

// ElemOf returns ONNX's type for d; Undefined when d is not valid.
func ElemOf(d tensor.DType) ElemType {
	for e := range elems {
		if d.Valid() && elems[e].dtype == d {
			return ElemType(e)
		}
	}
	return Undefined
}

func (e ElemType) known() bool { return e > Undefined && int(e) < len(elems) }

// DType returns the type that tensors of Godwit and the protocol have for e.
// ok is false for complex numbers and for everything below 8 bits or in an
// 8-bit float format, which the protocol cannot carry.
func (e ElemType) DType() (d tensor.DType, ok bool) {
	if !e.known() || elems[e].dtype == tensor.None {
		return tensor.None, false
	}
	return elems[e].dtype, true
}

// Bits is the size of one element in a file; 0 for strings and unknown types.
func (e ElemType) Bits() int {
	if !e.known() {
		return 0
	}
	return int(elems[e].bits)
}

// String is the name that ONNX Runtime prints: "float", "bfloat16"; "type(99)"
// for a number that has none.
func (e ElemType) String() string {
	if e < 0 || int(e) >= len(elems) {
		return fmt.Sprintf("type(%d)", int32(e))
	}
	return elems[e].name
}
