package onnx

import (
	"fmt"
	"strings"
)

// The formats that Read knows.
const (
	FormatONNX = "onnx"
	FormatORT  = "ort" // ONNX Runtime's own flatbuffer
)

// Model is what a model file says about itself. Of an ORT-format file only
// Format and Size are known. Its methods do not change it and may be called
// concurrently. Names come from the file, which may be hostile: they can hold
// anything.
type Model struct {
	Path   string // as given to Read
	Format string // FormatONNX or FormatORT
	Size   int64  // of the file, bytes; external data come on top

	IRVersion                 int64
	Producer, ProducerVersion string
	Domain                    string // the model's own, as "org.example"
	Version                   int64
	Doc                       string // cut at Limits.Text
	GraphName                 string
	Opsets                    []Opset
	Metadata                  map[string]string // nil when there is none; values are cut at Limits.Text

	// Inputs are what a request must hold: graph inputs that have an
	// initializer of the same name are left out, and named in Defaults.
	Inputs, Outputs []Value
	Defaults        []string

	Ops       []OpCount // every operator of all graphs and functions, sorted by domain and name
	Functions []Op      // operators that the model defines itself, sorted
	Random    []Op      // operators that give different answers to the same request, sorted
	Nodes     int       // operators, those of subgraphs and functions included
	Depth     int       // how deep subgraphs nest; 0 when there are none
	Training  bool      // the file carries training information, which serving ignores

	Initializers Initializers
	Constants    int64 // bytes of tensors in operators' attributes, as Constant's value
	Produced     Produced
	// External lists every tensor whose data are in another file, in the
	// file's order. Read does not look at those files; see CheckExternal.
	External []External

	own string // identity of the file that was read; "" when it was no file
}

// An Opset says which version of a domain's operators a model uses. The
// default domain is "", also where a file writes "ai.onnx".
type Opset struct {
	Domain  string
	Version int64
}

// An Op names an operator. The default domain is "".
type Op struct{ Domain, Name string }

// String is "Conv" or "com.microsoft.Attention".
func (o Op) String() string {
	if o.Domain == "" {
		return o.Name
	}
	return o.Domain + "." + o.Name
}

// An OpCount is how often an operator occurs in the file.
type OpCount struct {
	Op
	Count int
}

// Initializers sums up the constant tensors of all graphs, dense and sparse.
type Initializers struct {
	Count  int
	Bytes  int64 // of their elements, in this file and in others
	ByType []TypeBytes
}

// TypeBytes is the part of one element type, sorted by type. Strings count
// with the bytes of their text.
type TypeBytes struct {
	Type  ElemType
	Count int
	Bytes int64
}

// External is a tensor whose data are in another file, as the model says;
// nothing of it is checked before CheckExternal.
type External struct {
	Tensor   string // its name; may be empty for an operator's attribute
	Location string // relative to the model's folder
	Offset   int64  // of the first byte
	Length   int64  // bytes; -1 when the model does not say
	Checksum string // SHA-1 as the model gives it; may be empty
	Bytes    int64  // what type and shape need

	problem string // what CheckExternal refuses before looking at any file
}

// A Kind is what a Type is, in ONNX's words.
type Kind uint8

// The kinds of values. Only tensors, and sequences of maps as outputs, can be served.
const (
	KindUnknown Kind = iota // the file does not say
	KindTensor
	KindSparse
	KindSequence
	KindMap
	KindOptional
	KindOpaque
)

// A Value is an input or output of the graph.
type Value struct {
	Name string
	Type Type
}

// Type is the type of a value.
type Type struct {
	Kind   Kind
	Elem   ElemType // of tensors; of maps, the keys'
	Ranked bool     // whether a tensor's Shape is known; a scalar's is known and empty
	Shape  []Dim
	Of     *Type // the elements of a sequence or optional, the values of a map
}

// A Dim is one dimension: a size, or -1 with a symbolic name where the model
// gives one.
type Dim struct {
	Size   int64
	Symbol string
}

// String prints t as ONNX Runtime does, with the shape where it is known:
// "tensor(float)[N 4]", "seq(map(int64,tensor(float)))".
func (t Type) String() string {
	switch t.Kind {
	case KindTensor, KindSparse:
		name := "tensor"
		if t.Kind == KindSparse {
			name = "sparse_tensor"
		}
		return name + "(" + t.Elem.String() + ")" + t.shape()
	case KindSequence:
		return "seq(" + t.of() + ")"
	case KindMap:
		return "map(" + t.Elem.String() + "," + t.of() + ")"
	case KindOptional:
		return "optional(" + t.of() + ")"
	case KindOpaque:
		return "opaque"
	}
	return "unknown"
}

func (t Type) of() string {
	if t.Of == nil {
		return "unknown"
	}
	return t.Of.String()
}

func (t Type) shape() string {
	if !t.Ranked {
		return ""
	}
	parts := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// String is the size, else the symbol, else "?".
func (d Dim) String() string {
	switch {
	case d.Size >= 0:
		return fmt.Sprint(d.Size)
	case d.Symbol != "":
		return d.Symbol
	}
	return "?"
}
