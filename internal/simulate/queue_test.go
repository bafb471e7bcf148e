package simulate_test

import (
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"godwit.dev/internal/simulate"
)

// poisson is arrivals at rate per second.
type poisson struct {
	r    *rand.Rand
	rate float64
	n    int
	at   float64 // s
}

func (p *poisson) Next() (simulate.Arrival, error) {
	if p.n == 0 {
		return simulate.Arrival{}, io.EOF
	}
	p.n--
	p.at += p.r.ExpFloat64() / p.rate
	return simulate.Arrival{At: time.Duration(p.at * 1e9)}, nil
}

// erlangC is the share of requests that wait before c servers of which load
// are busy on average.
func erlangC(c int, load float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = load * b / (float64(k) + load*b)
	}
	return b / (1 - load/float64(c)*(1-b))
}

// TestClosedForms holds fleets of fixed size to what queueing theory says of
// them, within 2 %. The seeds are fixed: the figures are the same each time.
func TestClosedForms(t *testing.T) {
	const service, n = 0.1, 700_000 // s, requests
	exponential := simulate.Service{Table: simulate.Constant(100 * time.Millisecond).Table, Exponential: true}
	tests := []struct {
		name    string
		f       simulate.Function
		p       simulate.Fixed
		servers int
		share   float64 // of the servers that are busy
		wait    float64 // mean, s
		waiting float64 // share of the requests, where it can be seen
	}{
		{name: "M/M/1", f: simulate.Function{Service: exponential}, servers: 1, share: 0.5, wait: service},
		{name: "M/M/4, one instance", f: simulate.Function{Service: exponential, Runs: 4}, servers: 4, share: 0.6, wait: erlangC(4, 2.4) * service / (4 * 0.4)},
		{name: "M/M/4, four instances", f: simulate.Function{Service: exponential}, p: simulate.Fixed{Instances: 4, Concurrency: 1}, servers: 4, share: 0.6,
			wait: erlangC(4, 2.4) * service / (4 * 0.4), waiting: erlangC(4, 2.4)},
		{name: "M/M/20, twenty instances", f: simulate.Function{Service: exponential}, p: simulate.Fixed{Instances: 20, Concurrency: 1}, servers: 20, share: 0.75,
			wait: erlangC(20, 15) * service / (20 * 0.25), waiting: erlangC(20, 15)},
		{name: "M/D/1", f: simulate.Function{Service: simulate.Constant(100 * time.Millisecond)}, servers: 1, share: 0.7, wait: 0.7 / (2 * 0.3) * service},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.f.Queue = -1
			waited := 0
			opts := &simulate.Options{Functions: []simulate.Function{tt.f}, Policy: tt.p, Seed: 4, Observe: func(o *simulate.Outcome) {
				if o.Began > o.Arrived {
					waited++
				}
			}}
			r, err := simulate.Run(t.Context(), &poisson{r: rand.New(rand.NewPCG(9, 7)), rate: tt.share * float64(tt.servers) / service, n: n}, opts)
			if err != nil {
				t.Fatal(err)
			}
			within(t, "mean wait", r.Latency.Mean-r.BusySeconds/n, tt.wait)
			within(t, "share of busy servers", r.BusySeconds/r.Seconds/float64(tt.servers), tt.share)
			if tt.waiting > 0 {
				within(t, "share that waits", float64(waited)/n, tt.waiting)
			}
		})
	}
}

func within(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s: want %.6g, got %.6g (%+.2f %%)", what, want, got, 100*(got/want-1))
	if !(math.Abs(got/want-1) <= 0.02) {
		t.Errorf("%s: want %.6g within 2 %%, got %.6g", what, want, got)
	}
}

// TestBatchService holds an instance that takes all that waits into one run,
// which takes a + bB, to the stationary distribution of that queue. The sizes
// of the batches are a Markov chain: after a run of B come as many as arrive
// in t(B), or one when none did.
func TestBatchService(t *testing.T) {
	const a, b = 0.010, 0.0001 // s
	took := func(rows int) float64 { return a + b*float64(rows) }
	for _, rate := range []float64{100, 500, 1500} {
		size, latency := batchQueue(rate, took)
		s := simulate.Service{}
		for rows := 1; rows <= 512; rows++ {
			s.Table = append(s.Table, simulate.RunTime{Rows: rows, Time: time.Duration(took(rows) * 1e9)})
		}
		r, err := simulate.Run(t.Context(), &poisson{r: rand.New(rand.NewPCG(5, 7)), rate: rate, n: 400_000}, &simulate.Options{
			Functions: []simulate.Function{{Service: s, MaxBatch: 512, Queue: -1}}, Policy: simulate.Fixed{},
		})
		if err != nil {
			t.Fatal(err)
		}
		within(t, "mean batch", float64(r.Rows)/float64(r.Runs), size)
		within(t, "mean latency", r.Latency.Mean, latency)
	}
}

// batchQueue solves the chain: its mean batch, and by Little's law the mean latency.
func batchQueue(rate float64, took func(int) float64) (size, latency float64) {
	const most = 200
	p := make([]float64, most+1)
	p[1] = 1
	for range 400 {
		next := make([]float64, most+1)
		for n := 1; n <= most; n++ {
			mean := rate * took(n)
			prob := math.Exp(-mean)
			next[1] += p[n] * prob
			for k := 1; k <= most; k++ {
				prob *= mean / float64(k)
				next[k] += p[n] * prob
			}
		}
		p = next
	}
	inside, time := 0.0, 0.0
	for n := 1; n <= most; n++ {
		t := took(n)
		size += p[n] * float64(n)
		inside += p[n] * (float64(n)*t + rate*t*t/2)
		time += p[n] * (t + math.Exp(-rate*t)/rate)
	}
	return size, inside / time / rate
}
