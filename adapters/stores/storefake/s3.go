package storefake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// What an S3 wants of those who ask.
const (
	S3Key, S3Secret, S3Region = "AKIATEST", "secret/of+a=test", "eu-west-1"
)

// S3 plays S3 behind a path for each bucket. Requests are signed by S3Key, for
// S3Region, or refused.
func S3(t testing.TB, buckets ...string) *Server {
	s := &Server{}
	return start(t, s, func(w http.ResponseWriter, r *http.Request) { s.s3(w, r) }, buckets)
}

// S3Env are the variables for a driver.
func (s *Server) S3Env() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL_S3": s.URL, "AWS_REGION": S3Region, "AWS_ACCESS_KEY_ID": S3Key, "AWS_SECRET_ACCESS_KEY": S3Secret}
}

func refuseS3(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>The message of %s.</Message></Error>", code, code)
}

// signed reports whether the request has the signature that AWS's own signer makes.
func signed(r *http.Request, body []byte) bool {
	sum := sha256.Sum256(body)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		return false
	}
	u := *r.URL
	u.Scheme, u.Host = "http", r.Host
	again, err := http.NewRequest(r.Method, u.String(), nil)
	if err != nil {
		return false
	}
	again.URL = &u
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	for name := range strings.SplitSeq(names, ";") {
		if name != "host" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	for name := range r.Header { // what must be signed
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(strings.Split(names, ";"), strings.ToLower(name)) {
			return false
		}
	}
	again.Header.Del("X-Amz-Security-Token")
	keys := aws.Credentials{AccessKeyID: S3Key, SecretAccessKey: S3Secret, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	err = v4.NewSigner().SignHTTP(context.Background(), keys, again, hex.EncodeToString(sum[:]), "s3", S3Region, at, func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

func (s *Server) s3(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if !signed(r, body) {
		refuseS3(w, http.StatusForbidden, "SignatureDoesNotMatch")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, ok := s.buckets[bucket]
	if !ok {
		refuseS3(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	q := r.URL.Query()
	o := objects[key]
	free := func() bool {
		if r.Header.Get("If-None-Match") == "*" && objects[key] != nil {
			refuseS3(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return false
		}
		return true
	}
	up := s.uploads[q.Get("uploadId")]
	if q.Has("uploadId") && (up == nil || up.key != key) {
		refuseS3(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch {
	case key == "" && r.Method == http.MethodHead:
	case key == "" && r.Method == http.MethodGet:
		s.listS3(w, bucket, q)
	case r.Method == http.MethodPost && q.Has("uploads"):
		id := fmt.Sprintf("upload/%d+=", len(s.uploads)+int(time.Now().UnixNano()))
		s.uploads[id] = &upload{bucket: bucket, key: key, meta: meta(r, "X-Amz-Meta-"), parts: map[string][]byte{}}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case r.Method == http.MethodPut && up != nil:
		n := q.Get("partNumber")
		up.parts[n] = body
		w.Header().Set("ETag", `"part-`+n+`"`)
	case r.Method == http.MethodPost && up != nil:
		if free() {
			s.completeS3(w, up, body, q.Get("uploadId"))
		}
	case r.Method == http.MethodDelete && up != nil:
		delete(s.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		if free() {
			w.Header().Set("ETag", `"`+s.put(bucket, key, body, meta(r, "X-Amz-Meta-")).tag+`"`)
		}
	case r.Method == http.MethodDelete:
		delete(objects, key)
		w.WriteHeader(http.StatusNoContent)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && o == nil:
		refuseS3(w, http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if want := r.Header.Get("If-Match"); want != "" && want != `"`+o.tag+`"` {
			refuseS3(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		w.Header().Set("ETag", `"`+o.tag+`"`)
		for name, value := range o.meta {
			w.Header().Set(name, value)
		}
		if !send(w, r, o, r.Header.Get("Range")) {
			refuseS3(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		}
	default:
		refuseS3(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// meta are the headers with a prefix.
func meta(r *http.Request, prefix string) map[string]string {
	m := map[string]string{}
	for name := range r.Header {
		if strings.HasPrefix(name, prefix) {
			m[name] = r.Header.Get(name)
		}
	}
	return m
}

func (s *Server) completeS3(w http.ResponseWriter, up *upload, body []byte, id string) {
	var doc struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if xml.Unmarshal(body, &doc) != nil || len(doc.Part) == 0 {
		refuseS3(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	var all bytes.Buffer
	for i, p := range doc.Part {
		n := strconv.Itoa(p.PartNumber)
		part, ok := up.parts[n]
		if !ok || p.ETag != `"part-`+n+`"` {
			refuseS3(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		if len(part) < 5<<20 && i < len(doc.Part)-1 {
			refuseS3(w, http.StatusBadRequest, "EntityTooSmall")
			return
		}
		if i > 0 && p.PartNumber <= doc.Part[i-1].PartNumber {
			refuseS3(w, http.StatusBadRequest, "InvalidPartOrder")
			return
		}
		all.Write(part)
	}
	delete(s.uploads, id)
	o := s.put(up.bucket, up.key, all.Bytes(), up.meta)
	o.tag += "-" + strconv.Itoa(len(doc.Part))
	fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>", o.tag)
}

func (s *Server) listS3(w http.ResponseWriter, bucket string, q url.Values) {
	after, _ := hex.DecodeString(q.Get("continuation-token"))
	keys, more := s.page(bucket, q.Get("prefix"), string(after), 1000)
	type contents struct {
		Key, ETag    string
		Size         int
		LastModified time.Time
	}
	var doc struct {
		XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
		EncodingType          string   `xml:",omitempty"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []contents
	}
	doc.IsTruncated, doc.EncodingType = more, q.Get("encoding-type")
	for _, key := range keys {
		o := s.buckets[bucket][key]
		c := contents{key, `"` + o.tag + `"`, len(o.data), o.modified}
		if doc.EncodingType == "url" {
			c.Key = strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
		}
		doc.Contents = append(doc.Contents, c)
	}
	if more {
		doc.NextContinuationToken = hex.EncodeToString([]byte(keys[len(keys)-1]))
	}
	w.Header().Set("Content-Type", "application/xml")
	xml.NewEncoder(w).Encode(&doc)
}
