package oip

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
)

// maxCacheable is what a request may have in a path, in base64url: CloudFront
// takes URLs of 8192 bytes, and host and route need some of them.
const maxCacheable = 7500

// noStore is what everything but an answer says on these routes: refusals pass.
var noStore = []string{"no-store"}

// serveCacheable answers GET …/infer/{request}, an inference with the request in
// its path, so that caches on the way may keep the answer. A caller who has one
// of this model already is told so without a run.
func (s *Server) serveCacheable(ctx context.Context, x *Exchange, w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h["Cache-Control"] = noStore
	m, err := s.registry.Lookup(x.model, x.version)
	if err != nil {
		return err
	}
	if !m.Deterministic() {
		return fault.New(fault.Unsupported, "oip.Infer", `model "`+m.Name()+`"`, "want equal answers to equal requests to keep them, got a model with random or unknown operators").
			WithHint("Send the request with POST.")
	}
	body, err := fromPath(r.PathValue("request"))
	if err != nil {
		return err
	}
	req, err := codec.DecodeRequest(body, -1, s.opts.Limits)
	if err != nil {
		return err
	}
	req.Model, req.Version = x.model, x.version
	if tag := s.tag(m.Version(), m.Digest()); known(r.Header["If-None-Match"], tag) {
		s.mayKeep(h, tag)
		h["Vary"] = varyCoding
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	resp, err := x.Infer(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Release()
	out, header, err := codec.EncodeResponse(nil, req, resp, &codec.EncodeOptions{NaN: s.opts.NaN, Limits: s.opts.Limits})
	if err != nil {
		return err
	}
	// The model may have been replaced meanwhile.
	s.mayKeep(h, s.tag(resp.Version, resp.Digest))
	s.writeInfer(w, r, x, out, header)
	return nil
}

// fromPath is the request's JSON, of which there is one form in base64url: two
// would be two entries in a cache.
func fromPath(text string) ([]byte, error) {
	if len(text) > maxCacheable {
		return nil, fault.New(fault.TooLarge, "oip.Infer", "path", "want a request of at most %d bytes in base64url, got %d", maxCacheable, len(text)).
			WithHint("Send the request with POST.")
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, fault.New(fault.Invalid, "oip.Infer", "path", "want the request's JSON in base64url without padding, got %q", clip(text))
	}
	return body, nil
}

// tag is what an answer depends on besides its path, where the request is. It is
// weak: each run gives its answer an id of its own.
func (s *Server) tag(version, digest string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{digest, version, s.opts.Version, strconv.Itoa(int(s.opts.NaN))}, "\x00")))
	return `W/"` + hex.EncodeToString(sum[:16]) + `"`
}

// known reports whether If-None-Match names tag, compared as weak tags are.
func known(values []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// mayKeep says for how long the answer may be kept, and by whom: what not
// everybody may ask for, only by the caller.
func (s *Server) mayKeep(h http.Header, tag string) {
	who := "public"
	if s.opts.Auth != nil {
		who = "private"
	}
	h["Cache-Control"] = []string{who + ", max-age=" + strconv.FormatInt(int64(s.opts.MaxAge/time.Second), 10)}
	h["Etag"] = []string{tag}
}

// CacheablePath is the path that asks a model for what the JSON of request says,
// with GET; "" for a request that is too long for one.
func CacheablePath(model, version string, request []byte) string {
	text := base64.RawURLEncoding.EncodeToString(request)
	if len(text) > maxCacheable {
		return ""
	}
	return InferPath(model, version) + "/" + text
}
