package main

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// A variant is a model as Node can run it: onnxruntime-node has no BF16 and no
// sequences of maps. BF16 inputs and outputs become FP32 with a Cast, which
// loses nothing, and the output of a ZipMap gives way to the tensor that the
// ZipMap reads. All else is as it was.
type variant struct {
	model   []byte
	outputs []output // in the model's order
	// keys has the ZipMap's keys under the name that our engine gives them,
	// since Node never sees them.
	keys []tensor.Tensor
}

// An output has two names: Node's, and the one that our engine gives it.
type output struct{ node, ours string }

const asFloat = "__as_float" // ends the names of tensors that stand for BF16 ones

// The fields of ONNX's messages that are touched here.
const (
	modelGraph                              = 7
	graphNode, graphInput, graphOutput      = 1, 11, 12
	nodeInput, nodeOutput, nodeOp, nodeAttr = 1, 2, 4, 5
	valueName, valueType                    = 1, 2
	typeTensor, typeSequence, tensorElem    = 1, 4, 1
	attrInts, attrStrings                   = 8, 9
	floatType, bfloat16Type                 = uint64(onnx.Float), uint64(onnx.BFloat16)
)

// A field is one field of a message: v for varints, b for bytes and for what
// is copied as it is.
type field struct {
	num protowire.Number
	typ protowire.Type
	v   uint64
	b   []byte
}

func parse(b []byte) (fields []field, err error) {
	for len(b) > 0 {
		f := field{}
		var n int
		if f.num, f.typ, n = protowire.ConsumeTag(b); n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch f.typ {
		case protowire.VarintType:
			f.v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			if n = protowire.ConsumeFieldValue(f.num, f.typ, b); n >= 0 {
				f.b = b[:n]
			}
		}
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		b = b[n:]
		fields = append(fields, f)
	}
	return fields, nil
}

func encode(fields []field) (b []byte) {
	for _, f := range fields {
		b = protowire.AppendTag(b, f.num, f.typ)
		switch f.typ {
		case protowire.VarintType:
			b = protowire.AppendVarint(b, f.v)
		case protowire.BytesType:
			b = protowire.AppendBytes(b, f.b)
		default:
			b = append(b, f.b...)
		}
	}
	return b
}

// edit replaces what is in the first field num of message b by what change makes of it.
func edit(b []byte, num protowire.Number, change func([]byte) ([]byte, error)) ([]byte, error) {
	fields, err := parse(b)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(fields, func(f field) bool { return f.num == num })
	if i < 0 {
		return nil, fmt.Errorf("want field %d, got none", num)
	}
	if fields[i].b, err = change(fields[i].b); err != nil {
		return nil, err
	}
	return encode(fields), nil
}

func text(b []byte, num protowire.Number) (all []string, err error) {
	fields, err := parse(b)
	for _, f := range fields {
		if f.num == num {
			all = append(all, string(f.b))
		}
	}
	return all, err
}

// forNode makes the variant of a model.
func forNode(model []byte) (v variant, err error) {
	v.model, err = edit(model, modelGraph, v.graph)
	return v, err
}

func (v *variant) graph(b []byte) ([]byte, error) {
	fields, err := parse(b)
	if err != nil {
		return nil, err
	}
	var before, after, kept []field
	for _, f := range fields {
		if f.num == graphInput || f.num == graphOutput {
			names, err := text(f.b, valueName)
			if err != nil {
				return nil, err
			}
			name := names[0]
			ours := name
			elem, sequence, err := typeOf(f.b)
			if err != nil {
				return nil, err
			}
			switch {
			case sequence:
				if f.b, name, err = v.unzip(fields, name); err != nil {
					return nil, err
				}
			case elem == bfloat16Type && f.num == graphInput:
				if f.b, err = float(f.b, name); err != nil {
					return nil, err
				}
				before = append(before, cast(name+asFloat, name, bfloat16Type))
			case elem == bfloat16Type:
				if f.b, err = float(f.b, name); err != nil {
					return nil, err
				}
				after = append(after, cast(name, name+asFloat, floatType))
				name += asFloat
			}
			if f.num == graphOutput {
				v.outputs = append(v.outputs, output{node: name, ours: ours})
			}
		}
		kept = append(kept, f)
	}
	return encode(slices.Concat(before, kept, after)), nil
}

// typeOf returns the element type of a ValueInfoProto, or that it is a sequence.
func typeOf(value []byte) (elem uint64, sequence bool, err error) {
	outer, err := parse(value)
	for _, f := range outer {
		if f.num != valueType {
			continue
		}
		kinds, err := parse(f.b)
		if err != nil || len(kinds) == 0 || kinds[0].num != typeTensor {
			return 0, len(kinds) > 0 && kinds[0].num == typeSequence, err
		}
		inner, err := parse(kinds[0].b)
		for _, f := range inner {
			if f.num == tensorElem {
				elem = f.v
			}
		}
		return elem, false, err
	}
	return 0, false, err
}

// float is the ValueInfoProto of the same tensor as FP32 under its other name.
func float(value []byte, name string) ([]byte, error) {
	b, err := edit(value, valueName, func([]byte) ([]byte, error) { return []byte(name + asFloat), nil })
	if err != nil {
		return nil, err
	}
	return edit(b, valueType, func(b []byte) ([]byte, error) {
		return edit(b, typeTensor, func(b []byte) ([]byte, error) {
			fields, err := parse(b)
			for i := range fields {
				if fields[i].num == tensorElem {
					fields[i].v = floatType
				}
			}
			return encode(fields), err
		})
	})
}

// cast is a Cast node, taken out of a model that the test models' builder wrote.
func cast(from, to string, elem uint64) field {
	m := testmodels.Model{Graph: testmodels.Graph{
		Nodes: []testmodels.Node{testmodels.N("Cast", []string{from}, []string{to}, testmodels.Int("to", int64(elem)))},
	}}
	fields, _ := parse(m.Bytes()) // our own bytes
	i := slices.IndexFunc(fields, func(f field) bool { return f.num == modelGraph })
	graph, _ := parse(fields[i].b)
	return graph[0]
}

// unzip finds the ZipMap that writes the output and returns, as the output to
// ask for instead, the scores that it reads.
func (v *variant) unzip(graph []field, output string) (value []byte, scores string, err error) {
	for _, f := range graph {
		if f.num != graphNode {
			continue
		}
		in, _ := text(f.b, nodeInput)
		out, _ := text(f.b, nodeOutput)
		op, _ := text(f.b, nodeOp)
		if len(op) == 0 || op[0] != "ZipMap" || len(out) == 0 || out[0] != output {
			continue
		}
		fields, err := parse(f.b)
		if err != nil {
			return nil, "", err
		}
		for _, a := range fields {
			if a.num == nodeAttr {
				if err := v.key(a.b, output); err != nil {
					return nil, "", err
				}
			}
		}
		value := []field{{num: valueName, typ: protowire.BytesType, b: []byte(in[0])}}
		return encode(value), in[0], nil // ONNX Runtime infers the type
	}
	return nil, "", fmt.Errorf("output %q: want a tensor or what a ZipMap writes, got another sequence", output)
}

// key keeps the ZipMap's keys. ONNX Runtime's maps are in the order of their
// keys, and Node's scores in that of the attribute, so both have to be one.
func (v *variant) key(attr []byte, output string) error {
	fields, err := parse(attr)
	if err != nil {
		return err
	}
	var keys []int64
	for _, f := range fields {
		switch {
		case f.num == attrStrings:
			return fmt.Errorf("output %q: want integers as keys, got strings", output)
		case f.num == attrInts && f.typ == protowire.VarintType:
			keys = append(keys, int64(f.v))
		case f.num == attrInts:
			for b := f.b; len(b) > 0; {
				n, size := protowire.ConsumeVarint(b)
				if size < 0 {
					return protowire.ParseError(size)
				}
				keys, b = append(keys, int64(n)), b[size:]
			}
		}
	}
	if !slices.IsSorted(keys) {
		return fmt.Errorf("output %q: want keys in order, got %d", output, keys)
	}
	v.keys = append(v.keys, tensor.Of(output+"_keys", []int64{int64(len(keys))}, keys))
	return nil
}
