package lazy_test

import (
	"testing"

	"godwit.dev/runtime/lazy"
)

func TestRegexp(t *testing.T) {
	wrong := lazy.Regexp(`(`) // not looked at yet
	number := lazy.Regexp(`^[0-9]+$`)
	if first := number(); !first.MatchString("42") || first.MatchString("4x2") || number() != first {
		t.Error("want a pattern that matches digits, the same each time")
	}
	defer func() {
		if recover() == nil {
			t.Error("want a panic for what is no expression")
		}
	}()
	wrong()
}
