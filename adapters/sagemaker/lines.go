package sagemaker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// linesType is the content type of bodies with a JSON document in each line.
const linesType = "application/jsonlines"

// MaxLines bounds the lines of one body: more than SageMaker's own 6 MB of
// payload have where each line is a request.
const MaxLines = 1 << 17

// atOnce is how many lines are handed over together: as many as functions score
// at once, as no more answers than that should be held before their size is
// looked at.
const atOnce = 64

// The attributes of an item that name the model it is for, as functions read them.
const (
	modelAttribute   = "model"
	versionAttribute = "model_version"
)

// lines answers a body with a request of the protocol in each line by one with
// an answer in each: a line that fails for good has its error there, and costs
// its neighbours nothing. What may pass fails the whole, which SageMaker sends
// again.
func (h *handler) lines(w http.ResponseWriter, r *http.Request, model, version string) {
	h.api.ServeBody(w, r, func(ctx context.Context, x *oip.Exchange, body []byte) ([]byte, string, error) {
		x.Asked(model, version)
		if _, err := h.api.Signature(model, version); err != nil {
			return nil, "", err
		}
		body = bytes.TrimSuffix(body, []byte("\n"))
		n := bytes.Count(body, []byte("\n")) + 1
		switch {
		case len(body) == 0:
			return nil, "", fault.New(fault.Invalid, "sagemaker.Lines", "request body", "want a request in each line, got nothing")
		case n > MaxLines:
			return nil, "", fault.New(fault.TooLarge, "sagemaker.Lines", "request body", "want at most %d lines, got %d", MaxLines, n).
				WithHint("Give the transform job a smaller MaxPayloadInMB.")
		}
		attributes := map[string]string{modelAttribute: model}
		if version != "" {
			attributes[versionAttribute] = version
		}
		var answer []byte
		for at := 0; at < n; {
			items := make([]trigger.Item, 0, min(atOnce, n-at))
			for ; at < n && len(items) < atOnce; at++ {
				var line []byte
				line, body, _ = bytes.Cut(body, []byte("\n"))
				id := strconv.Itoa(at + 1)
				items = append(items, trigger.Item{ID: id, Key: x.RequestID() + "/" + id, Data: line, ContentType: "application/json", Attributes: attributes})
			}
			for _, out := range trigger.Run(ctx, h.events, &trigger.Event{Source: "/invocations", Kind: "sagemaker", Replies: true, Items: items}) {
				switch {
				case out.State == trigger.Done:
					answer = append(answer, out.Result...)
				case out.State == trigger.Retry && fault.CodeOf(out.Err) != fault.Internal:
					return nil, "", out.Err
				default:
					answer = append(answer, oip.ErrorJSON(out.Err)...)
				}
				answer = append(answer, '\n')
			}
			if most := h.api.Options().Limits.Response; most > 0 && int64(len(answer)) > most {
				return nil, "", fault.New(fault.TooLarge, "sagemaker.Lines", "answer", "want at most %d bytes, got more after %d of %d lines", most, at, n).
					WithHint("Give the transform job a smaller MaxPayloadInMB, or raise limits.response.")
			}
		}
		return answer, linesType, nil
	})
}

// encodeLines appends resp with a row in each line, as codec.EncodePredictions has
// them: the row of the only output, or an object of all outputs' rows.
func encodeLines(dst []byte, req *infer.Request, resp *infer.Response, opts *codec.EncodeOptions) ([]byte, error) {
	from, n := len(dst), req.Inputs[0].Shape[0]
	for i := range resp.Outputs {
		if t := &resp.Outputs[i]; len(t.Shape) == 0 || t.Shape[0] != n {
			return dst, noRows(t.Name)
		}
	}
	body, err := codec.EncodePredictions(dst, req, resp, opts)
	if err != nil {
		return body, err
	}
	var doc struct {
		Predictions []json.RawMessage
		Metadata    struct{ Outputs map[string]json.RawMessage }
	}
	if err := json.Unmarshal(body[from:], &doc); err != nil {
		return body[:from], fault.New(fault.Internal, "sagemaker.Invoke", "predictions", "%w", err)
	}
	for name := range doc.Metadata.Outputs { // what all rows share has no line
		return body[:from], noRows(name)
	}
	body = body[:from]
	for _, row := range doc.Predictions {
		body = append(append(body, row...), '\n')
	}
	return body, nil
}

func noRows(output string) error {
	return fault.New(fault.Unprocessable, "sagemaker.Invoke", fmt.Sprintf("output %q", output), "want a row of it for each of the request's, to answer in "+linesType).
		WithHint("Accept application/json for such models.")
}
