//go:build linux && cgo

// Command goals measures Godwit against its floors and prints how far it is
// from its goals: each a ratio of two sides measured in turn, in one run, with
// the absolute figures beside it. `make bench` builds all that it needs and
// runs it; docs/benchmarks.md says what each goal means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/measure"
	"godwit.dev/runtime/infer"
)

// bench is one run of this program.
type bench struct {
	subject, floorPath, noopPath, noopGRPCPath, library, dir string
	quick                                                    bool
	cores                                                    int

	started  []*process
	servers  map[string]*process
	requests map[string][]*infer.Request
}

// goal measures one of the goals.
type goal struct {
	number  int
	name    string
	measure func(context.Context, *bench) ([]*figure, error)
}

var goals = []goal{
	{1, "engine against the C loop", engineGoal},
	{2, "served against the C loop", servedGoal},
	{3, "added CPU", addedGoal},
	{4, "added latency", latencyGoal},
	{5, "JSON numbers", jsonGoal},
	{6, "gRPC", grpcGoal},
	{7, "batching throughput", batchGoal},
	{8, "batching never hurts", neverHurtsGoal},
	{9, "cache hit", cacheGoal},
	{10, "cold start", coldGoal},
	{11, "cold start, baked", bakedGoal},
	{12, "cold start against Node and Python", peersGoal},
	{13, "peak memory, baked", peakGoal},
	{17, "batch scoring", scoreGoal},
	{18, "CSV scoring against Python", scorePeerGoal},
	{19, "sizes", sizesGoal},
	{21, "allocations", allocGoal},
	{0, "adapters", adaptersGoal},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "goals:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := &bench{servers: map[string]*process{}, requests: map[string][]*infer.Request{}, cores: runtime.NumCPU()}
	flag.StringVar(&b.subject, "subject", "bin/godwit", "the binary to measure")
	flag.StringVar(&b.floorPath, "floor", "", "the C program of loadtest/floor")
	flag.StringVar(&b.noopPath, "noop", "", "the program of loadtest/noop")
	flag.StringVar(&b.noopGRPCPath, "noop-grpc", "", "the program of loadtest/noop/grpc")
	flag.StringVar(&b.library, "library", "", "ONNX Runtime's library, for both sides")
	flag.StringVar(&b.dir, "dir", "", "a folder for models, kept for the next run")
	flag.BoolVar(&b.quick, "quick", false, "few and short blocks")
	only := flag.String("only", "", "numbers of goals, such as 7,8, or adapters; empty is all")
	jsonFile := flag.String("json", "", "write the report there too")
	docs := flag.String("docs", "", "write the Markdown table between the marks of this file")
	flag.Parse()
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	for _, path := range []*string{&b.subject, &b.dir, &b.library, &b.floorPath, &b.noopPath, &b.noopGRPCPath} {
		if *path == "" {
			return errors.New("want -subject, -floor, -noop, -noop-grpc, -library and -dir, got none for one of them; `make bench` gives them")
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	defer func() {
		for _, p := range b.started {
			p.stop()
		}
	}()
	report := b.machine()
	start := time.Now()
	fmt.Fprintf(os.Stderr, "writing models to %s\n", b.dir)
	if err := b.writeModels(); err != nil {
		return err
	}
	for _, g := range chosen {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "goal %d: %s … ", g.number, g.name)
		figures, err := g.measure(ctx, b)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			figures = append(figures, &figure{Goal: g.number, What: g.name, Missing: oneLine(err)})
		}
		report.Figures = append(report.Figures, figures...)
		fmt.Fprintln(os.Stderr, since(began))
	}
	report.Seconds = time.Since(start).Seconds()
	fmt.Fprintln(os.Stderr)
	report.text(os.Stdout)
	if *jsonFile != "" {
		err = report.save(*jsonFile)
	}
	if *docs != "" && err == nil {
		err = report.publish(*docs)
	}
	return errors.Join(err, ctx.Err())
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func choose(only string) ([]goal, error) {
	if only == "" {
		return goals, nil
	}
	var chosen []goal
	for _, word := range strings.Split(only, ",") {
		n, err := strconv.Atoi(strings.Replace(strings.TrimSpace(word), "adapters", "0", 1))
		i := slices.IndexFunc(goals, func(g goal) bool { return g.number == n })
		if err != nil || i < 0 {
			return nil, fmt.Errorf("want goals from 1 to 13, 17 to 19, 21 or adapters, got %q", word)
		}
		chosen = append(chosen, goals[i])
	}
	return chosen, nil
}

// machine says what all this runs on.
func (b *bench) machine() *runReport {
	host := measure.ThisHost()
	r := &runReport{Time: host.Time, Machine: host.Machine, Kernel: host.Kernel, Processors: host.Processors, Load: host.Load, Go: host.Go,
		Quick: b.quick, Library: strings.TrimPrefix(filepath.Base(b.library), "libonnxruntime.so.")}
	if text, err := exec.Command(b.subject, "--version").Output(); err == nil {
		r.Subject = strings.TrimSpace(string(text))
	}
	return r
}

// time is how long something takes in this kind of run.
func (b *bench) time(d time.Duration) time.Duration {
	if b.quick {
		return d / 2
	}
	return d
}

// pairs is how many pairs are measured in this kind of run.
func (b *bench) pairs(n int) int {
	if b.quick {
		return max(2, n/4)
	}
	return n
}

// server is one of the function folders served: "default" has all models as
// they come, "off" the same without batching, "cache" the small one with a cache.
func (b *bench) server(ctx context.Context, kind string) (*process, error) {
	if p := b.servers[kind]; p != nil {
		return p, nil
	}
	var names []string
	for _, m := range models {
		names = append(names, m.name)
	}
	extra := map[string]string{"default": "", "off": "batching: off", "cache": "cache: {maxBytes: 64MiB}"}[kind]
	if kind == "cache" {
		names = []string{"small"}
	}
	dir, err := b.function(kind, extra, names...)
	if err != nil {
		return nil, err
	}
	p, err := b.serve(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := p.settled(ctx); err != nil {
		return nil, err
	}
	b.servers[kind] = p
	return p, nil
}

// load is the load on p that options describe, with the model's own requests.
func (b *bench) load(ctx context.Context, p *process, name string, o loadtest.Options) (*loadtest.Result, error) {
	m := modelNamed(name)
	if b.requests[name] == nil {
		b.requests[name] = m.requests()
	}
	o.Target, o.Model, o.Requests, o.Payloads = p.url, name, b.requests[name], -1
	o.Unchecked, o.Seed = true, 1
	r, err := loadtest.Run(ctx, &o)
	if err != nil {
		return nil, err
	}
	// One per cent may fail in a closed loop: it hardly moves what is divided by all.
	if o.Rate == 0 && float64(r.OK) < 0.99*float64(r.Sent) || r.OK == 0 {
		return nil, fmt.Errorf("%s over %s: %d of %d requests failed: %v", name, o.Protocol, r.Sent-r.OK, r.Sent, r.Errors)
	}
	return r, nil
}

// check asks p once over JSON and over the protocol, and compares the answers.
func (b *bench) check(ctx context.Context, p *process, name string, protocol loadtest.Protocol) error {
	m := modelNamed(name)
	if b.requests[name] == nil {
		b.requests[name] = m.requests()
	}
	_, err := loadtest.Run(ctx, &loadtest.Options{Target: p.url, Model: name, Requests: b.requests[name][:1], Payloads: -1,
		Protocol: protocol, Count: 4, Connections: 1, Duration: time.Minute})
	return err
}

// cpuPer is the CPU time of p for one request of a closed loop, in ns.
func (b *bench) cpuPer(ctx context.Context, p *process, name string, protocol loadtest.Protocol, connections int, d time.Duration) (float64, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	r, err := b.load(ctx, p, name, loadtest.Options{Protocol: protocol, Connections: connections, Duration: d})
	if err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return float64(after-before) / float64(r.All), err
}

// answerBytes is how long the body of an answer is, so that a no-op answers as much.
func (b *bench) answerBytes(ctx context.Context, p *process, name string, protocol loadtest.Protocol) (int, error) {
	r, err := b.load(ctx, p, name, loadtest.Options{Protocol: protocol, Connections: 1, Count: 1, Duration: time.Minute})
	if err != nil {
		return 0, err
	}
	const head = 220 // bytes of our answers' head, about
	return max(16, int(r.BytesIn)-head), nil
}
