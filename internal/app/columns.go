package app

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

// maxColumns bounds what a range of columns stands for: more than any file has
// that a person maps by hand.
const maxColumns = 1 << 16

// Columns spells out the ranges of a mapping of columns to inputs: "p0..p63" is
// p0, p1 and so on, 64 columns. A name that is no range stays as it is. Errors:
// BadConfig for a range that is too long, or a column that fills two inputs.
func Columns(mapped map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(mapped))
	for _, key := range slices.Sorted(maps.Keys(mapped)) {
		names, err := columnRange(key)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if other, twice := out[name]; twice && other != mapped[key] {
				return nil, fault.New(fault.BadConfig, "app.Columns", "columns", "want each column for one input, got %q for %q and %q", name, other, mapped[key])
			}
			out[name] = mapped[key]
		}
	}
	return out, nil
}

// columnRange is the columns that a key of a mapping stands for.
func columnRange(key string) ([]string, error) {
	first, last, ok := strings.Cut(key, "..")
	stem := strings.TrimRight(first, "0123456789")
	if !ok || len(stem) == len(first) || !strings.HasPrefix(last, stem) {
		return []string{key}, nil
	}
	from, err := strconv.Atoi(first[len(stem):])
	if err != nil {
		return []string{key}, nil
	}
	to, err := strconv.Atoi(last[len(stem):])
	if err != nil || strconv.Itoa(from) != first[len(stem):] || strconv.Itoa(to) != last[len(stem):] {
		return []string{key}, nil // figures such as 007 are names
	}
	if to < from || to-from >= maxColumns {
		return nil, fault.New(fault.BadConfig, "app.Columns", "columns", "want a range of 1 to %d columns, got %q", maxColumns, key)
	}
	var names []string
	for n := from; n <= to; n++ {
		names = append(names, stem+strconv.Itoa(n))
	}
	return names, nil
}
