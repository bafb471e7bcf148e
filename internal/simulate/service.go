package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// logNormal draws a factor with median 1 whose 99th percentile is ratio.
func logNormal(r *rand.Rand, ratio float64) float64 {
	return math.Exp(r.NormFloat64() * math.Log(ratio) / z99)
}

// At is the table's time of a run of rows, without spread.
func (s *Service) At(rows int) time.Duration {
	var low RunTime
	for _, p := range s.Table {
		if p.Rows <= rows {
			low = p
			continue
		}
		if low.Rows == 0 {
			return p.Time
		}
		return low.Time + time.Duration(float64(p.Time-low.Time)*float64(rows-low.Rows)/float64(p.Rows-low.Rows))
	}
	if low.Rows == 0 {
		return 0
	}
	return time.Duration(float64(low.Time) * float64(rows) / float64(low.Rows))
}

func (s *Service) draw(r *rand.Rand, rows int) int64 {
	t := s.At(rows)
	switch {
	case s.Exponential:
		return int64(r.ExpFloat64() * float64(t))
	case s.Spread > 1:
		return int64(float64(t) * logNormal(r, s.Spread))
	}
	return int64(t)
}
