package codec

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// encoder appends one document to dst, the part before start being another's.
type encoder struct {
	op    string
	kind  string // what tensors are: "input" or "output"
	dst   []byte
	start int
	most  int64 // bytes; 0 is no limit
	nan   NaNPolicy
}

// EncodeResponse appends resp as the answer to req to dst: outputs in the
// order that req asks for, binary where its binary_data_output and
// binary_data parameters or opts say so. header is the value for
// Inference-Header-Content-Length, or -1 when all of it is JSON. req may be nil.
//
// Errors: Unprocessable when an output cannot be written in JSON (NaN under
// NaNError, BYTES that are not UTF-8), TooLarge beyond Limits.Response,
// Internal when resp lacks a requested output. body is then dst as it was.
func EncodeResponse(dst []byte, req *infer.Request, resp *infer.Response, opts *EncodeOptions) (body []byte, header int, err error) {
	if opts == nil {
		opts = &EncodeOptions{}
	}
	e := encoder{op: "codec.EncodeResponse", kind: "output", dst: dst, start: len(dst), most: opts.Limits.WithDefaults().Response, nan: opts.NaN}
	outs, err := wantedOutputs(e.op, req, resp)
	if err != nil {
		return dst, -1, err
	}
	e.raw(`{"model_name":`)
	e.text(resp.Model)
	if resp.Version != "" {
		e.raw(`,"model_version":`)
		e.text(resp.Version)
	}
	if id := responseID(req, resp); id != "" {
		e.raw(`,"id":`)
		e.text(id)
	}
	if err := e.responseParams(resp); err != nil {
		return dst, -1, err
	}
	e.raw(`,"outputs":[`)
	sections := false
	for i := range outs {
		if i > 0 {
			e.raw(",")
		}
		inBinary := opts.Binary || binaryOutput(req, outs[i].Name)
		sections = sections || inBinary
		if err := e.tensor(&outs[i], nil, inBinary); err != nil {
			return dst, -1, err
		}
	}
	e.raw("]}")
	header = -1
	if sections {
		header = len(e.dst) - e.start
		for i := range outs {
			if opts.Binary || binaryOutput(req, outs[i].Name) {
				e.section(&outs[i])
			}
		}
	}
	if err := e.full(0); err != nil {
		return dst, -1, err
	}
	return e.dst, header, nil
}

// EncodeRequest appends req to dst, for clients. With binary every input is a
// binary tensor and binary outputs are asked for, unless req.Params already
// holds binary_data_output. header is as in EncodeResponse.
//
// Errors: Unprocessable when an input cannot be written in JSON, Internal when
// a tensor's or a parameter's Go value is not one that infer describes.
func EncodeRequest(dst []byte, req *infer.Request, binary bool) (body []byte, header int, err error) {
	e := encoder{op: "codec.EncodeRequest", kind: "input", dst: dst, start: len(dst)}
	e.raw("{")
	if req.ID != "" {
		e.raw(`"id":`)
		e.text(req.ID)
		e.raw(",")
	}
	e.raw(`"inputs":[`)
	for i := range req.Inputs {
		if i > 0 {
			e.raw(",")
		}
		var params infer.Params
		if i < len(req.InputParams) {
			params = req.InputParams[i]
		}
		if err := e.tensor(&req.Inputs[i], params, binary); err != nil {
			return dst, -1, err
		}
	}
	e.raw("]")
	for i, out := range req.Outputs {
		if i == 0 {
			e.raw(`,"outputs":[`)
		} else {
			e.raw(",")
		}
		e.raw(`{"name":`)
		e.text(out.Name)
		if len(out.Params) > 0 {
			e.raw(`,"parameters":`)
			if err := e.params(out.Params, "", nil); err != nil {
				return dst, -1, err
			}
		}
		e.raw("}")
	}
	if len(req.Outputs) > 0 {
		e.raw("]")
	}
	extra := ""
	if _, set := req.Params[paramOutput]; binary && !set {
		extra = paramOutput
	}
	if len(req.Params) > 0 || extra != "" {
		e.raw(`,"parameters":`)
		if err := e.params(req.Params, extra, true); err != nil {
			return dst, -1, err
		}
	}
	e.raw("}")
	header = -1
	if binary && len(req.Inputs) > 0 {
		header = len(e.dst) - e.start
		for i := range req.Inputs {
			e.section(&req.Inputs[i])
		}
	}
	return e.dst, header, nil
}

// wantedOutputs are the outputs of resp that req asks for, in its order.
func wantedOutputs(op string, req *infer.Request, resp *infer.Response) ([]tensor.Tensor, error) {
	outs := resp.Outputs
	if req != nil && len(req.Outputs) > 0 {
		same := len(outs) == len(req.Outputs)
		for i := 0; same && i < len(outs); i++ {
			same = outs[i].Name == req.Outputs[i].Name
		}
		if !same {
			outs = make([]tensor.Tensor, len(req.Outputs))
			for i, want := range req.Outputs {
				j := slices.IndexFunc(resp.Outputs, func(t tensor.Tensor) bool { return t.Name == want.Name })
				if j < 0 {
					return nil, fault.New(fault.Internal, op, subjectOf("output", i, want.Name), "requested, but not in the response")
				}
				outs[i] = resp.Outputs[j]
			}
		}
	}
	for i := range outs {
		if err := outs[i].Check(); err != nil {
			return nil, fault.New(fault.Internal, op, subjectOf("output", i, outs[i].Name), "%w", err)
		}
	}
	return outs, nil
}

func responseID(req *infer.Request, resp *infer.Response) string {
	if resp.ID == "" && req != nil {
		return req.ID
	}
	return resp.ID
}

// binaryOutput tells whether req asks for the output in binary: its own
// parameter wins over the request's.
func binaryOutput(req *infer.Request, name string) bool {
	if req == nil {
		return false
	}
	for i := range req.Outputs {
		if req.Outputs[i].Name == name {
			if v, ok := req.Outputs[i].Params[paramBinary].(bool); ok {
				return v
			}
		}
	}
	v, _ := req.Params[paramOutput].(bool)
	return v
}

func (e *encoder) raw(s string) { e.dst = append(e.dst, s...) }

// text writes a string for people and programs; what is not UTF-8 in it
// becomes U+FFFD, so that the document stays JSON.
func (e *encoder) text(s string) { e.dst, _ = appendString(e.dst, s, false) }

// full checks the limit for what is there and n bytes more.
func (e *encoder) full(n int) error {
	if size := int64(len(e.dst)-e.start) + int64(n); e.most > 0 && size > e.most {
		return fault.New(fault.TooLarge, e.op, "response", "want at most %d bytes, got more", e.most).
			WithHint("Ask for fewer rows or outputs, or for binary tensors.")
	}
	return nil
}

// params writes p with its keys sorted, after the parameter extra if it has a
// name. What travels as binary_data_size is the encoder's own business.
func (e *encoder) params(p infer.Params, extra string, value any) error {
	e.raw("{")
	some := extra != ""
	if some {
		if err := e.param(extra, value); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(p) {
		if name == paramSize {
			continue
		}
		if some {
			e.raw(",")
		}
		some = true
		if err := e.param(name, p[name]); err != nil {
			return err
		}
	}
	e.raw("}")
	return nil
}

// sortedNames are p's keys. Most tensors have no parameters, for which nothing
// is made.
func sortedNames(p infer.Params) []string {
	if len(p) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(p))
}

func (e *encoder) param(name string, value any) error {
	e.text(name)
	e.raw(":")
	switch v := value.(type) {
	case string:
		e.text(v)
	case bool:
		e.dst = strconv.AppendBool(e.dst, v)
	case int:
		e.dst = strconv.AppendInt(e.dst, int64(v), 10)
	case int64:
		e.dst = strconv.AppendInt(e.dst, v, 10)
	case uint64:
		e.dst = strconv.AppendUint(e.dst, v, 10)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fault.New(fault.Unprocessable, e.op, "parameter "+quote([]byte(name)), "want a number that JSON can hold, got %v", v)
		}
		from := len(e.dst)
		e.dst = appendFloat(e.dst, v, 64)
		if !bytes.ContainsAny(e.dst[from:], ".e") {
			e.raw(".0") // or it would be read as an integer
		}
	default:
		return fault.New(fault.Internal, e.op, "parameter "+quote([]byte(name)), "want a string, bool, int64, uint64 or float64, got %T", value)
	}
	return nil
}

// tensor writes one tensor's object; of a binary one, all but its elements.
func (e *encoder) tensor(t *tensor.Tensor, p infer.Params, inBinary bool) error {
	if err := t.Check(); err != nil {
		return fault.New(fault.Internal, e.op, subjectOf(e.kind, 0, t.Name), "%w", err)
	}
	e.raw(`{"name":`)
	e.text(t.Name)
	e.raw(`,"shape":[`)
	for i, dim := range t.Shape {
		if i > 0 {
			e.raw(",")
		}
		e.dst = strconv.AppendInt(e.dst, dim, 10)
	}
	e.raw(`],"datatype":"`)
	e.raw(t.Type.String())
	e.raw(`"`)
	if inBinary {
		size := binarySize(t)
		if err := e.full(size); err != nil {
			return err
		}
		e.raw(`,"parameters":`)
		if err := e.params(p, paramSize, int64(size)); err != nil {
			return err
		}
		e.raw("}")
		return nil
	}
	if len(p) > 0 {
		e.raw(`,"parameters":`)
		if err := e.params(p, "", nil); err != nil {
			return err
		}
	}
	e.raw(`,"data":[`)
	if err := e.elements(t); err != nil {
		return err
	}
	e.raw("]}")
	return nil
}

// binarySize is the number of bytes that section writes.
func binarySize(t *tensor.Tensor) int { return t.Bytes() + 4*len(t.Strings) }

// section writes a tensor's elements as the binary extension has them.
func (e *encoder) section(t *tensor.Tensor) { e.dst = appendBinary(e.dst, t) }

func appendBinary(dst []byte, t *tensor.Tensor) []byte {
	if t.Type != tensor.Bytes {
		return append(dst, t.Data...)
	}
	for _, s := range t.Strings {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
		dst = append(dst, s...)
	}
	return dst
}
