package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"godwit.dev/runtime/fault"
)

// Result is what a run measured: what was due after the warm-up.
type Result struct {
	Target   string   `json:"target"`
	Model    string   `json:"model"`
	Protocol Protocol `json:"protocol"`
	// Loop is "poisson", "constant", "burst", "burst-from-zero" or "trace", open
	// loops, or "closed".
	Loop        string `json:"loop"`
	Connections int    `json:"connections"`
	Payloads    int    `json:"payloads"` // how many different requests were sent
	Seed        uint64 `json:"seed"`

	// Seconds is how long it counted.
	Seconds float64 `json:"seconds"`
	// Rate is how many requests in a second were asked for, 0 in a closed loop;
	// Achieved is how many were answered well in one.
	Rate     float64 `json:"rate"`
	Achieved float64 `json:"achieved"`

	// Sent is how many requests were due, OK how many of them were answered
	// well, Errors the others by HTTP status, gRPC code, or "timeout",
	// "connect", "closed", "malformed" (no HTTP) or "not_sent" (too many waited).
	Sent   int64            `json:"sent"`
	OK     int64            `json:"ok"`
	Errors map[string]int64 `json:"errors"`
	// RetryAfter is how many answers said when to try again.
	RetryAfter int64 `json:"retry_after"`
	// Waited is how many were due while every connection was in use.
	Waited int64 `json:"waited"`

	// Latency is from when a request was due to the end of its answer, for
	// those that were answered well. Service is from when it was sent; it hides
	// what a stalled server does to those who wait. Lag is how late the client
	// sent what had a free connection.
	Latency Latencies `json:"latency_ms"`
	// Histogram is Latency's distribution.
	Histogram Histogram `json:"histogram"`
	Service   Latencies `json:"service_ms"`
	Lag       Latencies `json:"lag_ms"`

	BytesIn  int64 `json:"bytes_in"` // of bodies and heads; over gRPC of messages
	BytesOut int64 `json:"bytes_out"`

	// All is how many requests have ended, warm-up included, well or not: what
	// the server's whole CPU time is divided by.
	All int64 `json:"all"`
	// Server is what the server took while it counted, where that was asked for,
	// and PerRequest its CPU time for each request that ended then.
	Server     *ServerUsage `json:"server,omitempty"`
	PerRequest float64      `json:"cpu_ms_per_request,omitempty"`
	// Bursts are those from zero.
	Bursts []Cold `json:"bursts,omitempty"`
	// Late says, when the client itself could not send on time, so that
	// latencies are partly its own.
	Late string `json:"late,omitempty"`
}

// Latencies are quantiles, exact to three digits.
type Latencies struct {
	Count                          int64
	Mean, P50, P90, P99, P999, Max time.Duration
}

// MarshalJSON writes milliseconds.
func (l Latencies) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return json.Marshal(struct {
		Mean float64 `json:"mean"`
		P50  float64 `json:"p50"`
		P90  float64 `json:"p90"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p99.9"`
		Max  float64 `json:"max"`
	}{ms(l.Mean), ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max)})
}

// UnmarshalJSON reads milliseconds; Count is not among them. Errors: Invalid.
func (l *Latencies) UnmarshalJSON(text []byte) error {
	var v struct {
		Mean, P50, P90, P99, Max float64
		P999                     float64 `json:"p99.9"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return fault.New(fault.Invalid, "loadtest.Latencies", "", "want milliseconds by quantile: %w", err)
	}
	for _, pair := range []struct {
		to   *time.Duration
		from float64
	}{{&l.Mean, v.Mean}, {&l.P50, v.P50}, {&l.P90, v.P90}, {&l.P99, v.P99}, {&l.P999, v.P999}, {&l.Max, v.Max}} {
		if pair.from < 0 || pair.from > 1e12 {
			return fault.New(fault.Invalid, "loadtest.Latencies", "", "want milliseconds, got %g", pair.from)
		}
		*pair.to = time.Duration(math.Round(pair.from * 1e6))
	}
	return nil
}

func (r *run) result(err error) *Result {
	rec := r.rec
	rec.mu.Lock()
	defer rec.mu.Unlock()
	end := r.end
	if rec.last.After(r.from) && (err != nil || r.o.Count > 0) && rec.last.Before(end) {
		end = rec.last
	}
	res := &Result{
		Target: r.o.Target, Model: r.o.Model, Protocol: r.o.Protocol,
		Connections: len(r.callers), Payloads: r.payloads, Seed: r.o.Seed, Rate: r.o.Rate,
		Seconds: end.Sub(r.from).Seconds(),
		Sent:    rec.ok + rec.failed, OK: rec.ok, Errors: maps.Clone(rec.errors), RetryAfter: rec.later, Waited: rec.waited.Load(),
		Latency: rec.latency.latencies(), Service: rec.service.latencies(), Lag: rec.lag.latencies(),
		BytesIn: rec.bytesIn, BytesOut: rec.bytesOut, All: rec.okAll + rec.failedAll,
	}
	for i, n := range rec.latency.at {
		res.Histogram.Add(rec.latency.middle(i), n)
	}
	res.Loop = r.o.loop()
	if r.o.Zero != nil {
		for i := range r.bursts {
			r.bursts[i].Latency = r.bursts[i].all.latencies()
		}
		res.Bursts, res.Seconds = r.bursts, r.loaded.Seconds()
	}
	if res.Seconds > 0 {
		res.Achieved = float64(rec.inWindow) / res.Seconds
	}
	if r.win != nil && r.win.total != nil {
		res.Server = r.win.total
		if r.win.ended > 0 {
			res.PerRequest = res.Server.CPUSeconds * 1e3 / float64(r.win.ended)
		}
	}
	if l := res.Lag; res.Loop != "closed" && l.P99 > time.Millisecond && l.P99 > res.Latency.P99/4 {
		res.Late = fmt.Sprintf("the client was %v late at p99 by itself; latencies contain that", l.P99.Round(10*time.Microsecond))
	}
	return res
}

// Text writes the result for people.
func (r *Result) Text(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	arrivals := fmt.Sprintf("open loop, %s arrivals, seed %d", r.Loop, r.Seed)
	if r.Loop == "closed" {
		arrivals = "closed loop: latencies hide queueing"
	}
	fmt.Fprintf(t, "load\t%s over %s, %s\n", r.Model, r.Protocol, arrivals)
	fmt.Fprintf(t, "\t%d connections, %d different requests, %.1f s\n", r.Connections, r.Payloads, r.Seconds)
	if r.Rate > 0 {
		fmt.Fprintf(t, "rate\t%.1f/s asked%s, %.1f/s answered\n", r.Rate, within(r.Loop), r.Achieved)
	} else {
		fmt.Fprintf(t, "rate\t%.1f/s answered\n", r.Achieved)
	}
	fmt.Fprintf(t, "requests\t%d sent, %d answered\n", r.Sent, r.OK)
	fmt.Fprintf(t, "errors\t%s\n", r.errors())
	row := func(name string, l Latencies) {
		fmt.Fprintf(t, "%s\tp50 %s\tp90 %s\tp99 %s\tp99.9 %s\tmax %s\n", name, ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	}
	row("latency", r.Latency)
	if r.Loop != "closed" {
		row("service", r.Service)
	}
	fmt.Fprintf(t, "bytes\t%d out, %d in\n", r.BytesOut, r.BytesIn)
	if s := r.Server; s != nil {
		fmt.Fprintf(t, "server\t%.3f ms of CPU a request, %.2f cores, %.1f MiB\n", r.PerRequest, s.CPUSeconds/max(r.Seconds, 1e-9), float64(s.RSS)/(1<<20))
	}
	for i, b := range r.Bursts {
		first := "no answer"
		if b.OK > 0 {
			first = "first answer after " + ms(b.First)
		}
		fmt.Fprintf(t, "burst %d\t%s, %d of %d answered, p50 %s, p99 %s, max %s\n", i+1, first, b.OK, b.OK+b.Failed, ms(b.Latency.P50), ms(b.Latency.P99), ms(b.Latency.Max))
	}
	t.Flush()
	if r.Waited > 0 {
		fmt.Fprintf(w, "%d requests were due while all %d connections were in use.\n", r.Waited, r.Connections)
	}
	if r.Late != "" {
		fmt.Fprintf(w, "Careful: %s.\n", r.Late)
	}
}

func within(loop string) string {
	if loop == "burst" || loop == "burst-from-zero" {
		return " within a burst"
	}
	return ""
}

func (r *Result) errors() string {
	if len(r.Errors) == 0 {
		return "none"
	}
	s := ""
	for _, name := range slices.Sorted(maps.Keys(r.Errors)) {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%s: %d", name, r.Errors[name])
	}
	if r.RetryAfter > 0 {
		s += fmt.Sprintf(" (%d with Retry-After)", r.RetryAfter)
	}
	return s
}

func ms(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.3f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
