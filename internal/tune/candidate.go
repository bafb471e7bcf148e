package tune

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// A Setting is one way to serve a model.
type Setting struct {
	Threads  spec.Threads
	Batching spec.Batching
}

// ParseThreads reads auto, latency, throughput, or INTRAOPxRUNS such as 2x1.
// Errors: Usage.
func ParseThreads(s string) (spec.Threads, error) {
	switch s {
	case "auto", "latency", "throughput":
		return spec.Threads{Mode: s}, nil
	}
	intra, runs, _ := strings.Cut(s, "x")
	i, err1 := strconv.Atoi(intra)
	n, err2 := strconv.Atoi(runs)
	if err1 != nil || err2 != nil || i < 1 || n < 1 || i > 1024 || n > 1024 {
		return spec.Threads{}, fault.New(fault.Usage, "", "--threads", "want auto, latency, throughput or INTRAOPxRUNS such as 2x1, got %q", s)
	}
	return spec.Threads{Mode: "fixed", IntraOp: i, Runs: n}, nil
}

// ParseBatching reads auto, off, or the most rows of a run. Errors: Usage.
func ParseBatching(s string) (spec.Batching, error) {
	if s == "auto" || s == "off" {
		return spec.Batching{Mode: s}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65536 {
		return spec.Batching{}, fault.New(fault.Usage, "", "--batching", "want auto, off or the most rows of a run, got %q", s)
	}
	return spec.Batching{Mode: "auto", MaxRows: n}, nil
}

// ParseMemory reads a size as godwit.yaml has it, or as Kubernetes does: 512MiB,
// 512Mi. Errors: Usage.
func ParseMemory(s string) (int64, error) {
	text := s
	if strings.HasSuffix(s, "i") {
		text += "B"
	}
	n, err := spec.ParseBytes(text)
	if err != nil || n <= 0 {
		return 0, fault.New(fault.Usage, "", "--memory", "want a size such as 512MiB, got %q", s)
	}
	return int64(n), nil
}

func threadsText(t spec.Threads) string {
	if t.Mode == "fixed" {
		return fmt.Sprintf("%d×%d", t.IntraOp, t.Runs)
	}
	return t.Mode
}

func batchingText(b spec.Batching) string {
	if b.MaxRows > 0 {
		return fmt.Sprintf("≤%d rows", b.MaxRows)
	}
	return b.Mode
}

func threadsValue(t spec.Threads) Value {
	if t.Mode == "fixed" {
		return Value{Keys: []Entry{{"intraOp", t.IntraOp}, {"runs", t.Runs}}}
	}
	return Value{Word: t.Mode}
}

func batchingValue(b spec.Batching) Value {
	if b.MaxRows > 0 {
		return Value{Keys: []Entry{{"maxRows", b.MaxRows}}}
	}
	return Value{Word: b.Mode}
}

// resolve is the threads of a run and the runs at once that t comes to within n
// threads; auto is what the server said that it comes to.
func resolve(t spec.Threads, n, autoIntra, autoRuns int) (intraOp, runs int) {
	switch t.Mode {
	case "latency":
		return n, 1
	case "throughput":
		return 1, n
	case "fixed":
		return t.IntraOp, t.Runs
	}
	return autoIntra, autoRuns
}

// settings are what is tried within n threads, the simplest first: was, then what
// comes to something else. Words hold for every size and numbers for one, so
// numbers are tried only where fixed allows them.
func settings(was Setting, n, autoIntra, autoRuns int, batches, oneAtATime, fixed bool, o *Options) []Setting {
	type numbers struct{ intraOp, runs int }
	threads := []spec.Threads{was.Threads}
	seen := map[numbers]bool{}
	of := func(t spec.Threads) numbers {
		i, r := resolve(t, n, autoIntra, autoRuns)
		return numbers{i, r}
	}
	seen[of(was.Threads)] = true
	try := o.Threads
	if len(try) == 0 {
		try = []spec.Threads{{Mode: "auto"}, {Mode: "latency"}, {Mode: "throughput"}}
		if fixed && n > 1 {
			for i := 2; i < n; i *= 2 {
				try = append(try, spec.Threads{Mode: "fixed", IntraOp: i, Runs: int(math.Ceil(float64(n) / float64(i)))})
			}
			try = append(try, spec.Threads{Mode: "fixed", IntraOp: 1, Runs: 1})
		}
	}
	for _, t := range try {
		// Runs that nothing can ever fill are no other setting.
		if key := of(t); !seen[key] && !(oneAtATime && len(o.Threads) == 0 && key.runs > 1) {
			seen[key] = true
			threads = append(threads, t)
		}
	}
	batching := []spec.Batching{was.Batching}
	more := o.Batching
	if len(more) == 0 && batches && !oneAtATime {
		more = []spec.Batching{{Mode: "auto"}, {Mode: "off"}, {Mode: "auto", MaxRows: 8}, {Mode: "auto", MaxRows: 32}}
	}
	for _, b := range more {
		known := false
		for _, old := range batching {
			known = known || old == b
		}
		if !known {
			batching = append(batching, b)
		}
	}
	var all []Setting
	for _, b := range batching {
		for _, t := range threads {
			all = append(all, Setting{t, b})
		}
	}
	return all
}

// candidate is a setting on a size.
type candidate struct {
	Setting
	Shape
	changes []Change // of the user's file; none for the default
	dir     string   // its folder; "" until it is measured first
	intraOp int      // as the server said
	runs    int
	blocks  []block
	bracket bracket
	server  *server // that is up; nil: none
}

func (c *candidate) String() string {
	return fmt.Sprintf("threads %s, batching %s, %v", threadsText(c.Threads), batchingText(c.Batching), c.Shape)
}

// sized is a target's keys of size.
type sized struct {
	target      string
	cpu, memory string // the keys' names; "" where the target has none
	now         Shape  // what the file, or its defaults, say
	oneAtATime  bool   // the platform sends a request when the last is answered
}

// lambdaPerCPU is the memory of a Lambda function that comes with one vCPU.
const lambdaPerCPU = 1769 << 20

// sizeOf is the size of the target; nothing is limited for those whose machine is
// chosen by name, and without a target.
func sizeOf(s *spec.Spec, target string) sized {
	all := sized{target: target}
	t := &s.Targets
	switch {
	case target == "awslambda" && t.AWSLambda != nil:
		all.memory, all.oneAtATime = "memory", t.AWSLambda.ManagedInstances == nil
		all.now.Memory = int64(t.AWSLambda.Memory)
		if m := t.AWSLambda.ManagedInstances; m != nil {
			all.oneAtATime = m.MaxConcurrency <= 1
		}
	case target == "cloudrun" && t.CloudRun != nil:
		all.cpu, all.memory, all.oneAtATime = "cpu", "memory", t.CloudRun.Concurrency == 1
		all.now = Shape{float64(t.CloudRun.CPU) / 1000, int64(t.CloudRun.Memory)}
	case target == "azurefunctions" && t.AzureFunctions != nil:
		all.memory = "memory"
		all.now.Memory = int64(t.AzureFunctions.Memory)
		if t.AzureFunctions.Plan == "containerapps" {
			all.cpu, all.now.CPUs = "cpu", float64(t.AzureFunctions.CPU)/1000
		}
	case target == "knative" && t.Knative != nil:
		all.cpu, all.memory = "cpu", "memory"
		all.now = Shape{float64(t.Knative.CPU) / 1000, int64(t.Knative.Memory)}
	case target == "edge" && t.Edge != nil:
		all.cpu, all.memory = "cpu", "memory"
		all.now = Shape{float64(t.Edge.CPU) / 1000, int64(t.Edge.Memory)}
	}
	if target == "awslambda" {
		all.now.CPUs = lambdaCPUs(all.now.Memory)
	}
	return all
}

func lambdaCPUs(memory int64) float64 {
	return math.Round(float64(memory)/lambdaPerCPU*1000) / 1000
}

// changes are what the file must say for the shape, of which nothing is said
// where it is not limited.
func (z *sized) changes(s Shape) (all []Change) {
	if s.CPUs != 0 && s.CPUs != z.now.CPUs && z.cpu != "" {
		all = append(all, Change{"targets." + z.target + "." + z.cpu, Value{Word: spec.CPU(math.Round(s.CPUs * 1000)).String()}})
	}
	if s.Memory != 0 && s.Memory != z.now.Memory && z.memory != "" {
		all = append(all, Change{"targets." + z.target + "." + z.memory, Value{Word: spec.Bytes(s.Memory).String()}})
	}
	return all
}
