package simulate

import (
	"container/heap"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"godwit.dev/runtime/fault"
)

// Synthetic is a generator of traces like those of the papers about the real
// ones: few functions make nearly all calls, most are called less than once a
// minute, half take less than a second, and load has days, pauses and bursts.
// Zero values are such a trace. Equal values give equal arrivals.
type Synthetic struct {
	Functions int           // 0 means 1
	Until     time.Duration // of the trace; 0 means 24 h
	// Rate is the mean of all functions together, per second. 0 means 1.
	Rate float64
	// Zipf is the exponent of popularity: function k, from 1, is called in
	// proportion to k^-Zipf. 0 means 1.8, with which the first fifth of a thousand
	// functions makes 99 % of the calls.
	Zipf float64
	// Diurnal is how far the rate goes up and down in 24 h, as a share of its
	// mean. 0 means 0.5; negative: not at all.
	Diurnal float64
	// Switching and Bursty are the shares of the functions that are called in
	// phases with pauses between them, and of those with bursts of ten times the
	// rate between them (a Poisson process modulated by two states); the rest is
	// Poisson. 0 means 0.3 and 0.2; negative: none.
	Switching, Bursty float64
	// Durations gives each arrival a service time: log-normal around the
	// function's median, which is log-normal around 600 ms. Else Service is 0.
	Durations bool
	Seed      uint64
}

func (g Synthetic) withDefaults() Synthetic {
	g.Functions, g.Until, g.Rate, g.Zipf = or(g.Functions, 1), or(g.Until, 24*time.Hour), or(g.Rate, 1), or(g.Zipf, 1.8)
	g.Diurnal, g.Switching, g.Bursty = max(or(g.Diurnal, 0.5), 0), max(or(g.Switching, 0.3), 0), max(or(g.Bursty, 0.2), 0)
	return g
}

// Names are of the functions, as traces that are written of it have them.
func (g Synthetic) Names() []string {
	names := make([]string, g.withDefaults().Functions)
	for k := range names {
		names[k] = fmt.Sprintf("function-%04d", k)
	}
	return names
}

// Source begins the trace. Errors: BadConfig for a setting that makes no sense.
func (g Synthetic) Source() (Source, error) {
	g = g.withDefaults()
	if g.Functions < 0 || g.Until < 0 || !(g.Rate > 0) || !(g.Zipf > 0) || g.Diurnal > 1 || g.Switching+g.Bursty > 1 || math.IsInf(g.Rate, 0) {
		return nil, fault.New(fault.BadConfig, "simulate.Synthetic", "",
			"want functions, a length, a rate and an exponent above 0, and shares of at most 1 together, got %+v", g)
	}
	total := 0.0
	for k := range g.Functions {
		total += math.Pow(float64(k+1), -g.Zipf)
	}
	s := &synthetic{Synthetic: g}
	for k := range g.Functions {
		f := &caller{index: k, r: rand.New(rand.NewPCG(g.Seed, uint64(k)+1)), rate: g.Rate * math.Pow(float64(k+1), -g.Zipf) / total}
		f.median = 0.6 * math.Exp(f.r.NormFloat64()*1.2)
		f.phase = f.r.Float64() * 3600 // not all at the same minute
		switch u := f.r.Float64(); {
		case u < g.Switching:
			// A quarter of the time, in phases of at least some calls.
			f.on, f.off = max(300, 5/f.rate), 3*max(300, 5/f.rate)
			f.high, f.low = 4*f.rate, 0
		case u < g.Switching+g.Bursty:
			f.on, f.off = 30, 270
			f.high, f.low = 10*f.rate/1.9, f.rate/1.9
		default:
			f.on, f.off, f.high = math.Inf(1), 1, f.rate
		}
		f.begin()
		if s.next(f) {
			s.callers = append(s.callers, f)
		}
	}
	heap.Init(&s.callers)
	return s, nil
}

// synthetic merges the calls of all functions.
type synthetic struct {
	Synthetic
	callers callers
}

// caller is who calls one function. Times are in seconds.
type caller struct {
	index     int
	r         *rand.Rand
	rate      float64
	median    float64
	phase     float64
	on, off   float64 // mean length of the states
	high, low float64 // rates in them
	isOn      bool
	until     float64 // of the state
	at        float64 // of the next call
}

func (f *caller) begin() {
	f.isOn = math.IsInf(f.on, 1) || f.r.Float64() < f.on/(f.on+f.off)
	f.until = f.stay()
}

func (f *caller) stay() float64 {
	switch {
	case math.IsInf(f.on, 1):
		return math.Inf(1)
	case f.isOn:
		return f.at + f.r.ExpFloat64()*f.on
	}
	return f.at + f.r.ExpFloat64()*f.off
}

// next moves f to its next call and reports whether it is in the trace.
func (s *synthetic) next(f *caller) bool {
	end := s.Until.Seconds()
	for f.at < end {
		rate := f.low
		if f.isOn {
			rate = f.high
		}
		next := math.Inf(1)
		if rate > 0 {
			next = f.at + f.r.ExpFloat64()/(rate*(1+s.Diurnal))
		}
		if next > f.until { // the state changes first, and forgets nothing: calls are memoryless
			f.at = f.until
			f.isOn = !f.isOn
			f.until = f.stay()
			continue
		}
		f.at = next
		if f.at < end && f.r.Float64()*(1+s.Diurnal) < 1+s.Diurnal*math.Sin(2*math.Pi*(f.at-f.phase)/86400-math.Pi/2) {
			return true
		}
	}
	return false
}

// Next implements Source.
func (s *synthetic) Next() (Arrival, error) {
	if len(s.callers) == 0 {
		return Arrival{}, io.EOF
	}
	f := s.callers[0]
	a := Arrival{At: time.Duration(f.at * 1e9), Function: f.index}
	if s.Durations {
		a.Service = time.Duration(f.median * math.Exp(f.r.NormFloat64()*0.5) * 1e9)
	}
	if s.next(f) {
		heap.Fix(&s.callers, 0)
	} else {
		heap.Pop(&s.callers)
	}
	return a, nil
}

// callers is a heap by the next call.
type callers []*caller

func (c callers) Len() int { return len(c) }
func (c callers) Less(i, j int) bool {
	return c[i].at < c[j].at || c[i].at == c[j].at && c[i].index < c[j].index
}
func (c callers) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *callers) Push(x any)   { *c = append(*c, x.(*caller)) }
func (c *callers) Pop() any {
	last := len(*c) - 1
	f := (*c)[last]
	*c = (*c)[:last]
	return f
}
