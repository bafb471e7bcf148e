package simulate

import (
	"bufio"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

const head2021 = "app,func,end_timestamp,duration"

// window2021 is how far apart two lines' order in the file and their order by
// begin may be. The published file is in the order of ends.
const window2021 = 3600.0 // s

// Open2021 opens a trace in the format of Azure's of 2021: a line for each
// call, app, function, when it ended and how long it took, in seconds. It is
// read twice, first for its functions, and streamed: calls that began within an
// hour are held, to be given in the order of their begins. Errors: Invalid for
// what is no such trace.
func Open2021(open Open) (*Trace, error) {
	t := &Trace{}
	n := newNames()
	l, err := openLines("calls", open)
	if err != nil {
		return nil, err
	}
	err = read2021(l, n, func(c call) error {
		n.list[c.function].Requests++
		t.Requests++
		t.Until = max(t.Until, time.Duration(c.begin*1e9))
		return nil
	})
	if err := errors.Join(err, l.file.Close()); err != nil {
		return nil, err
	}
	t.Functions = n.list
	if l, err = openLines("calls", open); err != nil {
		return nil, err
	}
	if err := l.head(head2021); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	s := &stream2021{l: l, names: n, latest: math.Inf(-1)}
	t.next, t.close = s.next, l.file.Close
	return t, nil
}

// call is a line. Times are in seconds.
type call struct {
	begin, end float64
	function   int
	order      int
}

// read2021 reads all lines.
func read2021(l *lines, n *names, each func(call) error) error {
	if err := l.head(head2021); err != nil {
		return err
	}
	for {
		c, err := next2021(l, n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(c)
		}
		if err != nil {
			return err
		}
	}
}

func next2021(l *lines, n *names) (c call, err error) {
	text, err := l.next()
	if err != nil {
		return c, err
	}
	fields := strings.Split(text, ",")
	if len(fields) != 4 {
		return c, l.bad("want app,func,end_timestamp,duration, got %d fields", len(fields))
	}
	end, err1 := strconv.ParseFloat(strings.TrimSpace(fields[2]), 64)
	took, err2 := strconv.ParseFloat(strings.TrimSpace(fields[3]), 64)
	const most = 366 * 86400
	if err1 != nil || err2 != nil || !(end >= 0 && end <= most) || !(took >= 0 && took <= most) {
		return c, l.bad("want an end and a duration in seconds from 0 to a year, got %.40q and %.40q", fields[2], fields[3])
	}
	// A call that began before the trace counts from its begin.
	c = call{begin: max(end-took, 0), end: end, order: l.n}
	c.function, err = n.of(l, fields[0]+"/"+fields[1])
	return c, err
}

// stream2021 gives calls in the order of their begins.
type stream2021 struct {
	l       *lines
	names   *names
	held    calls
	latest  float64 // end read so far
	given   time.Duration
	drained bool
}

func (s *stream2021) next() (Arrival, error) {
	for !s.drained && (len(s.held) == 0 || s.held[0].begin > s.latest-window2021) {
		c, err := next2021(s.l, s.names)
		switch {
		case errors.Is(err, io.EOF):
			s.drained = true
			continue
		case err != nil:
			return Arrival{}, err
		}
		s.latest = max(s.latest, c.end)
		heap.Push(&s.held, c)
	}
	if len(s.held) == 0 {
		return Arrival{}, io.EOF
	}
	c := heap.Pop(&s.held).(call)
	at := time.Duration(c.begin * 1e9)
	if at < s.given {
		return Arrival{}, s.l.bad("want calls within an hour of their order, got one that began at %.3f s behind one at %.3f s", c.begin, s.given.Seconds())
	}
	s.given = at
	return Arrival{At: at, Function: c.function, Service: max(time.Duration((c.end-c.begin)*1e9), 1)}, nil
}

// calls is a heap by begin.
type calls []call

func (c calls) Len() int { return len(c) }
func (c calls) Less(i, j int) bool {
	return c[i].begin < c[j].begin || c[i].begin == c[j].begin && c[i].order < c[j].order
}
func (c calls) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *calls) Push(x any)   { *c = append(*c, x.(call)) }
func (c *calls) Pop() any {
	last := len(*c) - 1
	v := (*c)[last]
	*c = (*c)[:last]
	return v
}

// Write2021 writes the arrivals of src in the format of Open2021. names are of
// the functions; a name without a slash is an app with a function of that name.
func Write2021(w io.Writer, names []string, src Source) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, head2021)
	for {
		a, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		app, function := split(names[a.Function])
		fmt.Fprintf(out, "%s,%s,%.9f,%.9f\n", app, function, (a.At + a.Service).Seconds(), a.Service.Seconds())
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("simulate.Write2021: %w", err)
	}
	return nil
}

// split is a name's app and function.
func split(name string) (app, function string) {
	if k := strings.LastIndexByte(name, '/'); k >= 0 {
		return name[:k], name[k+1:]
	}
	return name, name
}
