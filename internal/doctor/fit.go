package doctor

import (
	"context"
	"fmt"
	"math"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// memory compares what loading takes, by what was measured, with what is asked for.
func (e *exam) memory(context.Context) error {
	var weights int64
	for i := range e.r.Models {
		weights = addSat(weights, e.r.Models[i].Weights)
	}
	if len(e.r.Models) == 0 {
		return e.bodies()
	}
	least := addSat(data.MemoryProcess, part(weights, data.MemoryLeast))
	most := addSat(data.MemoryProcess, part(weights, data.MemoryMost))
	how := fmt.Sprintf("%s for the process and 1.6 to 2.6 times %s of weights (%s)", Bytes(data.MemoryProcess), Bytes(weights), data.MemorySource)
	for i := range e.r.Models {
		if e.r.Models[i].Baked { // used in place, as they lie in the file
			least = addSat(data.MemoryProcess, weights)
			how = fmt.Sprintf("%s for the process and 1 to 2.6 times %s of baked weights", Bytes(data.MemoryProcess), Bytes(weights))
		}
	}
	asked := e.t.memory
	where := "targets." + e.t.name + ".memory"
	switch l := e.find(data.MemoryMax); {
	case l.State == data.Known && asked > l.Value:
		e.add(Finding{Code: "memory-limit", Level: Error, Where: where, What: fmt.Sprintf("godwit.yaml asks for %s; %s has at most %s (%s).", Bytes(asked), e.t.name, Bytes(l.Value), l.Source), Why: "The platform refuses it.", Do: "Ask for less."})
	case asked == 0:
		because := e.t.because
		if because == "" {
			because = "godwit.yaml does not say how much there is"
		}
		e.add(Finding{Code: "memory-unknown", Level: Unknown, Where: where, What: fmt.Sprintf("Whether %s to %s of memory are there is not known: %s.", Bytes(least), Bytes(most), because),
			Why: "With less the process is killed while it loads: " + how + ".", Do: "Compare with the machine."})
	case least > asked:
		e.add(Finding{Code: "memory", Level: Error, Where: where, What: fmt.Sprintf("Loading takes at least %s; godwit.yaml asks for %s.", Bytes(least), Bytes(asked)),
			Why: "The process is killed while it loads: " + how + ".", Do: fmt.Sprintf("Ask for %s or more, or quantise the model.", Bytes(most))})
	case most > asked:
		e.add(Finding{Code: "memory", Level: Warning, Where: where, What: fmt.Sprintf("Loading takes %s to %s; godwit.yaml asks for %s.", Bytes(least), Bytes(most), Bytes(asked)),
			Why: "Whether it fits depends on the operators, convolutions most: " + how + ".", Do: fmt.Sprintf("Ask for %s, or measure it: `godwit bench --cold` under that limit.", Bytes(most))})
	}
	if l := e.find(data.Start); l.State == data.Known && l.Value <= 30_000 && weights > 2<<30 {
		e.add(Finding{Code: "start-unknown", Level: Unknown, What: fmt.Sprintf("%s of weights have to be there within %s.", Bytes(weights), amount(l)), Why: "A start that takes longer is done again, or ended (" + l.Source.String() + ").", Do: "Measure it: `godwit bench --cold`."})
	}
	return e.bodies()
}

// part is percent of n.
func part(n, percent int64) int64 {
	if n > math.MaxInt64/percent {
		return math.MaxInt64
	}
	return n * percent / 100
}

func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func mulSat(a, b int64) int64 {
	if b != 0 && a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

// payload is what the tensors of a request or an answer weigh on the wire.
type payload struct {
	binary   int64 // as raw bytes
	leastTxt int64 // as JSON of the shortest numbers
	txt      int64 // as JSON of usual numbers
	fixed    bool  // every dimension is known
	rows     bool  // only the first is not; then the figures are for one row
}

// jsonWidths are how many characters a usual number takes in JSON with its comma.
var jsonWidths = map[tensor.DType]int64{tensor.Bool: 6, tensor.Uint8: 4, tensor.Int8: 4, tensor.FP16: 8, tensor.BF16: 8, tensor.FP32: 12, tensor.FP64: 19}

func weigh(values []onnx.Value) payload {
	p := payload{fixed: true, rows: true}
	for _, v := range values {
		d, ok := v.Type.Elem.DType()
		if v.Type.Kind != onnx.KindTensor || !ok || !v.Type.Ranked || d == tensor.Bytes {
			return payload{}
		}
		n := int64(1)
		for i, dim := range v.Type.Shape {
			switch {
			case dim.Size >= 0:
				n = mulSat(n, dim.Size)
			case i == 0:
				p.fixed = false
			default:
				return payload{}
			}
		}
		if len(v.Type.Shape) == 0 || v.Type.Shape[0].Size >= 0 {
			p.rows = false
		}
		width := jsonWidths[d]
		if width == 0 {
			width = 6
		}
		p.binary = addSat(p.binary, mulSat(n, int64(d.Size())))
		p.leastTxt = addSat(p.leastTxt, mulSat(n, 2))
		p.txt = addSat(p.txt, mulSat(n, width))
	}
	if len(values) == 0 || !p.fixed && !p.rows {
		return payload{}
	}
	return p
}

// bodies compares the models' shapes with what a request and an answer may weigh.
func (e *exam) bodies() error {
	for i := range e.r.Models {
		m := &e.r.Models[i]
		if m.read == nil || m.Format != onnx.FormatONNX {
			e.add(Finding{Code: "shape-unknown", Level: Unknown, Where: m.Path, What: fmt.Sprintf("The shapes of %s are known only once it is loaded.", m.Name), Why: "They were not compared with the platform's limits.", Do: "Examine the model that it was made from, too."})
			continue
		}
		e.body(m, "request", weigh(m.read.Inputs), e.find(data.Request))
		e.body(m, "response", weigh(m.read.Outputs), e.find(data.Response))
		if e.spec != nil && e.spec.Limits.Body > 0 {
			own := data.Limit{Key: data.Request, State: data.Known, Value: int64(e.spec.Limits.Body)}
			p := weigh(m.read.Inputs)
			if p.fixed && min(p.binary, p.leastTxt) > own.Value {
				e.add(Finding{Code: "body-limit", Level: Error, Where: "limits.body", What: fmt.Sprintf("A request to %s has %s of numbers; limits.body is %s.", m.Name, Bytes(min(p.binary, p.leastTxt)), Bytes(own.Value)), Why: "The server answers 413 to every request.", Do: "Raise limits.body."})
			}
		}
	}
	if e.spec == nil {
		return nil
	}
	if l := e.find(data.Time); l.State == data.Known && e.spec.Given("limits.request") && time.Duration(e.spec.Limits.Request) > time.Duration(l.Value)*time.Millisecond {
		e.add(Finding{Code: "time-limit", Level: Warning, Where: "limits.request", What: fmt.Sprintf("limits.request is %s; %s gives up after %s (%s).", time.Duration(e.spec.Limits.Request), e.t.name, amount(l), l.Source),
			Why: "The caller gets the platform's 504 while the function goes on working for nobody.", Do: "Ask for less, or score in batches."})
	}
	return nil
}

func (e *exam) body(m *Model, what string, p payload, l data.Limit) {
	if p.binary == 0 || l.State != data.Known {
		return
	}
	raw, form := p.binary, "binary"
	if data.Base64(e.t.name) {
		raw, form = mulSat(raw, 4)/3, "binary and base64"
	}
	code := "body-limit"
	if what == "response" {
		code = "response-limit"
	}
	why := fmt.Sprintf("The platform refuses it before the function sees it, or cuts it off after (%s).", l.Source)
	if p.rows && !p.fixed {
		if rows := l.Value / max(raw, 1); rows == 0 && l.Value < p.leastTxt {
			e.add(Finding{Code: code, Level: Error, Where: m.Path, What: fmt.Sprintf("One row of a %s of %s has %s in %s; %s takes %s.", what, m.Name, Bytes(raw), form, e.t.name, amount(l)), Why: why, Do: "Split the input, or choose a target with larger bodies."})
		} else if what == "request" && rows < 1000 {
			e.add(Finding{Code: "body-rows", Level: Note, Where: m.Path, What: fmt.Sprintf("A %s of %s holds about %d rows in %s, %d in JSON; %s takes %s.", what, m.Name, rows, form, l.Value/max(p.txt, 1), e.t.name, amount(l)), Why: "Larger ones are refused by the platform.", Do: "Send larger batches in parts."})
		}
		return
	}
	switch {
	case min(raw, p.leastTxt) > l.Value:
		e.add(Finding{Code: code, Level: Error, Where: m.Path, What: fmt.Sprintf("Every %s of %s has %s in %s, and %s or more in JSON; %s takes %s.", what, m.Name, Bytes(raw), form, Bytes(p.leastTxt), e.t.name, amount(l)), Why: why, Do: "Choose a target with larger bodies, or a smaller input."})
	case raw > l.Value:
		e.add(Finding{Code: code, Level: Warning, Where: m.Path, What: fmt.Sprintf("Every %s of %s has %s in %s, and about %s in JSON; %s takes %s.", what, m.Name, Bytes(raw), form, Bytes(p.txt), e.t.name, amount(l)), Why: why, Do: "Choose a target with larger bodies, or a smaller input."})
	case p.txt > l.Value:
		e.add(Finding{Code: code, Level: Warning, Where: m.Path, What: fmt.Sprintf("A %s of %s has about %s in JSON, and %s in %s; %s takes %s.", what, m.Name, Bytes(p.txt), Bytes(raw), form, e.t.name, amount(l)), Why: why, Do: "Send and ask for tensors in binary."})
	}
}
