package onnx

// Limits bound what Read accepts, and so the memory that it needs. A nil
// *Limits and zero fields mean the defaults, which leave large public models
// (tens of thousands of operators) room to grow; the worst file that they let
// pass costs some 100 MB for a moment.
type Limits struct {
	Nodes        int // operators, those of subgraphs and functions included; 0 means 250,000
	Edges        int // names of operators' inputs and outputs together; 0 means 1,000,000
	Initializers int // constant tensors of all graphs together; 0 means 200,000
	Depth        int // nesting of subgraphs; 0 means 16
	Dims         int // dimensions of one tensor or value; 0 means 64
	Values       int // inputs and outputs of the graph together; 0 means 10,000
	Entries      int // entries of each list of texts: metadata, opsets, functions, one tensor's external data; 0 means 10,000
	Name         int // bytes of one name; 0 means 16 KiB
	Text         int // bytes of one doc string or metadata value; what is longer is cut there; 0 means 64 KiB
	AllText      int // bytes of everything kept; 0 means 16 MiB
}

func (l *Limits) withDefaults() Limits {
	var d Limits
	if l != nil {
		d = *l
	}
	for _, f := range []struct {
		field *int
		value int
	}{
		{&d.Nodes, 250_000}, {&d.Edges, 1_000_000}, {&d.Initializers, 200_000},
		{&d.Depth, 16}, {&d.Dims, 64}, {&d.Values, 10_000}, {&d.Entries, 10_000},
		{&d.Name, 16 << 10}, {&d.Text, 64 << 10}, {&d.AllText, 16 << 20},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return d
}

// maxFile is protobuf's limit for one message, and so ONNX Runtime's for one file.
const maxFile = 1<<31 - 1
