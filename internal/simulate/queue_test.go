package simulate_test

import (
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"godwit.dev/internal/simulate"
)

// poisson is n arrivals at rate per second.
func poisson(rate float64, n int, seed uint64) simulate.Source {
	return &poissonSource{rand.New(rand.NewPCG(seed, 7)), rate, n, 0}
}

type poissonSource struct {
	r    *rand.Rand
	rate float64
	n    int
	at   float64
}

func (p *poissonSource) Next() (simulate.Arrival, error) {
	if p.n == 0 {
		return simulate.Arrival{}, io.EOF
	}
	p.n--
	p.at += p.r.ExpFloat64() / p.rate
	return simulate.Arrival{At: time.Duration(p.at * 1e9)}, nil
}

// erlangC is the share of requests that wait, with c servers and load of them
// busy on average.
func erlangC(c int, load float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = load * b / (float64(k) + load*b)
	}
	return b / (1 - load/float64(c)*(1-b))
}

// TestClosedForms holds fixed fleets to queueing theory, within 2 %.
func TestClosedForms(t *testing.T) {
	const service = 100 * time.Millisecond
	const n = 600_000
	mmc := func(c int, rho float64) (wait, waits float64) {
		w := erlangC(c, rho*float64(c))
		return w * service.Seconds() / (float64(c) * (1 - rho)), w
	}
	tests := []struct {
		name  string
		f     simulate.Function
		p     simulate.Fixed
		rho   float64
		c     int
		wait  func() (mean, share float64)
		loose float64
	}{
		{name: "M/M/1", f: simulate.Function{Service: simulate.Service{Table: simulate.Constant(service).Table, Exponential: true}, Queue: -1},
			p: simulate.Fixed{Instances: 1}, rho: 0.7, c: 1, wait: func() (float64, float64) { return mmc(1, 0.7) }},
		{name: "M/M/4 in one instance", f: simulate.Function{Service: simulate.Service{Table: simulate.Constant(service).Table, Exponential: true}, Runs: 4, Queue: -1},
			p: simulate.Fixed{Instances: 1}, rho: 0.8, c: 4, wait: func() (float64, float64) { return mmc(4, 0.8) }},
		{name: "M/M/20 in 20 instances", f: simulate.Function{Service: simulate.Service{Table: simulate.Constant(service).Table, Exponential: true}, Queue: -1},
			p: simulate.Fixed{Instances: 20, Concurrency: 1}, rho: 0.9, c: 20, wait: func() (float64, float64) { return mmc(20, 0.9) }},
		{name: "M/D/1", f: simulate.Function{Service: simulate.Constant(service), Queue: -1},
			p: simulate.Fixed{Instances: 1}, rho: 0.8, c: 1, wait: func() (float64, float64) { return 0.8 / (2 * 0.2) * service.Seconds(), 0.8 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rate := tt.rho * float64(tt.c) / service.Seconds()
			var wait float64
			var waited, all int64
			opts := &simulate.Options{
				Functions: []simulate.Function{tt.f}, Policy: tt.p, Seed: 1,
				Observe: func(o *simulate.Outcome) { all++ },
			}
			r, err := simulate.Run(t.Context(), poisson(rate, n, 3), opts)
			if err != nil {
				t.Fatal(err)
			}
			_ = waited
			wantWait, _ := tt.wait()
			wait = r.Latency.Mean - r.BusySeconds/float64(r.Served)
			if math.Abs(wait/wantWait-1) > 0.02 {
				t.Errorf("want a mean wait of %.5f s within 2 %%, got %.5f s", wantWait, wait)
			}
			util := r.BusySeconds / r.Seconds / float64(tt.c)
			if math.Abs(util/tt.rho-1) > 0.02 {
				t.Errorf("want %.2f of the runs busy, got %.4f", tt.rho, util)
			}
		})
	}
}
