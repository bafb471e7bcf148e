package codec

import (
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// DecodeRequest decodes the body of an infer request. header is the value of
// Inference-Header-Content-Length, -1 when that header is absent: the whole
// body is JSON then. Header 0 is a raw request, which is DecodeRaw's.
//
// Model and Version are the caller's to set, since they stand in the path.
// The binary_data_size parameters are consumed; all others are in Params,
// InputParams and Outputs[i].Params. The request borrows body.
//
// Errors: Invalid, TooLarge, Unsupported.
func DecodeRequest(body []byte, header int, lim *Limits) (*infer.Request, error) {
	d := decoder{op: "codec.DecodeRequest", document: "request body"}
	binary, err := d.split(body, header, lim)
	if err != nil {
		return nil, err
	}
	d.piece = new(piece)
	req := &d.piece.req
	var inputs tensorList
	o, err := d.enterObject("an object")
	if err != nil {
		return nil, err
	}
	for {
		key, ok, err := d.nextKey(&o)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		switch string(key) {
		case "id":
			if !d.word("null") {
				req.ID, err = d.text("id")
			}
		case "parameters":
			req.Params, err = d.parameters(nil)
		case "inputs":
			inputs, err = d.tensors("input")
		case "outputs":
			if !d.word("null") {
				req.Outputs, err = d.outputs()
			}
		default:
			if err = d.unknown(key, "id", "parameters", "inputs", "outputs"); err == nil {
				err = d.skip()
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if inputs.tensors == nil {
		return nil, d.missing("inputs")
	}
	if err := d.sections("input", &inputs, binary, header); err != nil {
		return nil, err
	}
	req.Inputs, req.InputParams = inputs.tensors, inputs.params
	return req, nil
}

// split sets the JSON part of body as the document and returns the rest.
func (d *decoder) split(body []byte, header int, lim *Limits) (binary []byte, err error) {
	d.lim = lim.WithDefaults()
	if int64(len(body)) > d.lim.Body {
		return nil, d.fail(fault.TooLarge, "want at most %d bytes, got %d", d.lim.Body, len(body))
	}
	switch {
	case header == -1:
		d.b = body
		return nil, nil
	case header < 0 || header > len(body):
		err := d.fail(fault.Invalid, "want 0 to %d, the length of the body, got %d", len(body), header)
		err.Subject = headerName
		return nil, err
	case header == 0:
		err := d.fail(fault.Invalid, "want the length of the JSON, got 0")
		err.Subject = headerName
		return nil, err.WithHint("0 announces a body without JSON, which only infer requests can have.")
	}
	d.b = body[:header:header]
	return body[header:], nil
}

// outputs reads the array of requested outputs; an empty one asks for all.
func (d *decoder) outputs() ([]infer.OutputRequest, error) {
	if err := d.enter('[', "an array of outputs"); err != nil {
		return nil, err
	}
	var outs []infer.OutputRequest
	for {
		ok, err := d.nextElement(len(outs) > 0)
		if err != nil || !ok {
			return outs, err
		}
		if len(outs) >= d.lim.Tensors {
			return nil, d.fail(fault.Invalid, "want at most %d outputs, got more", d.lim.Tensors)
		}
		d.kind, d.index, d.name = "output", len(outs), ""
		out, err := d.output()
		if err != nil {
			return nil, err
		}
		for i := range outs {
			if outs[i].Name == out.Name {
				return nil, d.fail(fault.Invalid, "want unique names, got this one twice")
			}
		}
		d.kind = ""
		outs = append(outs, out)
	}
}

func (d *decoder) output() (out infer.OutputRequest, err error) {
	o, err := d.enterObject("an object for each output")
	if err != nil {
		return out, err
	}
	named := false
	for {
		key, ok, err := d.nextKey(&o)
		if err != nil {
			return out, err
		}
		if !ok {
			break
		}
		switch string(key) {
		case "name":
			out.Name, err = d.text("name")
			d.name, named = out.Name, true
		case "parameters":
			out.Params, err = d.parameters(nil)
		default:
			if err = d.unknown(key, "name", "parameters"); err == nil {
				err = d.skip()
			}
		}
		if err != nil {
			return out, err
		}
	}
	switch {
	case !named:
		return out, d.missing("name")
	case out.Name == "":
		return out, d.fail(fault.Invalid, "want a name, got an empty one")
	}
	return out, nil
}
