package batch

import (
	"fmt"
	"testing"
)

func TestSizesOfRunsAndBlocks(t *testing.T) {
	for _, c := range []struct {
		asked, row int
		many       bool
		want       string
	}{
		{0, 32 * 16, true, "256 512"},
		{0, 64 * 16, true, "256 512"},
		{0, 65 * 16, true, "128 512"},
		{0, 512 * 16, true, "128 512"},
		{0, 150528 * 16, true, "13 13"}, // an image
		{0, 100 << 20, true, "1 1"},
		{0, 0, true, "256 512"},
		{4, 32 * 16, true, "4 512"},
		{1024, 32 * 16, true, "1024 1024"},
		{4096, 32 * 16, true, "4096 4096"},
		{0, 32 * 16, false, "256 16"},
		{1, 32 * 16, false, "1 1"},
	} {
		run, block := sizes(c.asked, c.row, c.many)
		if got := fmt.Sprint(run, block); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
