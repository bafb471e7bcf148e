package measure

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Pair is one measurement of each side, taken right after another.
type Pair struct{ Ours, Other float64 }

// InTurn measures the two sides in turn, A B B A, n times each. It ends with
// the first error of a side, and with ctx.
func InTurn(ctx context.Context, n int, ours, other func() (float64, error)) ([]Pair, error) {
	var pairs []Pair
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var p Pair
		var err error
		if i%2 == 0 {
			p.Ours, err = ours()
		}
		if err == nil {
			p.Other, err = other()
		}
		if err == nil && i%2 == 1 {
			p.Ours, err = ours()
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// Spread is the median of some measurements, their range and their number.
type Spread struct {
	Median, Min, Max float64
	N                int
}

// SpreadOf is the spread of values; of none all but N are NaN.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return Spread{Median: mid, Min: v[0], Max: v[len(v)-1], N: len(v)}
}

// Each is the spread of what f makes of the pairs: never a ratio of medians.
func Each(pairs []Pair, f func(Pair) float64) Spread {
	var values []float64
	for _, p := range pairs {
		values = append(values, f(p))
	}
	return SpreadOf(values)
}

// Ratio is ours over the other.
func (p Pair) Ratio() float64 { return p.Ours / p.Other }

// Inverse is the other over ours: how many times as much the other took.
func (p Pair) Inverse() float64 { return p.Other / p.Ours }

// Difference is ours less the other.
func (p Pair) Difference() float64 { return p.Ours - p.Other }

// First is ours, and Second the other: for Each.
func (p Pair) First() float64 { return p.Ours }

// Second is the other.
func (p Pair) Second() float64 { return p.Other }

// Number prints v with three significant digits, whole numbers from 100 on.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Steady says whether the last three windows differ by less than share: the
// largest over the smallest.
func Steady(windows []float64, share float64) bool {
	if len(windows) < 3 {
		return false
	}
	last := windows[len(windows)-3:]
	return slices.Max(last) < slices.Min(last)*(1+share)
}
