package app

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// People read what is wrong with what, and not which function of ours says so.
func TestProblemsNameNoFunctions(t *testing.T) {
	inner := fault.New(fault.Usage, "loadtest.Parse", "", "want a time, got %q", "x").WithHint("Say 1s.")
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{inner, []string{`want a time, got "x"`}},
		{fault.New(fault.Usage, "", "--slo", "%w", inner), []string{`--slo: want a time, got "x"`}},
		{fault.New(fault.BadConfig, "app.Open", "dir", "no such file"), []string{"dir: no such file"}},
		{fmt.Errorf("app.Load: %w", errors.New("interrupted")), []string{"app.Load: interrupted"}},
		{errors.Join(inner, fault.New(fault.Internal, "a.B", "c", "d")), []string{`want a time, got "x"`, "c: d"}},
	} {
		var got []string
		for _, p := range Problems(tt.err) {
			got = append(got, p.Error)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.err, diff)
		}
	}
}
