package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Tolerances are by output name. An output without one has DefaultTolerance;
// so a nil map means the defaults for all.
type Tolerances map[string]tensor.Tolerance

// DefaultTolerance is how far answers of type d may be apart when nothing else
// is said: wide enough for another processor, another number of threads or
// another engine, which sum in another order, and far below what a wrong
// preprocessing, weight or version changes. In units of the type's precision
// it is about 800 for FP32, and 10 for FP16 and 6 for BF16, whose sums engines
// keep in FP32. Other types must be equal.
//
//	FP64  relative 1e-7, absolute 1e-9: graphs often compute part of it in FP32
//	FP32  relative 1e-4, absolute 1e-5
//	FP16  relative 1e-2, absolute 1e-3
//	BF16  relative 5e-2, absolute 1e-2
func DefaultTolerance(d tensor.DType) tensor.Tolerance {
	switch d {
	case tensor.FP64:
		return tensor.Tolerance{Relative: 1e-7, Absolute: 1e-9}
	case tensor.FP32:
		return tensor.Tolerance{Relative: 1e-4, Absolute: 1e-5}
	case tensor.FP16:
		return tensor.Tolerance{Relative: 1e-2, Absolute: 1e-3}
	case tensor.BF16:
		return tensor.Tolerance{Relative: 5e-2, Absolute: 1e-2}
	}
	return tensor.Tolerance{}
}

// Want is a recorded answer.
type Want struct {
	ModelDigest string // of the model that gave it, "sha256:…"; "" when not known
	Tolerance   Tolerances
	Outputs     []tensor.Tensor

	name string // MODEL/NAME of the request, for errors
}

// Check compares resp with the recorded answer: every output must be there,
// no other, each within its tolerance. The error is Mismatch; it tells what
// differs in each output and, when the answer was recorded from a model with
// another digest, that too. Another digest alone is no error: an optimised
// model, for one, may give the same answers. Output order does not matter.
func (w *Want) Check(resp *infer.Response) error {
	var problems []string
	for i := range w.Outputs {
		want := &w.Outputs[i]
		got := find(resp.Outputs, want.Name)
		if got == nil {
			problems = append(problems, fmt.Sprintf("output %q: want %v %s, got no such output", want.Name, want.Type, tensor.FormatShape(want.Shape)))
			continue
		}
		tol := w.tolerance(want)
		d := tensor.Compare(want, got, tol)
		if d.OK() {
			continue
		}
		text := fmt.Sprintf("output %q: %v", want.Name, d)
		if d.Problem == "" && isFloat(want.Type) {
			text += fmt.Sprintf("; the tolerance is %g (relative %g)", tol.Absolute, tol.Relative)
		}
		problems = append(problems, text)
	}
	for i := range resp.Outputs {
		got := &resp.Outputs[i]
		if find(w.Outputs, got.Name) == nil {
			problems = append(problems, fmt.Sprintf("output %q: want no such output, got %v %s", got.Name, got.Type, tensor.FormatShape(got.Shape)))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	e := fault.New(fault.Mismatch, "recorded.Check", w.name, "%s", strings.Join(problems, "; "))
	if w.SameModel(resp.Digest) {
		return e
	}
	e.Err = fmt.Errorf("%w; the answer was recorded from the model %s, this is %s", e.Err, w.ModelDigest, resp.Digest)
	return e.WithHint("Record the requests again if the model was meant to change.")
}

// SameModel reports whether digest is that of the model that gave the recorded
// answer; where either is not known, it may be.
func (w *Want) SameModel(digest string) bool {
	return w.ModelDigest == digest || w.ModelDigest == "" || digest == ""
}

func (w *Want) tolerance(t *tensor.Tensor) tensor.Tolerance {
	if tol, ok := w.Tolerance[t.Name]; ok {
		return tol
	}
	return DefaultTolerance(t.Type)
}

func find(tensors []tensor.Tensor, name string) *tensor.Tensor {
	i := slices.IndexFunc(tensors, func(t tensor.Tensor) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &tensors[i]
}

// wantFile is a NAME.want.json but for its outputs, which the codec reads.
type wantFile struct {
	ModelDigest string                   `json:"model_digest"`
	Tolerance   map[string]toleranceFile `json:"tolerance"`
	Outputs     json.RawMessage          `json:"outputs"`
}

// toleranceFile is one output's tolerance; what is left out is the type's default.
type toleranceFile struct {
	Relative *float64 `json:"relative"`
	Absolute *float64 `json:"absolute"`
}

// parseWant reads a NAME.want.json. The codec reads it first: it refuses
// doubled keys and bytes after the end, which encoding/json does not.
func parseWant(body []byte) (*Want, error) {
	resp, err := codec.DecodeResponse(body, -1, nil)
	if err != nil {
		return nil, err
	}
	var file wantFile
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, err
	}
	if len(resp.Outputs) == 0 {
		return nil, fmt.Errorf("want at least one output, got none")
	}
	w := &Want{ModelDigest: file.ModelDigest, Outputs: resp.Outputs}
	for _, name := range slices.Sorted(maps.Keys(file.Tolerance)) {
		given := file.Tolerance[name]
		t := find(w.Outputs, name)
		if t == nil {
			return nil, fmt.Errorf("tolerance: want the name of an output, got %q", name)
		}
		tol := DefaultTolerance(t.Type)
		if given.Relative != nil {
			tol.Relative = *given.Relative
		}
		if given.Absolute != nil {
			tol.Absolute = *given.Absolute
		}
		if err := checkTolerance(t, tol); err != nil {
			return nil, err
		}
		if w.Tolerance == nil {
			w.Tolerance = Tolerances{}
		}
		w.Tolerance[name] = tol
	}
	return w, nil
}

func checkTolerance(t *tensor.Tensor, tol tensor.Tolerance) error {
	for _, v := range []float64{tol.Relative, tol.Absolute} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("tolerance of output %q: want numbers of at least 0, got %g and %g", t.Name, tol.Relative, tol.Absolute)
		}
	}
	if !isFloat(t.Type) && tol != (tensor.Tolerance{}) {
		return fmt.Errorf("tolerance of output %q: want none for %v, whose elements must be equal, got %g and %g", t.Name, t.Type, tol.Relative, tol.Absolute)
	}
	return nil
}

func isFloat(d tensor.DType) bool { return d >= tensor.FP16 && d <= tensor.FP64 }
