package archtest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every direct dependency of each module has its line in docs/dependencies.md,
// and every line a dependency.
func TestDependenciesAreExplained(t *testing.T) {
	read := func(text, pattern string) []string {
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			if m[1] != "godwit.dev" { // cdk's own other half
				found = append(found, m[1])
			}
		}
		slices.Sort(found)
		return found
	}
	open := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	root, cdk, ok := strings.Cut(open("../../docs/dependencies.md"), "| module of `cdk` |")
	if !ok {
		t.Fatal("docs/dependencies.md: want a table for the module cdk")
	}
	cdk, conformance, ok := strings.Cut(cdk, "| module of `knative/conformance` |")
	if !ok {
		t.Fatal("docs/dependencies.md: want a table for the module knative/conformance")
	}
	for mod, explained := range map[string]string{"go.mod": root, "cdk/go.mod": cdk, "knative/conformance/go.mod": conformance} {
		required := read(open("../../"+mod), `(?m)^\t(\S+) v\S+$`) // an indirect one has a comment
		if diff := cmp.Diff(required, read(explained, "(?m)^\\| `([^`]+)` \\|")); diff != "" {
			t.Errorf("docs/dependencies.md (-%s +explained):\n%s", mod, diff)
		}
	}
}
