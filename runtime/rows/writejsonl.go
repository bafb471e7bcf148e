package rows

import (
	"io"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// A jsonlWriter writes rows of JSON Lines.
type jsonlWriter struct {
	*sink
	outputs []Output
	keys    [][]byte // what goes before each value: {"a": or ,"b":
	list    []bool   // of each output
	per     []int
}

func newJSONLWriter(w io.Writer, s *Schema, outputs []Output, o *WriteOptions) (Writer, error) {
	out, err := newSink(w, o.Compression)
	if err != nil {
		return nil, err
	}
	l := &jsonlWriter{sink: out, outputs: outputs, per: make([]int, len(outputs))}
	for i, c := range s.Columns {
		key := []byte{','}
		if i == 0 {
			key[0] = '{'
		}
		key, ok := codec.AppendString(key, []byte(c.Name))
		if !ok {
			return nil, fault.New(fault.Unsupported, "rows.NewWriter", "", "want names of columns in UTF-8 for jsonl, got %s", quote(c.Name))
		}
		l.keys = append(l.keys, append(key, ':'))
	}
	for i := range outputs {
		l.list = append(l.list, outputs[i].Elements() != 1)
	}
	return l, nil
}

// Write implements Writer.
func (l *jsonlWriter) Write(b *Block, outputs []tensor.Tensor) error {
	if b.Rows == 0 {
		return nil
	}
	if err := checkOutputs(b, l.outputs, outputs, l.per); err != nil {
		return err
	}
	for k := range b.Rows {
		for i := range b.Pass {
			l.buf = append(l.buf, l.keys[i]...)
			v := &b.Pass[i]
			switch {
			case v.Null != nil && v.Null[k]:
				l.buf = append(l.buf, "null"...)
			case v.Kind == JSON:
				l.buf = append(l.buf, v.Raw[k]...)
			case v.Kind == Text || v.Kind == Bytes:
				l.buf = appendJSONText(l.buf, v.Raw[k])
			default:
				l.buf = appendValue(l.buf, v, k, true)
			}
		}
		for i := range outputs {
			l.buf = append(l.buf, l.keys[len(b.Pass)+i]...)
			l.output(&outputs[i], k*l.per[i], (k+1)*l.per[i], l.list[i])
		}
		l.buf = append(l.buf, '}', '\n')
		if len(l.buf) >= chunk {
			if err := l.full(); err != nil {
				return err
			}
		}
	}
	return nil
}

// output writes the elements of one row.
func (l *jsonlWriter) output(t *tensor.Tensor, from, to int, list bool) {
	if list {
		l.buf = append(l.buf, '[')
	}
	for e := from; e < to; e++ {
		if e > from {
			l.buf = append(l.buf, ',')
		}
		switch {
		case t.Type == tensor.Bytes:
			l.buf = appendJSONText(l.buf, t.Strings[e])
		case isFloat(t.Type):
			v, bits := float(t, e)
			l.buf = appendJSONFloat(l.buf, v, bits)
		default:
			l.buf = appendInteger(l.buf, t, e)
		}
	}
	if list {
		l.buf = append(l.buf, ']')
	}
}

// Close implements Writer.
func (l *jsonlWriter) Close() error { return l.end() }
