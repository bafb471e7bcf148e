package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// exchange makes a request and reads what is answered into out: a []byte as it
// is, an XML document or JSON.
func exchange(by http.RoundTripper, req *http.Request, out any) error {
	resp, err := by.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: want 2xx, got %d: %.500s", req.Method, req.URL, resp.StatusCode, body)
	}
	switch into := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = body
		return nil
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return xml.Unmarshal(body, out)
	}
	return json.Unmarshal(body, out)
}

func escapeKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(key), "%2F", "/"), "+", "%2B")
}
