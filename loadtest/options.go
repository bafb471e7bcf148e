package loadtest

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Protocol is how requests are sent.
type Protocol string

// The protocols: REST with JSON numbers, REST with the binary tensor
// extension both ways, and gRPC with raw tensor contents.
const (
	JSON   Protocol = "json"
	Binary Protocol = "binary"
	GRPC   Protocol = "grpc"
)

// Options of a run; the zero value of a field means its default.
type Options struct {
	// Target is the server, "http://HOST:PORT", also for gRPC; https is TLS.
	// A path is put before the protocol's own.
	Target string
	// Model and Version say whom to ask. Without Model it is that of the first
	// of Requests, else the server's only one.
	Model, Version string
	Protocol       Protocol // default JSON

	// Requests are sent in turn. Without any they are made up from the model's
	// metadata, as many different ones as Payloads.
	Requests []*infer.Request
	// Payloads is how many different requests are sent; where Requests has
	// fewer, more are made from them that mix their rows' values. A server
	// that sees few different bodies is faster than it is in use. Default 64,
	// fewer where they would have more than 128 MiB; -1 leaves Requests as
	// they are.
	Payloads int
	// Header is sent with every request; over gRPC it is metadata.
	Header http.Header

	// Sign sets headers that hold for one request alone, as a signature of its
	// body does; r has all others. It is called before the load, once for every
	// request that is different, and not over gRPC. nil sets none.
	Sign func(ctx context.Context, r *http.Request, body []byte) error

	// Rate is how many requests arrive in a second, whatever is answered (open
	// loop); 0 is the closed loop.
	Rate float64
	// Constant makes arrivals come at equal distances. The default is a
	// Poisson process: independent callers.
	Constant bool
	// Burst has load come and go: Rate is that within a burst. nil is none.
	Burst *Burst
	// Zero, with Burst, makes each burst meet a server that was at rest. It is
	// called before each, when nothing is under way and connections are closed,
	// with the burst's number from 0 on, and returns when nothing serves any
	// more. What it waits does not count. Off and Warmup are not used, and
	// connections are opened by the requests that need them.
	Zero func(ctx context.Context, burst int) error
	// Offsets replaces Rate by a trace: when each request is due after the
	// start, not falling. It ends the run, or Duration does, which a trace has to
	// be given: for progress and as a bound. An error of it ends the run and is
	// Run's. Warmup is not used.
	Offsets iter.Seq2[time.Duration, error]
	// Seed of arrivals and of made-up values; the same seed gives the same.
	Seed uint64
	// Connections is how many requests are outstanding at most, each on a
	// connection of its own. Default 16, in an open loop 256. A request that
	// is due when all are in use waits, and its wait counts (Result.Waited).
	Connections int

	Warmup   time.Duration // load before anything counts; default none
	Duration time.Duration // of what counts; default 10 s
	// Count ends the run after so many requests; 0 leaves it to Duration.
	Count int64
	// Timeout of one request from the moment when it was due; default 10 s.
	Timeout time.Duration

	// Unchecked leaves out the first request, whose answer must be well-formed
	// and, over binary and gRPC, the same as over JSON: for floors that answer
	// fixed bytes. It needs Requests and Model.
	Unchecked bool
	// Observe is called once for every request that counts, concurrently, as
	// soon as it has ended.
	Observe func(Observation)
	// Window is called after each window of WindowEvery, default 1 s, from one
	// goroutine at a time; the last call is over when Run returns. It may keep w.
	// The start of what counts and the end of new requests are windows' ends.
	Window      func(w *Window)
	WindowEvery time.Duration
	// Usage tells what the server has taken, false where it cannot now. It is
	// called at the end of each window.
	Usage func() (Usage, bool)
	// Progress is called about four times a second, from one goroutine.
	Progress func(Progress)
	// Dial replaces net.Dialer.DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// sleep replaces the timer; synctest cannot see that a file descriptor waits.
	sleep func(time.Duration)
}

// Observation is one request's end.
type Observation struct {
	Due     time.Duration // when it was due, after the start of what counts
	Latency time.Duration // since then
	Service time.Duration // since it was sent
	Outcome string        // "" for an answer, else as in Result.Errors
}

// Progress is what has happened up to now, warm-up included.
type Progress struct {
	Elapsed, Total time.Duration
	Warm           bool // the warm-up is over
	Done, Failed   int64
	Outstanding    int
	Latest         *Window // the last window that has ended; nil before there is one
}

// withDefaults checks o and fills it in. Errors: Usage.
func (o *Options) withDefaults() (Options, error) {
	c := *o
	u, err := url.Parse(c.Target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return c, fault.New(fault.Usage, "loadtest.Run", c.Target, "want a URL such as http://localhost:8080, got %q", c.Target)
	}
	if c.Protocol == "" {
		c.Protocol = JSON
	}
	switch c.Protocol {
	case JSON, Binary, GRPC:
	default:
		return c, fault.New(fault.Usage, "loadtest.Run", "protocol", "want json, binary or grpc, got %q", string(c.Protocol))
	}
	if c.Rate < 0 || c.Rate > maxRate {
		return c, fault.New(fault.Usage, "loadtest.Run", "rate", "want requests in a second, at most %g, got %g", float64(maxRate), c.Rate)
	}
	if c.Connections < 0 || c.Connections > maxConnections {
		return c, fault.New(fault.Usage, "loadtest.Run", "connections", "want 1 to %d, got %d", maxConnections, c.Connections)
	}
	if c.Duration < 0 || c.Warmup < 0 || c.Timeout < 0 {
		return c, fault.New(fault.Usage, "loadtest.Run", "", "want durations of at least 0, got %v, warm-up %v, timeout %v", c.Duration, c.Warmup, c.Timeout)
	}
	if err := c.checkPattern(); err != nil {
		return c, err
	}
	if c.WindowEvery <= 0 {
		c.WindowEvery = time.Second
	}
	if c.Connections == 0 {
		c.Connections = 16
		if c.isOpen() {
			c.Connections = 256
		}
	}
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Payloads == 0 {
		c.Payloads = 64
	}
	for name, values := range c.Header {
		for _, v := range values {
			if strings.ContainsAny(name+v, "\r\n") {
				return c, fault.New(fault.Usage, "loadtest.Run", "header", "want a name and a value on one line, got %s", fmt.Sprintf("%q", name+": "+v))
			}
		}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c, nil
}

func (o *Options) checkPattern() error {
	if b := o.Burst; b != nil && (b.On <= 0 || b.Off < 0 || o.Rate == 0) {
		return fault.New(fault.Usage, "loadtest.Run", "burst", "want a rate and bursts of some length, got %g in a second for %v, then none for %v", o.Rate, b.On, b.Off)
	}
	if o.Zero != nil && o.Burst == nil {
		return fault.New(fault.Usage, "loadtest.Run", "burst", "want bursts where each begins from zero, got none")
	}
	if o.Offsets != nil && (o.Rate != 0 || o.Burst != nil) {
		return fault.New(fault.Usage, "loadtest.Run", "trace", "want no rate beside a trace, got %g", o.Rate)
	}
	if o.Offsets != nil || o.Zero != nil {
		o.Warmup = 0
	}
	return nil
}

func (o *Options) isOpen() bool { return o.Rate > 0 || o.Offsets != nil }

// loop names how requests come.
func (o *Options) loop() string {
	switch {
	case o.Offsets != nil:
		return "trace"
	case o.Zero != nil:
		return "burst-from-zero"
	case o.Burst != nil:
		return "burst"
	case o.Rate > 0 && o.Constant:
		return "constant"
	case o.Rate > 0:
		return "poisson"
	}
	return "closed"
}

const (
	maxRate        = 1e6
	maxConnections = 1 << 14
)
