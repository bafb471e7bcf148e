// Package awsauth signs requests to AWS and finds the credentials for it where
// AWS's own tools find them. It is in place of the SDK, which is 18 MB of a
// program with what gocloud.dev needs of it (docs/adr/006-stores.md).
package awsauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credentials are the keys of an identity.
type Credentials struct {
	ID, Secret string
	Token      string    // of temporary ones; ""
	Expires    time.Time // zero if they do not
}

// Sum is a body's SHA-256 as Sign takes it.
func Sum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Sign adds an Authorization of Signature Version 4. The host, the content type
// and all headers that begin with X-Amz- are signed. req's path and query are
// escaped already, all but unreserved characters, and the query's names sorted;
// sum is Sum's of the body.
func Sign(req *http.Request, c *Credentials, service, region, sum string, now time.Time) {
	now = now.UTC()
	stamp := now.Format("20060102T150405Z")
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", sum)
	req.Header.Del("X-Amz-Security-Token")
	if c.Token != "" {
		req.Header.Set("X-Amz-Security-Token", c.Token)
	}
	lines := []string{"host:" + req.URL.Host}
	for name, values := range req.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") || name == "content-type" {
			lines = append(lines, name+":"+strings.Join(strings.Fields(strings.Join(values, ",")), " "))
		}
	}
	slices.Sort(lines)
	names := make([]string, len(lines))
	for i, line := range lines {
		names[i], _, _ = strings.Cut(line, ":")
	}
	signed := strings.Join(names, ";")
	path := req.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	canonical := strings.Join([]string{req.Method, path, req.URL.RawQuery, strings.Join(lines, "\n") + "\n", signed, sum}, "\n")
	day := stamp[:8]
	scope := day + "/" + region + "/" + service + "/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + Sum([]byte(canonical))
	key := []byte("AWS4" + c.Secret)
	for _, part := range []string{day, region, service, "aws4_request", text} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.ID+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}
