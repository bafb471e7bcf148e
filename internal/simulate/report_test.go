package simulate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReporter: a scrape has the last whole second of the pod, not the present.
func TestReporter(t *testing.T) {
	const second, from = int64(1e9), int64(300e6)
	var g reporter
	g.begin(from)
	type report struct {
		Mean float64
		Came int64
	}
	var got []report
	scrape := func(at int64) {
		mean, came := g.scrape(from + at)
		got = append(got, report{mean, came})
	}
	g.change(from+second/2, 1)
	scrape(second - 1) // nothing is reported yet
	g.change(from+second*3/4, 1)
	scrape(second) // one for a quarter, two for a quarter
	g.change(from+second*3/2, -1)
	scrape(second*2 - 1)
	scrape(second * 2) // two for a half, one for a half
	scrape(second * 5) // one all the time
	g.change(from+second*11/2, -1)
	scrape(second * 6)
	scrape(second * 9)
	want := []report{{0, 0}, {0.75, 2}, {0.75, 2}, {1.5, 0}, {1, 0}, {0.5, 0}, {0, 0}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
