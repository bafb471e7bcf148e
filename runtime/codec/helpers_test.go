package codec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// sameTensors compares tensors by their bits, so that NaN equals itself.
var sameTensors = cmp.Options{cmpopts.IgnoreUnexported(tensor.Tensor{}), cmpopts.EquateEmpty(),
	cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) > 0 }, cmp.Comparer(bytes.Equal))}

// checkFault wants an error with the code and all of the fragments in what a
// remote caller reads.
func checkFault(t *testing.T, err error, code fault.Code, fragments ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want %v with %q", code, fragments)
	}
	if got := fault.CodeOf(err); got != code {
		t.Errorf("code %v, want %v: %v", got, code, err)
	}
	text := fault.Public(err)
	if code == fault.Internal {
		text = err.Error()
	}
	for _, f := range fragments {
		if !strings.Contains(text, f) {
			t.Errorf("error %q\nlacks %q", text, f)
		}
	}
	if len(text) > 600 {
		t.Errorf("error of %d bytes, want a short one: %.200s…", len(text), text)
	}
}

// shapes are a scalar, empty tensors, small and larger ones.
func drawShape(t *rapid.T) []int64 {
	return rapid.OneOf(
		rapid.SampledFrom([][]int64{{}, {0}, {2, 0}, {0, 3}, {1}, {1, 1, 1}, {3, 1000}, {4096}}),
		rapid.SliceOfN(rapid.Int64Range(0, 5), 0, 4),
	).Draw(t, "shape")
}

// drawTensor makes a tensor of type d. finite keeps out of it what JSON cannot
// carry: NaN, infinities and BYTES that are not UTF-8.
func drawTensor(t *rapid.T, name string, d tensor.DType, finite bool) tensor.Tensor {
	x := tensor.Tensor{Name: name, Type: d, Shape: drawShape(t)}
	n := x.Len()
	if d == tensor.Bytes {
		x.Strings = make([][]byte, n)
		for i := range x.Strings {
			if n > 8 {
				x.Strings[i] = fmt.Appendf(nil, "row %d \"\\\n\u00e9\U0001F986", i)
			} else if finite {
				x.Strings[i] = []byte(rapid.String().Draw(t, "text"))
			} else {
				x.Strings[i] = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
			}
		}
		return x
	}
	size := d.Size()
	x.Data = make([]byte, n*size)
	if n > 8 { // drawing each byte would be slow
		seed := rapid.Uint64().Draw(t, "seed")
		for i := 0; i+size <= len(x.Data); i += size {
			seed = seed*6364136223846793005 + 1442695040888963407
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], seed^seed>>29)
			copy(x.Data[i:i+size], b[:])
		}
	} else {
		copy(x.Data, rapid.SliceOfN(rapid.Byte(), len(x.Data), len(x.Data)).Draw(t, "data"))
	}
	for i := 0; i+size <= len(x.Data); i += size {
		e := x.Data[i : i+size]
		switch {
		case d == tensor.Bool:
			e[0] &= 1
		case finite && d == tensor.FP16 && e[1]&0x7c == 0x7c:
			e[1] &^= 0x40
		case finite && d == tensor.BF16 && e[1]&0x7f == 0x7f:
			e[1] &^= 0x40
		case finite && d == tensor.FP32 && e[3]&0x7f == 0x7f:
			e[3] &^= 0x40
		case finite && d == tensor.FP64 && e[7]&0x7f == 0x7f:
			e[7] &^= 0x40
		}
	}
	return x
}

// drawParams makes parameters that no codec reads itself.
func drawParams(t *rapid.T) infer.Params {
	p := infer.Params{}
	for i := range rapid.IntRange(0, 3).Draw(t, "params") {
		var v any
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			v = rapid.String().Draw(t, "string")
		case 1:
			v = rapid.Bool().Draw(t, "bool")
		case 2:
			v = rapid.Int64().Draw(t, "int64")
		case 3:
			v = rapid.Uint64Min(math.MaxInt64+1).Draw(t, "uint64")
		default:
			v = rapid.Float64Range(-1, 1).Draw(t, "float64") + 0.5e-3
		}
		p[fmt.Sprintf("p%d é", i)] = v
	}
	return p
}

// unaligned moves b to an odd address, as a network buffer may have it.
func unaligned(b []byte) []byte {
	return append(make([]byte, 1, len(b)+1), b...)[1:]
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// bigJSON is a request of n numbers made by number.
func bigJSON(datatype string, n int, number func(b *bytes.Buffer, i int)) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"inputs":[{"name":"x","shape":[%d],"datatype":%q,"data":[`, n, datatype)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		number(&b, i)
	}
	b.WriteString(`]}]}`)
	return b.Bytes()
}
