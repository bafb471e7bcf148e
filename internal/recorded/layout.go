package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// lineWidth is how long a tensor may be to stand on one line as a whole.
const lineWidth = 100

// document is what the codec writes, in parts that can be laid out.
type document struct {
	ID         json.RawMessage `json:"id"`
	Parameters json.RawMessage `json:"parameters"`
	Inputs     []tensorText    `json:"inputs"`
	Outputs    json.RawMessage `json:"outputs"`
}

type tensorText struct {
	Name       json.RawMessage   `json:"name"`
	Shape      json.RawMessage   `json:"shape"`
	Datatype   json.RawMessage   `json:"datatype"`
	Parameters json.RawMessage   `json:"parameters"`
	Data       []json.RawMessage `json:"data"`
}

// layoutRequest is req as a protocol body for people: one line for each row of
// a tensor. Where that takes more than most bytes, it is without white space.
func layoutRequest(req *infer.Request, most int) ([]byte, error) {
	compact, _, err := codec.EncodeRequest(nil, req, false)
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(compact, &doc); err != nil {
		return nil, err
	}
	var p page
	p.member("id", doc.ID)
	p.tensors("inputs", doc.Inputs, req.Inputs)
	p.member("outputs", doc.Outputs)
	p.member("parameters", doc.Parameters)
	if text := p.end(); len(text) <= most {
		return text, nil
	}
	return append(compact, '\n'), nil
}

// layoutWant is a NAME.want.json. NaN and the infinities are strings in it.
func layoutWant(digest string, tol Tolerances, outputs []tensor.Tensor) ([]byte, error) {
	compact, _, err := codec.EncodeResponse(nil, nil, &infer.Response{Outputs: outputs}, &codec.EncodeOptions{NaN: codec.NaNString})
	if err != nil {
		return nil, err
	}
	var doc struct {
		Outputs []tensorText `json:"outputs"`
	}
	if err := json.Unmarshal(compact, &doc); err != nil {
		return nil, err
	}
	var p page
	if digest != "" {
		text, err := json.Marshal(digest)
		if err != nil {
			return nil, err
		}
		p.member("model_digest", text)
	}
	p.tolerances(tol, outputs, doc.Outputs)
	p.tensors("outputs", doc.Outputs, outputs)
	return p.end(), nil
}

// page writes one JSON object, a member on each line.
type page struct{ bytes.Buffer }

func (p *page) key(name string) {
	sep := ",\n"
	if p.Len() == 0 {
		sep = "{\n"
	}
	fmt.Fprintf(p, "%s  %q: ", sep, name)
}

func (p *page) member(name string, compact json.RawMessage) {
	if len(compact) > 0 {
		p.key(name)
		p.Write(spaced(compact))
	}
}

func (p *page) end() []byte {
	p.WriteString("\n}\n")
	return p.Bytes()
}

// tolerances writes those of the outputs that have one, in their order.
func (p *page) tolerances(tol Tolerances, outputs []tensor.Tensor, texts []tensorText) {
	some := false
	for i := range outputs {
		t, ok := tol[outputs[i].Name]
		if !ok {
			continue
		}
		if some {
			p.WriteString(",")
		} else {
			p.key("tolerance")
			p.WriteString("{")
		}
		some = true
		fmt.Fprintf(p, "\n    %s: {\"relative\": %s, \"absolute\": %s}", texts[i].Name, number(t.Relative), number(t.Absolute))
	}
	if some {
		p.WriteString("\n  }")
	}
}

func number(v float64) string {
	if v != 0 && (v < 1e-5 || v >= 1e15) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (p *page) tensors(key string, texts []tensorText, tensors []tensor.Tensor) {
	p.key(key)
	p.WriteString("[")
	for i := range texts {
		if i > 0 {
			p.WriteString(",")
		}
		p.WriteString("\n    ")
		p.tensor(&texts[i], rowLength(tensors[i].Shape))
	}
	if len(texts) > 0 {
		p.WriteString("\n  ")
	}
	p.WriteString("]")
}

func (p *page) tensor(t *tensorText, row int) {
	start := p.Len()
	fmt.Fprintf(p, `{"name": %s, "shape": %s, "datatype": %s`, t.Name, spaced(t.Shape), t.Datatype)
	if len(t.Parameters) > 0 {
		fmt.Fprintf(p, `, "parameters": %s`, spaced(t.Parameters))
	}
	p.WriteString(`, "data": [`)
	length := p.Len() - start
	for _, v := range t.Data {
		length += len(v) + 2
	}
	oneLine := len(t.Data) <= row && length <= lineWidth
	for i, v := range t.Data {
		switch {
		case i > 0 && (oneLine || i%row != 0):
			p.WriteString(", ")
		case i > 0:
			p.WriteString(",\n      ")
		case !oneLine:
			p.WriteString("\n      ")
		}
		p.Write(v)
	}
	if !oneLine && len(t.Data) > 0 {
		p.WriteString("\n    ")
	}
	p.WriteString("]}")
}

// rowLength is how many elements stand on one line: the last dimension, and
// for columns such as [N 1] the dimensions before it up to one that is not 1.
func rowLength(shape []int64) int {
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 {
			return int(max(shape[i], 1))
		}
	}
	return 1
}

// spaced is compact JSON with a space after each comma and colon.
func spaced(compact []byte) []byte {
	out := make([]byte, 0, len(compact)+len(compact)/4)
	inString := false
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		out = append(out, c)
		switch {
		case inString && c == '\\':
			i++
			out = append(out, compact[i])
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}
