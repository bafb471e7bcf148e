package rows

import (
	"context"
	"io"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// OutputSchema is the columns of the file that a plan's rows are written to:
// those that are passed through, as s has them, and then the outputs of the
// model. An output with several elements in a row is a list; its Length is 0 where
// the model does not tell it. CSV has a column NAME_0, NAME_1 … for each element.
//
// Errors: Invalid where two columns have one name.
func OutputSchema(s *Schema, p *Plan) (*Schema, error) {
	out := &Schema{}
	seen := map[string]bool{}
	add := func(c Column, what string) error {
		if seen[c.Name] {
			return fault.New(fault.Invalid, "rows.OutputSchema", "", "want columns of different names in the output, got %s %s a second time", what, quote(c.Name)).
				WithHint("Leave the column out of batch.passThrough, or rename it in the file.")
		}
		seen[c.Name] = true
		out.Columns = append(out.Columns, c)
		return nil
	}
	for _, name := range p.Pass {
		for _, c := range s.Columns {
			if c.Name == name {
				if err := add(c, "the column"); err != nil {
					return nil, err
				}
				break
			}
		}
	}
	for i := range p.Outputs {
		o := &p.Outputs[i]
		c := Column{Name: o.Name, Kind: KindOf(o.Type)}
		if n := o.Elements(); n != 1 {
			c.List, c.Length = true, max(n, 0)
		}
		if err := add(c, "the output"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// KindOf is the kind of values that the elements of a tensor are written as.
func KindOf(t tensor.DType) Kind {
	switch t {
	case tensor.Bool:
		return Bool
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return Int
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		return Uint
	case tensor.FP64:
		return Double
	case tensor.Bytes:
		return Bytes
	}
	return Float
}

// WriteOptions of NewWriter; nil means defaults.
type WriteOptions struct {
	// Compression of text, as a whole; Parquet has its own.
	Compression Compression
	// Memory is used again from one writer to the next; nil: each has its own.
	Memory *Memory
}

// Memory is what a writer of Parquet leaves when it is closed: some 10 MiB, which
// cost as much to have anew as what is written into it. One writer at a time may
// use it.
type Memory struct {
	columns []pqOut
	scratch []byte
}

// NewWriter writes rows to w. s is an OutputSchema, outputs are the Plan's that
// it was made for. The same rows give the same bytes, however they are parted
// into blocks.
//
// Errors, of Write too: Unsupported for what cannot be written, and w's.
func NewWriter(w io.Writer, format Format, s *Schema, outputs []Output, opts *WriteOptions) (Writer, error) {
	if opts == nil {
		opts = &WriteOptions{}
	}
	switch format {
	case CSV:
		return newCSVWriter(w, s, outputs, opts)
	case JSONL:
		return newJSONLWriter(w, s, outputs, opts)
	case Parquet:
		return newParquetWriter(w, s, outputs, opts)
	}
	return nil, badFormat("rows.NewWriter", format)
}

// JoinOptions of Join; nil means defaults.
type JoinOptions struct {
	From, To Compression // of the parts' text, and of the whole
}

// A Joiner writes the rows of several files that NewWriter made for one schema
// as one file. It belongs to one goroutine.
type Joiner interface {
	// Add appends the rows of the next file. After an error the joiner is of no
	// use. Errors: Invalid where the file does not fit to those before, and the
	// source's and the writer's.
	Add(ctx context.Context, part Source) error
	// Close writes what ends the file; it does not close what is written to.
	// Parquet without a file is Invalid.
	Close() error
}

// NewJoiner writes to w what is added.
func NewJoiner(w io.Writer, format Format, opts *JoinOptions) (Joiner, error) {
	if opts == nil {
		opts = &JoinOptions{}
	}
	switch format {
	case CSV, JSONL:
		return newTextJoiner(w, format, opts)
	case Parquet:
		return &pqJoiner{w: w}, nil
	}
	return nil, badFormat("rows.Join", format)
}

// Join adds several files, in order, to a Joiner, and closes it.
func Join(ctx context.Context, w io.Writer, format Format, parts []Source, opts *JoinOptions) error {
	j, err := NewJoiner(w, format, opts)
	if err != nil {
		return err
	}
	for _, src := range parts {
		if err := j.Add(ctx, src); err != nil {
			return err
		}
	}
	return j.Close()
}
