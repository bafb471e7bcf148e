package tune

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

func word(path, w string) Change { return Change{path, Value{Word: w}} }

func threads(intraOp, runs int) Change {
	return Change{"models[0].threads", Value{Keys: []Entry{{"intraOp", intraOp}, {"runs", runs}}}}
}

func TestEdit(t *testing.T) {
	latency := word("models[0].threads", "latency")
	tests := []struct {
		name    string
		in      string
		changes []Change
		note    string
		want    string
	}{
		{"the short form", "# top\nmodel: a.onnx   # the model\nauth: none\n", []Change{latency}, "x",
			"# top\nmodels:\n  - path: a.onnx   # the model\n    # godwit tune x\n    threads: latency\nauth: none\n"},
		{"the short form, the last line without an end", "model: 'a.onnx'", []Change{latency}, "x",
			"models:\n  - path: 'a.onnx'\n    # godwit tune x\n    threads: latency"},
		{"the short form in flow style", "{model: a.onnx, auth: none}\n", []Change{latency}, "x",
			"# godwit tune x\n{models: [{path: a.onnx, threads: latency}], auth: none}\n"},
		{"a key that is there", "models:\n- path: a.onnx\n  # why\n  threads:   \"auto\"  # was so\n", []Change{latency}, "x",
			"models:\n- path: a.onnx\n  # why\n  # godwit tune x\n  threads:   latency  # was so\n"},
		{"its own comment is replaced", "models:\n- path: a.onnx\n  # godwit tune old\n  threads: latency\n  # mine\n  # godwit tune older\n  batching: off\n",
			[]Change{threads(2, 1)}, "new",
			"models:\n- path: a.onnx\n  # godwit tune new\n  threads: {intraOp: 2, runs: 1}\n  # mine\n  batching: off\n"},
		{"numbers stay as they are written", "models:\n- path: a.onnx\n  threads:\n    # two\n    intraOp:  2 # cores\n", []Change{threads(4, 2)}, "x",
			"models:\n- path: a.onnx\n  # godwit tune x\n  threads:\n    runs: 2\n    # two\n    intraOp:  4 # cores\n"},
		{"a block becomes a word, its comments stay", "models:\n- path: a.onnx\n  threads: # here\n    # two\n    intraOp: 2 # cores\n    runs: 1\n  batching: off\n", []Change{latency}, "",
			"models:\n- path: a.onnx\n  threads: latency # here\n    # two\n    # cores\n  batching: off\n"},
		{"a block at the end becomes a word", "models:\n- path: a.onnx\n  threads:\n    intraOp: 2", []Change{latency}, "",
			"models:\n- path: a.onnx\n  threads: latency"},
		{"a word becomes a mapping", "models: [{path: a.onnx, threads: auto}]\n", []Change{threads(1, 2)}, "x",
			"# godwit tune x\nmodels: [{path: a.onnx, threads: {intraOp: 1, runs: 2}}]\n"},
		{"two keys of one model have one comment", "models:\n  - name: m\n    path: a.onnx\n    batching: auto\n", []Change{latency, word("models[0].batching", "off")}, "x",
			"models:\n  - name: m\n    path: a.onnx\n    # godwit tune x\n    threads: latency\n    batching: off\n"},
		{"of two models the second", "models:\n  - {path: a.onnx, name: a}\n  - {path: b.onnx, name: b}  # b\n", []Change{word("models[1].batching", "off")}, "x",
			"models:\n  - {path: a.onnx, name: a}\n  # godwit tune x\n  - {path: b.onnx, batching: off, name: b}  # b\n"},
		{"a target with nothing behind it", "model: a.onnx\ntargets:\n  cloudrun:\n  edge: {}\n", []Change{word("targets.cloudrun.memory", "512MiB")}, "x",
			"model: a.onnx\ntargets:\n  # godwit tune x\n  cloudrun: {memory: 512MiB}\n  edge: {}\n"},
		{"an empty target in flow style", "model: a.onnx\ntargets: {awslambda: {}, edge: {}}\n", []Change{word("targets.awslambda.memory", "1GiB")}, "x",
			"model: a.onnx\n# godwit tune x\ntargets: {awslambda: {memory: 1GiB}, edge: {}}\n"},
		{"a target as a block", "model: a.onnx\ntargets:\n  cloudrun: # fast\n    # at most\n    maxInstances: 3\n", []Change{word("targets.cloudrun.memory", "2GiB"), word("targets.cloudrun.cpu", "2")}, "x",
			"model: a.onnx\ntargets:\n  cloudrun: # fast\n    # godwit tune x\n    cpu: 2\n    memory: 2GiB\n    # at most\n    maxInstances: 3\n"},
		{"ends of lines as Windows has them", "model: a.onnx # x\r\nauth: none\r\n", []Change{latency}, "x",
			"models:\r\n  - path: a.onnx # x\r\n    # godwit tune x\r\n    threads: latency\r\nauth: none\r\n"},
		{"a byte order mark, letters of many bytes", "\ufeffmodel: \"modèle.onnx\" # größer\n", []Change{latency}, "x",
			"\ufeffmodels:\n  - path: \"modèle.onnx\" # größer\n    # godwit tune x\n    threads: latency\n"},
		{"flow style over several lines", "models: [\n  {path: a.onnx, # {it's\n   threads: auto}]\n", []Change{latency}, "x",
			"# godwit tune x\nmodels: [\n  {path: a.onnx, # {it's\n   threads: latency}]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Edit([]byte(tt.in), tt.changes, tt.note)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		change   Change
		note     string
		want     fault.Code
	}{
		{"no spec", "modle: a.onnx\n", word("models[0].threads", "latency"), "", fault.BadConfig},
		{"a value that the key does not take", "model: a.onnx\n", word("models[0].threads", "many"), "", fault.BadConfig},
		{"a size that the target does not have", "model: a.onnx\ntargets: {awslambda: {}}\n", word("targets.awslambda.memory", "1MiB"), "", fault.BadConfig},
		{"a target that is not there", "model: a.onnx\n", word("targets.cloudrun.memory", "1GiB"), "", fault.Unsupported},
		{"a model that is not there", "model: a.onnx\n", word("models[1].threads", "latency"), "", fault.Unsupported},
		{"a path over several lines", "model:\n  a.onnx\n", word("models[0].threads", "latency"), "", fault.Unsupported},
		{"lines that end as on old machines", "model: a.onnx\rauth: none\r", word("models[0].threads", "latency"), "", fault.Unsupported},
		{"a note of two lines", "model: a.onnx\n", word("models[0].threads", "latency"), "x\ny: 1", fault.Usage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Edit([]byte(tt.in), []Change{tt.change}, tt.note)
			if fault.CodeOf(err) != tt.want || got != nil {
				t.Errorf("got %q, %v, want %v", got, err, tt.want)
			}
		})
	}
}
