package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fixture = "testdata/fixture"

// listed are the sorted lines of what mutate prints that begin with a dash.
func listed(out string) []string {
	var all []string
	for line := range strings.Lines(out) {
		if text, ok := strings.CutPrefix(line, "- "); ok {
			all = append(all, strings.TrimSpace(text))
		}
	}
	slices.Sort(all)
	return all
}

// What the tests of the fixture pass over is reported where it is, and all else
// they see.
func TestMutate(t *testing.T) {
	var out strings.Builder
	err := mutate(t.Context(), []string{fixture}, &out)
	if err == nil || !strings.Contains(err.Error(), "see 85 % of the mistakes") || !strings.Contains(err.Error(), "scripts/mutate/testdata/fixture") {
		t.Errorf("want an error that says so, got %v", err)
	}
	want := []string{
		"fixture.go:13 Sum: constant: `0` → `1` (survived)", // beside an error
		"fixture.go:35 Drain: constant: `0` → `1` (not reached)",
		"fixture.go:36 Drain: constant: `0` → `1` (not reached)",
		"fixture.go:36 Drain: negated: `n > 0` (not reached)",
		"fixture.go:36 Drain: operator: `n > 0` → `n >= 0` (not reached)",
		"fixture.go:37 Drain: removed: `n--` (not reached)",
		"fixture.go:38 Drain: removed: `steps++` (not reached)",
	}
	if diff := cmp.Diff(want, listed(out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The tool knows these mistakes, and makes none of the words of an error.
func TestFind(t *testing.T) {
	pkg, err := load(t.Context(), fixture)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range find(pkg) {
		if m.in == "Sum" || m.in == "var" || m.in == "Note" {
			got = append(got, m.String())
		}
	}
	slices.Sort(got)
	want := []string{
		"fixture.go:12 Sum: constant: `0` → `1`",
		"fixture.go:12 Sum: negated: `len(all) == 0`",
		"fixture.go:13 Sum: constant: `0` → `1`",
		"fixture.go:13 Sum: goes on: `return 0, errors.New(\"nothing\")`",
		"fixture.go:13 Sum: no error: `errors.New(\"nothing\")` → `nil`",
		"fixture.go:15 Sum: constant: `0` → `1`",
		"fixture.go:17 Sum: negated: `n < floor`",
		"fixture.go:17 Sum: operator: `n < floor` → `n <= floor`",
		"fixture.go:18 Sum: goes on: `continue`",
		"fixture.go:20 Sum: operator: `sum + n` → `sum - n`",
		"fixture.go:20 Sum: removed: `sum = sum + n`",
		"fixture.go:30 Note: constant: `\"one\"` → `\"onex\"`",
		"fixture.go:30 Note: constant: `\"sum\"` → `\"sumx\"`",
		"fixture.go:30 Note: removed: `to[\"sum\"] = names[\"one\"]`",
		"fixture.go:8 var: constant: `\"one\"` → `\"onex\"`",
		"fixture.go:8 var: constant: `1` → `2`",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A mistake that a file lists is made where the file says, and a file that no
// longer says where is refused.
func TestSeeds(t *testing.T) {
	pkg, err := load(t.Context(), fixture)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "fixture.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all, err := seeds(pkg, write("# sums\n\nfloor too low\nfixture.go\n- if n < floor {\n+ if n < floor-1 {\n\nthe name lost\nfixture.go\n- return header\n+ return \"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := build(t.Context(), pkg, all, t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.survey(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all {
		fate, by, err := r.try(t.Context(), m, false)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.what+": "+fate+" "+by)
	}
	if diff := cmp.Diff([]string{"floor too low: killed TestSum", "the name lost: killed TestHead"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for name, c := range map[string]struct{ text, want string }{
		"not there":    {"x\nfixture.go\n- if n > floor {\n+\n", "got it 0 times"},
		"there twice":  {"x\nfixture.go\n- := 0\n+ := 1\n", "got it 2 times"},
		"no function":  {"x\nfixture.go\n- const header\n+ const footer\n", "inside a function"},
		"another file": {"x\nother.go\n- a\n+ b\n", `got "other.go"`},
		"no file":      {"x\n- a\n+ b\n", "want blocks of a name, a file"},
		"no change":    {"x\nfixture.go\n", "want blocks of a name, a file"},
	} {
		if _, err := seeds(pkg, write(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error that says %q, got %v", name, c.want, err)
		}
	}
}

// Every listed mistake is still where its file says.
func TestSeededFilesFit(t *testing.T) {
	files, err := filepath.Glob("seeded/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("want files of mistakes, got %v, %v", files, err)
	}
	for _, file := range files {
		pkg, err := load(t.Context(), "../../adapters/"+strings.TrimSuffix(filepath.Base(file), ".txt"))
		if err != nil {
			t.Fatal(err)
		}
		all, err := seeds(pkg, file)
		if err != nil {
			t.Error(err)
		}
		if err == nil && len(all) < 10 {
			t.Errorf("%s: want at least 10 mistakes, got %d", file, len(all))
		}
	}
}
