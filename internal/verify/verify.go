// Package verify asks a function every recorded request under every platform's
// contract and compares the answers with the recorded ones, and with each
// other: on one machine the same artifact answers with the same bytes whatever
// carries them.
package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// A Target is a platform to verify a function on.
type Target struct {
	Name string
	// Artifact is what Launch starts, and Digest the SHA-256 of it.
	Artifact, Digest string
	Launch           emulate.Launch
	Env              []string // what its user sets: KEY=VALUE
	// Forms are the forms of requests to verify; nil means all that the platform has.
	Forms []string
}

func (t *Target) forms() []string {
	if t.Forms != nil {
		return t.Forms
	}
	return emulate.Variants(t.Name)
}

// Report is what Run found; its JSON is documented in docs/verify.md.
type Report struct {
	Function string         `json:"function"`
	OK       bool           `json:"ok"`
	Requests int            `json:"requests"`
	Targets  []TargetReport `json:"targets"`
}

// TargetReport is one platform's part of a Report.
type TargetReport struct {
	Target   string           `json:"target"`
	OK       bool             `json:"ok"`
	Evidence emulate.Evidence `json:"evidence"`
	From     string           `json:"contract"` // where the contract is taken from
	Artifact string           `json:"artifact"`
	Digest   string           `json:"artifact_sha256"`
	Forms    []FormReport     `json:"forms"`
}

// FormReport is one form of a platform's requests: a process of its own.
type FormReport struct {
	Form    string   `json:"form"`
	PID     int      `json:"pid"`
	ReadyMS float64  `json:"ready_ms"`        // from its start until the platform sends requests
	Error   string   `json:"error,omitempty"` // why it did not start, or stop
	Results []Result `json:"results"`
}

// Result is one request's answer.
type Result struct {
	Model   string `json:"model"`
	Request string `json:"request"`
	Body    string `json:"body"` // "json" or "binary": how the tensors were sent
	OK      bool   `json:"ok"`
	// Answer is a SHA-256 of the outputs' names, types, shapes and bytes, equal
	// for equal answers in any form.
	Answer string `json:"answer_sha256,omitempty"`
	// MaxULP is the largest difference from the recorded answer, in representable values.
	MaxULP    uint64   `json:"max_ulp"`
	LatencyMS float64  `json:"latency_ms"`
	Sent      int64    `json:"sent_bytes"` // the platform's envelope on the way in
	Got       int64    `json:"got_bytes"`  // and out
	Problems  []string `json:"problems,omitempty"`
}

// Options of Run; nil means defaults.
type Options struct {
	// Progress, if not nil, is told before each form of each target.
	Progress func(done, all int, what string)
	// NoBinary leaves the binary form of the requests out.
	NoBinary bool
}

// Run verifies the targets one after the other, each form of a platform's
// requests in a process of its own. What differs is in the report; the error is
// about the requests themselves. Errors: Invalid.
func Run(ctx context.Context, function string, requests []recorded.Request, targets []Target, opts *Options) (*Report, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if len(requests) == 0 {
		return nil, fault.New(fault.Invalid, "verify.Run", function, "want recorded requests to compare with, got none").
			WithHint("Record some: godwit init --sample, or put a request and its answer into requests/MODEL/.")
	}
	all, done := 0, 0
	for i := range targets {
		all += len(targets[i].forms())
	}
	report := &Report{Function: function, OK: true, Requests: len(requests)}
	first := map[string]origin{} // of each request, the first answer
	for i := range targets {
		t := &targets[i]
		kind, from := emulate.EvidenceOf(t.Name)
		r := TargetReport{Target: t.Name, OK: true, Evidence: kind, From: from, Artifact: t.Artifact, Digest: t.Digest}
		for _, form := range t.forms() {
			if o.Progress != nil {
				o.Progress(done, all, t.Name+" "+form)
			}
			done++
			f := run(ctx, t, form, requests, &o, first)
			r.OK = r.OK && f.ok()
			r.Forms = append(r.Forms, f)
			if ctx.Err() != nil {
				return nil, fmt.Errorf("verify.Run: %w", ctx.Err())
			}
		}
		report.OK = report.OK && r.OK
		report.Targets = append(report.Targets, r)
	}
	return report, nil
}

// origin is where an answer came from first.
type origin struct{ answer, where string }

func (f *FormReport) ok() bool {
	return f.Error == "" && !slices.ContainsFunc(f.Results, func(r Result) bool { return !r.OK })
}

// stopTime bounds how long a function may take to end.
const stopTime = time.Minute

func run(ctx context.Context, t *Target, form string, requests []recorded.Request, o *Options, first map[string]origin) (f FormReport) {
	f.Form, f.Results = form, []Result{}
	var sent, got atomic.Int64
	begun := time.Now()
	i, err := emulate.Start(ctx, t.Name, t.Launch, &emulate.Options{Variant: form, Env: t.Env, Trace: func(e emulate.Exchange) {
		sent.Store(int64(len(e.Sent)))
		got.Store(int64(len(e.Got)))
	}})
	if err != nil {
		f.Error = err.Error()
		return f
	}
	f.PID, f.ReadyMS = i.PID(), milliseconds(time.Since(begun))
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if err := i.Stop(stop); err != nil {
			f.Error = err.Error()
		}
	}()
	for k := range requests {
		for _, binary := range []bool{false, true} {
			if binary && (o.NoBinary || !emulate.CarriesBinary(t.Name, form)) {
				continue
			}
			r := ask(ctx, i, &requests[k], binary)
			r.Sent, r.Got = sent.Load(), got.Load()
			name, where := r.Model+"/"+r.Request, t.Name+" "+form+" "+r.Body
			switch other, known := first[name]; {
			case !known && r.Answer != "":
				first[name] = origin{r.Answer, where}
			case known && r.Answer != "" && r.Answer != other.answer:
				r.Problems = append(r.Problems, "want the bytes that "+other.where+" answered, got others")
			}
			r.OK = len(r.Problems) == 0
			f.Results = append(f.Results, r)
		}
	}
	return f
}

// ask sends one recorded request and compares the answer.
func ask(ctx context.Context, i *emulate.Instance, recorded *recorded.Request, binary bool) (r Result) {
	r = Result{Model: recorded.Model, Request: recorded.Name, Body: "json"}
	if binary {
		r.Body = "binary"
	}
	fail := func(err error) Result {
		r.Problems = append(r.Problems, lines(err)...)
		return r
	}
	req, err := recorded.Decode()
	if err != nil {
		return fail(err)
	}
	begun := time.Now()
	resp, code, err := i.Call(ctx, req, binary)
	r.LatencyMS = milliseconds(time.Since(begun))
	switch {
	case err != nil:
		return fail(err)
	case code != fault.OK:
		return fail(fault.New(code, "", "answer", "want an answer, got %s", code))
	}
	defer resp.Release()
	r.Answer = digest(resp)
	want := recorded.Want
	if want == nil {
		return fail(fault.New(fault.Invalid, "", recorded.Path, "want a recorded answer beside it, got none"))
	}
	for k := range want.Outputs {
		for j := range resp.Outputs {
			if want.Outputs[k].Name == resp.Outputs[j].Name {
				r.MaxULP = max(r.MaxULP, tensor.Compare(&want.Outputs[k], &resp.Outputs[j], tensor.Tolerance{}).MaxULP)
			}
		}
	}
	if err := want.Check(resp); err != nil {
		return fail(err)
	}
	return r
}

// lines are the problems that err joins.
func lines(err error) []string {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		var all []string
		for _, e := range many.Unwrap() {
			all = append(all, lines(e)...)
		}
		return all
	}
	return []string{err.Error()}
}

// digest is a SHA-256 of an answer that does not depend on how it was carried.
func digest(resp *infer.Response) string {
	outputs := slices.Clone(resp.Outputs)
	slices.SortFunc(outputs, func(a, b tensor.Tensor) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for i := range outputs {
		t := &outputs[i]
		fmt.Fprintf(h, "%d:%s %v %v %d\n", len(t.Name), t.Name, t.Type, t.Shape, len(t.Data))
		h.Write(t.Data)
		for _, s := range t.Strings {
			fmt.Fprintf(h, "%d:", len(s))
			h.Write(s)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
