package chart

import (
	"math"
	"strconv"
)

// Number writes v with four digits at most and the suffix k, M, G or T.
func Number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	suffix := ""
	for _, s := range []string{"k", "M", "G", "T"} {
		if math.Abs(v) < 999.95 {
			break
		}
		v, suffix = v/1000, s
	}
	return strconv.FormatFloat(round(v, 4), 'g', -1, 64) + suffix
}

// round keeps so many significant digits.
func round(v float64, digits int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits-1, 64), 64)
	if err != nil {
		return v
	}
	return r
}

func (a *Axis) text(v float64) string {
	if a.Format != nil {
		return a.Format(v)
	}
	return Number(v)
}

// usable says whether v can be drawn. What is near the end of the range is not,
// so that differences are finite.
func (a *Axis) usable(v float64) bool {
	return !math.IsNaN(v) && math.Abs(v) < 1e300 && (!a.Log || v > 1e-300)
}

// scale maps values to places.
type scale struct {
	low, high float64 // values at the ends
	from, to  float64 // their places
	log       bool
	ticks     []float64
}

func (s *scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log10(v), math.Log10(low), math.Log10(high)
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// newScale covers low to high with about n ticks. With round its ends are ticks.
func newScale(low, high float64, log, round bool, n int) *scale {
	if low > high { // nothing to draw
		low, high = 0, 1
		if log {
			low, high = 1, 10
		}
	}
	if log {
		return logScale(low, high, round, n)
	}
	if low == 0 && high == 0 {
		high = 1
	} else if high-low <= math.Abs(high)*1e-12 {
		d := math.Max(math.Abs(high)/2, 0.5)
		if low != 0 || round {
			low -= d
		}
		high += d
	}
	step := niceStep((high - low) / float64(n))
	s := &scale{low: low, high: high}
	first, last := math.Ceil(low/step-1e-9), math.Floor(high/step+1e-9)
	if round {
		first, last = math.Floor(low/step+1e-9), math.Ceil(high/step-1e-9)
		s.low, s.high = first*step, last*step
	}
	for k := first; k <= last; k++ {
		s.ticks = append(s.ticks, tidy(k*step))
	}
	return s
}

// tidy takes the last digits away that only arithmetic made.
func tidy(v float64) float64 { return round(v, 12) + 0 } // and no -0

// niceStep is 1, 2 or 5 times a power of ten, at least v.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= v*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

func logScale(low, high float64, round bool, n int) *scale {
	if high/low < 1+1e-9 {
		low, high = low/2, high*2
	}
	first, last := math.Floor(math.Log10(low)+1e-9), math.Ceil(math.Log10(high)-1e-9)
	multiples := []float64{1, 2, 5}
	if last-first > float64(n)/2 {
		multiples = []float64{1}
	}
	skip := math.Max(1, math.Ceil((last-first)/float64(max(n, 1)*2)))
	s := &scale{log: true, low: low, high: high}
	var all []float64
	for e := first; e <= last; e++ {
		for _, m := range multiples {
			if math.Mod(e-first, skip) == 0 {
				all = append(all, tidy(m*math.Pow(10, e)))
			}
		}
	}
	if round { // to the ticks around
		for _, t := range all {
			if t <= low*(1+1e-9) {
				s.low = t
			}
		}
		for k := len(all) - 1; k >= 0; k-- {
			if all[k] >= high*(1-1e-9) {
				s.high = all[k]
			}
		}
	}
	for _, t := range all {
		if t >= s.low*(1-1e-9) && t <= s.high*(1+1e-9) {
			s.ticks = append(s.ticks, t)
		}
	}
	if len(s.ticks) < 3 && s.high/s.low < 100 { // less than a decade: round numbers at their places
		s.ticks = newScale(s.low, s.high, false, false, n).ticks
	}
	return s
}
