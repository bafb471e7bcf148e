package report_test

import (
	"slices"
	"strings"
	"testing"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/report"
	"godwit.dev/runtime/fault"
)

// verdicts compares each of some runs with each of others, and gives the share
// where any figure is worse, and where any is not the same.
func verdicts(t *testing.T, before, after []*report.Recording, o *report.CompareOptions) (worse, changed float64) {
	t.Helper()
	pairs := 0.0
	for _, a := range before {
		for _, b := range after {
			c, err := report.Compare(a, b, o)
			if err != nil {
				t.Fatal(err)
			}
			pairs++
			if c.Worse {
				worse++
			}
			if slices.ContainsFunc(c.Changes, func(one report.Change) bool { return one.Verdict != "same" }) {
				changed++
			}
		}
	}
	return worse / pairs, changed / pairs
}

func runs(n int, slower float64, seed uint64) []*report.Recording {
	var all []*report.Recording
	for k := range n {
		all = append(all, recorded(20, slower, seed+uint64(k)))
	}
	return all
}

// Equal servers are found different as seldom as is promised, over all figures
// together, and a tenth is found.
func TestFalseAlarmsAndPower(t *testing.T) {
	base := runs(24, 1, 1)
	equal := runs(24, 1, 1000)
	if _, share := verdicts(t, base, equal, &report.CompareOptions{Alpha: 0.05, Tolerance: -1}); share > 0.075 { // the pairs are not independent
		t.Errorf("want at most 5 of 100 alarms among equals, got %.3f", share)
	}
	if _, share := verdicts(t, base, equal, &report.CompareOptions{Alpha: 0.5, Tolerance: -1}); share < 0.2 || share > 0.55 { // and the test is no constant
		t.Errorf("want at most half, and many, at alpha 0.5, got %.3f", share)
	}
	if share, _ := verdicts(t, base, runs(8, 1.1, 2000), nil); share < 0.95 {
		t.Errorf("want a tenth to be found in nearly all, got %.3f", share)
	}
	if share, _ := verdicts(t, base, runs(8, 1.01, 3000), nil); share > 0.05 { // hardly more than an equal one
		t.Errorf("want a hundredth to be worse as seldom as an alarm, got %.3f", share)
	}
	if share, _ := verdicts(t, base, runs(8, 0.8, 4000), nil); share > 0 {
		t.Errorf("want what is faster not to be worse, got %.3f", share)
	}
}

func TestFiguresOfAComparison(t *testing.T) {
	c, err := report.Compare(recorded(60, 1, 1), recorded(60, 1.25, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.OldBlocks != 30 || c.NewBlocks != 30 || !c.Worse || c.Better {
		t.Errorf("want 30 blocks each and a worse run, got %+v", c)
	}
	got := map[string]report.Change{}
	for _, one := range c.Changes {
		got[one.Figure] = one
	}
	for _, name := range []string{"p50", "p99", "cpu"} {
		if one := got[name]; one.Verdict != "worse" || one.Ratio < 1.2 || one.Ratio > 1.3 || one.Low > 1.25 || one.High < 1.25 {
			t.Errorf("%s: want a quarter more, got %+v", name, one)
		}
	}
	if got["errors"].Verdict != "same" {
		t.Errorf("want no change of errors, got %+v", got["errors"])
	}
	if _, there := got["answered"]; there {
		t.Error("an open loop's rate is what was asked")
	}

	failing := recorded(60, 1, 3)
	failing.Sent += 400
	failing.Errors["503"] = 400
	if c, err = report.Compare(recorded(60, 1, 1), failing, nil); err != nil || !c.Worse || !strings.Contains(c.Summary(), "worse: errors") {
		t.Errorf("want failed requests to be worse, got %+v, %v", c, err)
	}
	if c, err = report.Compare(failing, recorded(60, 1, 1), nil); err != nil || c.Worse || !c.Better {
		t.Errorf("want fewer failed requests to be better, got %+v, %v", c, err)
	}

	closed := func(rate int64, seed uint64) *report.Recording {
		r := recorded(20, 1, seed)
		r.Loop = "closed"
		for i := range r.Windows {
			r.Windows[i].OK = rate + int64(i%5)
		}
		return r
	}
	if c, err = report.Compare(closed(1000, 1), closed(800, 2), nil); err != nil || !strings.Contains(c.Summary(), "answered") || !c.Worse {
		t.Errorf("want a lower throughput to be worse, got %+v, %v", c, err)
	}
}

func TestOnlyTheSameIsCompared(t *testing.T) {
	base := recorded(20, 1, 1)
	for name, change := range map[string]func(*report.Recording){
		"model":     func(r *report.Recording) { r.Model = "other" },
		"protocol":  func(r *report.Recording) { r.Protocol = loadtest.GRPC },
		"load":      func(r *report.Recording) { r.Loop = "constant" },
		"rate":      func(r *report.Recording) { r.Rate = 301 },
		"processor": func(r *report.Recording) { r.Run.Machine.CPU = "another" },
		"cores":     func(r *report.Recording) { r.Run.Machine.Cores = 64 },
		"search":    func(r *report.Recording) { r.Limit = &loadtest.Limit{} },
	} {
		other := recorded(20, 1, 2)
		change(other)
		if _, err := report.Compare(base, other, nil); fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: want code usage and its name, got %v", name, err)
		}
		if c, err := report.Compare(base, other, &report.CompareOptions{Force: true}); err != nil || len(c.Unlike) == 0 {
			t.Errorf("%s: want it compared by force, and said, got %+v, %v", name, c, err)
		}
	}
	if _, err := report.Compare(base, recorded(7, 1, 1), nil); fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), "8 windows") {
		t.Errorf("want code usage for too few windows, got %v", err)
	}
}
