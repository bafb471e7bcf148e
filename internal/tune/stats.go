package tune

import (
	"math"
	"slices"
)

// A Ratio is how many times better one candidate is than another, of blocks that
// were measured beside each other.
type Ratio struct {
	Value     float64 `json:"value"` // above 1 is better
	Low, High float64 `json:"-"`     // the interval of it, at the confidence of whoever asked
	Pairs     int     `json:"pairs"`
}

// compare is the ratio of a to b, which are positive and of the same blocks, with
// an interval that leaves out alpha on either side. It is Yuen's for pairs: the
// trimmed mean of the logarithms, so that a block in which the machine did
// something else decides nothing. With fewer than two pairs the interval is
// everything.
func compare(a, b []float64, alpha float64) Ratio {
	n := min(len(a), len(b))
	logs := make([]float64, n)
	for i := range n {
		logs[i] = math.Log(a[i] / b[i])
	}
	mean, err, df := trimmed(logs)
	r := Ratio{Value: math.Exp(mean), Low: 0, High: math.Inf(1), Pairs: n}
	if df > 0 {
		half := err * quantileT(1-alpha, df)
		r.Low, r.High = math.Exp(mean-half), math.Exp(mean+half)
	}
	return r
}

// trimmed is the mean of v without its ends, the standard error of that, and the
// degrees of freedom; 0 of those where there is nothing to estimate an error from.
func trimmed(v []float64) (mean, err float64, df int) {
	n := len(v)
	if n == 0 {
		return 0, math.Inf(1), 0
	}
	s := slices.Sorted(slices.Values(v))
	cut := int(0.2 * float64(n)) // from 5 on
	kept := s[cut : n-cut]
	for _, x := range kept {
		mean += x / float64(len(kept))
	}
	if n < 2 {
		return mean, math.Inf(1), 0
	}
	// The variance with the ends pulled in, as Winsor has it.
	mid, sum := 0.0, 0.0
	pulled := func(i int) float64 { return s[min(max(i, cut), n-1-cut)] }
	for i := range n {
		mid += pulled(i) / float64(n)
	}
	for i := range n {
		sum += (pulled(i) - mid) * (pulled(i) - mid)
	}
	h := len(kept)
	return mean, math.Sqrt(sum / float64(h) / float64(h-1)), h - 1
}

// middle is the logarithm of the ratio of a to b, for ranking: of three blocks
// already, one in which the machine did something else does not count.
func middle(a, b []float64) float64 {
	logs := make([]float64, len(a))
	for i := range logs {
		logs[i] = math.Log(a[i] / b[i])
	}
	slices.Sort(logs)
	cut := int(0.34 * float64(len(logs)))
	kept, sum := logs[cut:len(logs)-cut], 0.0
	for _, x := range kept {
		sum += x
	}
	return sum / float64(len(kept))
}

// median is the middle of v; NaN of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// quantileT is the quantile p, from 0.5 up, of Student's distribution.
func quantileT(p float64, df int) float64 {
	low, high := 0.0, 1.0
	for cumulativeT(high, df) < p && high < 1e9 {
		high *= 2
	}
	for range 60 {
		if mid := (low + high) / 2; cumulativeT(mid, df) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// cumulativeT is the distribution's share below t, from 0 up, in the finite sums
// that there are for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 4).
func cumulativeT(t float64, df int) float64 {
	theta := math.Atan(t / math.Sqrt(float64(df)))
	cos2 := math.Cos(theta) * math.Cos(theta)
	sum, term := 0.0, 1.0
	if df%2 == 0 {
		for k := 0; k <= df-2; k += 2 {
			sum += term
			term *= cos2 * float64(k+1) / float64(k+2)
		}
		return 0.5 + math.Sin(theta)*sum/2
	}
	term = math.Cos(theta)
	for k := 1; k <= df-2; k += 2 {
		sum += term
		term *= cos2 * float64(k+1) / float64(k+2)
	}
	return 0.5 + (theta+math.Sin(theta)*sum)/math.Pi
}
