package tune

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]spec.Threads{"auto": {Mode: "auto"}, "latency": {Mode: "latency"}, "2x1": {Mode: "fixed", IntraOp: 2, Runs: 1}} {
		if got, err := ParseThreads(in); err != nil || got != want {
			t.Errorf("ParseThreads(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]spec.Batching{"auto": {Mode: "auto"}, "off": {Mode: "off"}, "8": {Mode: "auto", MaxRows: 8}} {
		if got, err := ParseBatching(in); err != nil || got != want {
			t.Errorf("ParseBatching(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]int64{"512Mi": 512 << 20, "1GiB": 1 << 30, "24MB": 24e6} {
		if got, err := ParseMemory(in); err != nil || got != want {
			t.Errorf("ParseMemory(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0x1", "1x", "x2", "many", "2x9999", "512"} {
		_, err1 := ParseThreads(in)
		_, err2 := ParseMemory(in)
		if fault.CodeOf(err1) != fault.Usage || fault.CodeOf(err2) != fault.Usage {
			t.Errorf("%q: got %v and %v, want two usage errors", in, err1, err2)
		}
	}
	for _, in := range []string{"", "0", "on", "70000"} {
		if _, err := ParseBatching(in); fault.CodeOf(err) != fault.Usage {
			t.Errorf("ParseBatching(%q): got %v, want a usage error", in, err)
		}
	}
}

func TestSettings(t *testing.T) {
	auto := Setting{spec.Threads{Mode: "auto"}, spec.Batching{Mode: "auto"}}
	tests := []struct {
		name                       string
		was                        Setting
		n, intraOp, runs           int // of auto
		batches, oneAtATime, fixed bool
		o                          Options
		want                       []string
	}{
		{"one thread, no sharing", auto, 1, 1, 1, false, false, true, Options{}, []string{"auto auto"}},
		{"one thread", auto, 1, 1, 1, true, false, true, Options{}, []string{"auto auto", "auto off", "auto ≤8 rows", "auto ≤32 rows"}},
		{"four threads, each for a run", auto, 4, 1, 4, false, false, true, Options{}, []string{"auto auto", "latency auto", "2×2 auto", "1×1 auto"}},
		{"three threads for one run", auto, 3, 3, 1, false, false, true, Options{}, []string{"auto auto", "throughput auto", "2×2 auto", "1×1 auto"}},
		{"fewer CPUs here than there", auto, 4, 1, 4, false, false, false, Options{}, []string{"auto auto", "latency auto"}},
		{"one request at a time", auto, 2, 2, 1, true, true, true, Options{}, []string{"auto auto", "1×1 auto"}},
		{"what is in the file comes first", Setting{spec.Threads{Mode: "latency"}, spec.Batching{Mode: "off"}}, 2, 1, 2, true, false, true, Options{},
			[]string{"latency off", "auto off", "1×1 off", "latency auto", "auto auto", "1×1 auto", "latency ≤8 rows", "auto ≤8 rows", "1×1 ≤8 rows", "latency ≤32 rows", "auto ≤32 rows", "1×1 ≤32 rows"}},
		{"what was asked for", auto, 2, 1, 2, true, false, true, Options{Threads: []spec.Threads{{Mode: "fixed", IntraOp: 2, Runs: 2}}, Batching: []spec.Batching{{Mode: "off"}}},
			[]string{"auto auto", "2×2 auto", "auto off", "2×2 off"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, s := range settings(tt.was, tt.n, tt.intraOp, tt.runs, tt.batches, tt.oneAtATime, tt.fixed, &tt.o) {
				got = append(got, threadsText(s.Threads)+" "+batchingText(s.Batching))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSizeAndPrice(t *testing.T) {
	s, err := spec.Parse(spec.FileName, []byte("model: a.onnx\ntargets: {awslambda: {memory: 3538MiB}, cloudrun: {}, knative: {cpu: 500m}, vertexai: {}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		target  string
		want    Shape
		cost    float64 // of an instance at a rate of 100/s, for a million requests
		changes []Change
	}{
		// 3538 MiB at $0.0000166667 for a GB-second is 0.0000575846 a second.
		{"awslambda", Shape{2, 3538 << 20}, 0.57585 + 0.20, []Change{word("targets.awslambda.memory", "2GiB")}},
		{"cloudrun", Shape{1, 1 << 30}, 0.24 + 0.025 + 0.40, []Change{word("targets.cloudrun.cpu", "4"), word("targets.cloudrun.memory", "2GiB")}},
		{"knative", Shape{0.5, 1 << 30}, 0, []Change{word("targets.knative.cpu", "4"), word("targets.knative.memory", "2GiB")}},
		{"vertexai", Shape{}, 0, nil},
		{"", Shape{}, 0, nil},
	}
	for _, tt := range tests {
		z, p := sizeOf(s, tt.target), priceOf(s, tt.target)
		if z.now != tt.want || z.oneAtATime != (tt.target == "awslambda") {
			t.Errorf("%s: got %+v, want %v", tt.target, z, tt.want)
		}
		if diff := cmp.Diff(tt.changes, z.changes(Shape{4, 2 << 30})); diff != "" {
			t.Errorf("%s: changes (-want +got):\n%s", tt.target, diff)
		}
		if (p.perSecond != nil) != (tt.cost > 0) || p.note == "" {
			t.Errorf("%s: got %+v, want a price: %v", tt.target, p, tt.cost > 0)
			continue
		}
		if tt.cost > 0 {
			if got := p.perMillion(z.now, 100, 0); got < tt.cost*0.9999 || got > tt.cost*1.0001 {
				t.Errorf("%s: got $%g, want $%g", tt.target, got, tt.cost)
			}
		}
	}
}
