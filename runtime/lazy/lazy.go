// Package lazy has what costs a process nothing until it is used. Patterns in
// variables of packages would be compiled at each start, whatever it is for: some
// of them take longer than a small model's first run.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp compiles expr when it is first asked for, once, whoever asks. Like
// regexp.MustCompile it panics for an expression that is none, which a test that
// uses it finds.
func Regexp(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
