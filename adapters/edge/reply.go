package edge

import (
	"encoding/json"
	"net/http"
	"strconv"

	"godwit.dev/runtime/fault"
)

// writeError answers with the protocol's error body.
func writeError(w http.ResponseWriter, status int, err error) {
	body, _ := json.Marshal(struct { // two strings always can be marshalled
		Error string `json:"error"`
		Code  string `json:"code"`
	}{fault.Public(err), fault.CodeOf(err).String()})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
