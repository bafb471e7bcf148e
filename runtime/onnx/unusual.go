package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Level says how much a Finding matters.
type Level uint8

// The levels, least first.
const (
	Note    Level = iota // good to know
	Warning              // works, perhaps not as expected
	Problem              // cannot be served as it is
)

// String is "note", "warning" or "problem".
func (l Level) String() string { return [...]string{"note", "warning", "problem"}[min(l, Problem)] }

// A Finding is one thing worth telling about a model. Texts are whole sentences.
type Finding struct {
	Code  string // stable, for programs: "custom-ops"
	Level Level
	What  string // what was found
	Why   string // what follows from it
	Do    string // what to do about it; "" when there is nothing to do
}

// What ONNX Runtime reads: measured with 1.30.0 and 1.31.1, which agree.
const (
	MaxIRVersion = 13 // the newest IR version
	MaxOpset     = 26 // the newest opset of the default domain
	MaxOpsetML   = 5  // the newest opset of ai.onnx.ml
	MinOpset     = 7  // the oldest opset of the default domain that it promises to support
)

// domains are the operator domains that ONNX Runtime has itself.
var domains = map[string]bool{
	"": true, "ai.onnx.ml": true, "ai.onnx.training": true, "ai.onnx.preview.training": true,
	"com.microsoft": true, "com.microsoft.experimental": true, nchwc: true,
}

// nchwc is the domain of operators in a blocked layout, which the optimiser
// puts in for the CPU that it runs on.
const nchwc = "com.microsoft.nchwc"

// huge is where a model's weights begin to need thought: two copies of them
// fill a usual serverless function's memory.
const huge = 1 << 30

// Custom returns the operators that neither ONNX Runtime nor the model itself
// defines, sorted. They need a library, which Godwit does not load.
func (m *Model) Custom() []Op {
	own := map[Op]bool{}
	for _, op := range m.Functions {
		own[op] = true
	}
	var custom []Op
	for _, o := range m.Ops {
		if !domains[o.Domain] && !own[o.Op] {
			custom = append(custom, o.Op)
		}
	}
	return custom
}

// Opset is the version of domain's operators that the model uses, 0 when it
// uses none.
func (m *Model) Opset(domain string) int64 {
	for _, o := range m.Opsets {
		if o.Domain == domain {
			return o.Version
		}
	}
	return 0
}

// Unusual returns what a person should know before serving the model,
// problems first. A usual model has none.
func (m *Model) Unusual() []Finding {
	if m.Format == FormatORT {
		return []Finding{{"ort-format", Warning, "The file is in ONNX Runtime's own format.",
			"Its inputs, outputs and operators are known only once it is loaded, and it fits one version of ONNX Runtime and perhaps one kind of CPU.",
			"Serve the .onnx file that it was made from where you have it."}}
	}
	var all []Finding
	for _, f := range []func() []Finding{m.versions, m.operators, m.signature, m.batch, m.values, m.weights} {
		all = append(all, f()...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	return all
}

func (m *Model) versions() (all []Finding) {
	if m.IRVersion > MaxIRVersion {
		all = append(all, Finding{"ir-version", Problem,
			fmt.Sprintf("The file has IR version %d; ONNX Runtime reads 1 to %d.", m.IRVersion, MaxIRVersion),
			"ONNX Runtime refuses it.",
			fmt.Sprintf("Export the model again with an older onnx package, or set ir_version to %d if its operators allow it.", MaxIRVersion)})
	}
	opset := func(name, domain string, newest int64) {
		if v := m.Opset(domain); v > newest {
			all = append(all, Finding{"opset", Problem,
				fmt.Sprintf("The model uses opset %d of %s; ONNX Runtime has 1 to %d.", v, name, newest),
				"ONNX Runtime refuses it.", fmt.Sprintf("Export it with opset %d or older.", newest)})
		}
	}
	opset("the ONNX operators", "", MaxOpset)
	opset("ai.onnx.ml", "ai.onnx.ml", MaxOpsetML)
	if v := m.Opset(""); v > 0 && v < MinOpset {
		all = append(all, Finding{"old-opset", Warning,
			fmt.Sprintf("The model uses opset %d of the ONNX operators.", v),
			fmt.Sprintf("ONNX Runtime promises support from opset %d on; some of its operators may be missing.", MinOpset),
			"Export it again, or convert it with onnx.version_converter."})
	}
	return all
}

func (m *Model) operators() (all []Finding) {
	if custom := m.Custom(); len(custom) > 0 {
		all = append(all, Finding{"custom-ops", Problem,
			fmt.Sprintf("The model uses operators that are not in ONNX Runtime: %s.", join(custom)),
			"They need a library of native code, which Godwit does not load.",
			"Export the model with standard operators only. Known domains are ai.onnx, ai.onnx.ml and com.microsoft."})
	}
	var blocked, microsoft []Op
	for _, o := range m.Ops {
		switch o.Domain {
		case nchwc:
			blocked = append(blocked, o.Op)
		case "com.microsoft", "com.microsoft.experimental":
			microsoft = append(microsoft, o.Op)
		}
	}
	if len(blocked) > 0 {
		all = append(all, Finding{"cpu-specific", Warning,
			fmt.Sprintf("The model was optimised for one kind of CPU: it has %s.", join(blocked)),
			"On a CPU of another kind it loads without an error and gives wrong numbers.",
			"Serve the model as it was exported, or optimise it at level \"extended\" instead of \"all\"."})
	}
	if len(microsoft) > 0 {
		all = append(all, Finding{"runtime-ops", Note,
			fmt.Sprintf("The model uses operators that only ONNX Runtime has: %s.", join(microsoft)),
			"Other ONNX runtimes cannot run it.", ""})
	}
	if len(m.Random) > 0 {
		all = append(all, Finding{"random", Warning,
			fmt.Sprintf("The model has random operators: %s.", join(m.Random)),
			"The same request gets different answers, so answers are neither cached nor shared, and recorded answers cannot be compared.",
			"Export the model in evaluation mode if this was not intended."})
	}
	if loops := m.having("Loop", "Scan"); len(loops) > 0 {
		all = append(all, Finding{"loops", Note,
			fmt.Sprintf("The model has loops: %s.", join(loops)),
			"How long a request takes may depend on its values.", "Set a timeout."})
	}
	if len(m.Functions) > 0 {
		all = append(all, Finding{"functions", Note,
			fmt.Sprintf("The model defines %d operators itself: %s.", len(m.Functions), join(m.Functions)),
			"ONNX Runtime replaces them by their bodies when it loads the model, which takes a while for many.", ""})
	}
	if m.Training {
		all = append(all, Finding{"training", Note, "The file carries training information.",
			"Serving ignores it; it only makes the file larger.", "Export the model for inference."})
	}
	return all
}

func (m *Model) signature() (all []Finding) {
	if _, err := m.Signature(); err != nil {
		what := err.Error()
		if _, text, ok := strings.Cut(what, m.Path+": "); ok {
			what = text
		}
		all = append(all, Finding{"signature", Problem,
			"Not every input and output can be served: " + strings.ReplaceAll(what, "\n", "; ") + ".",
			"The Open Inference Protocol carries tensors of booleans, integers of 8 to 64 bits, FP16, BF16, FP32, FP64 and strings.",
			"Add a Cast at that end of the graph, or export the model with tensors only; for scikit-learn that is the option zipmap: False."})
	}
	for _, v := range m.Outputs {
		if _, ok := v.Type.maps(); ok {
			all = append(all, Finding{"maps", Note,
				fmt.Sprintf("Output %s is a sequence of maps, as scikit-learn's classifiers have.", short(v.Name)),
				fmt.Sprintf("It is served as two tensors: %s with a row of values for each item, and %s with the keys.", short(v.Name), short(v.Name+KeysSuffix)),
				"For one plain tensor export with the option zipmap: False."})
		}
	}
	if len(m.Inputs) == 0 {
		all = append(all, Finding{"no-inputs", Warning, "The model has no inputs.",
			"It gives the same answer to every request.", "Check that the right file was exported."})
	}
	if len(m.Outputs) == 0 {
		all = append(all, Finding{"no-outputs", Problem, "The model has no outputs.",
			"There is nothing to serve.", "Export it again and name its outputs."})
	}
	if len(m.Defaults) > 0 {
		all = append(all, Finding{"defaults", Note,
			fmt.Sprintf("%d graph inputs have a constant value already: %s.", len(m.Defaults), quoted(m.Defaults)),
			"They are not part of a request; the constants are always used.", ""})
	}
	return all
}

// batch tells why rows of several requests cannot share a run: that needs a
// dynamic first dimension of one name on everything.
func (m *Model) batch() []Finding {
	if len(m.Inputs) == 0 {
		return nil
	}
	const why = "Requests are run one by one and never share a run."
	symbols := map[string]bool{}
	for i, v := range slices.Concat(m.Inputs, m.Outputs) {
		if v.Type.Kind != KindTensor {
			continue
		}
		if !v.Type.Ranked || len(v.Type.Shape) == 0 || v.Type.Shape[0].Size >= 0 {
			what := "input"
			if i >= len(m.Inputs) {
				what = "output"
			}
			return []Finding{{"no-batch", Note,
				fmt.Sprintf("The first dimension of %s %s, %s, is not dynamic.", what, short(v.Name), shorten(v.Type.String())), why,
				"If its rows are independent, export the model with a dynamic first dimension (dynamic_axes, dynamic_shapes)."}}
		}
		symbols[v.Type.Shape[0].Symbol] = true
	}
	if len(symbols) <= 1 && !symbols[""] {
		return nil
	}
	return []Finding{{"no-batch", Note,
		fmt.Sprintf("The first dimensions of inputs and outputs do not have one name in common: %s.", quoted(slices.Sorted(maps.Keys(symbols)))), why,
		"If its rows are independent, give that dimension the same name everywhere when you export the model."}}
}

func (m *Model) values() (all []Finding) {
	about := func(code string, level Level, why, do, is string, fits func(Type) bool) {
		var names []string
		for _, v := range slices.Concat(m.Inputs, m.Outputs) {
			if v.Type.Kind == KindTensor && fits(v.Type) {
				names = append(names, v.Name)
			}
		}
		if len(names) > 0 {
			all = append(all, Finding{code, level, quoted(names) + is, why, do})
		}
	}
	about("float16", Note, "In JSON such numbers are written in decimal, which is an extension of the protocol; clients in other languages may only know them as raw bytes.",
		"Send them in binary.", ": 16-bit floats.",
		func(t Type) bool { return t.Elem == Float16 || t.Elem == BFloat16 })
	about("strings", Note, "The protocol calls strings BYTES; ONNX means UTF-8.", "", ": strings.",
		func(t Type) bool { return t.Elem == String })
	about("unranked", Note, "Nothing about the shape can be checked before a request reaches the model.",
		"Export the model with shapes.", ": the number of dimensions is not known.",
		func(t Type) bool { return !t.Ranked })
	about("empty", Warning, "A dimension of size 0 leaves no elements; some exporters write 0 where they mean any size.",
		"Export the model with a dynamic dimension there.", ": a dimension is 0.",
		func(t Type) bool {
			return slices.ContainsFunc(t.Shape, func(d Dim) bool { return d.Size == 0 })
		})
	return all
}

func (m *Model) weights() (all []Finding) {
	if len(m.External) > 0 {
		files := map[string]bool{}
		for _, e := range m.External {
			files[e.Location] = true
		}
		all = append(all, Finding{"external-data", Note,
			fmt.Sprintf("%d tensors are in other files: %s.", len(m.External), quoted(slices.Sorted(maps.Keys(files)))),
			"The model works only with these files beside it, and its digest covers them too.",
			"Copy and package them together."})
	}
	if bytes := addSat(m.Initializers.Bytes, m.Constants); bytes >= huge {
		all = append(all, Finding{"huge", Warning,
			fmt.Sprintf("The weights have %.1f GiB.", float64(bytes)/(1<<30)),
			"Loading needs up to twice as much memory and takes seconds, which many serverless targets do not allow.",
			"Choose the function's memory accordingly, or quantise the model."})
	}
	return all
}

// having returns the default domain's operators with these names that occur.
func (m *Model) having(names ...string) (ops []Op) {
	for _, o := range m.Ops {
		if o.Domain == "" && slices.Contains(names, o.Name) {
			ops = append(ops, o.Op)
		}
	}
	return ops
}

const maxListed = 8

func join(ops []Op) string {
	var names []string
	for _, o := range ops {
		names = append(names, shorten(o.String()))
	}
	return listed(names)
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = short(n)
	}
	return listed(q)
}

// listed names the first few.
func listed(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}
