package oip

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

const headerLength = "Inference-Header-Content-Length"

// serveInfer answers POST …/infer: read, decode, run, encode, write.
func (s *Server) serveInfer(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error {
	if err := checkContentType(r.Header); err != nil {
		return err
	}
	header, err := parseHeaderLength(r.Header[headerLength])
	if err != nil {
		return err
	}
	// A model that is not there is found out before a body is read for it.
	m, err := s.registry.Lookup(x.model, x.version)
	if err != nil {
		return err
	}
	in, err := s.read(ctx, r, max(header, 0))
	if err != nil {
		if r.ProtoMajor == 1 { // the rest of the body is of no use; in HTTP/2 only this stream ends
			w.Header()["Connection"] = closeAfter
		}
		return err
	}
	defer in.abandon()
	var req *infer.Request
	if header == 0 {
		req, err = codec.DecodeRaw(in.data, m.Signature(), s.opts.Limits)
	} else {
		req, err = codec.DecodeRequest(in.data, header, s.opts.Limits)
	}
	if err != nil {
		in.release()
		return err
	}
	req.Model, req.Version = x.model, x.version
	resp, err := x.Infer(ctx, req)
	if err != nil {
		if fault.CodeOf(err) != fault.Internal {
			in.release()
		}
		return err
	}
	defer resp.Release()
	out := s.buffers.Get(int(s.answered.Load()))
	defer s.buffers.Put(out)
	*out, header, err = codec.EncodeResponse((*out)[:0], req, resp, &codec.EncodeOptions{NaN: s.opts.NaN, Limits: s.opts.Limits, Binary: header == 0})
	// Now, not after a slow caller has read the answer; and not earlier, since
	// a response may borrow from its request.
	resp.Release()
	in.release()
	if err != nil {
		return err
	}
	s.answered.Store(int64(len(*out)))
	s.writeInfer(w, r, x, *out, header)
	return nil
}

func (s *Server) writeInfer(w http.ResponseWriter, r *http.Request, x *Exchange, body []byte, header int) {
	h := w.Header()
	h["X-Request-Id"] = x.value(x.RequestID())
	h["Content-Type"] = typeJSON
	if header >= 0 {
		h["Content-Type"] = typeBinary
		h[headerLength] = x.value(s.numbers.text(header))
	}
	h["Vary"] = varyCoding
	if coding := chooseCoding(r.Header["Accept-Encoding"]); coding != "" && len(body) >= minCompressed {
		packed := s.buffers.Get(len(body))
		defer s.buffers.Put(packed)
		*packed = s.coders.compress((*packed)[:0], body, coding)
		h["Content-Encoding"] = []string{coding}
		body = *packed
	}
	h["Content-Length"] = x.value(s.numbers.text(len(body)))
	// A caller that is gone has nothing to be told.
	_, _ = w.Write(body)
}

// checkContentType accepts JSON and octets. It accepts nothing at all and what
// curl -d says of every body too, unless a browser sends it: a form or a script
// of another site may send these without being asked whether it may.
func checkContentType(h http.Header) error {
	values := h["Content-Type"]
	if len(values) == 1 && (values[0] == typeJSON[0] || values[0] == typeBinary[0]) {
		return nil
	}
	if len(values) == 0 && !fromBrowser(h) {
		return nil
	}
	joined := strings.Join(values, ",")
	name, params, err := mime.ParseMediaType(joined)
	if name == typeForm && err == nil && !fromBrowser(h) {
		return nil
	}
	if err != nil || name != typeJSON[0] && name != typeBinary[0] {
		return fault.New(fault.UnsupportedMedia, "oip.Infer", "Content-Type", "want %s or %s, got %q", typeJSON[0], typeBinary[0], clip(joined)).
			WithHint("Send the header Content-Type: application/json.")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMedia, "oip.Infer", "Content-Type", "want charset utf-8, got %q", clip(charset))
	}
	return nil
}

// typeForm is the type that curl -d gives every body.
const typeForm = "application/x-www-form-urlencoded"

// fromBrowser reports whether a page or a script sent the request: browsers say so.
func fromBrowser(h http.Header) bool { return h["Origin"] != nil || h["Sec-Fetch-Site"] != nil }

// parseHeaderLength reads Inference-Header-Content-Length; -1 is its absence.
func parseHeaderLength(values []string) (int, error) {
	if len(values) == 0 {
		return -1, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil || len(values) > 1 {
		return 0, fault.New(fault.Invalid, "oip.Infer", headerLength, "want one whole number, the bytes of JSON, got %q", clip(strings.Join(values, ",")))
	}
	return int(n), nil
}
