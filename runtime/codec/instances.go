package codec

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// keyBase64 is the one key of an object that stands for bytes.
const keyBase64 = "b64"

// DecodeInstances decodes the body of a predict request,
//
//	{"instances": […], "parameters": {…}}
//
// where each instance is one row of a model's only input, or an object with a
// row for each input by its name, and a text may be {"b64": "…"}. Shapes are
// those of the first instance, and every tensor has as many rows as there are
// instances; an input without dimensions takes one instance, which is its value.
//
// signature is asked for the model that the parameters are for, of which it may
// take some away. What has "inputs" instead is a request of the protocol, and
// predict is false then. Types, names and shapes are for infer to check. The
// request borrows body.
//
// Errors: Invalid, TooLarge, Unsupported, and signature's.
func DecodeInstances(body []byte, signature func(infer.Params) (*driver.Signature, error), lim *Limits) (req *infer.Request, predict bool, err error) {
	d := decoder{op: "codec.DecodeInstances", document: "request body", encoded: true}
	if _, err := d.split(body, -1, lim); err != nil {
		return nil, false, err
	}
	o, err := d.enterObject("an object")
	if err != nil {
		return nil, false, err
	}
	at, n, inputs := -1, 0, false
	var params infer.Params
	for {
		key, ok, err := d.nextKey(&o)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		switch string(key) {
		case "instances":
			at = d.i
			n, err = d.elementsOf("an array of instances")
		case "parameters":
			params, err = d.parameters(nil)
		case "inputs":
			inputs = true
			err = d.skip()
		default:
			if err = d.unknown(key, "instances", "parameters", "inputs"); err == nil {
				err = d.skip()
			}
		}
		if err != nil {
			return nil, false, err
		}
	}
	if err := d.end(); err != nil {
		return nil, false, err
	}
	switch {
	case inputs && at >= 0:
		return nil, false, d.fail(fault.Invalid, `want either "instances" or "inputs", got both`)
	case inputs:
		req, err = DecodeRequest(body, -1, lim)
		return req, false, err
	case at < 0:
		return nil, false, d.missing("instances")
	}
	sig, err := signature(params)
	if err != nil {
		return nil, true, err
	}
	d.i = at
	tensors, err := d.instances(sig, n)
	return &infer.Request{Params: params, Inputs: tensors}, true, err
}

// elementsOf reads an array and counts its elements.
func (d *decoder) elementsOf(want string) (n int, err error) {
	if err := d.enter('[', want); err != nil {
		return 0, err
	}
	for {
		ok, err := d.nextElement(n > 0)
		if err != nil || !ok {
			return n, err
		}
		if err := d.skip(); err != nil {
			return n, err
		}
		n++
	}
}

// instances decodes the array of n instances at d.i, which is known to be JSON.
func (d *decoder) instances(sig *driver.Signature, n int) ([]tensor.Tensor, error) {
	start := d.i
	d.i++
	d.space()
	named := d.at('{') && !d.isBase64(sig)
	if len(sig.Inputs) != 1 && !named {
		return nil, d.fail(fault.Invalid, "instance 0: want an object with a value for each of %d inputs, got %s", len(sig.Inputs), d.found())
	}
	if named {
		return d.objects(sig, n)
	}
	in := &sig.Inputs[0]
	t, err := d.rows(in, n)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) > 0 {
		d.i = start
	}
	err = d.data(&t)
	return []tensor.Tensor{t}, err
}

// isBase64 reports whether the object at d.i is one element of the only input.
func (d *decoder) isBase64(sig *driver.Signature) bool {
	if len(sig.Inputs) != 1 || sig.Inputs[0].Type != tensor.Bytes || sig.Inputs[0].Name == keyBase64 {
		return false
	}
	look := *d
	_, err := look.base64()
	return err == nil
}

// rows is the tensor for n instances of an input, the first of which is at d.i:
// its type and shape.
func (d *decoder) rows(in *driver.TensorInfo, n int) (tensor.Tensor, error) {
	d.kind, d.name = "input", in.Name
	t := tensor.Tensor{Name: in.Name, Type: in.Type}
	if len(in.Shape) == 0 && !in.Unranked {
		if n != 1 {
			return t, d.fail(fault.Invalid, "want one instance for an input without dimensions, got %d", n)
		}
		return t, nil
	}
	t.Shape = append(make([]int64, 0, len(in.Shape)), int64(n))
	for at := d.i; n > 0; {
		if d.space(); !d.at('[') {
			d.i = at
			return t, nil
		}
		if len(t.Shape) >= d.lim.Rank {
			return t, d.fail(fault.Invalid, "want at most %d dimensions, got more", d.lim.Rank)
		}
		inner := d.i + 1
		depth := d.depth
		size, err := d.elementsOf("")
		if err != nil {
			return t, err
		}
		t.Shape = append(t.Shape, int64(size))
		d.i, d.depth = inner, depth
		if size == 0 {
			d.i = at
			break
		}
	}
	// Without elements nothing tells the other dimensions, but the model may.
	for k := len(t.Shape); k < len(in.Shape); k++ {
		t.Shape = append(t.Shape, max(in.Shape[k], 0))
	}
	return t, nil
}

// objects decodes the rest of an array of n instances, the first of which is at
// d.i: a value for each input.
func (d *decoder) objects(sig *driver.Signature, n int) ([]tensor.Tensor, error) {
	var all []tensor.Tensor
	for i := range n {
		if _, err := d.nextElement(i > 0); err != nil {
			return nil, err
		}
		d.kind = ""
		o, err := d.enterObject("an object for each instance")
		if err != nil {
			return nil, err
		}
		seen := 0
		for ; ; seen++ {
			key, ok, err := d.nextKey(&o)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			k := slices.IndexFunc(all, func(t tensor.Tensor) bool { return t.Name == string(key) })
			if k < 0 {
				if all, err = d.another(sig, all, string(key), i, n); err != nil {
					return nil, err
				}
				k = len(all) - 1
			}
			t := &all[k]
			d.kind, d.name = "input", t.Name
			if err := d.instance(t, i); err != nil {
				return nil, err
			}
			d.kind = ""
		}
		if seen != len(all) {
			return nil, d.fail(fault.Invalid, "instance %d: want %s as in instance 0, got %d", i, plural(len(all), "input"), seen)
		}
	}
	return all, nil
}

// another adds the tensor for an input that the first instance names.
func (d *decoder) another(sig *driver.Signature, all []tensor.Tensor, name string, i, n int) ([]tensor.Tensor, error) {
	d.kind, d.name, d.index = "input", name, len(all)
	k := slices.IndexFunc(sig.Inputs, func(in driver.TensorInfo) bool { return in.Name == name })
	switch {
	case k < 0:
		return nil, d.fail(fault.Invalid, "instance %d: the model has no such input", i)
	case i > 0:
		return nil, d.fail(fault.Invalid, "instance %d: instance 0 has no such input", i)
	}
	at := d.i
	t, err := d.rows(&sig.Inputs[k], n)
	if err != nil {
		return nil, err
	}
	d.i = at
	count, err := d.count(&t)
	if err != nil {
		return nil, err
	}
	sum := count // all tensors together are made of what is there
	for k := range all {
		sum += all[k].Len()
	}
	if sum > len(d.b)/2 {
		return nil, d.fail(fault.Invalid, "want %d elements for shape %s, got only %d bytes of JSON", count, tensor.FormatShape(t.Shape), len(d.b))
	}
	if t.Type == tensor.Bytes {
		t.Strings = make([][]byte, count)
	} else {
		t.Data = make([]byte, count*t.Type.Size())
	}
	return append(all, t), nil
}

// instance decodes one row of t, number i.
func (d *decoder) instance(t *tensor.Tensor, i int) error {
	all := t.Len()
	if len(t.Shape) <= 1 {
		return d.run(t, i, 1, all)
	}
	if err := d.enter('[', "an array for each instance"); err != nil {
		return err
	}
	stride, _ := tensor.Elements(t.Shape[1:])
	_, err := d.nested(t, 1, i*stride, all)
	return err
}

// base64 reads an object that stands for bytes.
func (d *decoder) base64() ([]byte, error) {
	o, err := d.enterObject("")
	if err != nil {
		return nil, err
	}
	key, ok, err := d.nextKey(&o)
	if err == nil && (!ok || string(key) != keyBase64 || !d.at('"')) {
		err = d.fail(fault.Invalid, `want a string, or {"b64":"…"} with its bytes in base64, got another object`)
	}
	if err != nil {
		return nil, err
	}
	text, err := d.str()
	if err != nil {
		return nil, err
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	size, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return nil, d.fail(fault.Invalid, `want base64 as "b64": %w`, err)
	}
	if _, more, err := d.nextKey(&o); err != nil || more {
		return nil, d.fail(fault.Invalid, `want {"b64":"…"} with its bytes in base64, got further keys`)
	}
	return out[:size:size], nil
}

// EncodePredictions appends resp as the answer to a predict request to dst,
//
//	{"predictions": […], "metadata": {"model_name": …, "model_version": …, "parameters": {…}}}
//
// where each prediction is a row of the only output, or an object with a row of
// each output by its name. A text that is not UTF-8 is {"b64": "…"}. The keys of
// a sequence of maps, which are the same for all rows, are in the metadata's
// "outputs", by the output's name.
//
// Errors: those of EncodeResponse, and Unprocessable when an output has not one
// row for each of the request's. body is then dst as it was.
func EncodePredictions(dst []byte, req *infer.Request, resp *infer.Response, opts *EncodeOptions) (body []byte, err error) {
	if opts == nil {
		opts = &EncodeOptions{}
	}
	e := encoder{op: "codec.EncodePredictions", kind: "output", dst: dst, start: len(dst), most: opts.Limits.WithDefaults().Response, nan: opts.NaN}
	outs, err := wantedOutputs(e.op, req, resp)
	if err != nil {
		return dst, err
	}
	keys := func(t tensor.Tensor) bool { return isKeys(&t, outs) }
	shared := outs
	if !slices.ContainsFunc(outs, keys) {
		shared = nil
	} else {
		outs = slices.DeleteFunc(slices.Clone(outs), keys)
	}
	n := int64(1)
	if len(req.Inputs) > 0 && len(req.Inputs[0].Shape) > 0 {
		n = req.Inputs[0].Shape[0]
	}
	for i := range outs {
		t := &outs[i]
		if err := t.Check(); err != nil {
			return dst, fault.New(fault.Internal, e.op, subjectOf(e.kind, i, t.Name), "%w", err)
		}
		if rows := t.Shape; len(rows) == 0 && n != 1 || len(rows) > 0 && rows[0] != n {
			return dst, fault.New(fault.Unprocessable, e.op, subjectOf(e.kind, i, t.Name), "want a row for each of %d instances, got shape %s", n, tensor.FormatShape(rows)).
				WithHint("Send the protocol's own JSON by rawPredict for such models.")
		}
	}
	e.raw(`{"predictions":[`)
	for row := range int(n) {
		if err := e.full(0); err != nil {
			return dst, err
		}
		if row > 0 {
			e.raw(",")
		}
		if len(outs) == 1 {
			err = e.prediction(&outs[0], row)
		} else {
			e.raw("{")
			for i := range outs {
				if i > 0 {
					e.raw(",")
				}
				e.text(outs[i].Name)
				e.raw(":")
				if err = e.prediction(&outs[i], row); err != nil {
					break
				}
			}
			e.raw("}")
		}
		if err != nil {
			return dst, err
		}
	}
	e.raw(`],"metadata":{"model_name":`)
	e.text(resp.Model)
	if resp.Version != "" {
		e.raw(`,"model_version":`)
		e.text(resp.Version)
	}
	if err := e.responseParams(resp); err != nil {
		return dst, err
	}
	if err := e.shared(shared); err != nil {
		return dst, err
	}
	e.raw("}}")
	if err := e.full(0); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// isKeys reports whether t is X_keys of a sequence of maps X among outs, which
// has a column for each.
func isKeys(t *tensor.Tensor, outs []tensor.Tensor) bool {
	name, ok := strings.CutSuffix(t.Name, onnx.KeysSuffix)
	return ok && len(t.Shape) == 1 && slices.ContainsFunc(outs, func(x tensor.Tensor) bool {
		return x.Name == name && len(x.Shape) == 2 && x.Shape[1] == t.Shape[0]
	})
}

// shared writes the member "outputs" with those of outs that are keys.
func (e *encoder) shared(outs []tensor.Tensor) error {
	open := `,"outputs":{`
	for i := range outs {
		t := &outs[i]
		if !isKeys(t, outs) {
			continue
		}
		if err := t.Check(); err != nil {
			return fault.New(fault.Internal, e.op, subjectOf(e.kind, i, t.Name), "%w", err)
		}
		e.raw(open)
		e.text(t.Name)
		e.raw(":")
		if _, err := e.nested(t, 0, 0); err != nil {
			return err
		}
		open = ","
	}
	if open == "," {
		e.raw("}")
	}
	return nil
}

// prediction writes row number row of t.
func (e *encoder) prediction(t *tensor.Tensor, row int) error {
	if len(t.Shape) == 0 {
		return e.value(t, 0)
	}
	stride, _ := tensor.Elements(t.Shape[1:])
	_, err := e.nested(t, 1, row*stride)
	return err
}

// nested writes the slice of t along dimension dim that begins with element from.
func (e *encoder) nested(t *tensor.Tensor, dim, from int) (next int, err error) {
	if dim == len(t.Shape) {
		return from + 1, e.value(t, from)
	}
	e.raw("[")
	for i := range t.Shape[dim] {
		if i > 0 {
			e.raw(",")
		}
		if from, err = e.nested(t, dim+1, from); err != nil {
			return from, err
		}
	}
	e.raw("]")
	return from, nil
}

func (e *encoder) value(t *tensor.Tensor, k int) error {
	if t.Type != tensor.Bytes || utf8.Valid(t.Strings[k]) {
		return e.element(t, k)
	}
	e.raw(`{"` + keyBase64 + `":"`)
	e.dst = base64.StdEncoding.AppendEncode(e.dst, t.Strings[k])
	e.raw(`"}`)
	return nil
}
