package spec

import (
	"regexp"
	"strings"
	"testing"
)

// What says the same as a pattern says it of every text.
func TestRulesFitTheirPatterns(t *testing.T) {
	texts := []string{"", "-", ".", "_", "a", "Z", "7", "a-", "-a", "a.b", "a_b", "a-b", "A-b", "aB", "a--b", "7a", "a7", "é", "a\n", "a b", "a:", "g", "ff"}
	for _, n := range []int{48, 49, 50, 63, 64, 65, 127, 128, 129} {
		for _, c := range []string{"a", "0", "f", "g", "-", "."} {
			texts = append(texts, strings.Repeat(c, n), "a"+strings.Repeat(c, n-1), "a"+strings.Repeat(c, n-2)+"b")
		}
	}
	some := 0
	for _, r := range []rule{modelName, versionName, functionName, digest} {
		pattern := regexp.MustCompile(r.pattern)
		for _, s := range texts {
			got, want := r.fits(s), pattern.MatchString(s)
			if got != want {
				t.Errorf("%s: %q: fits %v, the pattern %s says %v", r.what, s, got, r.pattern, want)
			}
			if want {
				some++
			}
		}
	}
	if some < 20 {
		t.Errorf("want texts that fit among those tried, got %d", some)
	}
}
