package emulate

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// azureRequest is the envelope of a caller's request (GetRequestAsJObject).
func azureRequest(req *http.Request, binding string) ([]byte, error) {
	query := map[string]string{}
	for name, values := range req.URL.Query() {
		query[name] = strings.Join(values, ",")
	}
	header := req.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Host", "function.azurewebsites.net")
	header.Set("X-Forwarded-Proto", "https")
	in := map[string]any{
		"Url":    "https://function.azurewebsites.net" + req.URL.RequestURI(),
		"Method": req.Method, "Query": query, "Headers": map[string][]string(header),
		"Params":     map[string]string{"path": strings.TrimPrefix(req.URL.Path, "/api/")},
		"Identities": []any{map[string]any{"AuthenticationType": nil, "IsAuthenticated": false, "Claims": []any{}}},
	}
	if req.Body != nil && req.ContentLength > 0 { // one of unknown length is left out
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		header.Set("Content-Length", strconv.Itoa(len(body)))
		media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
		if media == "application/octet-stream" || strings.Contains(media, "multipart/") {
			in["Body"] = body // base64
		} else {
			in["Body"] = strings.ToValidUTF8(string(body), "\uFFFD") // a StreamReader's
		}
	}
	return azureJSON(map[string]any{
		"Data":     map[string]any{binding: in},
		"Metadata": map[string]any{"Query": query, "Headers": map[string][]string(header), "sys": azureSys("http")},
	})
}

// http is the answer that a caller gets: the output binding's value, which
// Newtonsoft reads and RawScriptResult writes.
func (r *azureResult) http(req *http.Request, binding string) *http.Response {
	value, ok := r.Outputs[binding]
	if binding == "$return" {
		value, ok = r.ReturnValue, r.ReturnValue != nil
	}
	if !ok { // nothing is set, which is a success
		return azureAnswer(req, http.StatusOK, nil, nil)
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		value = json.RawMessage(text)
	}
	var out struct {
		StatusCode, Status json.RawMessage
		Body               json.RawMessage
		Headers            map[string]any
	}
	if json.Unmarshal(value, &out) != nil {
		return azureAnswer(req, http.StatusInternalServerError, nil, nil)
	}
	status := http.StatusOK
	for _, raw := range []json.RawMessage{out.Status, out.StatusCode} {
		if n, err := strconv.Atoi(strings.Trim(string(raw), `"`)); err == nil {
			status = n
		}
	}
	header := http.Header{}
	for name, value := range out.Headers {
		s, ok := value.(string)
		if !ok {
			n, _ := json.Marshal(value)
			s = string(n)
		}
		header.Set(name, s)
	}
	var body []byte
	switch {
	case json.Unmarshal(out.Body, &text) == nil:
		body = []byte(text)
	case len(out.Body) > 0 && string(out.Body) != "null":
		// An object goes through .NET's types and is written anew.
		var v any
		_ = json.Unmarshal(out.Body, &v)
		body, _ = json.Marshal(v)
	}
	return azureAnswer(req, status, header, body)
}

func azureAnswer(req *http.Request, status int, header http.Header, body []byte) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	if header.Get("Content-Type") == "" && len(body) > 0 {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// azureJSON writes a document as .NET would, without Go's care for HTML.
func azureJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "emulate.Deliver", "", "%w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// azureText is a string as a StreamReader makes it of bytes.
func azureText(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}
