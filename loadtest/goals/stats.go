//go:build linux && cgo

package main

import (
	"context"

	"godwit.dev/loadtest/measure"
)

// pair is one measurement of ours and of the floor, spread what many gave.
type (
	pair   = measure.Pair
	spread = measure.Spread
)

// paired measures the two sides in turn, A B B A, n times each.
func paired(ctx context.Context, n int, ours, floor func() (float64, error)) ([]pair, error) {
	return measure.InTurn(ctx, n, ours, floor)
}

func spreadOf(values []float64) spread { return measure.SpreadOf(values) }

// each is the spread of what f makes of the pairs.
func each(pairs []pair, f func(pair) float64) spread { return measure.Each(pairs, f) }

func ratio(p pair) float64      { return p.Ratio() }
func difference(p pair) float64 { return p.Difference() }
func oursOf(p pair) float64     { return p.Ours }
func floorOf(p pair) float64    { return p.Other }

// number prints v with three significant digits.
func number(v float64) string { return measure.Number(v) }
