package report

import (
	"math"
	"slices"
)

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// exactU is up to how many values on each side the test is exact; with more the
// normal law is as near as anybody needs.
const exactU = 14

// mannWhitney is the two-sided p-value of the test of Mann and Whitney (On a
// test of whether one of two random variables is stochastically larger than the
// other, Ann. Math. Statist. 18, 1947).
func mannWhitney(a, b []float64) float64 {
	u := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				u++
			case x == y:
				u += 0.5
			}
		}
	}
	n, m := len(a), len(b)
	all := slices.Sorted(slices.Values(append(slices.Clone(a), b...)))
	ties := 0.0 // sum of t^3-t
	for i := 0; i < len(all); {
		k := i
		for k < len(all) && all[k] == all[i] {
			k++
		}
		t := float64(k - i)
		ties += t*t*t - t
		i = k
	}
	if ties == 0 && n <= exactU && m <= exactU {
		return math.Min(1, 2*atMost(int(math.Min(u, float64(n*m)-u)), n, m))
	}
	total := float64(n + m)
	variance := float64(n*m) / 12 * (total + 1 - ties/(total*(total-1)))
	if variance <= 0 {
		return 1 // all are equal
	}
	z := math.Max(math.Abs(u-float64(n*m)/2)-0.5, 0) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

// atMost is the probability that U is at most u, from how many orders of n and m
// values have which U: c(n, m, u) = c(n-1, m, u-m) + c(n, m-1, u).
func atMost(u, n, m int) float64 {
	size := n*m + 1
	rows := make([][]float64, m+1) // probabilities, for the n so far
	for k := range rows {
		rows[k] = make([]float64, size)
		rows[k][0] = 1
	}
	for i := 1; i <= n; i++ {
		next := make([][]float64, m+1)
		next[0] = make([]float64, size)
		next[0][0] = 1
		for k := 1; k <= m; k++ {
			row := make([]float64, size)
			p := float64(i) / float64(i+k) // the largest is one of the first
			for v := 0; v <= i*k; v++ {
				if v >= k {
					row[v] += p * rows[k][v-k]
				}
				row[v] += (1 - p) * next[k-1][v]
			}
			next[k] = row
		}
		rows = next
	}
	sum := 0.0
	for v := 0; v <= u; v++ {
		sum += rows[m][v]
	}
	return sum
}

// shift is the ratio of b to a by Hodges and Lehmann (Estimates of location
// based on rank tests, Ann. Math. Statist. 34, 1963): the median of all ratios,
// with the interval that the test of Mann and Whitney does not refuse at 5 %.
func shift(a, b []float64) (ratio, low, high float64) {
	var all []float64
	for _, x := range a {
		for _, y := range b {
			if x > 0 && y > 0 {
				all = append(all, y/x)
			}
		}
	}
	if len(all) == 0 {
		return 1, 1, 1
	}
	slices.Sort(all)
	n, m := float64(len(a)), float64(len(b))
	k := int(n*m/2 - 1.96*math.Sqrt(n*m*(n+m+1)/12))
	k = min(max(k, 0), (len(all)-1)/2)
	return median(all), all[k], all[len(all)-1-k]
}

// fisher is the two-sided p-value of Fisher's exact test of x of n against y of
// m, by the normal approximation where both sides have many of both kinds.
func fisher(x, n, y, m int64) float64 {
	if n == 0 || m == 0 || x+y == 0 || x+y == n+m {
		return 1
	}
	p := float64(x+y) / float64(n+m)
	if least := p * float64(min(n, m)); least > 50 && (1-p)*float64(min(n, m)) > 50 {
		z := math.Abs(float64(x)/float64(n)-float64(y)/float64(m)) / math.Sqrt(p*(1-p)*(1/float64(n)+1/float64(m)))
		return math.Erfc(z / math.Sqrt2)
	}
	log := func(k int64) float64 { v, _ := math.Lgamma(float64(k) + 1); return v }
	choose := func(a, b int64) float64 { return log(a) - log(b) - log(a-b) }
	weigh := func(k int64) float64 { return choose(n, k) + choose(m, x+y-k) - choose(n+m, x+y) }
	seen, sum := weigh(x), 0.0
	for k := max(0, x+y-m); k <= min(n, x+y); k++ {
		if w := weigh(k); w <= seen+1e-7 {
			sum += math.Exp(w)
		}
	}
	return math.Min(sum, 1)
}
