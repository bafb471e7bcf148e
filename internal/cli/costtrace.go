package cli

import (
	"io"
	"iter"
	"math"
	"os"
	"time"

	"godwit.dev/internal/cost"
	"godwit.dev/internal/simulate"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// readTrace reads --trace once, for its length, its rate and its busiest minute, and
// has the arrivals read from it again for each simulation.
func (o *costOptions) readTrace(ask *cost.Ask) error {
	file, err := os.Open(o.trace)
	if err != nil {
		return fault.New(fault.Usage, "", "--trace", "%w", err)
	}
	defer file.Close()
	var last time.Duration
	var count, minute, here, most int64
	for at, err := range loadtest.ReadTrace(file) {
		if err != nil {
			return err
		}
		if m := int64(at / time.Minute); m != minute {
			minute, here = m, 0
		}
		here++
		most = max(most, here)
		last = at
		count++
	}
	if count == 0 {
		return fault.New(fault.Invalid, "", o.trace, "want at least one request, got none")
	}
	// The last minute is a whole one: a trace ends somewhere in it.
	length := (last/time.Minute + 1) * time.Minute
	rate := float64(count) * cost.MonthSeconds / length.Seconds()
	peak := float64(most) * cost.MonthSeconds / 60
	if max(rate, peak) > float64(cost.MaxRequests) {
		return fault.New(fault.Invalid, "", o.trace, "want at most %d requests a month, got a minute with %d", cost.MaxRequests, most)
	}
	ask.Arrivals = cost.Arrivals{Rate: cost.Requests(math.Round(rate)), Peak: cost.Requests(math.Round(peak)), Length: length,
		Trace: func() (simulate.Source, error) {
			file, err := os.Open(o.trace)
			if err != nil {
				return nil, fault.New(fault.Usage, "", "--trace", "%w", err)
			}
			next, stop := iter.Pull2(loadtest.ReadTrace(file))
			return &traceSource{next: next, end: func() { stop(); file.Close() }}, nil
		}}
	return nil
}

// traceSource is a trace as the simulator reads it, to its end.
type traceSource struct {
	next func() (time.Duration, error, bool)
	end  func()
}

func (t *traceSource) Next() (simulate.Arrival, error) {
	at, err, ok := t.next()
	if !ok {
		t.end()
		return simulate.Arrival{}, io.EOF
	}
	if err != nil {
		t.end()
		return simulate.Arrival{}, err
	}
	return simulate.Arrival{At: at}, nil
}
