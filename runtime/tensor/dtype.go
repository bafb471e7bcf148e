package tensor

// DType is the element type of a Tensor, named as the Open Inference Protocol
// names it. The zero value is no type.
type DType uint8

// The element types that ONNX and the protocol share.
const (
	None DType = iota
	Bool
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	FP16
	BF16
	FP32
	FP64
	Bytes // variable-length byte strings; ONNX calls them STRING
	numDTypes
)

var dtypes = [numDTypes]struct {
	name string
	size int
}{
	None: {"", 0}, Bool: {"BOOL", 1},
	Uint8: {"UINT8", 1}, Uint16: {"UINT16", 2}, Uint32: {"UINT32", 4}, Uint64: {"UINT64", 8},
	Int8: {"INT8", 1}, Int16: {"INT16", 2}, Int32: {"INT32", 4}, Int64: {"INT64", 8},
	FP16: {"FP16", 2}, BF16: {"BF16", 2}, FP32: {"FP32", 4}, FP64: {"FP64", 8},
	Bytes: {"BYTES", 0},
}

// DTypes returns every type, in order.
func DTypes() []DType {
	all := make([]DType, 0, numDTypes-1)
	for d := None + 1; d < numDTypes; d++ {
		all = append(all, d)
	}
	return all
}

// ParseDType returns the type with the protocol's name, which is case-sensitive.
func ParseDType(name string) (DType, bool) {
	for d := None + 1; d < numDTypes; d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	return None, false
}

// String is the protocol's name, such as "FP32".
func (d DType) String() string {
	if d == None || d >= numDTypes {
		return "unknown"
	}
	return dtypes[d].name
}

// Size is the number of bytes of one element, 0 for Bytes.
func (d DType) Size() int {
	if d >= numDTypes {
		return 0
	}
	return dtypes[d].size
}

// Valid reports whether d is one of the types above.
func (d DType) Valid() bool { return d > None && d < numDTypes }
