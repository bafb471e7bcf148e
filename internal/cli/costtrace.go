package cli

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"godwit.dev/internal/cost"
	"godwit.dev/internal/simulate"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// The first lines of Azure's traces.
const (
	head2019 = "HashOwner,HashApp,HashFunction,"
	head2021 = "app,func,end_timestamp,duration"
)

// traceSeed is of how calls lie within their minutes, where a trace counts only those.
const traceSeed = 1

// readTrace reads --trace once, for its length, its rate and its busiest minute, and
// has the arrivals read from it again for each simulation.
func (o *costOptions) readTrace(ask *cost.Ask) error {
	src, err := o.openTrace()
	if err != nil {
		return err
	}
	defer src.(io.Closer).Close()
	var last time.Duration
	var count, minute, here, most int64
	for {
		a, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if m := int64(a.At / time.Minute); m != minute {
			minute, here = m, 0
		}
		here++
		most = max(most, here)
		last = a.At
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
	ask.Arrivals = cost.Arrivals{Rate: cost.Requests(math.Round(rate)), Peak: cost.Requests(math.Round(peak)), Length: length, Trace: o.openTrace}
	return nil
}

// openTrace is the trace's arrivals, all of one function: this one, which takes its
// own times.
func (o *costOptions) openTrace() (simulate.Source, error) {
	files := strings.Split(o.trace, ",")
	head, err := headOf(files[0])
	if err != nil {
		return nil, err
	}
	var t *simulate.Trace
	switch {
	case strings.HasPrefix(head, head2019):
		var days []simulate.Day2019
		for _, name := range files {
			days = append(days, simulate.Day2019{Invocations: opener(name)})
		}
		t, err = simulate.Open2019(days, traceSeed)
	case len(files) > 1:
		return nil, fault.New(fault.Usage, "", "--trace", "want one file, or the days of a trace of 2019, got %d files", len(files))
	case strings.HasPrefix(head, head2021):
		t, err = simulate.Open2021(opener(files[0]))
	default:
		if o.traceFunction != "" {
			return nil, fault.New(fault.Usage, "", "--trace-function", "want it with a trace of many functions, got one of arrivals alone")
		}
		file, err := os.Open(files[0])
		if err != nil {
			return nil, fault.New(fault.Usage, "", "--trace", "%w", err)
		}
		next, stop := iter.Pull2(loadtest.ReadTrace(file))
		return &arrivals{next: func() (simulate.Arrival, error) {
			at, err, ok := next()
			if !ok {
				err = io.EOF
			}
			return simulate.Arrival{At: at}, err
		}, end: func() { stop(); file.Close() }}, nil
	}
	if err != nil {
		return nil, err
	}
	only := -1
	if o.traceFunction != "" {
		only = slices.IndexFunc(t.Functions, func(f simulate.TraceFunction) bool { return f.Name == o.traceFunction })
		if only < 0 {
			t.Close()
			return nil, fault.New(fault.Usage, "", "--trace-function", "want one of the %d functions of %s, got %q", len(t.Functions), o.trace, o.traceFunction)
		}
	}
	return &arrivals{next: func() (simulate.Arrival, error) {
		for {
			a, err := t.Next()
			if err != nil || only < 0 || a.Function == only {
				return simulate.Arrival{At: a.At}, err
			}
		}
	}, end: func() { t.Close() }}, nil
}

// headOf is the head of a file.
func headOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", fault.New(fault.Usage, "", "--trace", "%w", err)
	}
	defer file.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(file, 4096), 4096).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fault.New(fault.Usage, "", "--trace", "%w", err)
	}
	return line, nil
}

func opener(name string) simulate.Open {
	return func() (io.ReadCloser, error) { return os.Open(name) }
}

// arrivals is a source that is to be closed, by whoever asked for it.
type arrivals struct {
	next func() (simulate.Arrival, error)
	end  func()
}

func (a *arrivals) Next() (simulate.Arrival, error) { return a.next() }

// Close closes the files.
func (a *arrivals) Close() error { a.end(); return nil }
