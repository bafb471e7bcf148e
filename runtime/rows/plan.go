package rows

import (
	"slices"
	"strconv"
	"strings"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// A Plan says which columns fill which inputs of a model, and what it gives for
// each row: NewPlan makes one from a model's signature, the mapping in a spec
// and a file's schema.
type Plan struct {
	Inputs  []Input
	Pass    []string // columns that go to the output as they are, in its order
	Outputs []Output
}

// An Input is one input of a model for one row.
type Input struct {
	Name  string
	Type  tensor.DType
	Shape []int64 // of a row: without the first dimension of a batch
	// Columns fill it: one column with all elements, or as many as there are
	// elements, each with one.
	Columns []string
	// Whole says that the model's own shape has no dimension for rows: Shape is
	// all of it, and a run takes one row. Block's tensors have Rows in front
	// all the same.
	Whole bool
}

// An Output is one output of a model for one row.
type Output struct {
	Name  string
	Type  tensor.DType
	Shape []int64 // of a row; -1 where the model does not tell
	Whole bool    // as Input's
}

// PlanOptions of NewPlan; nil means none.
type PlanOptions struct {
	// Columns maps columns to inputs. Where several are for one input, the
	// file's order counts.
	Columns map[string]string
	Pass    []string
}

// NewPlan finds the columns for all inputs of a model. An input that Columns
// names none for takes the column of its name or, where it has n elements in a
// row, n columns: its name with _0 to _(n-1), or with 0 to n-1. One
// dimension of a row may be dynamic: it is as long as there are columns, or
// elements in the list.
//
// Outputs are those with a value for each row. What has a first dimension of its
// own where the inputs' is the rows', such as the names of classes, is none.
//
// Errors: Invalid, with all that is wrong, what there is and the name that is
// nearest; Unsupported where a model's shapes or its outputs are not those of rows.
func NewPlan(sig *driver.Signature, s *Schema, opts *PlanOptions) (*Plan, error) {
	if opts == nil {
		opts = &PlanOptions{}
	}
	b := planner{sig: sig, s: s, at: map[string]int{}, twice: map[string]bool{}}
	for i, c := range s.Columns {
		if _, dup := b.at[c.Name]; dup {
			b.twice[c.Name] = true
			continue
		}
		b.at[c.Name] = i
	}
	mapped := b.mapped(opts.Columns)
	p := &Plan{Pass: slices.Clone(opts.Pass)}
	rowwise := false
	for i := range sig.Inputs {
		in := &sig.Inputs[i]
		rowwise = rowwise || in.Unranked || len(in.Shape) > 0 && in.Shape[0] < 0
		if input, ok := b.input(in, mapped[in.Name]); ok {
			p.Inputs = append(p.Inputs, input)
		}
	}
	for i, name := range p.Pass {
		b.column(name, "pass through")
		if slices.Contains(p.Pass[:i], name) {
			b.add("column %s is passed through twice", quote(name))
		}
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	p.outputs(sig, rowwise)
	if len(p.Outputs) == 0 {
		return nil, fault.New(fault.Unsupported, "rows.NewPlan", "", "want an output with a value for each row, got %s", describe(sig.Outputs)).
			WithHint("Export the model with a dynamic first dimension of its inputs and outputs.")
	}
	return p, nil
}

// planner collects all that is wrong.
type planner struct {
	sig      *driver.Signature
	s        *Schema
	at       map[string]int // of a column's first
	twice    map[string]bool
	problems []string
	code     fault.Code
}

func (b *planner) add(format string, args ...any) {
	if b.code == fault.OK {
		b.code = fault.Invalid
	}
	b.problems = append(b.problems, fault.New(fault.Invalid, "", "", format, args...).Error())
}

func (b *planner) err() error {
	if len(b.problems) == 0 {
		return nil
	}
	names := make([]string, len(b.s.Columns))
	for i, c := range b.s.Columns {
		names[i] = c.Name
	}
	e := fault.New(b.code, "rows.NewPlan", "", "%s; the file has %s", strings.Join(b.problems, "; "), list(names))
	return e.WithHint("Map columns to inputs under batch.columns: {column: input}.")
}

// mapped gives the columns for each input, in the file's order.
func (b *planner) mapped(columns map[string]string) map[string][]string {
	mapped := map[string][]string{}
	var inputs []string
	for i := range b.sig.Inputs {
		inputs = append(inputs, b.sig.Inputs[i].Name)
	}
	var names []string
	for c := range columns {
		names = append(names, c)
	}
	slices.Sort(names)
	slices.SortStableFunc(names, func(x, y string) int { return b.at[x] - b.at[y] })
	for _, c := range names {
		in := columns[c]
		if !slices.Contains(inputs, in) {
			b.add("column %s is for input %s, which the model has not%s", quote(c), quote(in), meant(in, inputs))
			continue
		}
		if b.column(c, "for input "+quote(in)) {
			mapped[in] = append(mapped[in], c)
		}
	}
	return mapped
}

// column reports whether the file has just one column of this name.
func (b *planner) column(name, why string) bool {
	_, ok := b.at[name]
	switch {
	case !ok:
		names := make([]string, len(b.s.Columns))
		for i, c := range b.s.Columns {
			names[i] = c.Name
		}
		b.add("want a column %s (%s), got none%s", quote(name), why, meant(name, names))
	case b.twice[name]:
		b.add("want one column %s (%s), got several", quote(name), why)
		ok = false
	}
	return ok
}

// input finds the columns and the row's shape of one input.
func (b *planner) input(in *driver.TensorInfo, columns []string) (Input, bool) {
	input := Input{Name: in.Name, Type: in.Type, Shape: slices.Clone(in.Shape)}
	switch {
	case in.Unranked:
		input.Shape = []int64{-1}
	case len(in.Shape) > 0 && (in.Shape[0] < 0 || in.Shape[0] == 1):
		input.Shape = input.Shape[1:]
	default:
		input.Whole = true
	}
	free := -1 // the dynamic dimension
	n := int64(1)
	for i, d := range input.Shape {
		switch {
		case d < 0 && free >= 0:
			b.add("input %s: want at most one dynamic dimension in a row, got shape %s", quote(in.Name), tensor.FormatShape(in.Shape))
			b.code = fault.Unsupported
			return input, false
		case d < 0:
			free = i
		case d == 0 || n > 1<<31/d:
			b.add("input %s: want a row of 1 to 2^31 elements, got shape %s", quote(in.Name), tensor.FormatShape(in.Shape))
			b.code = fault.Unsupported
			return input, false
		default:
			n *= d
		}
	}
	if len(columns) == 0 {
		if columns = b.unmapped(in.Name, n, free >= 0); columns == nil {
			return input, false
		}
	}
	got := int64(len(columns)) // elements, where that is known
	first := &b.s.Columns[b.at[columns[0]]]
	if len(columns) == 1 && first.List {
		got = int64(first.Length)
		if got == 0 && free < 0 {
			got = n // each row will tell
		}
	} else {
		for _, c := range columns {
			if b.s.Columns[b.at[c]].List {
				b.add("input %s: want one column with a list, or columns without, got %s and a list in column %s", quote(in.Name), plural(len(columns), "column"), quote(c))
				return input, false
			}
		}
	}
	switch {
	case free >= 0 && (got == 0 || got%n != 0):
		b.add("input %s: want lists of one known length for a row of shape %s, got %s", quote(in.Name), tensor.FormatShape(input.Shape), plural(int(got), "element"))
		return input, false
	case free >= 0:
		input.Shape[free] = got / n
	case got != n && len(columns) == 1 && first.List:
		b.add("input %s: want %s in a row, got lists of %d in column %s", quote(in.Name), plural(int(n), "element"), got, quote(first.Name))
		return input, false
	case got != n:
		b.add("input %s: want %s, or one with lists of %d, got %s", quote(in.Name), plural(int(n), "column"), n, list(columns))
		return input, false
	}
	input.Columns = columns
	return input, true
}

// unmapped finds the columns of an input by its name, n in all if that many are
// known to be wanted.
func (b *planner) unmapped(name string, n int64, free bool) []string {
	i, ok := b.at[name]
	if ok && (n == 1 || b.s.Columns[i].List || free) {
		if b.column(name, "for the input of its name") {
			return []string{name}
		}
		return nil
	}
	for _, sep := range []string{"_", ""} {
		var columns []string
		for k := 0; free || int64(k) < n; k++ {
			c := name + sep + strconv.Itoa(k)
			if _, there := b.at[c]; !there {
				break
			}
			columns = append(columns, c)
		}
		if len(columns) == 0 || !free && int64(len(columns)) < n || n == 1 && !free {
			continue
		}
		for _, c := range columns {
			if !b.column(c, "for input "+quote(name)) {
				return nil
			}
		}
		return columns
	}
	switch {
	case ok: // a column without a list, for more than one element
		b.add("input %s: want a list of %d in column %s, or columns %s to %s, got a column without lists", quote(name), n, quote(name), quote(name+"_0"), quote(name+"_"+strconv.FormatInt(n-1, 10)))
	case n > 1 && !free:
		b.column(name, "a list of "+strconv.FormatInt(n, 10)+" for the input of its name, or as many columns "+quote(name+"_0")+" …")
	default:
		b.column(name, "for the input of its name")
	}
	return nil
}

// outputs takes those that have a value for each row.
func (p *Plan) outputs(sig *driver.Signature, rowwise bool) {
	for i := range sig.Outputs {
		out := &sig.Outputs[i]
		o := Output{Name: out.Name, Type: out.Type, Shape: slices.Clone(out.Shape)}
		switch {
		case i > 0 && keysOf(&sig.Outputs[i-1], out):
			continue
		case out.Unranked:
			o.Shape = []int64{-1}
		case len(out.Shape) > 0 && (out.Shape[0] < 0 || !rowwise && out.Shape[0] == 1):
			o.Shape = o.Shape[1:]
		case rowwise:
			continue
		default:
			o.Whole = true
		}
		p.Outputs = append(p.Outputs, o)
	}
}

// keysOf reports whether out are the keys of the maps whose values are in of:
// the same for all rows.
func keysOf(of, out *driver.TensorInfo) bool {
	return out.Name == of.Name+onnx.KeysSuffix && slices.Equal(of.Shape, []int64{-1, -1}) && slices.Equal(out.Shape, []int64{-1}) &&
		len(of.Symbols) == 0 && len(out.Symbols) == 0
}

// Elements is how many elements a row has; -1 where that is not known.
func (o *Output) Elements() int {
	n, ok := tensor.Elements(o.Shape)
	if !ok {
		return -1
	}
	return n
}

// Elements is how many elements a row has, at least 1.
func (in *Input) Elements() int {
	n, _ := tensor.Elements(in.Shape)
	return n
}

func describe(all []driver.TensorInfo) string {
	var s []string
	for i := range all {
		s = append(s, quote(all[i].Name)+" "+all[i].Type.String()+" "+tensor.FormatShape(all[i].Shape))
	}
	return strings.Join(s, ", ")
}
