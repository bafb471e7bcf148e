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

// Join writes the rows of several files that NewWriter made for one schema as
// one file, in order. Errors: Invalid where they do not fit together, and the
// sources' and w's.
func Join(ctx context.Context, w io.Writer, format Format, parts []Source, opts *JoinOptions) error {
	if opts == nil {
		opts = &JoinOptions{}
	}
	switch format {
	case CSV, JSONL:
		return joinText(ctx, w, format, parts, opts)
	case Parquet:
		return joinParquet(ctx, w, parts)
	}
	return badFormat("rows.Join", format)
}
