package rows

import (
	"io"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// A csvWriter writes rows of CSV below a header.
type csvWriter struct {
	*sink
	schema  *Schema
	outputs []Output
	per     []int // elements of each output in a row of this block
	wide    []int // and in the header's
	headed  bool
}

func newCSVWriter(w io.Writer, s *Schema, outputs []Output, o *WriteOptions) (Writer, error) {
	out, err := newSink(w, o.Compression)
	if err != nil {
		return nil, err
	}
	c := &csvWriter{sink: out, schema: s, outputs: outputs, per: make([]int, len(outputs)), wide: make([]int, len(outputs))}
	known := true
	for i := range outputs {
		n := outputs[i].Elements()
		known = known && n >= 0
		c.wide[i] = n
	}
	if known {
		return c, c.header()
	}
	return c, nil // the first block tells how many columns there are
}

// header writes the names of the columns.
func (c *csvWriter) header() error {
	c.headed = true
	seen := map[string]bool{}
	add := func(name string) error {
		if seen[name] {
			return fault.New(fault.Invalid, "rows.NewWriter", "", "want columns of different names in the output, got %s twice", quote(name))
		}
		if len(seen) > 0 {
			c.buf = append(c.buf, ',')
		}
		seen[name] = true
		c.buf = c.field(c.buf, []byte(name))
		return nil
	}
	pass := len(c.schema.Columns) - len(c.outputs)
	for i, col := range c.schema.Columns {
		names := []string{col.Name}
		if i >= pass && c.wide[i-pass] != 1 {
			names = names[:0]
			for k := range c.wide[i-pass] {
				names = append(names, col.Name+"_"+strconv.Itoa(k))
			}
		}
		for _, name := range names {
			if err := add(name); err != nil {
				return err
			}
		}
	}
	c.buf = append(c.buf, '\n')
	return c.full()
}

// field writes text. An empty line would be no row.
func (c *csvWriter) field(dst, text []byte) []byte {
	if len(text) == 0 && len(c.schema.Columns) == 1 {
		return append(dst, '"', '"')
	}
	return appendCSVText(dst, text)
}

// Write implements Writer.
func (c *csvWriter) Write(b *Block, outputs []tensor.Tensor) error {
	if b.Rows == 0 {
		return nil
	}
	if err := checkOutputs(b, c.outputs, outputs, c.per); err != nil {
		return err
	}
	if !c.headed {
		copy(c.wide, c.per)
		if err := c.header(); err != nil {
			return err
		}
	}
	for i, n := range c.per {
		if n != c.wide[i] {
			return fault.New(fault.Unprocessable, "rows.Write", "output "+quote(c.outputs[i].Name), "want %s in each row, as in the first, got %d", plural(c.wide[i], "element"), n).
				WithHint("CSV has no lists; write jsonl or parquet.")
		}
	}
	for k := range b.Rows {
		first := true
		comma := func() {
			if !first {
				c.buf = append(c.buf, ',')
			}
			first = false
		}
		for i := range b.Pass {
			comma()
			if err := c.pass(&b.Pass[i], k); err != nil {
				return err
			}
		}
		for i := range outputs {
			t := &outputs[i]
			for e := k * c.per[i]; e < (k+1)*c.per[i]; e++ {
				comma()
				switch {
				case t.Type == tensor.Bytes:
					c.buf = c.field(c.buf, t.Strings[e])
				case isFloat(t.Type):
					v, bits := float(t, e)
					c.buf = appendCSVFloat(c.buf, v, bits)
				default:
					c.buf = appendInteger(c.buf, t, e)
				}
			}
		}
		c.buf = append(c.buf, '\n')
		if len(c.buf) >= chunk {
			if err := c.full(); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass writes row k's value of a column that passes through.
func (c *csvWriter) pass(v *Values, k int) error {
	if v.Null != nil && v.Null[k] {
		c.buf = c.field(c.buf, nil)
		return nil
	}
	switch v.Kind {
	case Text, Bytes:
		c.buf = c.field(c.buf, v.Raw[k])
	case JSON:
		text := v.Raw[k]
		if len(text) > 0 && text[0] == '"' {
			var err error
			if text, err = codec.Text(text); err != nil {
				return err
			}
		}
		c.buf = c.field(c.buf, text)
	default:
		c.buf = appendValue(c.buf, v, k, false)
	}
	return nil
}

// Close implements Writer.
func (c *csvWriter) Close() error { return c.end() }
