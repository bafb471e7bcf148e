package codec

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Field numbers of inference.ModelInferRequest and ModelInferResponse, which
// share all but the last three.
const (
	fieldModel   = 1
	fieldVersion = 2
	fieldID      = 3
	fieldParams  = 4
	fieldTensors = 5 // inputs of a request, outputs of a response
	fieldOutputs = 6 // of a request
	fieldRawIn   = 7 // of a request
	fieldRawOut  = 6 // of a response

	// Of InferInputTensor and InferOutputTensor. A requested output has only
	// a name and, as field 2, parameters.
	fieldName     = 1
	fieldType     = 2
	fieldShape    = 3
	fieldTParams  = 4
	fieldContents = 5
	fieldOParams  = 2
)

// DecodeInferGRPC decodes the wire bytes of an inference.ModelInferRequest.
// raw tells whether tensors came as raw_input_contents, in which case the
// answer should be raw too; such tensors, and BYTES, borrow msg.
//
// Unlike protobuf's own rule, by which the last one wins, a field that may
// occur once and occurs twice is an error. Unknown fields are skipped.
//
// Errors: Invalid, TooLarge, Unsupported.
func DecodeInferGRPC(msg []byte, lim *Limits) (req *infer.Request, raw bool, err error) {
	d := wire{decoder: decoder{op: "codec.DecodeInferGRPC", document: "request message", lim: lim.WithDefaults()}}
	m := wireMessage{kind: "input", raws: fieldRawIn, outputs: fieldOutputs}
	if err := d.message(&m, msg); err != nil {
		return nil, false, err
	}
	return &infer.Request{Model: m.model, Version: m.version, ID: m.id, Params: m.params,
		Inputs: m.list.tensors, InputParams: m.list.params, Outputs: m.wanted}, m.raw, nil
}

// DecodeInferResponseGRPC decodes the wire bytes of an
// inference.ModelInferResponse, for clients. Parameters of single outputs are
// dropped. The response borrows msg.
//
// Errors: Invalid, TooLarge.
func DecodeInferResponseGRPC(msg []byte, lim *Limits) (*infer.Response, error) {
	d := wire{decoder: decoder{op: "codec.DecodeInferResponseGRPC", document: "response message", lim: lim.WithDefaults()}}
	m := wireMessage{kind: "output", raws: fieldRawOut}
	if err := d.message(&m, msg); err != nil {
		return nil, err
	}
	return &infer.Response{Model: m.model, Version: m.version, ID: m.id, Params: m.params, Outputs: m.list.tensors}, nil
}

// wire reads protobuf messages. It shares limits, errors and the binary form
// of tensors with the JSON decoder.
type wire struct{ decoder }

// wireMessage is a message with tensors, either of the two.
type wireMessage struct {
	kind               string
	raws, outputs      protowire.Number // outputs is 0 in a response
	model, version, id string
	params             infer.Params
	list               tensorList
	wanted             []infer.OutputRequest
	raw                bool
	nRaw, nTensors     int
}

// field is one field of a message: bytes for length-delimited ones, else n.
type field struct {
	num   protowire.Number
	typ   protowire.Type
	bytes []byte
	n     uint64
}

// next takes the first field off b. Groups come with neither bytes nor n.
func (d *wire) next(b []byte, f *field) (rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return nil, d.malformed(n)
	}
	if !num.IsValid() {
		return nil, d.fail(fault.Invalid, "want a protobuf message, got malformed bytes: field number %d", num)
	}
	b = b[n:]
	*f = field{num: num, typ: typ}
	switch typ {
	case protowire.VarintType:
		f.n, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		f.n = uint64(v)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
		f.bytes = f.bytes[:len(f.bytes):len(f.bytes)]
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return nil, d.malformed(n)
	}
	return b[n:], nil
}

func (d *wire) malformed(n int) error {
	return d.fail(fault.Invalid, "want a protobuf message, got malformed bytes: %w", protowire.ParseError(n))
}

// want checks that a known field has the wire type it should have.
func (d *wire) want(f *field, name string, typ protowire.Type) error {
	if f.typ != typ {
		return d.fail(fault.Invalid, "want wire type %d for the field %s, got %d", typ, name, f.typ)
	}
	return nil
}

// text reads a string field that may occur once; seen collects those that did.
func (d *wire) text(f *field, name string, seen *uint) (string, error) {
	if err := d.once(f, name, seen); err != nil {
		return "", err
	}
	if err := d.want(f, name, protowire.BytesType); err != nil {
		return "", err
	}
	if !utf8.Valid(f.bytes) {
		return "", d.fail(fault.Invalid, "want the field %s in UTF-8, got %s", name, quote(f.bytes))
	}
	return string(f.bytes), nil
}

func (d *wire) once(f *field, name string, seen *uint) error {
	if *seen&(1<<f.num) != 0 {
		return d.fail(fault.Invalid, "want the field %s once, got it twice", name)
	}
	*seen |= 1 << f.num
	return nil
}

// message reads a whole request or response.
func (d *wire) message(m *wireMessage, msg []byte) error {
	if int64(len(msg)) > d.lim.Body {
		return d.fail(fault.TooLarge, "want at most %d bytes, got %d", d.lim.Body, len(msg))
	}
	if err := d.measure(m, msg); err != nil {
		return err
	}
	m.list.tensors = make([]tensor.Tensor, 0, m.nTensors)
	var room [8][]byte
	raws := room[:0]
	var f field
	var seen uint
	var names keys
	for rest := msg; len(rest) > 0; {
		var err error
		if rest, err = d.next(rest, &f); err != nil {
			return err
		}
		switch f.num {
		case fieldModel:
			m.model, err = d.text(&f, "model_name", &seen)
		case fieldVersion:
			m.version, err = d.text(&f, "model_version", &seen)
		case fieldID:
			m.id, err = d.text(&f, "id", &seen)
		case fieldParams:
			m.params, err = d.param(m.params, &names, &f)
		case fieldTensors:
			d.kind, d.index, d.name = m.kind, len(m.list.tensors), ""
			err = d.tensor(m, &f)
		case m.raws:
			raws = append(raws, f.bytes)
		case m.outputs:
			d.kind, d.index, d.name = "output", len(m.wanted), ""
			err = d.output(m, &f)
		}
		if err != nil {
			return err
		}
		d.kind = ""
	}
	for i, b := range raws {
		t := &m.list.tensors[i]
		d.kind, d.index, d.name = m.kind, i, t.Name
		if err := d.binary(t, b); err != nil {
			return err
		}
	}
	return nil
}

// measure counts what m has, before anything is allocated for it.
func (d *wire) measure(m *wireMessage, msg []byte) error {
	var f field
	outputs := 0
	for rest := msg; len(rest) > 0; {
		var err error
		if rest, err = d.next(rest, &f); err != nil {
			return err
		}
		switch f.num {
		case fieldTensors:
			m.nTensors++
		case m.raws:
			if err := d.want(&f, "raw_"+m.kind+"_contents", protowire.BytesType); err != nil {
				return err
			}
			m.nRaw++
		case m.outputs:
			outputs++
		}
	}
	m.raw = m.nRaw > 0
	switch {
	case m.nTensors > d.lim.Tensors:
		return d.fail(fault.Invalid, "want at most %d %ss, got %d", d.lim.Tensors, m.kind, m.nTensors)
	case outputs > d.lim.Tensors:
		return d.fail(fault.Invalid, "want at most %d outputs, got %d", d.lim.Tensors, outputs)
	case m.raw && m.nRaw != m.nTensors:
		return d.fail(fault.Invalid, "want one of raw_%s_contents for each of %s, got %d", m.kind, plural(m.nTensors, m.kind), m.nRaw).
			WithHint("Send all tensors raw, or none.")
	}
	return nil
}

// tensor reads one tensor and appends it to m's. Its elements follow later
// when the message is raw.
func (d *wire) tensor(m *wireMessage, outer *field) error {
	if err := d.want(outer, m.kind+"s", protowire.BytesType); err != nil {
		return err
	}
	var (
		t         tensor.Tensor
		params    infer.Params
		typ       string
		contents  []byte
		seen      uint
		dims      [16]int64
		shape     = dims[:0]
		f         field
		hasValues bool
		names     keys
	)
	for rest := outer.bytes; len(rest) > 0; {
		var err error
		if rest, err = d.next(rest, &f); err != nil {
			return err
		}
		switch f.num {
		case fieldName:
			t.Name, err = d.text(&f, "name", &seen)
			d.name = t.Name
		case fieldType:
			typ, err = d.text(&f, "datatype", &seen)
		case fieldShape:
			shape, err = d.dims(shape, &f)
		case fieldTParams:
			params, err = d.param(params, &names, &f)
		case fieldContents:
			if err = d.once(&f, "contents", &seen); err == nil {
				err = d.want(&f, "contents", protowire.BytesType)
			}
			contents, hasValues = f.bytes, true
		}
		if err != nil {
			return err
		}
	}
	if t.Name == "" {
		return d.fail(fault.Invalid, "want a name, got an empty one")
	}
	for i := range m.list.tensors {
		if m.list.tensors[i].Name == t.Name {
			return d.fail(fault.Invalid, "want unique names, got this one twice")
		}
	}
	var err error
	if t.Type, err = d.dtype([]byte(typ)); err != nil {
		return err
	}
	t.Shape = append(make([]int64, 0, len(shape)), shape...)
	switch {
	case m.raw && hasValues:
		return d.fail(fault.Invalid, "want no contents beside raw_%s_contents, got some", m.kind).
			WithHint("Send all tensors raw, or none.")
	case !m.raw:
		if err := d.contents(&t, contents); err != nil {
			return err
		}
	}
	m.list.add(t, params, -1)
	return nil
}

// dims reads dimensions, packed or single, onto shape.
func (d *wire) dims(shape []int64, f *field) ([]int64, error) {
	single := f.typ == protowire.VarintType
	if !single {
		if err := d.want(f, "shape", protowire.BytesType); err != nil {
			return nil, err
		}
	}
	for b := f.bytes; single || len(b) > 0; {
		v := f.n
		if !single {
			var n int
			if v, n = protowire.ConsumeVarint(b); n < 0 {
				return nil, d.malformed(n)
			}
			b = b[n:]
		}
		if int64(v) < 0 {
			return nil, d.fail(fault.Invalid, "shape[%d]: want a whole number of at least 0, got %d", len(shape), int64(v)).
				WithHint("-1 stands for a variable dimension in a model's metadata; a request gives the dimension of its data.")
		}
		if len(shape) >= d.lim.Rank {
			return nil, d.fail(fault.Invalid, "want a shape of at most %d dimensions, got more", d.lim.Rank)
		}
		shape = append(shape, int64(v))
		if single {
			break
		}
	}
	return shape, nil
}

// output reads one requested output.
func (d *wire) output(m *wireMessage, outer *field) error {
	if err := d.want(outer, "outputs", protowire.BytesType); err != nil {
		return err
	}
	var out infer.OutputRequest
	var seen uint
	var f field
	var names keys
	for rest := outer.bytes; len(rest) > 0; {
		var err error
		if rest, err = d.next(rest, &f); err != nil {
			return err
		}
		switch f.num {
		case fieldName:
			out.Name, err = d.text(&f, "name", &seen)
			d.name = out.Name
		case fieldOParams:
			out.Params, err = d.param(out.Params, &names, &f)
		}
		if err != nil {
			return err
		}
	}
	if out.Name == "" {
		return d.fail(fault.Invalid, "want a name, got an empty one")
	}
	for i := range m.wanted {
		if m.wanted[i].Name == out.Name {
			return d.fail(fault.Invalid, "want unique names, got this one twice")
		}
	}
	m.wanted = append(m.wanted, out)
	return nil
}

// param reads one entry of a map<string, InferParameter> into params; names
// has the keys of those before.
func (d *wire) param(params infer.Params, names *keys, outer *field) (infer.Params, error) {
	if err := d.want(outer, "parameters", protowire.BytesType); err != nil {
		return nil, err
	}
	if d.params++; d.params > paramsFactor*d.lim.Params {
		return nil, d.fail(fault.Invalid, "want at most %d parameters in all, got more", paramsFactor*d.lim.Params)
	}
	var name string
	var value any
	var seen uint
	var f field
	for rest := outer.bytes; len(rest) > 0; {
		var err error
		if rest, err = d.next(rest, &f); err != nil {
			return nil, err
		}
		switch f.num {
		case 1:
			name, err = d.text(&f, "key", &seen)
		case 2:
			if err = d.once(&f, "value", &seen); err == nil {
				value, err = d.paramValue(&f)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if names.n >= d.lim.Params {
		return nil, d.fail(fault.Invalid, "want at most %d parameters, got more", d.lim.Params)
	}
	if other, ok := names.clash(0, d.hashSeed(), []byte(name)); ok {
		return nil, d.fail(fault.Invalid, "want parameters that differ in more than case, got %s and %s", quote(other), quote([]byte(name)))
	}
	if value == nil || name == paramSize {
		return params, nil // not set, as null in JSON; or without a meaning here
	}
	if err := checkParam([]byte(name), value, d.kind != ""); err != nil {
		return nil, d.fail(err.Code, "%w", err.Err).WithHint("%s", err.Hint)
	}
	if params == nil {
		params = infer.Params{}
	}
	params[name] = value
	return params, nil
}

// paramValue reads an InferParameter; nil when none of its choices is set.
func (d *wire) paramValue(outer *field) (value any, err error) {
	if err := d.want(outer, "value", protowire.BytesType); err != nil {
		return nil, err
	}
	var f field
	var none uint
	for rest := outer.bytes; len(rest) > 0; {
		if rest, err = d.next(rest, &f); err != nil {
			return nil, err
		}
		if f.num > 5 {
			continue
		}
		if value != nil {
			return nil, d.fail(fault.Invalid, "want one value for each parameter, got two")
		}
		typ := [...]protowire.Type{1: protowire.VarintType, 2: protowire.VarintType, 3: protowire.BytesType,
			4: protowire.Fixed64Type, 5: protowire.VarintType}[f.num]
		if err := d.want(&f, "parameter_choice", typ); err != nil {
			return nil, err
		}
		switch f.num {
		case 1:
			value = f.n != 0
		case 2:
			value = int64(f.n)
		case 3:
			if value, err = d.text(&f, "string_param", &none); err != nil {
				return nil, err
			}
		case 4:
			value = math.Float64frombits(f.n)
		case 5:
			// As in JSON, which does not tell the two apart.
			if value = f.n; f.n <= math.MaxInt64 {
				value = int64(f.n)
			}
		}
	}
	return value, nil
}
