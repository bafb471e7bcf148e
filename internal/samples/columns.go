package samples

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// assigned is an input with the columns that its values come from.
type assigned struct {
	info    *driver.TensorInfo
	shape   []int64 // of one row
	columns []int   // in the order of the values
}

// assign finds the columns of each input, and names those left over.
func (s *source) assign(header []string) (all []assigned, ignored []string, err error) {
	if len(s.sig.Inputs) == 0 {
		return nil, nil, s.fail(fault.Invalid, "", "want no file for a model without inputs, got one")
	}
	groups := numbered(header)
	var lacking []string
	for i := range s.sig.Inputs {
		info := &s.sig.Inputs[i]
		shape, n := rowShape(info)
		columns, err := s.named(header, groups, info.Name, n)
		if err == nil && columns == nil && len(s.sig.Inputs) == 1 {
			columns, err = s.only(header, groups, n)
		}
		if err != nil {
			return nil, nil, err
		}
		if columns == nil {
			lacking = append(lacking, fmt.Sprintf("%s for input %q %s", wantedColumns(n), info.Name, infer.Describe(info)))
			continue
		}
		if n == free {
			shape[len(shape)-1] = int64(len(columns))
		}
		all = append(all, assigned{info: info, shape: shape, columns: columns})
	}
	if len(lacking) > 0 {
		return nil, nil, s.fail(fault.Invalid, "line 1", "want %s, got %s: %s", strings.Join(lacking, " and "), plural(len(header), "column"), list(header)).
			WithHint("Name a column as its input; for an input of several values name that many columns alike and number them, such as x_0, x_1, x_2.")
	}
	used := map[int]bool{}
	for _, a := range all {
		for _, c := range a.columns {
			used[c] = true
		}
	}
	for i, name := range header {
		if !used[i] {
			ignored = append(ignored, name)
		}
	}
	return all, ignored, nil
}

// What rowShape returns in the place of a number of values.
const (
	free       = -1 // any number of them, in the last dimension
	impossible = 0  // no table can hold a row
)

// rowShape is the shape of an input in a request with one row, and how many
// values that are.
func rowShape(info *driver.TensorInfo) (shape []int64, n int) {
	if info.Unranked {
		return []int64{1, -1}, free
	}
	shape = slices.Clone(info.Shape)
	if len(shape) > 0 && shape[0] < 0 {
		shape[0] = 1
	}
	if len(shape) > 1 && shape[len(shape)-1] < 0 && !slices.ContainsFunc(shape[:len(shape)-1], func(d int64) bool { return d != 1 }) {
		return shape, free
	}
	n, ok := tensor.Elements(shape)
	if !ok {
		return shape, impossible
	}
	return shape, n
}

func wantedColumns(n int) string {
	switch n {
	case free:
		return "columns"
	case impossible:
		return "an array, which no table can hold,"
	case 1:
		return "a column"
	}
	return plural(n, "numbered column")
}

// named finds the columns that bear the name of an input with n values.
func (s *source) named(header []string, groups []group, name string, n int) ([]int, error) {
	if n == 1 || n == free {
		found := matching(header, name)
		if len(found) > 1 {
			return nil, s.fail(fault.Invalid, "line 1", "want one column for input %q, got %d: %s", name, len(found), list(pick(header, found)))
		}
		if len(found) == 1 {
			return found, nil
		}
	}
	for _, g := range groups {
		if n != 1 && (n == free || len(g.columns) == n) && letters(g.prefix) == letters(name) {
			return g.columns, nil
		}
	}
	return nil, nil
}

// only finds the columns of a model's only input, whatever they are called.
func (s *source) only(header []string, groups []group, n int) ([]int, error) {
	if n == impossible {
		return nil, nil
	}
	var all []int // but for those without a name, which is how row numbers are written
	for i, name := range header {
		if name != "" {
			all = append(all, i)
		}
	}
	if len(all) == n {
		return all, nil
	}
	var fitting []group
	for _, g := range groups {
		if n == free || len(g.columns) == n && n > 1 {
			fitting = append(fitting, g)
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0].columns, nil
	case n == free && len(all) > 0:
		return all, nil
	case len(fitting) > 1:
		var first []string
		for _, g := range fitting {
			first = append(first, header[g.columns[0]])
		}
		return nil, s.fail(fault.Invalid, "line 1", "want one series of %d numbered columns, got those that begin with %s", n, list(first)).
			WithHint("Leave one of them in the file, or name it after the input.")
	}
	return nil, nil
}

// matching are the columns called name: exactly so, or else but for case,
// spaces and punctuation.
func matching(header []string, name string) (found []int) {
	for _, same := range []func(a, b string) bool{
		func(a, b string) bool { return a == b },
		func(a, b string) bool { return letters(a) != "" && letters(a) == letters(b) },
	} {
		for i, column := range header {
			if same(column, name) {
				found = append(found, i)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// letters is s without all but letters and digits, in lower case.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// group is a series of columns that are named alike and numbered without gaps.
type group struct {
	prefix  string
	columns []int // by number
}

// numbered finds all series of two or more columns, in the order of the header.
func numbered(header []string) []group {
	type column struct{ number, at int }
	series := map[string][]column{}
	var order []string
	for i, name := range header {
		prefix := strings.TrimRight(name, "0123456789")
		number, err := strconv.Atoi(name[len(prefix):])
		if err != nil {
			continue
		}
		if series[prefix] == nil {
			order = append(order, prefix)
		}
		series[prefix] = append(series[prefix], column{number, i})
	}
	var groups []group
	for _, prefix := range order {
		all := series[prefix]
		slices.SortFunc(all, func(a, b column) int { return a.number - b.number })
		g := group{prefix: prefix}
		for i, c := range all {
			if c.number != all[0].number+i {
				g.columns = nil
				break
			}
			g.columns = append(g.columns, c.at)
		}
		if len(g.columns) > 1 {
			groups = append(groups, g)
		}
	}
	return groups
}
