package report

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Values of tables: Mann and Whitney's for small samples, Fisher's lady tasting
// tea, and a table of books on the latter.
func TestTestsAgainstTables(t *testing.T) {
	near := func(name string, want, got, tolerance float64) {
		t.Helper()
		if !(math.Abs(got-want) <= tolerance) {
			t.Errorf("%s: want %g, got %g", name, want, got)
		}
	}
	low := func(n int, from float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = from + float64(i)
		}
		return v
	}
	near("3 and 3 apart", 2.0/20, mannWhitney(low(3, 0), low(3, 10)), 1e-9)
	near("4 and 4 apart", 2.0/70, mannWhitney(low(4, 0), low(4, 10)), 1e-9)
	near("5 and 5 apart", 2.0/252, mannWhitney(low(5, 10), low(5, 0)), 1e-9)
	near("8 and 8 at the table's 5 % border, U = 13", 0.05, mannWhitney([]float64{1, 2, 3, 4, 5, 6.5, 10.5, 12.5}, []float64{6, 7, 8, 9, 10, 11, 12, 13}), 0.005)
	near("equal", 1, mannWhitney([]float64{2, 2, 2}, []float64{2, 2, 2}), 0)
	near("as the normal law says", mannWhitney(low(14, 0), low(14, 3.5)), normalU(low(14, 0), low(14, 3.5)), 0.002)

	near("tea, 3 of 4 and 1 of 4", 0.4857, fisher(3, 4, 1, 4), 1e-4)
	near("1 of 10 and 11 of 14", 0.002759, fisher(1, 10, 11, 14), 1e-6)
	near("none of many", 1, fisher(0, 1e9, 0, 1e9), 0)
	near("one of a million", 1, fisher(0, 1e6, 1, 1e6), 1e-3)
	near("no requests", 1, fisher(0, 0, 3, 5), 0)
	near("many, by the normal law", fisher(100, 1000, 130, 1000), 0.0357, 1e-3)
	if p := fisher(0, 1e12, 1e9, 1e12); p > 1e-9 {
		t.Errorf("want no chance at all, got %g", p)
	}

	ratio, from, to := shift(low(20, 100), func() []float64 {
		v := low(20, 100)
		for i := range v {
			v[i] *= 1.1
		}
		return v
	}())
	near("a tenth more", 1.1, ratio, 0.01)
	if !(from < 1.1 && to > 1.1 && from > 1.0 && to < 1.2) {
		t.Errorf("want an interval around 1.1, got %g to %g", from, to)
	}
}

// normalU is the approximation that the exact test is held against.
func normalU(a, b []float64) float64 {
	u := 0.0
	for _, x := range a {
		for _, y := range b {
			if x > y {
				u++
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	return math.Erfc((math.Abs(u-n*m/2) - 0.5) / math.Sqrt(n*m*(n+m+1)/12) / math.Sqrt2)
}

// Under no difference a p-value is uniform: a share of at most a is below a.
func TestPValuesAreUniform(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const runs = 4000
	var below [2]int
	covered := 0
	for range runs {
		a, b := make([]float64, 15), make([]float64, 20)
		for i := range a {
			a[i] = math.Exp(random.NormFloat64())
		}
		for i := range b {
			b[i] = math.Exp(random.NormFloat64())
		}
		p := mannWhitney(a, b)
		for i, level := range []float64{0.01, 0.05} {
			if p <= level {
				below[i]++
			}
		}
		if _, low, high := shift(a, b); low <= 1 && high >= 1 {
			covered++
		}
	}
	for i, level := range []float64{0.01, 0.05} {
		if share := float64(below[i]) / runs; share > level*1.3 || share < level*0.6 {
			t.Errorf("want a share of about %g at that level, got %g", level, share)
		}
	}
	if share := float64(covered) / runs; share < 0.935 || share > 0.97 {
		t.Errorf("want the interval to hold the ratio in 95 of 100, got %g", share)
	}
}
