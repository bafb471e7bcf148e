package codec

import (
	"godwit.dev/runtime/infer"
)

// DecodeResponse decodes the body of an infer response, for clients; header is
// as in DecodeRequest. In FP outputs null reads as NaN and "NaN", "Infinity"
// and "-Infinity" as themselves. Parameters of single outputs are dropped. The
// response borrows body.
//
// Errors: Invalid, TooLarge.
func DecodeResponse(body []byte, header int, lim *Limits) (*infer.Response, error) {
	d := decoder{op: "codec.DecodeResponse", document: "response body", nan: true}
	binary, err := d.split(body, header, lim)
	if err != nil {
		return nil, err
	}
	resp := &infer.Response{}
	var outputs tensorList
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
		case "model_name":
			resp.Model, err = d.text("model_name")
		case "model_version":
			if !d.word("null") {
				resp.Version, err = d.text("model_version")
			}
		case "id":
			if !d.word("null") {
				resp.ID, err = d.text("id")
			}
		case "parameters":
			resp.Params, err = d.parameters(nil)
		case "outputs":
			outputs, err = d.tensors("output")
		default:
			if err = d.unknown(key, "model_name", "model_version", "id", "parameters", "outputs"); err == nil {
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
	if outputs.tensors == nil {
		return nil, d.missing("outputs")
	}
	if err := d.sections("output", &outputs, binary, header); err != nil {
		return nil, err
	}
	resp.Outputs = outputs.tensors
	return resp, nil
}
