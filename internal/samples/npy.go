package samples

import (
	"archive/zip"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// maxArrays is how many arrays an NPZ file may hold.
const maxArrays = 1024

// fed is an input with the array that its values come from.
type fed struct {
	info  *driver.TensorInfo
	array *array
	name  string  // of the array
	shape []int64 // of the input in each request
	rows  int     // requests that the array has values for; all if every has all of them
}

// all is the number of rows of an array that goes into every request as a whole.
const all = -1

func readNPY(s *source) ([]*infer.Request, *Mapping, error) {
	if len(s.sig.Inputs) != 1 {
		return nil, nil, s.fail(fault.Invalid, "", "want a model with one input for a single array, got one with %d", len(s.sig.Inputs)).
			WithHint("Save an array for each input, under its name, with numpy.savez.")
	}
	a, err := parseNPY(s.reader())
	if err != nil {
		return nil, nil, s.fail(fault.Invalid, "", "%w", err)
	}
	f, err := s.feed(&s.sig.Inputs[0], a, filepath.Base(s.path))
	if err != nil {
		return nil, nil, err
	}
	return s.fromArrays([]fed{f}, nil)
}

func readNPZ(s *source) ([]*infer.Request, *Mapping, error) {
	z, err := zip.NewReader(s.data, s.size)
	if err != nil {
		return nil, nil, s.fail(fault.Invalid, "", "%w", err)
	}
	if len(z.File) > maxArrays {
		return nil, nil, s.fail(fault.TooLarge, "", "want at most %d arrays, got %d", maxArrays, len(z.File))
	}
	names := make([]string, len(z.File))
	for i, f := range z.File {
		names[i] = strings.TrimSuffix(f.Name, ".npy")
	}
	var inputs []fed
	used := make([]bool, len(names))
	for i := range s.sig.Inputs {
		info := &s.sig.Inputs[i]
		found := matching(names, info.Name)
		if len(found) == 0 && len(s.sig.Inputs) == 1 && len(names) == 1 {
			found = []int{0}
		}
		if len(found) != 1 {
			return nil, nil, s.fail(fault.Invalid, "", "want an array for input %q %s, got %s: %s", info.Name, infer.Describe(info), plural(len(names), "array"), list(names)).
				WithHint("Save the arrays under the names of their inputs: numpy.savez(path, **{%q: …}).", info.Name)
		}
		used[found[0]] = true
		entry, err := z.File[found[0]].Open()
		if err != nil {
			return nil, nil, s.fail(fault.Invalid, quote(names[found[0]]), "%w", err)
		}
		defer entry.Close()
		a, err := parseNPY(entry)
		if err != nil {
			return nil, nil, s.fail(fault.Invalid, quote(names[found[0]]), "%w", err)
		}
		f, err := s.feed(info, a, names[found[0]])
		if err != nil {
			return nil, nil, err
		}
		inputs = append(inputs, f)
	}
	if len(inputs) == 0 {
		return nil, nil, s.fail(fault.Invalid, "", "want no file for a model without inputs, got one")
	}
	var ignored []string
	for i, name := range names {
		if !used[i] {
			ignored = append(ignored, name)
		}
	}
	return s.fromArrays(inputs, ignored)
}

// feed decides how an array becomes the input of requests: as it is, or row by
// row where it has a dimension more than the input or the input is batched.
func (s *source) feed(info *driver.TensorInfo, a *array, name string) (fed, error) {
	f := fed{info: info, array: a, name: name, rows: all}
	want, got := info.Shape, a.shape
	split := func(row []int64) (fed, error) {
		f.rows, f.shape = int(got[0]), row
		return f, nil
	}
	one := []int64{1}
	switch batched := len(want) > 0 && (want[0] < 0 || want[0] == 1); {
	case info.Unranked && len(got) > 0:
		return split(slices.Concat(one, got[1:]))
	case batched && len(got) == len(want) && fits(want[1:], got[1:]):
		return split(slices.Concat(one, got[1:]))
	case info.Unranked, fits(want, got):
		f.shape = got
		return f, nil
	case batched && fits(want[1:], got):
		f.shape = slices.Concat(one, got)
		return f, nil
	case batched && len(got) == 1 && !slices.ContainsFunc(want[1:], func(d int64) bool { return d != 1 }):
		return split(slices.Concat(one, want[1:])) // a column
	case !batched && len(got) == len(want)+1 && fits(want, got[1:]):
		return split(got[1:])
	}
	return f, s.fail(fault.Invalid, quote(name), "want an array for input %q %s, got %s %s", info.Name, infer.Describe(info), a.descr, tensor.FormatShape(got))
}

// fits reports whether a shape is one that a signature allows.
func fits(want, got []int64) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] >= 0 && want[i] != got[i] {
			return false
		}
	}
	return true
}

func (s *source) fromArrays(inputs []fed, ignored []string) ([]*infer.Request, *Mapping, error) {
	rows, first := all, ""
	for _, f := range inputs {
		switch {
		case f.rows == all:
		case rows == all:
			rows, first = f.rows, f.name
		case f.rows != rows:
			return nil, nil, s.fail(fault.Invalid, "", "want arrays of as many rows, got %d in %s and %d in %s", rows, quote(first), f.rows, quote(f.name))
		}
	}
	if rows == 0 {
		return nil, nil, s.fail(fault.Invalid, "", "want at least one row, got none")
	}
	if rows == all {
		rows = 1
	}
	m := s.mapping()
	m.Ignored = ignored
	m.Requests, m.More = min(rows, s.most), rows > s.most
	requests := make([]*infer.Request, m.Requests)
	for i := range requests {
		requests[i] = &infer.Request{}
	}
	for _, f := range inputs {
		tensors, err := s.tensors(&f, m.Requests)
		if err != nil {
			return nil, nil, err
		}
		for i, r := range requests {
			r.Inputs = append(r.Inputs, tensors[min(i, len(tensors)-1)])
		}
		m.Inputs = append(m.Inputs, Source{Input: f.info.Name, Type: f.info.Type, Shape: f.shape, From: []string{f.name}})
	}
	return requests, m, nil
}

// tensors reads the values of the first requests, or of all of them in one.
func (s *source) tensors(f *fed, requests int) ([]tensor.Tensor, error) {
	a := f.array
	if f.rows == all {
		requests = 1
		whole := *a
		whole.shape = append([]int64{1}, a.shape...)
		a = &whole
	}
	raw, err := a.read(requests, f.info.Type, s.limit)
	if err != nil {
		code := fault.Invalid
		if errors.Is(err, errTooLarge) {
			code = fault.TooLarge
		}
		return nil, s.fail(code, quote(f.name), "%w", err)
	}
	tensors := make([]tensor.Tensor, requests)
	for i := range tensors {
		t := newTensor(f.info.Name, f.info.Type, f.shape)
		for k := range t.Len() {
			at := i*t.Len() + k
			if got, ok := a.set(&t, k, raw[at*a.size:(at+1)*a.size]); !ok {
				return nil, s.fail(fault.Invalid, quote(f.name), "element %s: want %s, got %s", a.index(at, f.rows == all), wanted(t.Type), got).
					WithHint("The array is %s, input %q is %v; convert it with astype if the values may change.", a.descr, f.info.Name, t.Type)
			}
		}
		tensors[i] = t
	}
	return tensors, nil
}

// index names an element as Python does; added tells that the first dimension
// is not the file's.
func (a *array) index(at int, added bool) string {
	index := make([]string, len(a.shape))
	for d := len(index) - 1; d >= 0; d-- {
		if n := int(a.shape[d]); n > 0 {
			index[d] = fmt.Sprint(at % n)
			at /= n
		}
	}
	if added {
		index = index[1:]
	}
	return "[" + strings.Join(index, ", ") + "]"
}
