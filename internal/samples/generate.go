package samples

import (
	"math/rand/v2"
	"slices"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// maxGenerated is how many elements a made-up request may have.
const maxGenerated = 1 << 22

// A variant is one guess at what a model accepts where its signature leaves
// that open: the sizes of dynamic dimensions, how many integers there are (a
// class, a word's number, a flag), and the rank where there is none.
type variant struct {
	size     int64   // of a dynamic dimension but the first
	integers int     // integers are from 0 up to this, exclusive
	unranked []int64 // the shape of an input without a rank; -1 stands for size
}

// variants are tried in this order. Pictures want 32 or 224 pixels, sequences
// a few steps, and some graphs work for one size or for flags only.
var (
	sizes    = []int64{8, 1, 2, 4, 16, 3, 32, 64, 128, 224, 256, 512}
	integers = []int{10, 2}
	unranked = [][]int64{{1, -1}, {1}, {}, {1, 3, -1, -1}}
)

// Generate makes n requests with made-up values for a model with the signature
// sig: floating-point numbers in [0,1), which JSON shows with few digits,
// small integers, both bools and short words. The first dimension is 1 where
// it is dynamic.
//
// What the signature leaves open, other dynamic dimensions and the range of
// integers, differs from request to request, the likeliest first; dimensions
// of one name have one size. So a caller who needs k requests asks for many
// more, 48 say, and keeps the first k that the model accepts. Each has values
// of its own. The same arguments give the same requests. There are none where
// every request would have more than 2^22 elements, and there is only one for
// a model without inputs.
func Generate(sig *driver.Signature, n int, seed uint64) []*infer.Request {
	if len(sig.Inputs) == 0 {
		n = min(n, 1)
	}
	guesses := guess(sig)
	var requests []*infer.Request
	for i := range n {
		if len(guesses) == 0 {
			break
		}
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		requests = append(requests, guesses[i%len(guesses)].request(sig, random))
	}
	return requests
}

// guess lists the variants that differ for sig and are not too large.
func guess(sig *driver.Signature) []variant {
	sized, counted, shaped := sizes[:1], integers[:1], unranked[:1]
	for i := range sig.Inputs {
		info := &sig.Inputs[i]
		if info.Unranked {
			shaped = unranked
		}
		if info.Unranked || len(info.Shape) > 1 && slices.Contains(info.Shape[1:], -1) {
			sized = sizes
		}
		if info.Type >= tensor.Uint8 && info.Type <= tensor.Int64 {
			counted = integers
		}
	}
	var all []variant
	for _, shape := range shaped {
		for _, count := range counted {
			for _, size := range sized {
				if v := (variant{size, count, shape}); v.elements(sig) <= maxGenerated {
					all = append(all, v)
				}
			}
		}
	}
	return all
}

func (v variant) elements(sig *driver.Signature) int {
	sum := 0
	for i := range sig.Inputs {
		n, ok := tensor.Elements(v.shape(sig, i))
		if !ok || n > maxGenerated {
			return maxGenerated + 1
		}
		sum += n
	}
	return sum
}

// shape is that of input i: 1 for a dynamic first dimension and those that
// share its name.
func (v variant) shape(sig *driver.Signature, i int) []int64 {
	info := &sig.Inputs[i]
	shape := slices.Clone(info.Shape)
	if info.Unranked {
		shape = slices.Clone(v.unranked)
	}
	for d := range shape {
		if shape[d] >= 0 {
			continue
		}
		shape[d] = v.size
		if !info.Unranked && (d == 0 || isBatch(sig, symbol(info, d))) {
			shape[d] = 1
		}
	}
	return shape
}

// isBatch reports whether an input's first dimension has the name.
func isBatch(sig *driver.Signature, name string) bool {
	return name != "" && slices.ContainsFunc(sig.Inputs, func(info driver.TensorInfo) bool { return symbol(&info, 0) == name })
}

func symbol(info *driver.TensorInfo, d int) string {
	if d >= len(info.Symbols) {
		return ""
	}
	return info.Symbols[d]
}

func (v variant) request(sig *driver.Signature, random *rand.Rand) *infer.Request {
	req := &infer.Request{Inputs: make([]tensor.Tensor, len(sig.Inputs))}
	for i := range req.Inputs {
		t := newTensor(sig.Inputs[i].Name, sig.Inputs[i].Type, v.shape(sig, i))
		for k := range t.Len() {
			v.element(&t, k, random)
		}
		req.Inputs[i] = t
	}
	return req
}

var words = []string{"red", "green", "blue", "north", "south", "small", "large", "one", "two", "three"}

func (v variant) element(t *tensor.Tensor, k int, random *rand.Rand) {
	switch d := t.Type; {
	case d == tensor.Bytes:
		t.Strings[k] = []byte(words[random.IntN(len(words))])
	case d == tensor.Bool:
		setInteger(t, k, false, random.Uint64N(2))
	case d == tensor.FP32 || d == tensor.FP64:
		setFloat(t, k, float64(random.IntN(1000))/1000)
	case isFloat(d):
		// Exact also with the 8 bits of BF16.
		setFloat(t, k, float64(random.IntN(128))/128)
	default:
		setInteger(t, k, false, uint64(random.IntN(v.integers)))
	}
}
