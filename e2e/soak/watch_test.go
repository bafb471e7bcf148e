package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// samples has one a second; v gives the RSS and the descriptors.
func samples(seconds int, v func(second int) (rss int64, fds int)) (all []sample) {
	for i := range seconds {
		rss, fds := v(i)
		all = append(all, sample{at: time.Duration(i) * time.Second, rss: rss, fds: fds})
	}
	return all
}

func TestReport(t *testing.T) {
	noise := func(i int) int64 { return int64(i*7919%1000) - 500 }
	tests := []struct {
		name    string
		samples []sample
		slope   float64 // KiB a minute
		within  float64
		problem string
	}{
		{"flat with noise", samples(300, func(i int) (int64, int) { return 50000 + noise(i), 12 }), 0, 30, ""},
		{"a leap while it warms up", samples(300, func(i int) (int64, int) { return 50000 + int64(min(i, 40))*1000, 12 }), 0, 0.01, ""},
		{"a leak", samples(300, func(i int) (int64, int) { return 50000 + 50*int64(i), 12 }), 3000, 0.01, "RSS grew"},
		{"descriptors leak", samples(300, func(i int) (int64, int) { return 50000, 12 + i/5 }), 0, 0.01, "descriptors grew"},
		{"too short", samples(20, func(i int) (int64, int) { return 50000, 12 }), 0, 0, "want more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := slope(tt.samples, func(s sample) float64 { return float64(s.rss) })
			if math.Abs(got-tt.slope) > tt.within {
				t.Errorf("slope %g KiB/min, want %g", got, tt.slope)
			}
			var out strings.Builder
			err := (&watcher{samples: tt.samples}).report(&out, 8<<10)
			if (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("report: %v, want %q", err, tt.problem)
			}
		})
	}
}
