//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// pair is one measurement of each side, taken right after another.
type pair struct{ ours, floor float64 }

// paired measures the two sides in turn, A B B A, n times each, so that what
// the machine does meanwhile meets both.
func paired(ctx context.Context, n int, ours, floor func() (float64, error)) ([]pair, error) {
	var pairs []pair
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var p pair
		var err error
		if i%2 == 0 {
			p.ours, err = ours()
		}
		if err == nil {
			p.floor, err = floor()
		}
		if err == nil && i%2 == 1 {
			p.ours, err = ours()
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// spread is the median of some measurements, their range and their number.
type spread struct {
	Median, Min, Max float64
	N                int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{Median: mid, Min: v[0], Max: v[len(v)-1], N: len(v)}
}

// each is the spread of what f makes of the pairs.
func each(pairs []pair, f func(pair) float64) spread {
	var values []float64
	for _, p := range pairs {
		values = append(values, f(p))
	}
	return spreadOf(values)
}

func ratio(p pair) float64      { return p.ours / p.floor }
func difference(p pair) float64 { return p.ours - p.floor }
func oursOf(p pair) float64     { return p.ours }
func floorOf(p pair) float64    { return p.floor }

// number prints v with three significant digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
