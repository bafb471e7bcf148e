package onnx

import (
	"errors"
	"fmt"
	"strconv"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// KeysSuffix is what the keys of an output X that is a sequence of maps are
// called after: X has the values [N K] and X_keys the K keys.
const KeysSuffix = "_keys"

// Signature is what the model takes and gives when it is served, as an engine
// reports it. A sequence of maps among the outputs becomes two tensors, X and
// X_keys. Metadata has the model's own entries and producer, graph, domain,
// description and version.
//
// The error is a BadModel that joins every input and output which cannot be
// served, with the reason; nothing about them is guessed. Of an ORT-format
// file the signature is not known before an engine opens it: that is an error
// too.
func (m *Model) Signature() (*driver.Signature, error) {
	if m.Format == FormatORT {
		return nil, fault.New(fault.BadModel, "onnx.Signature", m.Path, "the signature of an ORT-format file is known only once it is loaded")
	}
	sig := &driver.Signature{Metadata: map[string]string{}}
	var problems []error
	for _, v := range m.Inputs {
		t, err := v.info("input")
		problems = append(problems, err)
		sig.Inputs = append(sig.Inputs, t)
	}
	for _, v := range m.Outputs {
		if values, ok := v.Type.maps(); ok {
			keys, okKeys := v.Type.Of.Elem.DType()
			elem, okElem := values.Elem.DType()
			if okKeys && okElem {
				sig.Outputs = append(sig.Outputs,
					driver.TensorInfo{Name: v.Name, Type: elem, Shape: []int64{-1, -1}},
					driver.TensorInfo{Name: v.Name + KeysSuffix, Type: keys, Shape: []int64{-1}})
				continue
			}
		}
		t, err := v.info("output")
		problems = append(problems, err)
		sig.Outputs = append(sig.Outputs, t)
	}
	problems = append(problems, names("input", sig.Inputs), names("output", sig.Outputs))
	if err := errors.Join(problems...); err != nil {
		return nil, fault.New(fault.BadModel, "onnx.Signature", m.Path, "%w", err).
			WithHint("Export the model with tensors of types that the protocol has; for scikit-learn's sequences that is the option zipmap: False.")
	}
	for key, value := range m.Metadata {
		sig.Metadata[key] = value
	}
	for _, kv := range []struct{ key, value string }{
		{"producer", m.Producer}, {"graph", m.GraphName}, {"domain", m.Domain}, {"description", m.Doc},
	} {
		if kv.value != "" {
			sig.Metadata[kv.key] = kv.value
		}
	}
	if m.Version != 0 {
		sig.Metadata["version"] = strconv.FormatInt(m.Version, 10)
	}
	return sig, nil
}

// maps reports whether t is a sequence of maps from integers or strings to
// numbers, and returns the type of the values.
func (t Type) maps() (values Type, ok bool) {
	if t.Kind != KindSequence || t.Of == nil || t.Of.Kind != KindMap || t.Of.Of == nil || t.Of.Of.Kind != KindTensor {
		return Type{}, false
	}
	return *t.Of.Of, t.Of.Elem == Int64 || t.Of.Elem == String
}

func (v Value) info(what string) (driver.TensorInfo, error) {
	t := driver.TensorInfo{Name: v.Name, Unranked: !v.Type.Ranked}
	if v.Type.Kind != KindTensor {
		return t, fmt.Errorf("%s %s: want a tensor, got %s", what, short(v.Name), shorten(v.Type.String()))
	}
	var ok bool
	if t.Type, ok = v.Type.Elem.DType(); !ok {
		return t, fmt.Errorf("%s %s: element type %v is not in the Open Inference Protocol", what, short(v.Name), v.Type.Elem)
	}
	if t.Unranked {
		return t, nil
	}
	t.Shape = make([]int64, len(v.Type.Shape))
	symbols, named := make([]string, len(t.Shape)), false
	for i, d := range v.Type.Shape {
		t.Shape[i], symbols[i] = d.Size, d.Symbol
		named = named || d.Symbol != ""
	}
	if named {
		t.Symbols = symbols
	}
	if _, ok := tensor.ByteSize(t.Type, fixed(t.Shape)); !ok {
		return t, fmt.Errorf("%s %s: shape %s is larger than any memory", what, short(v.Name), tensor.FormatShape(t.Shape))
	}
	return t, nil
}

// fixed is shape with one for every dynamic dimension: its smallest use.
func fixed(shape []int64) []int64 {
	s := make([]int64, len(shape))
	for i, d := range shape {
		if s[i] = d; d < 0 {
			s[i] = 1
		}
	}
	return s
}

// names refuses empty names and names that are there twice: the protocol has
// only names to tell tensors apart.
func names(what string, infos []driver.TensorInfo) error {
	var problems []error
	seen := map[string]bool{}
	for i, t := range infos {
		switch {
		case t.Name == "":
			problems = append(problems, fmt.Errorf("%s number %d has no name", what, i+1))
		case seen[t.Name]:
			problems = append(problems, fmt.Errorf("two %ss are named %s", what, short(t.Name)))
		}
		seen[t.Name] = true
	}
	return errors.Join(problems...)
}
