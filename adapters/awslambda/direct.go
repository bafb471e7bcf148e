package awslambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/runtime/fault"
)

// direct answers an inference request that is the whole event, which has the
// model's name in a member "model" or, as in the protocol's gRPC form,
// "model_name", and may have "model_version". The answer is the protocol's too.
func (h *Handler) direct(ctx context.Context, e *envelope, payload []byte) ([]byte, error) {
	path, err := h.directPath(e)
	if err != nil {
		return nil, err
	}
	// What is Lambda's of the request is none of the protocol's, nor of its limits.
	buf := h.bodies.Get().(*[]byte)
	defer h.bodies.Put(buf)
	*buf = appendWithout((*buf)[:0], payload, "model", "model_name", "model_version")
	b := &body{}
	b.Reset(*buf)
	header := http.Header{"Content-Type": {"application/json"}}
	trace(ctx, header)
	u := &url.URL{Path: path}
	w := &recorder{header: http.Header{}, limit: maxReply}
	call(h.opts.Direct, w, (&http.Request{
		Method: http.MethodPost, URL: u, RequestURI: u.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: b, ContentLength: int64(len(*buf)),
	}).WithContext(ctx))
	w.WriteHeader(http.StatusOK) // if nobody has
	switch {
	case w.over:
		return nil, tooLarge(w.total, maxReply)
	case w.status < 200 || w.status > 299:
		return nil, refused(w)
	}
	return w.body, nil
}

// directPath is where the request goes. Names are escaped, so that they name a
// model and nothing else.
func (h *Handler) directPath(e *envelope) (string, error) {
	model, err := text(e.model)
	if err != nil {
		return "", badEvent("model", err)
	}
	version, err := text(e.modelVersion)
	if err != nil {
		return "", badEvent("model_version", err)
	}
	if isNull(e.model) {
		model = h.opts.Model
	}
	if model == "" {
		return "", fault.New(fault.Invalid, "awslambda.Invoke", "model", "want the name of one of the function's models, got none").
			WithHint(`Name it in the request: {"model": "…", "inputs": […]}.`)
	}
	path := "/v2/models/" + url.PathEscape(model)
	if !isNull(e.modelVersion) {
		path += "/versions/" + url.PathEscape(version)
	}
	return path + "/infer", nil
}

// appendWithout appends an object without the members of those names.
func appendWithout(dst, object []byte, names ...string) []byte {
	from, cut := 0, false
	// Values lie in object: how far their capacity reaches tells where.
	at := func(part []byte) int { return cap(object) - cap(part) }
	_ = members(object, func(key, value []byte) error { // it has been read before
		begin, end := at(key)-1, at(value)+len(value)
		if !slices.Contains(names, string(key)) || begin < from || begin+1 >= len(object) || &object[begin+1] != &key[0] {
			return nil // also a name with escapes, which lies elsewhere
		}
		dst = append(dst, object[from:begin]...)
		from, cut = end, true
		if i := space(object, end); i < len(object) && object[i] == ',' {
			from = i + 1
		} else { // the last one: the comma before it goes
			dst = bytes.TrimRight(dst, " \n\r\t")
			dst = bytes.TrimSuffix(dst, []byte(","))
		}
		return nil
	})
	if !cut {
		return append(dst, object...)
	}
	return append(dst, object[from:]...)
}

// refused is the error that the api has answered with.
func refused(w *recorder) error {
	var said struct{ Error, Code string }
	if json.Unmarshal(w.body, &said) != nil || said.Code == "" {
		return fault.New(fault.OfHTTP(w.status), "awslambda.Invoke", "", "%s", http.StatusText(w.status))
	}
	return messages.InvokeResponse_Error{Type: said.Code, Message: said.Error}
}

// functionError is err as Lambda's callers get it: the code's name for its type,
// and no cause that is not theirs to read.
func functionError(err error) error {
	var ready messages.InvokeResponse_Error
	if errors.As(err, &ready) {
		return ready
	}
	return messages.InvokeResponse_Error{Type: fault.CodeOf(err).String(), Message: fault.Public(err)}
}
