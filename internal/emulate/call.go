package emulate

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Call asks for one inference as a caller of the platform would, in JSON or with
// binary tensors, and gives the answer, or the code of the refusal. The error
// is about the exchange itself.
func (i *Instance) Call(ctx context.Context, req *infer.Request, binary bool) (*infer.Response, fault.Code, error) {
	body, header, err := codec.EncodeRequest(nil, req, binary)
	if err != nil {
		return nil, fault.OK, err
	}
	h := http.Header{"Content-Type": {"application/json"}}
	if binary {
		h = http.Header{"Content-Type": {"application/octet-stream"}, "Inference-Header-Content-Length": {strconv.Itoa(header)}}
	}
	path := "/v2/models/" + url.PathEscape(req.Model)
	if req.Version != "" {
		path += "/versions/" + url.PathEscape(req.Version)
	}
	status, answered, answer, err := i.send(ctx, path+"/infer", h, body)
	if err != nil {
		return nil, fault.OK, err
	}
	if code := codeOf(status, answer); code != fault.OK {
		return nil, code, nil
	}
	length := -1
	if n := answered.Get("Inference-Header-Content-Length"); n != "" {
		if length, err = strconv.Atoi(n); err != nil {
			return nil, fault.OK, fault.New(fault.Internal, "emulate.Call", "Inference-Header-Content-Length", "%w", err)
		}
	}
	resp, err := codec.DecodeResponse(answer, length, nil)
	return resp, fault.OK, err
}

// Raw sends bytes as the body of an inference request for the model with that
// name, whatever they are, and gives the code of the answer.
func (i *Instance) Raw(ctx context.Context, model string, h http.Header, body []byte) (fault.Code, error) {
	status, _, answer, err := i.send(ctx, "/v2/models/"+url.PathEscape(model)+"/infer", h, body)
	if err != nil {
		return fault.OK, err
	}
	return codeOf(status, answer), nil
}

func (i *Instance) send(ctx context.Context, path string, h http.Header, body []byte) (status int, answered http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, fault.New(fault.Usage, "emulate.Call", path, "%w", err)
	}
	req.Header = h.Clone()
	resp, err := i.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, fault.New(fault.Unavailable, "emulate.Call", path, "%w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, answer, err
}

// codeOf is the code that an answer's body names, else the one that its status
// stands for.
func codeOf(status int, body []byte) fault.Code {
	if status >= 200 && status < 300 {
		return fault.OK
	}
	var e struct{ Code string }
	if json.Unmarshal(body, &e) == nil {
		for _, c := range fault.Codes() {
			if c.String() == e.Code {
				return c
			}
		}
	}
	return fault.OfHTTP(status)
}
