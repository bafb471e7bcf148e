package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/cost"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest"
	"godwit.dev/loadtest/cold"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// The plan of a measurement: rounds in which every size has its turn, so that a
// neighbour's load meets all of them alike.
var costRows = []int{1, 4, 16}

const (
	costRounds = 3
	costStarts = 7
	costBusy   = 16 // connections, so that always some requests wait
)

// measureTimes measures the model in from: requests alone and among many through the
// real server on one processor, its memory, and starts.
func (p *program) measureTimes(ctx context.Context, from *source, s *spec.Spec, o *costOptions) (*cost.Times, error) {
	folder, _, err := app.ReadSpec(from.dir)
	if err != nil {
		return nil, err
	}
	model, digest, err := p.costModel(folder, s, o.model)
	if err != nil {
		return nil, err
	}
	all, err := recorded.Load(folder, model)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r recorded.Request) bool { return r.Model != model || r.Want == nil })
	if len(all) == 0 {
		return nil, fault.New(fault.BadConfig, "", from.dir, "want recorded requests of %q with their answers, to measure with, got none", model).
			WithHint("Record some with `godwit init --sample`, or give --service-ms and --start-ms.")
	}
	t := &cost.Times{Schema: cost.TimesSchema, Model: model, Digest: digest, Taken: time.Now().UTC().Format(time.DateOnly),
		Machine: fmt.Sprintf("%s, one of %d processors, %s/%s, %s", cmp.Or(processorName(), "processor"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, app.Version()),
		Body:    int64(len(all[0].Body))}
	if o.startMS == 0 {
		if err := p.measureStarts(ctx, from, s, &all[0], t); err != nil {
			return nil, err
		}
	}
	if o.serviceMS == 0 {
		err = p.measureServing(ctx, from.dir, all, t, o.duration)
	}
	return t, err
}

// costModel is the model that is measured, and its digest where it is a file.
func (p *program) costModel(folder string, s *spec.Spec, name string) (model, digest string, err error) {
	var names []string
	for _, m := range s.Models {
		if name == "" || m.Name == name {
			names = append(names, m.Name)
			if d, err := onnx.Digest(filepath.Join(folder, m.Path)); err == nil {
				digest = d
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) != 1 {
		return "", "", fault.New(fault.Usage, "", "--model", "want one of the models, got %q of %q", name, names)
	}
	return names[0], digest, nil
}

// measureStarts starts the function again and again on one processor, as its
// platform does.
func (p *program) measureStarts(ctx context.Context, from *source, s *spec.Spec, request *recorded.Request, t *cost.Times) error {
	target := "cloudrun"
	if i := slices.IndexFunc(s.Targets.Names(), func(name string) bool {
		return slices.Contains(emulate.Targets(), name) && (from.pkg == nil || from.serves(name))
	}); i >= 0 {
		target = s.Targets.Names()[i]
	} else if from.pkg != nil {
		i := slices.IndexFunc(spec.TargetNames(), from.serves)
		if i < 0 {
			return fault.New(fault.Usage, "", from.pkg.Path, "want a package with a program for a target, got one without").WithHint("Make it with `godwit package`.")
		}
		target = spec.TargetNames()[i]
	}
	subject := cold.Subject{Target: target, Log: &cold.Log{}, Dir: from.dir, Request: request}
	started, err := p.start(target, from, subject.Log)
	if err != nil {
		return err
	}
	if subject.Launch, subject.Env = started.Launch, started.Env; len(started.Forms) > 0 {
		subject.Form = started.Forms[0]
	}
	free, err := pin()
	if err != nil {
		return err
	}
	defer free()
	say := func(done, all int) {}
	if !p.quiet && !p.json && p.onTerminal() {
		say = func(done, all int) { fmt.Fprintf(p.Stderr, "\r\x1b[Kstart %d of %d", done+1, all) }
		defer fmt.Fprint(p.Stderr, "\r\x1b[K")
	}
	r, err := cold.Run(ctx, &subject, &cold.Options{Starts: costStarts, WarmOnly: true, Progress: func(done, all int, _ string) { say(done, all) }})
	if err != nil {
		if text := subject.Log.Last(); len(text) > 0 && !p.quiet && ctx.Err() == nil {
			fmt.Fprintf(p.Stderr, "What the function wrote last:\n%s", text)
		}
		return err
	}
	totals := slices.Sorted(slices.Values(r.Warm.TotalsMS))
	t.StartMS = cost.Spread{P50: r.Warm.Total.P50, P99: totals[len(totals)-1], Low: totals[0], High: totals[len(totals)-1], N: int64(len(totals))}
	t.StartOf = "of the folder as " + target
	if from.pkg != nil {
		t.StartOf = "of the package for " + target
	}
	return nil
}

// measureServing asks a server of the folder on one processor, from the others.
func (p *program) measureServing(ctx context.Context, dir string, all []recorded.Request, t *cost.Times, each time.Duration) error {
	free, err := pin()
	if err != nil {
		return err
	}
	show := p.working("starting godwit serve " + dir)
	server, err := p.startServer(ctx, dir)
	show()
	free()
	if err != nil {
		return err
	}
	defer server.stop()
	var requests []*infer.Request
	for i := range all {
		r, err := all[i].Decode()
		if err != nil {
			return err
		}
		requests = append(requests, request(r))
	}
	show = p.working("measuring on one processor")
	defer show()
	run := func(rows, connections int) (*loadtest.Result, error) {
		o := &loadtest.Options{Target: server.url, Model: t.Model, Connections: connections, Warmup: each / 4, Duration: each, Seed: 1}
		for _, r := range requests {
			if r = repeated(r, rows); r == nil {
				return nil, nil
			}
			o.Requests = append(o.Requests, r)
		}
		signed := &benchOptions{load: *o, auth: "auto"}
		signed.load.Header = http.Header{}
		if err := p.sign(ctx, signed); err != nil {
			return nil, err
		}
		return loadtest.Run(ctx, &signed.load)
	}
	alone := map[int][]loadtest.Latencies{}
	var busy []float64
	var answered int64
	for round := range costRounds {
		for _, rows := range costRows {
			if round > 0 && alone[rows] == nil {
				continue // the model takes no rows beside each other
			}
			r, err := run(rows, 1)
			if rows > 1 && (r == nil || err != nil || r.OK < r.Sent || r.OK == 0) && ctx.Err() == nil {
				continue
			}
			if err != nil {
				return err
			}
			if r.OK == 0 {
				return fault.New(fault.Unavailable, "", dir, "want answers to measure, got none: %v", r.Errors)
			}
			alone[rows] = append(alone[rows], r.Latency)
			if rows == 1 {
				t.Answer = r.BytesIn / r.OK
			}
		}
		before := processorTime(server.pid)
		r, err := run(1, costBusy)
		if err != nil {
			return err
		}
		if used := processorTime(server.pid) - before; used > 0 && r.All > 0 {
			busy, answered = append(busy, used.Seconds()*1e3/float64(r.All)), answered+r.All
		}
	}
	for _, rows := range costRows {
		if rounds := alone[rows]; len(rounds) > 0 {
			t.Service = append(t.Service, cost.RowTime{Rows: rows, Spread: spreadOf(rounds)})
		}
	}
	if len(busy) > 0 {
		slices.Sort(busy)
		t.BusyMS = cost.Spread{P50: toMicros(busy[len(busy)/2]), Low: toMicros(busy[0]), High: toMicros(busy[len(busy)-1]), N: answered}
	}
	t.Memory, err = cold.Peak(server.pid)
	return err
}

// spreadOf joins rounds: the median of their medians, and of their tails.
func spreadOf(rounds []loadtest.Latencies) cost.Spread {
	var medians, tails []float64
	s := cost.Spread{}
	for _, r := range rounds {
		medians, tails = append(medians, r.P50.Seconds()*1e3), append(tails, r.P99.Seconds()*1e3)
		s.N += r.Count
	}
	slices.Sort(medians)
	slices.Sort(tails)
	s.P50, s.P99, s.Low, s.High = toMicros(medians[len(medians)/2]), toMicros(tails[len(tails)/2]), toMicros(medians[0]), toMicros(medians[len(medians)-1])
	return s
}

// toMicros leaves out digits that nobody measured.
func toMicros(ms float64) float64 { return math.Round(ms*1000) / 1000 }

// repeated is r with its rows so many times; nil where it has none.
func repeated(r *infer.Request, times int) *infer.Request {
	if times == 1 {
		return r
	}
	c := *r
	c.Inputs = nil
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if len(in.Shape) == 0 || in.Shape[0] != 1 {
			return nil
		}
		shape := append([]int64{int64(times)}, in.Shape[1:]...)
		out := tensor.Tensor{Name: in.Name, Type: in.Type, Shape: shape}
		for range times {
			out.Data, out.Strings = append(out.Data, in.Data...), append(out.Strings, in.Strings...)
		}
		c.Inputs = append(c.Inputs, out)
	}
	return &c
}
