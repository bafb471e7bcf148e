package cli

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnified(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"", "", ""},
		{"a b c", "a b c", ""},
		{"a", "b", "@@ -1,1 +1,1 @@\n-a\n+b\n"},
		{"", "a", "@@ -0,0 +1,1 @@\n+a\n"},
		{"a", "", "@@ -1,1 +0,0 @@\n-a\n"},
		{"1 2 3 4 5 6 7 8 9", "1 2 3 4 x 6 7 8 9", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
		{"1 2 3 4 5 6 7 8", "x 2 3 4 5 6 7 y", "@@ -1,8 +1,8 @@\n-1\n+x\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n+y\n"},
		{"1 2 3 4 5 6 7 8 9", "x 2 3 4 5 6 7 8 y", "@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n"},
	} {
		if diff := cmp.Diff(tt.want, unified(lineEdits(strings.Fields(tt.old), strings.Fields(tt.new)))); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", tt.old, tt.new, diff)
		}
	}
}

// What is said is true: the hunks make the new text of the old one.
func TestUnifiedApplies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var a, b []string
		for range r.IntN(40) {
			a = append(a, string(rune('a'+r.IntN(6))))
		}
		for _, line := range a {
			switch r.IntN(8) {
			case 0:
			case 1:
				b = append(b, line, string(rune('a'+r.IntN(6))))
			default:
				b = append(b, line)
			}
		}
		hunks := unified(lineEdits(a, b))
		if got := apply(t, a, hunks); !slices.Equal(got, b) {
			t.Fatalf("%q of %q, want %q, by\n%s", got, a, b, hunks)
		}
	}
}

// apply does what patch does, without looking for a place.
func apply(t *testing.T, old []string, hunks string) (lines []string) {
	t.Helper()
	at := 0
	for text := range strings.Lines(hunks) {
		line := strings.TrimSuffix(text, "\n")
		var from, count, to, n int
		if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &from, &count, &to, &n); err == nil {
			if count == 0 {
				from++
			}
			if n == 0 {
				to++
			}
			lines = append(lines, old[at:from-1]...)
			if at = from - 1; len(lines) != to-1 {
				t.Fatalf("%s begins at line %d\n%s", line, len(lines)+1, hunks)
			}
			continue
		}
		if line[0] != '+' {
			if old[at] != line[1:] {
				t.Fatalf("%q is %q\n%s", line, old[at], hunks)
			}
			at++
		}
		if line[0] != '-' {
			lines = append(lines, line[1:])
		}
	}
	return append(lines, old[at:]...)
}

// Texts that are too long for the table are replaced as a whole, ends apart.
func TestLineEditsAreBounded(t *testing.T) {
	a, b := []string{"same"}, []string{"same"}
	for range 5000 {
		a, b = append(a, "x"), append(b, "y")
	}
	a, b = append(a, "end"), append(b, "end")
	if got := lineEdits(a, b); len(got) != 10_002 || got[0].kind != ' ' || got[1].kind != '-' || got[10_001].kind != ' ' {
		t.Errorf("%d edits", len(got))
	}
}
