package simulate

import (
	"io"
	"time"
)

// Arrival is a request that comes in.
type Arrival struct {
	// At is when, from the start of the trace.
	At time.Duration
	// Function is the index in Options.Functions.
	Function int
	// Service is what the request's run takes where the trace knows it; 0: what
	// the function's table says. Such a request shares no run.
	Service time.Duration
}

// Source gives arrivals in the order of At. Next returns io.EOF behind the last
// one, and any other error for a trace that cannot be read. A Source belongs to
// one goroutine.
type Source interface {
	Next() (Arrival, error)
}

// Slice is a Source of the arrivals given, which must be in order.
func Slice(arrivals []Arrival) Source { return &slice{left: arrivals} }

type slice struct{ left []Arrival }

func (s *slice) Next() (Arrival, error) {
	if len(s.left) == 0 {
		return Arrival{}, io.EOF
	}
	a := s.left[0]
	s.left = s.left[1:]
	return a, nil
}
