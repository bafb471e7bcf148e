package cdk_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit.dev/internal/golden"
)

// TestCompliance compares what the rule packs find with testdata/compliance: a
// finding that is new fails, and so does one that is gone. One that nobody
// acknowledged fails whatever the files say.
func TestCompliance(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			p := v.proven(t)
			if p.spec.Compliance == "none" {
				return
			}
			for _, f := range unacknowledged(p.found) {
				t.Error("not acknowledged: ", f)
			}
			golden.Check(t, "compliance/"+v.name+".txt", []byte(strings.Join(p.found, "\n")+"\n"))
		})
	}
}

// unacknowledged is those findings for which no reason is given.
func unacknowledged(found []string) []string {
	return slices.DeleteFunc(slices.Clone(found), func(l string) bool { return strings.HasPrefix(l, "Suppressed ") })
}

// nagged is what cdk-nag found, as "Suppressed RULE path: reason", sorted.
func nagged(t testing.TB, out, stack string) []string {
	t.Helper()
	reports, _ := filepath.Glob(filepath.Join(out, "*-NagReport.csv"))
	if len(reports) != 1 {
		t.Fatalf("want one report of cdk-nag, got %d", len(reports))
	}
	r, err := os.Open(reports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("want a report of cdk-nag with findings and what complies, got %d lines: %v", len(lines), err)
	}
	var all []string
	for _, l := range lines[1:] {
		rule, path, compliance, reason := l[0], l[1], l[2], l[3]
		if compliance != "Compliant" {
			all = append(all, fmt.Sprintf("%s %s %s: %s", compliance, rule, strings.TrimPrefix(path, stack+"/"), reason))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
