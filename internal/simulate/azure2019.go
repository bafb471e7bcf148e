package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	minutes         = 24 * 60
	headInvocations = "HashOwner,HashApp,HashFunction,Trigger,1,2,"
	headDurations   = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,"
	headMemory      = "HashOwner,HashApp,SampleCount,AverageAllocatedMb"
)

// percentiles of Azure's durations; the columns behind Maximum.
var percentiles = [...]float64{0, 1, 25, 50, 75, 99, 100}

// Day2019 is the files of one day of a trace in the format of Azure's of 2019.
// Durations and Memory may be nil.
type Day2019 struct {
	Invocations Open // calls of each function in each of 1440 minutes
	Durations   Open // of each function: percentiles of averages over 30 s, in ms, without cold starts
	Memory      Open // of each app: MB
}

// Open2019 opens a trace in the format of Azure's of 2019. How calls lie within
// their minute the trace does not say: they are drawn uniformly, and their
// durations from the percentiles, by the seed. A day is in memory at a time,
// of its counts only those that are not 0. Errors: Invalid for what is no such
// trace.
func Open2019(days []Day2019, seed uint64) (*Trace, error) {
	s := &stream2019{days: days, names: newNames(), r: rand.New(rand.NewPCG(seed, 2019))}
	t := &Trace{next: s.next, close: func() error { return nil }}
	for k := range days { // once for the functions, their order and their number
		if err := s.load(k); err != nil {
			return nil, err
		}
		for minute, all := range s.counts {
			for _, c := range all {
				s.names.list[c.function].Requests += int64(c.n)
				t.Requests += int64(c.n)
				t.Until = time.Duration(k*minutes+minute+1) * time.Minute
			}
		}
		if err := s.memory(k); err != nil {
			return nil, err
		}
	}
	t.Functions = s.names.list
	s.day = -1
	return t, nil
}

// stream2019 gives the calls of one minute after the other.
type stream2019 struct {
	days   []Day2019
	names  *names
	r      *rand.Rand
	day    int
	minute int
	counts [minutes][]count
	took   map[int][len(percentiles)]float64 // ms, of the day
	ready  []Arrival
}

type count struct {
	function int
	n        int
}

func (s *stream2019) next() (Arrival, error) {
	for len(s.ready) == 0 {
		if s.day >= 0 && s.minute < minutes {
			s.spread()
			s.minute++
			continue
		}
		if s.day+1 >= len(s.days) {
			return Arrival{}, io.EOF
		}
		s.day, s.minute = s.day+1, 0
		if err := s.load(s.day); err != nil {
			return Arrival{}, err
		}
		if err := s.durations(s.day); err != nil {
			return Arrival{}, err
		}
	}
	a := s.ready[0]
	s.ready = s.ready[1:]
	return a, nil
}

// spread draws the calls of a minute.
func (s *stream2019) spread() {
	from := time.Duration(s.day*minutes+s.minute) * time.Minute
	s.ready = s.ready[:0]
	for _, c := range s.counts[s.minute] {
		for range c.n {
			a := Arrival{At: from + time.Duration(s.r.Int64N(int64(time.Minute))), Function: c.function}
			if p, ok := s.took[c.function]; ok {
				a.Service = max(1, time.Duration(between(&p, 100*s.r.Float64())*1e6))
			}
			s.ready = append(s.ready, a)
		}
	}
	slices.SortStableFunc(s.ready, func(a, b Arrival) int {
		if a.At != b.At {
			return int(a.At - b.At)
		}
		return a.Function - b.Function
	})
}

// between interpolates a percentile.
func between(p *[len(percentiles)]float64, at float64) float64 {
	for k := 1; k < len(percentiles); k++ {
		if at <= percentiles[k] {
			return p[k-1] + (p[k]-p[k-1])*(at-percentiles[k-1])/(percentiles[k]-percentiles[k-1])
		}
	}
	return p[len(p)-1]
}

// load reads a day's counts.
func (s *stream2019) load(day int) error {
	for k := range s.counts {
		s.counts[k] = nil
	}
	all := [minutes]int{}
	return s.each(fmt.Sprintf("invocations of day %d", day+1), s.days[day].Invocations, headInvocations, 4+minutes, func(l *lines, fields []string) error {
		f, err := s.names.of(l, strings.Join(fields[:3], "/"))
		if err != nil {
			return err
		}
		for k, text := range fields[4:] {
			if text == "0" || text == "" {
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > traceMinute {
				return l.bad("want a number of calls from 0 to %d in minute %d, got %.40q", traceMinute, k+1, text)
			}
			if all[k] += n; all[k] > 4*traceMinute {
				return l.bad("want at most %d calls of all functions in minute %d", 4*traceMinute, k+1)
			}
			if n > 0 {
				s.counts[k] = append(s.counts[k], count{f, n})
			}
		}
		return nil
	})
}

// durations reads what a day's calls took.
func (s *stream2019) durations(day int) error {
	s.took = map[int][len(percentiles)]float64{}
	if s.days[day].Durations == nil {
		return nil
	}
	return s.each(fmt.Sprintf("durations of day %d", day+1), s.days[day].Durations, headDurations, 7+len(percentiles), func(l *lines, fields []string) error {
		f, ok := s.names.index[strings.Join(fields[:3], "/")]
		if !ok {
			return nil // of a function that nobody called
		}
		var p [len(percentiles)]float64
		for k, text := range fields[7:] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v >= 0 && v <= 86400_000) || k > 0 && v < p[k-1] {
				return l.bad("want percentiles in ms, none below the one before it, got %.40q", text)
			}
			p[k] = v
		}
		s.took[f] = p
		return nil
	})
}

// memory reads what a day's apps were given; the last day counts.
func (s *stream2019) memory(day int) error {
	if s.days[day].Memory == nil {
		return nil
	}
	apps := map[string]float64{}
	err := s.each(fmt.Sprintf("memory of day %d", day+1), s.days[day].Memory, headMemory, 0, func(l *lines, fields []string) error {
		if len(fields) < 4 {
			return l.bad("want an owner, an app, a number of samples and MB, got %d fields", len(fields))
		}
		v, err := strconv.ParseFloat(fields[3], 64)
		if err != nil || !(v >= 0) || math.IsInf(v, 0) {
			return l.bad("want MB, got %.40q", fields[3])
		}
		apps[fields[0]+"/"+fields[1]] = v
		return nil
	})
	if err != nil {
		return err
	}
	for k := range s.names.list {
		f := &s.names.list[k]
		app, _ := split(f.Name)
		if v, ok := apps[app]; ok {
			f.MemoryMB = v
		}
	}
	return nil
}

// each reads a file line by line; fields is how many each has, 0 any.
func (s *stream2019) each(name string, open Open, head string, fields int, line func(*lines, []string) error) (err error) {
	l, err := openLines(name, open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.file.Close()) }()
	if err := l.head(head); err != nil {
		return err
	}
	for {
		text, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		all := strings.Split(text, ",")
		if fields > 0 && len(all) != fields {
			return l.bad("want %d fields, got %d", fields, len(all))
		}
		if len(all) < 3 {
			return l.bad("want an owner, an app and a function, got %d fields", len(all))
		}
		if err := line(l, all); err != nil {
			return err
		}
	}
}

// Write2019 writes the arrivals of src that lie within one day, which is its
// first, in the format of Open2019: how many there were of each function in
// each minute, and where durations is not nil what they took. The owner is
// "godwit"; a name without a slash is an app with a function of that name.
func Write2019(invocations, durations io.Writer, names []string, src Source) error {
	counts := make([][minutes]int, len(names))
	took := make([][]float64, len(names))
	for {
		a, err := src.Next()
		if errors.Is(err, io.EOF) || err == nil && a.At >= 24*time.Hour {
			break
		}
		if err != nil {
			return err
		}
		counts[a.Function][int(a.At/time.Minute)]++
		if durations != nil {
			took[a.Function] = append(took[a.Function], float64(a.Service)/1e6)
		}
	}
	out := bufio.NewWriter(invocations)
	fmt.Fprint(out, "HashOwner,HashApp,HashFunction,Trigger")
	for k := range minutes {
		fmt.Fprintf(out, ",%d", k+1)
	}
	fmt.Fprintln(out)
	for f := range names {
		app, function := split(names[f])
		fmt.Fprintf(out, "godwit,%s,%s,http", app, function)
		for _, n := range counts[f] {
			fmt.Fprintf(out, ",%d", n)
		}
		fmt.Fprintln(out)
	}
	err := out.Flush()
	if durations != nil {
		err = errors.Join(err, writeDurations(durations, names, took))
	}
	if err != nil {
		return fmt.Errorf("simulate.Write2019: %w", err)
	}
	return nil
}

func writeDurations(w io.Writer, names []string, took [][]float64) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum")
	for _, p := range percentiles {
		fmt.Fprintf(out, ",percentile_Average_%g", p)
	}
	fmt.Fprintln(out)
	for f, all := range took {
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		sum := 0.0
		for _, v := range all {
			sum += v
		}
		app, function := split(names[f])
		fmt.Fprintf(out, "godwit,%s,%s,%.3f,%d,%.6f,%.6f", app, function, sum/float64(len(all)), len(all), all[0], all[len(all)-1])
		for _, p := range percentiles {
			fmt.Fprintf(out, ",%.6f", all[int(p/100*float64(len(all)-1))])
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}
