package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
)

// Objective is what must hold: a share Quantile of all requests, 0 to 1, is
// answered well Within that long after it was due. Whatever fails misses it.
type Objective struct {
	Quantile float64
	Within   time.Duration
}

// ParseObjective reads "p99=20ms", "p99.9=1s". Errors: Usage.
func ParseObjective(s string) (*Objective, error) {
	bad := func() (*Objective, error) {
		return nil, fault.New(fault.Usage, "loadtest.ParseObjective", "", "want a percentile and a time such as p99=20ms, got %q", s)
	}
	name, value, ok := strings.Cut(s, "=")
	number, isP := strings.CutPrefix(name, "p")
	q, err := strconv.ParseFloat(number, 64)
	if !ok || !isP || err != nil || !(q > 0 && q <= 99.999) {
		return bad()
	}
	within, err := time.ParseDuration(value)
	if err != nil || within <= 0 || within > longest {
		return bad()
	}
	return &Objective{q / 100, within}, nil
}

// String is as ParseObjective reads it.
func (o *Objective) String() string {
	return fmt.Sprintf("p%s=%v", strconv.FormatFloat(o.Quantile*100, 'g', 8, 64), o.Within)
}

// MarshalText is String.
func (o Objective) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText is ParseObjective.
func (o *Objective) UnmarshalText(text []byte) error {
	v, err := ParseObjective(string(text))
	if err == nil {
		*o = *v
	}
	return err
}

// Step is one rate that was tried.
type Step struct {
	Rate     float64 `json:"rate"`     // asked, in a second
	Achieved float64 `json:"achieved"` // answered well, in a second
	Seconds  float64 `json:"seconds"`
	Sent     int64   `json:"sent"`
	// Missed is how many of them were not answered well in time, and Share their
	// part of all.
	Missed int64   `json:"missed"`
	Share  float64 `json:"missed_share"`
	// LatencyMS is the objective's percentile of what was answered well.
	LatencyMS float64          `json:"latency_ms"`
	Errors    map[string]int64 `json:"errors,omitempty"`
	Holds     bool             `json:"holds"`
	// Why is one of "first", "double", "halve", "bisect", "again" (its result was
	// near the border) and "confirm".
	Why string `json:"why"`
	// Ended early, because the objective could not be held any more.
	Early bool `json:"early,omitempty"`
	// Client says that the client itself could not keep up.
	Client string `json:"client,omitempty"`
}

// Limit is the highest rate that holds an objective, and how it was found.
type Limit struct {
	Objective Objective `json:"objective"`
	// Rate is that rate, 0 where none held it. Above is the lowest rate that did
	// not, 0 where all did up to where the client's own limit was.
	Rate  float64 `json:"rate"`
	Above float64 `json:"above"`
	Steps []Step  `json:"steps"`
	// Note says what keeps the result from being whole.
	Note string `json:"note,omitempty"`
}

const (
	limitSteps  = 48       // at most
	limitExact  = 1.05     // the ratio of Above to Rate at which it is known
	limitMisses = 10       // a step is long enough for so many misses at the border
	limitQueue  = 20       // and so many times the objective's: a queue that grows has to show
	limitLength = 60       // and at most this many seconds, unless Duration is longer
	limitFloor  = 1.0 / 16 // of the first rate: nothing below is tried
)

// Limit looks for the highest rate at which o holds: doubling, from Options.Rate
// or from half of what one connection does, until it is missed (or halving, down
// to a sixteenth, until it holds), then by bisection until the two rates differ by 5 %. A step counts for
// Options.Duration, at least twenty times the objective's time, and
// longer where an objective needs more requests; what is
// near the border is measured again, twice if need be, and the rate that is
// found must hold once more. tell hears of each step when it has ended.
//
// Arrivals are as in Options but for a trace and bursts, which are refused.
// The result is that of the last step at the rate that was found, else of the
// last step. Errors: Usage, those of Run but its Runtime; with ctx's end the
// steps up to then are returned too.
func (s *Subject) Limit(ctx context.Context, o *Objective, tell func(*Step, *Result)) (*Limit, *Result, error) {
	if s.o.Offsets != nil || s.o.Burst != nil {
		return nil, nil, fault.New(fault.Usage, "loadtest.Limit", "arrivals", "want poisson or constant arrivals where a rate is looked for, got %s", s.o.loop())
	}
	l := &limiter{s: s, o: o, tell: tell, limit: &Limit{Objective: *o}}
	err := l.find(ctx)
	return l.limit, l.result(), err
}

type limiter struct {
	s       *Subject
	o       *Objective
	tell    func(*Step, *Result)
	limit   *Limit
	results []*Result // of each step
}

// result is that of the last step at the rate that was found, else of the last
// one that held, else of the last.
func (l *limiter) result() *Result {
	var held, last *Result
	for i, s := range l.limit.Steps {
		last = l.results[i]
		if s.Holds && (s.Rate == l.limit.Rate || l.limit.Rate == 0) {
			held = last
		}
	}
	if held != nil {
		return held
	}
	return last
}

func (l *limiter) find(ctx context.Context) error {
	rate := l.s.o.Rate
	if rate == 0 {
		var err error
		if rate, err = l.guess(ctx); err != nil {
			return err
		}
	}
	floor := rate * limitFloor
	low, high := 0.0, 0.0
	clients := false // it was the client that missed it at high
	why := "first"
	for len(l.limit.Steps) < limitSteps && (low == 0 || high == 0 || high/low > limitExact) {
		holds, client, err := l.judge(ctx, rate, why)
		if err != nil {
			return err
		}
		if holds {
			low = rate
		} else {
			high, clients = rate, client
		}
		switch {
		case high == 0 && low >= maxRate: // nothing above can be asked
			l.limit.Rate = low
			return nil
		case high == 0:
			rate, why = math.Min(low*2, maxRate), "double"
		case low == 0 && high <= floor:
			l.limit.Above = high
			return nil
		case low == 0:
			rate, why = math.Max(high/2, floor), "halve"
		default:
			rate, why = math.Sqrt(low*high), "bisect"
		}
	}
	for low > 0 && len(l.limit.Steps) < limitSteps {
		holds, _, err := l.judge(ctx, low, "confirm")
		if err != nil {
			return err
		}
		if holds {
			break
		}
		high, low, clients = low, low/limitExact, false
	}
	if len(l.limit.Steps) >= limitSteps {
		l.limit.Note = fmt.Sprintf("not certain after %d steps: results differ from step to step", limitSteps)
	}
	if clients && l.limit.Note == "" {
		l.limit.Note = fmt.Sprintf("at %.4g requests in a second the client itself could not keep up: the server may hold more", high)
	}
	l.limit.Rate, l.limit.Above = low, high
	return nil
}

// guess is half of what one connection does in a second.
func (l *limiter) guess(ctx context.Context) (float64, error) {
	o := l.s.o
	o.Connections, o.Warmup, o.Duration, o.Count = 1, 0, time.Second, 0
	o.Window, o.Progress, o.Usage, o.Observe = nil, nil, nil, nil
	r, err := l.s.run(ctx, o)
	if err != nil {
		return 0, err
	}
	return math.Max(r.Achieved/2, 1), nil
}

// judge tries a rate, more than once where its result is near the border: then
// the majority of three decides.
func (l *limiter) judge(ctx context.Context, rate float64, why string) (holds, client bool, err error) {
	yes, no := 0, 0
	for yes < 2 && no < 2 && len(l.limit.Steps) < limitSteps {
		step, err := l.try(ctx, rate, why)
		if err != nil {
			return false, false, err
		}
		if !step.Holds {
			if err := l.settle(ctx); err != nil {
				return false, false, err
			}
		}
		if step.Client != "" {
			return false, true, nil
		}
		if step.Holds {
			yes++
		} else {
			no++
		}
		if !l.near(step) && yes+no == 1 {
			break
		}
		why = "again"
	}
	return yes > no, false, nil
}

// near says that another run of the same might end otherwise: the misses are
// within three deviations of those that are allowed.
func (l *limiter) near(s *Step) bool {
	allowed := (1 - l.o.Quantile) * float64(s.Sent)
	return !s.Early && math.Abs(float64(s.Missed)-allowed) <= 3*math.Sqrt(math.Max(allowed, 1))
}

// settle waits, after a rate that was too high, until the server answers one
// connection in time again: what it still has to do is not the next step's.
func (l *limiter) settle(ctx context.Context) error {
	o := l.s.o
	o.Connections, o.Rate, o.Warmup, o.Duration, o.Count = 1, 0, 0, time.Minute, 3
	o.Window, o.Progress, o.Usage, o.Observe = nil, nil, nil, nil
	for end := time.Now().Add(10*l.o.Within + 5*time.Second); ; {
		r, err := l.s.run(ctx, o)
		if err != nil || r.OK == o.Count && r.Latency.Max <= l.o.Within || time.Now().After(end) {
			return err
		}
		waitFor(ctx, 100*time.Millisecond)
	}
}

var errMissed = errors.New("the objective cannot be held any more")

func (l *limiter) try(ctx context.Context, rate float64, why string) (*Step, error) {
	o := l.s.o
	o.Rate, o.Count = rate, 0
	o.Connections = max(o.Connections, 256)
	o.Seed += uint64(len(l.limit.Steps)) // other arrivals at each step
	enough := time.Duration(math.Min(limitMisses/(1-l.o.Quantile)/rate, limitLength) * float64(time.Second))
	enough = max(enough, min(limitQueue*l.o.Within, limitLength*time.Second))
	o.Duration = max(o.Duration, enough)
	o.Timeout = min(o.Timeout, max(10*l.o.Within, time.Second))
	allowed := int64(1.2*(1-l.o.Quantile)*rate*o.Duration.Seconds()) + limitMisses
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var missed, slow atomic.Int64 // slow: the server's part of missed
	observe := o.Observe
	o.Observe = func(s Observation) {
		if s.Outcome != "" || s.Service > l.o.Within {
			slow.Add(1)
		}
		if s.Outcome != "" || s.Latency > l.o.Within {
			if missed.Add(1) > allowed {
				cancel(errMissed)
			}
		}
		if observe != nil {
			observe(s)
		}
	}
	r, err := l.s.run(ctx, o)
	early := errors.Is(context.Cause(ctx), errMissed)
	step := Step{Rate: rate, Why: why, Early: early}
	switch {
	case early, err == nil:
	case r != nil && fault.CodeOf(err) == fault.Runtime:
		step.Client = err.Error()
	default:
		return nil, err
	}
	step.Achieved, step.Seconds, step.Sent, step.Errors = r.Achieved, r.Seconds, r.Sent, r.Errors
	step.Missed, step.LatencyMS = missed.Load(), float64(r.Histogram.Quantile(l.o.Quantile).Microseconds())/1e3
	step.Share = float64(step.Missed) / math.Max(float64(r.Sent), 1)
	step.Holds = !early && step.Client == "" && r.Sent > 0 && float64(step.Missed) <= (1-l.o.Quantile)*float64(r.Sent)
	if r.Late != "" && !step.Holds && step.Client == "" && float64(slow.Load()) <= (1-l.o.Quantile)*float64(r.Sent) {
		step.Client = r.Late
	}
	l.limit.Steps = append(l.limit.Steps, step)
	l.results = append(l.results, r)
	if l.tell != nil {
		l.tell(&step, r)
	}
	return &step, nil
}
