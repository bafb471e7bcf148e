package measure

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInTurn(t *testing.T) {
	order := ""
	side := func(name string) func() (float64, error) {
		return func() (float64, error) { order += name; return float64(len(order)), nil }
	}
	pairs, err := InTurn(t.Context(), 4, side("A"), side("B"))
	if err != nil || order != "ABBAABBA" {
		t.Fatalf("want the order ABBAABBA, got %s and %v", order, err)
	}
	want := []Pair{{Ours: 1, Other: 2}, {Ours: 4, Other: 3}, {Ours: 5, Other: 6}, {Ours: 8, Other: 7}}
	if d := cmp.Diff(want, pairs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	broken := errors.New("broken")
	if _, err := InTurn(t.Context(), 2, func() (float64, error) { return 0, broken }, side("B")); !errors.Is(err, broken) {
		t.Errorf("want the error of a side, got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := InTurn(ended, 2, side("A"), side("B")); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error, got %v", err)
	}
}

// The median of the pairs' ratios is not the ratio of the medians.
func TestEach(t *testing.T) {
	pairs := []Pair{{Ours: 1, Other: 2}, {Ours: 10, Other: 10}, {Ours: 9, Other: 3}, {Ours: 8, Other: 4}}
	if d := cmp.Diff(Spread{Median: 1.5, Min: 0.5, Max: 3, N: 4}, Each(pairs, Pair.Ratio)); d != "" {
		t.Errorf("ratios (-want +got)\n%s", d)
	}
	if d := cmp.Diff(Spread{Median: 1, Min: 1.0 / 3, Max: 2, N: 3}, Each(pairs[:3], Pair.Inverse)); d != "" {
		t.Errorf("inverse (-want +got)\n%s", d)
	}
	if got := SpreadOf(nil); !math.IsNaN(got.Median) || got.N != 0 {
		t.Errorf("nothing measured: want NaN, got %v", got)
	}
}

func TestSteady(t *testing.T) {
	cases := []struct {
		name    string
		windows []float64
		want    bool
	}{
		{"too few", []float64{100, 100}, false},
		{"still rising", []float64{50, 80, 100}, false},
		{"settled after a slow start", []float64{10, 50, 100, 101, 102}, true},
		{"just not", []float64{100, 101.5, 103.1}, false},
		{"falls again", []float64{100, 100, 100, 90}, false},
		{"nothing is answered", []float64{0, 0, 0}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Steady(c.windows, 0.03); got != c.want {
				t.Errorf("want %v, got %v", c.want, got)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.12345: "0.123", 1.2345: "1.23", 12.345: "12.3", 123.45: "123", 12345: "12345", -3.456: "-3.46", math.NaN(): "–"} {
		if got := Number(v); got != want {
			t.Errorf("%g: want %s, got %s", v, want, got)
		}
	}
}
