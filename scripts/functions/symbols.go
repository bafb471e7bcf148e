package main

import (
	"debug/elf"
	"strconv"
	"strings"
)

// glibc is the oldest glibc that has every symbol that the file asks for, by
// the versions of symbols that its dynamic section names.
func glibc(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return "", err
	}
	oldest := "0"
	for _, library := range needs {
		for _, symbols := range library.Needs {
			if v, ok := strings.CutPrefix(symbols.Dep, "GLIBC_"); ok && newer(v, oldest) {
				oldest = v
			}
		}
	}
	return oldest, nil
}

// newer says whether version a is newer than b: 2.28 than 2.3.4. What is no
// number, as in GLIBC_PRIVATE and GLIBC_ABI_DT_RELR, is newer than all that is one:
// no other glibc promises it.
func newer(a, b string) bool {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if m, n := number(x), number(y); m != n {
			return m > n
		}
	}
	return false
}

func number(part string) int {
	if part == "" {
		return 0
	}
	if n, err := strconv.Atoi(part); err == nil {
		return n
	}
	return 1 << 30
}
