package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// statusError is an answer that was not wanted.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

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
		return &statusError{resp.StatusCode, fmt.Sprintf("%s %s: want 2xx, got %d: %.300s", req.Method, req.URL, resp.StatusCode, body)}
	}
	switch into := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*into = body
		return nil
	}
	if text := bytes.TrimPrefix(body, []byte("\ufeff")); bytes.HasPrefix(text, []byte("<")) {
		return xml.Unmarshal(text, out)
	}
	return json.Unmarshal(body, out)
}

// call makes a request with headers given as NAME: VALUE.
func call(ctx context.Context, method, url string, body []byte, out any, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	return exchange(http.DefaultTransport, req, out)
}

func escapeKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(key), "%2F", "/"), "+", "%2B")
}

// signed is what moto wants to see of a signature: whose service it is for, and
// where, which is the region that functions are told that they are in.
func signed(service string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/eu-west-1/" + service + "/aws4_request, SignedHeaders=host, Signature=0"
}

// s3 is a bucket of moto.
type s3 struct{ root string }

func (s *s3) create(ctx context.Context) error {
	return call(ctx, http.MethodPut, s.root, []byte("<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"), nil, signed("s3"))
}

func (s *s3) put(ctx context.Context, key string, data []byte) error {
	return call(ctx, http.MethodPut, s.root+"/"+escapeKey(key), data, nil, signed("s3"))
}

func (s *s3) get(ctx context.Context, key string) (data []byte, err error) {
	return data, call(ctx, http.MethodGet, s.root+"/"+escapeKey(key), nil, &data, signed("s3"))
}

func (s *s3) remove(ctx context.Context, key string) error {
	return call(ctx, http.MethodDelete, s.root+"/"+escapeKey(key), nil, nil, signed("s3"))
}

func (s *s3) list(ctx context.Context, prefix string) (keys []string, err error) {
	var doc struct {
		Contents    []struct{ Key string }
		IsTruncated bool
	}
	err = call(ctx, http.MethodGet, s.root+"?list-type=2&prefix="+url.QueryEscape(prefix), nil, &doc, signed("s3"))
	if err == nil && doc.IsTruncated {
		err = fmt.Errorf("want fewer objects below %s than one page has", prefix)
	}
	for _, c := range doc.Contents {
		keys = append(keys, c.Key)
	}
	return keys, err
}

// gcs is a bucket of Cloud Storage.
type gcs struct{ root, bucket string }

func (g *gcs) put(ctx context.Context, key string, data []byte) error {
	return call(ctx, http.MethodPost, g.root+"/upload/storage/v1/b/"+g.bucket+"/o?uploadType=media&name="+url.QueryEscape(key), data, nil)
}

func (g *gcs) get(ctx context.Context, key string) (data []byte, err error) {
	return data, call(ctx, http.MethodGet, g.root+"/storage/v1/b/"+g.bucket+"/o/"+url.PathEscape(key)+"?alt=media", nil, &data)
}

func (g *gcs) remove(ctx context.Context, key string) error {
	return call(ctx, http.MethodDelete, g.root+"/storage/v1/b/"+g.bucket+"/o/"+url.PathEscape(key), nil, nil)
}

func (g *gcs) list(ctx context.Context, prefix string) (keys []string, err error) {
	var doc struct {
		Items         []struct{ Name string }
		NextPageToken string
	}
	err = call(ctx, http.MethodGet, g.root+"/storage/v1/b/"+g.bucket+"/o?prefix="+url.QueryEscape(prefix), nil, &doc)
	if err == nil && doc.NextPageToken != "" {
		err = fmt.Errorf("want fewer objects below %s than one page has", prefix)
	}
	for _, i := range doc.Items {
		keys = append(keys, i.Name)
	}
	return keys, err
}
