package infer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// arrange checks the inputs against the signature and puts them into t in its
// order. Every problem is reported, not only the first.
func (m *Model) arrange(req *Request, t *ticket) error {
	var problems []error
	clear(t.seen)
	for i := range req.Inputs {
		in := &req.Inputs[i]
		at, known := i, i < len(t.in) && m.sig.Inputs[i].Name == in.Name
		if !known {
			at, known = m.inputs[in.Name]
		}
		switch {
		case !known:
			problems = append(problems, m.badInput(in.Name, "want %s, got an unknown input", names(m.sig.Inputs)))
		case t.seen[at]:
			problems = append(problems, m.badInput(in.Name, "want it once, got it twice"))
		default:
			t.seen[at] = true
			t.in[at] = *in
			if err := m.checkTensor(&m.sig.Inputs[at], in); err != nil {
				problems = append(problems, err)
			}
		}
	}
	for i, ok := range t.seen {
		if !ok {
			info := &m.sig.Inputs[i]
			problems = append(problems, m.badInput(info.Name, "want %s, got no such input", Describe(info)))
		}
	}
	// A shape with another dimension of 0 may claim any number of rows.
	t.rows = min(rows(t.in), math.MaxInt32)
	return join(problems)
}

// join keeps a single problem as it is, so that its subject stays readable.
func join(problems []error) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = strings.TrimPrefix(p.Error(), "infer.Infer ")
	}
	e := fault.New(fault.Invalid, "infer.Infer", "", "%s", strings.Join(texts, "; "))
	e.Err = errors.New(strings.Join(texts, "; "))
	e.Hint = fault.HintOf(problems[0])
	return e
}

func (m *Model) checkTensor(want *driver.TensorInfo, got *tensor.Tensor) error {
	if got.Type != want.Type {
		return m.badInput(want.Name, "want %s, got %v %s", Describe(want), got.Type, tensor.FormatShape(got.Shape)).
			WithHint("Send this input as %v.", want.Type)
	}
	fits := want.Unranked || len(got.Shape) == len(want.Shape)
	for i := 0; fits && i < len(want.Shape); i++ {
		fits = got.Shape[i] == want.Shape[i] || (want.Shape[i] < 0 && got.Shape[i] >= 0)
	}
	if !fits {
		return m.badInput(want.Name, "want %s, got %v %s", Describe(want), got.Type, tensor.FormatShape(got.Shape)).
			WithHint("%s", shapeHint(want.Shape))
	}
	if err := got.Check(); err != nil {
		return m.badInput(want.Name, "%w", err)
	}
	if got.Type == tensor.Bool {
		// Native code may treat any other byte as both true and false.
		if i := bytes.IndexFunc(got.Data, func(r rune) bool { return r > 1 }); i >= 0 {
			return m.badInput(want.Name, "want 0 or 1 for a BOOL, got %d at element %d", got.Data[i], i)
		}
	}
	return nil
}

// shapeHint says in words what a shape asks for.
func shapeHint(shape []int64) string {
	switch {
	case len(shape) == 0:
		return "Send a single value with the shape []."
	case shape[0] < 0 && len(shape) == 2 && shape[1] >= 0:
		return fmt.Sprintf("Send rows of %d.", shape[1])
	case slices.Contains(shape, -1):
		return "-1 stands for any size."
	}
	return fmt.Sprintf("Send exactly the shape %s.", tensor.FormatShape(shape))
}

func (m *Model) badInput(name, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "infer.Infer", fmt.Sprintf("input %q", name), format, args...)
}

// wanted puts the positions of the outputs that req asks for into t, in its order.
func (m *Model) wanted(req *Request, t *ticket) error {
	t.want = t.want[:0]
	if req.Outputs == nil {
		for i := range m.sig.Outputs {
			t.want = append(t.want, i)
		}
		return nil
	}
	for i := range req.Outputs {
		name := req.Outputs[i].Name
		at, known := m.outputs[name]
		switch {
		case !known:
			return badOutput(name, "want %s, got an unknown output", names(m.sig.Outputs))
		case slices.Contains(t.want, at):
			return badOutput(name, "want it once, got it twice")
		}
		t.want = append(t.want, at)
	}
	return nil
}

func badOutput(name, format string, args ...any) error {
	return fault.New(fault.Invalid, "infer.Infer", fmt.Sprintf("output %q", name), format, args...)
}

// Describe prints a tensor's type and shape as error messages do: "FP32 [-1 64]".
func Describe(info *driver.TensorInfo) string {
	if info.Unranked {
		return info.Type.String() + " of any shape"
	}
	return info.Type.String() + " " + tensor.FormatShape(info.Shape)
}

func names(infos []driver.TensorInfo) string {
	if len(infos) == 0 {
		return "none"
	}
	quoted := make([]string, 0, len(infos))
	for i := range infos {
		quoted = append(quoted, fmt.Sprintf("%q", infos[i].Name))
	}
	return "one of " + strings.Join(quoted, ", ")
}
