package tune

import (
	"math"
	"testing"
)

// The values are those of printed tables of Student's distribution.
func TestQuantileT(t *testing.T) {
	for _, tt := range []struct {
		p    float64
		df   int
		want float64
	}{
		{0.975, 1, 12.706}, {0.975, 2, 4.303}, {0.975, 3, 3.182}, {0.995, 4, 4.604}, {0.95, 7, 1.895},
		{0.99, 10, 2.764}, {0.975, 29, 2.045}, {0.975, 120, 1.980}, {0.5, 5, 0},
	} {
		if got := quantileT(tt.p, tt.df); math.Abs(got-tt.want) > 0.0006 {
			t.Errorf("quantileT(%g, %d) = %.4f, want %.3f", tt.p, tt.df, got, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	b := []float64{100, 90, 110, 100, 95, 105, 100, 120}
	a := make([]float64, len(b))
	for i := range b {
		a[i] = b[i] * 1.2 * []float64{1.005, 0.995}[i%2]
	}
	calm := compare(a, b, 0.01)
	if calm.Low < 1.18 || calm.High > 1.22 || math.Abs(calm.Value-1.2) > 0.005 || calm.Pairs != 8 {
		t.Errorf("got %+v, want about 1.2", calm)
	}
	a[3] /= 10 // the machine did something else
	if r := compare(a, b, 0.01); math.Abs(r.Value-1.2) > 0.01 || r.Low < 1.1 {
		t.Errorf("one block that is not like the others: got %+v, want about 1.2", r)
	}
	for n, r := range []Ratio{compare(nil, nil, 0.01), compare(a[:1], b[:1], 0.01)} {
		if r.Low != 0 || !math.IsInf(r.High, 1) {
			t.Errorf("%d pairs: got %+v, want an interval of everything", n, r)
		}
	}
}
