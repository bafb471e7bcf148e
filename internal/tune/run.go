package tune

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/quota"
)

// Options of Run; the zero value of a field means its default.
type Options struct {
	Goal Goal          // default Throughput
	SLO  time.Duration // that p99 must hold; 0: none
	// Rate is the requests in a second at which latency, and cost where it is
	// given, are measured. Default, for latency: a fifth of the default's capacity.
	Rate float64
	// Model and Version are what is tuned; default the only ones.
	Model, Version string
	// Target is whose size and prices count; default the first of the spec.
	Target string
	// CPUs and Memory (bytes) are the sizes to try, in every combination; default
	// the target's own. For Lambda, memory alone, from which CPUs follow.
	CPUs   []float64
	Memory []int64
	// Threads and Batching are what is tried; default what could make a difference.
	Threads  []spec.Threads
	Batching []spec.Batching

	Budget      time.Duration // of all; default 2 minutes
	Protocol    loadtest.Protocol
	Connections int // of a closed loop; default 16, and 1 where the platform sends one request at a time
	Seed        uint64
	Program     string      // the godwit to run, required
	Sign        Signer      // nil: requests show nobody
	Quota       quota.Quota // what this process may use
	Progress    func(Step)
}

// A Step is what goes on.
type Step struct {
	Doing           string // "measures threads latency, batching auto, 1 CPU"
	Left            int    // candidates that are still in; 0 before the search
	Of              int
	Block           int
	Elapsed, Budget time.Duration
}

// tuning is one Run.
type tuning struct {
	o           Options
	rig         *rig
	size        sized
	price       price
	requests    []*infer.Request
	header      http.Header
	connections int
	rate        float64
	each, warm  time.Duration
	batches     bool // a start is not over before the server knows whether requests share runs
	mayBatch    bool // recorded requests have been seen to share runs, or nobody has tried
	capped      bool // this machine has fewer CPUs than the target
	sees        quota.Quota
	started     time.Duration // until the default was ready
	capacity    float64       // of the default, in a closed loop
	random      *rand.Rand
	notes       []string
	late        int // loads in which the client was late by itself
	all         []*candidate
	up          []*candidate // those with a server, the oldest first
	room        int          // how many servers may be up
}

func (t *tuning) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// Run tunes the function in dir and says what it found. It writes nothing: that is
// Report.Write's.
//
// Errors: Usage; what reading the folder gives; Runtime where the server cannot be
// started or held to a size; Mismatch where the default's answers are not the
// recorded ones; ctx's.
func Run(ctx context.Context, dir string, o *Options) (*Report, error) {
	t := &tuning{o: *o, header: http.Header{}}
	if err := t.read(dir); err != nil {
		return nil, err
	}
	limit, err := NewLimiter(ctx)
	if err != nil {
		return nil, err
	}
	defer limit.Close()
	t.rig.limit = limit
	if err := t.rig.scratch(t.o.Program); err != nil {
		return nil, err
	}
	defer t.rig.close()
	begun := time.Now()
	shapes, err := t.shapes()
	if err != nil {
		return nil, err
	}
	var defaults []*candidate
	for i, s := range shapes {
		c, err := t.survey(ctx, s, i == 0)
		if err != nil {
			return nil, err
		}
		defaults = append(defaults, c)
	}
	t.candidates(defaults)
	t.plan(time.Since(begun))
	defer func() {
		for len(t.up) > 0 {
			t.drop(t.up[0])
		}
	}()
	found, err := Search(ctx, len(t.all), func(ctx context.Context, i int) (float64, error) { return t.run(ctx, t.all[i]) },
		&SearchOptions{Budget: max(t.o.Budget-time.Since(begun), time.Millisecond), Dropped: func(i int) { t.drop(t.all[i]) }, Progress: func(p Progress) {
			t.step(Step{Doing: "measures " + t.all[p.Candidate].String(), Left: p.Left, Of: len(t.all), Block: p.Block, Elapsed: time.Since(begun)})
		}})
	if err != nil {
		return nil, err
	}
	return t.report(found, time.Since(begun))
}

func (t *tuning) step(s Step) {
	if t.o.Progress != nil {
		s.Budget = t.o.Budget
		t.o.Progress(s)
	}
}

// read reads the folder and fills in what the options leave open.
func (t *tuning) read(dir string) error {
	o := &t.o
	if o.Program == "" {
		return fault.New(fault.Runtime, "tune.Run", dir, "want this program's own path, to serve the folder, got none")
	}
	info, err := os.Stat(filepath.Join(dir, spec.FileName))
	if err == nil && !info.Mode().IsRegular() {
		return fault.New(fault.BadConfig, "tune.Run", dir, "want a regular file %s", spec.FileName)
	}
	_, s, err := app.ReadSpec(dir)
	if err != nil {
		return err
	}
	if err != nil || info == nil {
		return fault.New(fault.Usage, "tune.Run", dir, "want a function folder, got a model file").
			WithHint("Make one with `godwit init %s FOLDER`.", dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, spec.FileName))
	if err != nil {
		return fault.New(fault.BadConfig, "tune.Run", dir, "%w", err)
	}
	t.rig = &rig{dir: dir, text: text, sign: o.Sign}
	var names []string
	for i := range s.Models {
		m := &s.Models[i]
		names = append(names, m.Name+" "+m.Version)
		if (o.Model == "" || o.Model == m.Name) && (o.Version == "" || o.Version == m.Version) {
			if t.rig.model != nil {
				return fault.New(fault.Usage, "", "", "want --model and --model-version of one model, got several: %s", strings.Join(names, ", "))
			}
			t.rig.model = m
			t.rig.index = i
		}
	}
	if t.rig.model == nil {
		return fault.New(fault.Usage, "", "--model", "want one of %s, got %q", strings.Join(names, ", "), strings.TrimSpace(o.Model+" "+o.Version))
	}
	if o.Target == "" && len(s.Targets.Names()) > 0 {
		o.Target = s.Targets.Names()[0]
	}
	if o.Target != "" && s.Targets.Common(o.Target) == nil {
		return fault.New(fault.Usage, "", "--target", "want a target of the spec, one of %s, got %q", strings.Join(s.Targets.Names(), ", "), o.Target)
	}
	if err := t.recorded(dir, s); err != nil {
		return err
	}
	t.size, t.price = sizeOf(s, o.Target), priceOf(s, o.Target)
	return t.defaults()
}

// recorded reads the model's recorded requests.
func (t *tuning) recorded(dir string, s *spec.Spec) error {
	var names []string
	for i := range s.Models {
		names = append(names, s.Models[i].Name)
	}
	all, err := recorded.Load(dir, names...)
	if err != nil {
		return err
	}
	proven := false
	for i := range all {
		if all[i].Model != t.rig.model.Name {
			continue
		}
		req, err := all[i].Decode()
		if err != nil {
			return err
		}
		t.rig.requests = append(t.rig.requests, all[i])
		t.requests = append(t.requests, withoutID(req))
		proven = proven || all[i].Want != nil
	}
	if !proven {
		t.note("no answer of %s is recorded: whether a candidate answers the same was not looked at", t.rig.model.Name)
	}
	return nil
}

func (t *tuning) defaults() error {
	o := &t.o
	switch o.Goal {
	case "":
		o.Goal = Throughput
	case Latency, Throughput, Cost:
	default:
		return fault.New(fault.Usage, "", "--goal", "want latency, throughput or cost, got %q", o.Goal)
	}
	if o.Budget == 0 {
		o.Budget = 2 * time.Minute
	}
	if o.Budget < time.Second || o.SLO < 0 || o.Rate < 0 {
		return fault.New(fault.Usage, "", "", "want a budget of at least 1s, and no negative SLO or rate, got %v, %v, %g", o.Budget, o.SLO, o.Rate)
	}
	if o.Goal == Throughput && o.Rate > 0 {
		return fault.New(fault.Usage, "", "--rate", "want it with --goal latency or cost, got it with throughput, which finds the rate")
	}
	if o.Goal == Latency && t.size.oneAtATime && o.Rate > 0 {
		return fault.New(fault.Usage, "", "--rate", "want none for %s, which sends a request when the last is answered", o.Target)
	}
	if o.Protocol == "" {
		o.Protocol = loadtest.JSON
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if t.connections = o.Connections; t.connections == 0 {
		t.connections = 16
		if t.size.oneAtATime {
			t.connections = 1
		}
	}
	t.random = newRandom(o.Seed)
	if o.Sign != nil {
		r := &http.Request{Header: t.header}
		if err := o.Sign(context.Background(), r, nil); err != nil {
			return err
		}
	}
	return nil
}

// shapes are the sizes to try, the first of which is what the file says.
func (t *tuning) shapes() ([]Shape, error) {
	o, z := &t.o, &t.size
	if len(o.Memory) > 0 && z.memory == "" {
		return nil, fault.New(fault.Usage, "", "--memory", "want a target whose memory is in godwit.yaml, got %s", orNone(o.Target)).
			WithHint("awslambda, cloudrun, azurefunctions, knative and edge have one.")
	}
	if len(o.CPUs) > 0 && z.target == "awslambda" {
		return nil, fault.New(fault.Usage, "", "--cpus", "want --memory for awslambda, whose CPUs follow from it")
	}
	if len(o.CPUs) > 1 && z.cpu == "" {
		return nil, fault.New(fault.Usage, "", "--cpus", "want one number where the target has no key for it, got %d", len(o.CPUs)).
			WithHint("cloudrun, knative and edge have one.")
	}
	limit := t.rig.limit
	now := z.now
	if len(o.CPUs) == 1 && z.cpu == "" {
		now.CPUs = o.CPUs[0] // the quota to tune under, which no key says
	}
	cpus, memory := o.CPUs, o.Memory
	if len(cpus) == 0 {
		cpus = []float64{now.CPUs}
	}
	if len(memory) == 0 {
		memory = []int64{now.Memory}
	}
	all := []Shape{now}
	for _, m := range memory {
		for _, c := range cpus {
			s := Shape{c, m}
			if z.target == "awslambda" {
				s.CPUs = lambdaCPUs(m)
			}
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	for i := range all {
		s := &all[i]
		if _, err := Edit(t.rig.text, z.changes(*s), ""); err != nil {
			return nil, err // the target does not have that size
		}
		if s.CPUs > t.o.Quota.CPUs+0.01 {
			if i > 0 {
				return nil, fault.New(fault.Usage, "", "--cpus, --memory", "want at most the %g CPUs of this machine, got %g", t.o.Quota.CPUs, s.CPUs)
			}
			t.note("the target has %g CPUs, this machine %g: measured with those, and threads are not tried by number", s.CPUs, t.o.Quota.CPUs)
			s.CPUs, t.capped = t.o.Quota.CPUs, true
		}
		if s.Memory > 0 && !limit.Memory() {
			if len(o.Memory) > 0 {
				return nil, fault.New(fault.Unsupported, "", "--memory", "want control groups or systemd-run, to limit memory, got neither: %s", limit.Why())
			}
			t.note("the memory of %v is not held", spec.Bytes(s.Memory))
			s.Memory = 0
		}
		if s.CPUs > 0 && limit.How() == none || s.CPUs != float64(int(s.CPUs)) && !limit.Fractions() {
			if len(o.CPUs) > 0 {
				return nil, fault.New(fault.Unsupported, "", "--cpus", "want a way to hold a server to %g CPUs, got none: %s", s.CPUs, limit.Why())
			}
			t.note("the quota of %g CPUs is not held", s.CPUs)
			s.CPUs = 0
		}
	}
	return all, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// serveAs is what a candidate's own godwit.yaml says: auto is written out where
// the platform would take it for something else than a server on a port does.
func (t *tuning) serveAs(c *candidate) []Change {
	model := fmt.Sprintf("models[%d].", t.rig.index)
	threads := c.Threads
	if threads.Mode == "auto" && t.size.oneAtATime && t.size.target == "awslambda" {
		threads.Mode = "latency"
	}
	var all []Change
	if threads != t.rig.model.Threads {
		all = append(all, Change{model + "threads", threadsValue(threads)})
	}
	if c.Batching != t.rig.model.Batching {
		all = append(all, Change{model + "batching", batchingValue(c.Batching)})
	}
	return all
}

// changesOf is what the user's file would say.
func (t *tuning) changesOf(c *candidate, now Shape) []Change {
	model := fmt.Sprintf("models[%d].", t.rig.index)
	var all []Change
	if c.Threads != t.rig.model.Threads {
		all = append(all, Change{model + "threads", threadsValue(c.Threads)})
	}
	if c.Batching != t.rig.model.Batching {
		all = append(all, Change{model + "batching", batchingValue(c.Batching)})
	}
	if c.Shape != now {
		all = append(all, t.size.changes(c.Shape)...)
	}
	return all
}

// survey serves the file's own setting on a size once: whether it runs there at
// all, what auto comes to, and on the first size what it can do.
func (t *tuning) survey(ctx context.Context, s Shape, first bool) (*candidate, error) {
	c := &candidate{Setting: Setting{t.rig.model.Threads, t.rig.model.Batching}, Shape: s}
	t.step(Step{Doing: "starts " + c.String()})
	t.batches = false // of this start it is not known yet
	one, err := t.begin(ctx, c)
	var out *Out
	if errors.As(err, &out) && !first {
		return c, nil // the search will say why
	}
	if errors.As(err, &out) {
		code := fault.Runtime
		if strings.HasPrefix(out.Reason, "answers differ") {
			code = fault.Mismatch
		}
		return nil, fault.New(code, "tune.Run", c.String(), "the function as it is cannot be measured: %s", out.Reason).
			WithHint("Mend it until `godwit verify %s` passes.", t.rig.dir)
	}
	if err != nil {
		return nil, err
	}
	defer one.stop()
	if !first {
		return c, nil
	}
	t.sees = one.sees
	begun := time.Now()
	if t.mayBatch, err = t.rig.batchable(ctx, one); err != nil {
		return nil, err
	}
	if t.mayBatch = t.mayBatch && len(t.rig.requests) > 0; t.mayBatch && c.Batching.Mode != "off" {
		if t.mayBatch, err = one.settled(ctx, 5*time.Second); err != nil {
			return nil, err
		}
	}
	t.started = one.took + min(time.Since(begun), time.Second)
	full := block{}
	if _, err := t.load(ctx, one, c, loadtest.Options{Duration: min(time.Second, t.o.Budget/20)}, &full); err != nil {
		return nil, asError(err, c)
	}
	t.room = 4
	if free := available(); free > 0 && full.peak > 0 {
		t.room = int(min(max(free/2/full.peak, 2), 16))
	}
	if t.rate = t.o.Rate; t.rate == 0 {
		t.rate = full.rate / 5
	}
	t.capacity = full.rate
	return c, nil
}

// asError is a Miss or Out of the default as an error.
func asError(err error, c *candidate) error {
	var miss *Miss
	var out *Out
	if errors.As(err, &miss) || errors.As(err, &out) {
		return fault.New(fault.Runtime, "tune.Run", c.String(), "the function as it is cannot be measured: %w", err)
	}
	return err
}

// candidates are all settings on all sizes, the default first.
func (t *tuning) candidates(defaults []*candidate) {
	t.batches = t.mayBatch
	now := defaults[0].Shape
	for _, d := range defaults {
		n := quota.Quota{CPUs: d.CPUs}.Threads()
		if d.CPUs == 0 {
			n = t.o.Quota.Threads()
		}
		for _, s := range settings(d.Setting, n, d.intraOp, d.runs, t.mayBatch, t.size.oneAtATime, !t.capped, &t.o) {
			c := &candidate{Setting: s, Shape: d.Shape}
			if s == d.Setting {
				c.dir = d.dir
			}
			c.changes = t.changesOf(c, now)
			t.all = append(t.all, c)
		}
	}
	// Where there is no time for every combination, one thing at a time is changed.
	was := defaults[0].Setting
	both := func(c *candidate) bool { return c.Threads != was.Threads && c.Batching != was.Batching }
	turns := time.Duration(3*len(t.all))*t.leastBlock() + time.Duration(len(t.all))*t.started
	if turns > t.o.Budget/2 && len(t.o.Threads) == 0 && len(t.o.Batching) == 0 && slices.ContainsFunc(t.all, both) {
		n := len(t.all)
		t.all = slices.DeleteFunc(t.all, both)
		t.note("threads and batching are changed one at a time: for all %d combinations there is no time within %v", n, t.o.Budget)
	}
}

// leastBlock is several of the periods in which the kernel counts a quota, for
// each load of a block; mostBlock is where longer ones are of no more use.
func (t *tuning) leastBlock() time.Duration {
	if t.o.SLO > 0 && !t.size.oneAtATime {
		return rateSteps * 300 * time.Millisecond
	}
	return 400 * time.Millisecond
}

const mostBlock = 5 * time.Second

// plan divides the budget into blocks.
func (t *tuning) plan(spent time.Duration) {
	n := len(t.all)
	blocks := time.Duration(3*n + 2*max(n/2+1, 2) + 20)
	starts := time.Duration(n) + blocks/perServer
	each := (t.o.Budget - spent - starts*t.started) / blocks
	load := min(max(each, t.leastBlock()), mostBlock)
	t.warm = load / 4
	t.each = load - t.warm
	if t.o.Goal == Latency && t.rate*t.each.Seconds() < 100 {
		t.note("a block has about %.0f requests: p99 is that of the slowest of them; --budget makes blocks longer", t.rate*t.each.Seconds())
	}
}
