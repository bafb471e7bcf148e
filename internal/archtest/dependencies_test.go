package archtest

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every direct dependency has its line in docs/dependencies.md, and every line
// a dependency.
func TestDependenciesAreExplained(t *testing.T) {
	read := func(name string, pattern string) []string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
			found = append(found, m[1])
		}
		slices.Sort(found)
		return found
	}
	required := read("../../go.mod", `(?m)^\t(\S+) v\S+$`) // an indirect one has a comment
	explained := read("../../docs/dependencies.md", "(?m)^\\| `([^`]+)` \\|")
	if diff := cmp.Diff(required, explained); diff != "" {
		t.Errorf("docs/dependencies.md (-go.mod +explained):\n%s", diff)
	}
}
