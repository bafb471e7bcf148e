package cloudrun

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

const legacyTrace = "X-Cloud-Trace-Context"

// adoptTrace gives a request that has only the platform's old trace header,
// TRACE/SPAN;o=FLAG with the span in decimal, the standard one for the same
// trace.
func adoptTrace(h http.Header) {
	legacy := h[legacyTrace]
	if len(legacy) != 1 || len(h["Traceparent"]) > 0 {
		return
	}
	if parent, ok := traceparent(legacy[0]); ok {
		h["Traceparent"] = []string{parent}
	}
}

func traceparent(legacy string) (string, bool) {
	rest, flag, _ := strings.Cut(legacy, ";o=")
	trace, span, _ := strings.Cut(rest, "/")
	trace = strings.ToLower(trace)
	id, err := hex.DecodeString(trace)
	if err != nil || len(id) != 16 {
		return "", false
	}
	n, err := strconv.ParseUint(span, 10, 64)
	if err != nil || n == 0 {
		return "", false
	}
	flags := "-00"
	if flag == "1" {
		flags = "-01"
	}
	digits := strconv.FormatUint(n, 16)
	return "00-" + trace + "-" + strings.Repeat("0", 16-len(digits)) + digits + flags, true
}
