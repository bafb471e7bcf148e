package codec

import (
	"maps"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/infer"
)

// The parameters that carry an answer's identity, sorted by name. An answer
// has them where its Digest and Prediction are set, whatever its Params hold.
const (
	ParamDigest     = "model_digest"  // Response.Digest
	ParamPrediction = "prediction_id" // Response.Prediction
)

// identity is what resp says of itself, in the order in which parameters are
// written; those that are not set are "".
func identity(resp *infer.Response) [2]struct{ name, value string } {
	return [2]struct{ name, value string }{{ParamDigest, resp.Digest}, {ParamPrediction, resp.Prediction}}
}

// identified are resp's parameters with its identity among them.
func identified(resp *infer.Response) infer.Params {
	params := make(infer.Params, len(resp.Params)+2)
	maps.Copy(params, resp.Params)
	for _, p := range identity(resp) {
		if p.value != "" {
			params[p.name] = p.value
		}
	}
	return params
}

// responseParams writes the member "parameters", if there are any. Most
// answers have only an identity, for which no map is made.
func (e *encoder) responseParams(resp *infer.Response) error {
	if len(resp.Params) > 0 {
		e.raw(`,"parameters":`)
		return e.params(identified(resp), "", nil)
	}
	open := `,"parameters":{"`
	for _, p := range identity(resp) {
		if p.value != "" {
			e.raw(open)
			e.raw(p.name)
			e.raw(`":`)
			e.text(p.value)
			open = `,"`
		}
	}
	if open == `,"` {
		e.raw("}")
	}
	return nil
}

// appendResponseParams is responseParams of the gRPC form.
func appendResponseParams(b []byte, op string, resp *infer.Response) ([]byte, error) {
	if len(resp.Params) > 0 {
		return appendParams(b, op, fieldParams, identified(resp))
	}
	for _, p := range identity(resp) {
		if p.value == "" {
			continue
		}
		p.value = strings.ToValidUTF8(p.value, "\uFFFD")
		value := textSize(3, p.value)
		b = protowire.AppendTag(b, fieldParams, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(textSize(1, p.name)+protowire.SizeTag(2)+protowire.SizeBytes(value)))
		b = appendText(b, 1, p.name)
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(value))
		b = appendText(b, 3, p.value)
	}
	return b, nil
}
