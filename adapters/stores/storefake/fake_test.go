package storefake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/adapters/stores/wire"
)

// asking sends requests to a fake, each signed as its store wants it.
type asking struct {
	t    *testing.T
	at   string
	sign func(r *http.Request, body string)
}

// reply is what a fake has answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; pairs are of its header.
func (a *asking) ask(method, path, body string, pairs ...string) *reply {
	a.t.Helper()
	r, err := http.NewRequest(method, a.at+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	a.sign(r, body)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return &reply{resp.StatusCode, resp.Header, string(text)}
}

// says fails the test unless r has the status and names code, "" for none.
func (a *asking) says(what string, r *reply, status int, code string) *reply {
	a.t.Helper()
	if r.status != status || code != "" && !strings.Contains(r.body, code) && r.header.Get("X-Ms-Error-Code") != code {
		a.t.Errorf("%s: %d %v %.300q, want %d %s", what, r.status, r.header, r.body, status, code)
	}
	return r
}

// ranges asks for parts of the object at path, which is "0123456789".
func (a *asking) ranges(path, none string) {
	a.t.Helper()
	for asked, want := range map[string]string{"": "0123456789", "bytes=0-3": "0123", "bytes=2-": "23456789", "bytes=9-9": "9", "bytes=8-99": "89", "items=1-2": "0123456789"} {
		var pairs []string
		status, span := 200, ""
		if asked != "" {
			pairs = []string{"Range", asked}
		}
		if strings.HasPrefix(asked, "bytes") {
			from := strings.Index("0123456789", want)
			status, span = 206, fmt.Sprintf("bytes %d-%d/10", from, from+len(want)-1)
		}
		r := a.says(asked, a.ask("GET", path, "", pairs...), status, "")
		if r.body != want || r.header.Get("Content-Range") != span || r.header.Get("Content-Length") != fmt.Sprint(len(want)) || r.header.Get("Content-Type") != "application/octet-stream" {
			a.t.Errorf("%s: %q with %v", asked, r.body, r.header)
		}
		if at, err := http.ParseTime(r.header.Get("Last-Modified")); err != nil || time.Since(at).Abs() > time.Minute {
			a.t.Errorf("modified at %v, %v", at, err)
		}
	}
	for _, asked := range []string{"bytes=10-", "bytes=x-", "bytes=0-x"} {
		a.says(asked, a.ask("GET", path, "", "Range", asked), 416, none)
	}
}

func TestS3(t *testing.T) {
	srv := storefake.S3(t, "rows", "other")
	keys := awsauth.Credentials{ID: storefake.S3Key, Secret: storefake.S3Secret}
	region := storefake.S3Region
	sign := func(r *http.Request, body string) {
		awsauth.Sign(r, &keys, "s3", region, awsauth.Sum([]byte(body)), time.Now())
	}
	a := &asking{t, srv.URL, sign}
	a.says("a bucket", a.ask("HEAD", "/rows/", ""), 200, "")
	a.says("no bucket", a.ask("GET", "/none/k", ""), 404, "<Code>NoSuchBucket</Code>")
	for name, change := range map[string]func(r *http.Request){
		"nothing": func(r *http.Request) { r.Header.Del("Authorization") }, "another sum": func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", awsauth.Sum([]byte("x"))) }, "no date": func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") },
		"more than is signed": func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "b") }, "another path": func(r *http.Request) { r.URL.Path = "/rows/l" }, "another query": func(r *http.Request) { r.URL.RawQuery = "a=b" },
	} {
		a.sign = func(r *http.Request, body string) { sign(r, body); change(r) }
		a.says("signed, "+name, a.ask("GET", "/rows/k", ""), 403, "<Code>SignatureDoesNotMatch</Code><Message>The message of SignatureDoesNotMatch.</Message>")
	}
	a.sign = sign
	region = "eu-west-2"
	a.says("for another region", a.ask("GET", "/rows/k", ""), 403, "SignatureDoesNotMatch")
	region, keys.Secret = storefake.S3Region, "another"
	a.says("by another secret", a.ask("GET", "/rows/k", ""), 403, "SignatureDoesNotMatch")
	keys.Secret, keys.Token = storefake.S3Secret, "token"
	a.says("with a token", a.ask("GET", "/rows/k", ""), 404, "NoSuchKey")
	keys.Token = ""

	a.says("not there", a.ask("GET", "/rows/a%20b", ""), 404, "<Code>NoSuchKey</Code>")
	a.says("not there", a.ask("HEAD", "/rows/a%20b", ""), 404, "")
	const tag = `"781e5e245d69b566979b86e28d23f2c7"` // the MD5 of 0123456789
	if r := a.says("put", a.ask("PUT", "/rows/a%20b", "0123456789", "If-None-Match", "*", "X-Amz-Meta-A", "b"), 200, ""); r.header.Get("ETag") != tag {
		t.Errorf("put: %v", r.header)
	}
	a.says("put again", a.ask("PUT", "/rows/a%20b", "x", "If-None-Match", "*"), 412, "<Code>PreconditionFailed</Code>")
	a.ranges("/rows/a%20b", "<Code>InvalidRange</Code>")
	if r := a.says("asked about", a.ask("HEAD", "/rows/a%20b", ""), 200, ""); r.body != "" || r.header.Get("Content-Length") != "10" || r.header.Get("ETag") != tag || r.header.Get("X-Amz-Meta-A") != "b" {
		t.Errorf("asked about: %v", r)
	}
	a.says("of a version", a.ask("GET", "/rows/a%20b", "", "If-Match", tag), 200, "")
	a.says("of another", a.ask("GET", "/rows/a%20b", "", "If-Match", `"x"`), 412, "PreconditionFailed")
	a.says("another key", a.ask("GET", "/other/a%20b", ""), 404, "NoSuchKey")
	a.says("replaced", a.ask("PUT", "/rows/a%20b", "x"), 200, "")
	a.says("removed", a.ask("DELETE", "/rows/a%20b", ""), 204, "")
	a.says("removed again", a.ask("DELETE", "/rows/a%20b", ""), 204, "")
	a.says("gone", a.ask("GET", "/rows/a%20b", ""), 404, "NoSuchKey")
	a.says("an odd method", a.ask("PATCH", "/rows/a", ""), 405, "MethodNotAllowed")

	// Parts.
	begin := func() string {
		r := a.says("begun", a.ask("POST", "/rows/k?uploads=", "", "X-Amz-Meta-A", "c"), 200, "")
		var made struct{ UploadId string }
		if err := xml.Unmarshal([]byte(r.body), &made); err != nil || made.UploadId == "" {
			t.Fatalf("begun: %s", r.body)
		}
		return wire.Escape(made.UploadId, false)
	}
	id := begin()
	large := strings.Repeat("x", 5<<20)
	for n, part := range []string{large, "end", "small"} {
		if r := a.says("a part", a.ask("PUT", fmt.Sprintf("/rows/k?partNumber=%d&uploadId=%s", n+1, id), part), 200, ""); r.header.Get("ETag") != fmt.Sprintf(`"part-%d"`, n+1) {
			t.Errorf("a part: %v", r.header)
		}
	}
	list := func(numbers ...int) string {
		text := "<CompleteMultipartUpload>"
		for _, n := range numbers {
			text += fmt.Sprintf(`<Part><PartNumber>%d</PartNumber><ETag>"part-%d"</ETag></Part>`, n, n)
		}
		return text + "</CompleteMultipartUpload>"
	}
	end := "/rows/k?uploadId=" + id
	a.says("of nothing", a.ask("POST", end, list()), 400, "MalformedXML")
	a.says("no list", a.ask("POST", end, "x"), 400, "MalformedXML")
	a.says("of what is not there", a.ask("POST", end, list(1, 7)), 400, "InvalidPart<")
	a.says("with another tag", a.ask("POST", end, strings.Replace(list(1, 2), "part-2", "part-3", 1)), 400, "InvalidPart<")
	a.says("of small ones", a.ask("POST", end, list(2, 3)), 400, "EntityTooSmall")
	a.says("in another order", a.ask("POST", end, list(1, 1)), 400, "InvalidPartOrder")
	a.says("of another key", a.ask("POST", "/rows/l?uploadId="+id, list(1)), 404, "NoSuchUpload")
	a.says("of no upload", a.ask("POST", "/rows/k?uploadId=none", list(1)), 404, "NoSuchUpload")
	if n := srv.Uploads(); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
	a.says("made", a.ask("POST", end, list(1, 2), "If-None-Match", "*"), 200, "-2")
	if r := a.says("made", a.ask("GET", "/rows/k", ""), 200, ""); r.body != large+"end" || !strings.HasSuffix(r.header.Get("ETag"), `-2"`) || r.header.Get("X-Amz-Meta-A") != "c" || srv.Uploads() != 0 {
		t.Errorf("made: %d bytes, %v, %d uploads", len(r.body), r.header, srv.Uploads())
	}
	id = begin()
	a.says("a part", a.ask("PUT", "/rows/k?partNumber=1&uploadId="+id, "x"), 200, "")
	a.says("one is there", a.ask("POST", "/rows/k?uploadId="+id, list(1), "If-None-Match", "*"), 412, "PreconditionFailed")
	a.says("dropped", a.ask("DELETE", "/rows/k?uploadId="+id, ""), 204, "")
	if srv.Uploads() != 0 || srv.Asked("PATCH") != 1 || srv.Asked("OPTIONS") != 0 {
		t.Errorf("%d uploads, %d and %d requests", srv.Uploads(), srv.Asked("PATCH"), srv.Asked("OPTIONS"))
	}

	// Lists.
	for i := range 1001 {
		a.ask("PUT", fmt.Sprintf("/other/p/%04d", i), "x")
	}
	a.ask("PUT", "/other/a%2Bb%20c", "12")
	type page struct {
		IsTruncated                         bool
		EncodingType, NextContinuationToken string
		Contents                            []struct {
			Key, ETag    string
			Size         int
			LastModified time.Time
		}
	}
	read := func(query string) (p page) {
		if err := xml.Unmarshal([]byte(a.says("a list", a.ask("GET", "/other/?"+query, ""), 200, "").body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := read("list-type=2&prefix=p%2F")
	last := read("continuation-token=" + first.NextContinuationToken + "&list-type=2&prefix=p%2F")
	if len(first.Contents) != 1000 || !first.IsTruncated || first.Contents[0].Key != "p/0000" || len(last.Contents) != 1 || last.IsTruncated || last.NextContinuationToken != "" || last.Contents[0].Key != "p/1000" {
		t.Errorf("%d and %d keys", len(first.Contents), len(last.Contents))
	}
	if p := read("encoding-type=url&list-type=2&prefix=a"); len(p.Contents) != 1 || p.EncodingType != "url" || p.Contents[0].Key != "a%2Bb+c" || p.Contents[0].Size != 2 || p.Contents[0].ETag != `"c20ad4d76fe97759aa27a0c99bff6710"` || time.Since(p.Contents[0].LastModified).Abs() > time.Minute {
		t.Errorf("%+v", p)
	}
	if p := read("list-type=2&prefix=a"); p.Contents[0].Key != "a+b c" || p.EncodingType != "" {
		t.Errorf("%+v", p)
	}
	if p := read("list-type=2&prefix=z"); len(p.Contents) != 0 || p.IsTruncated {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(map[string]string{"AWS_ENDPOINT_URL_S3": srv.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret/of+a=test"}, srv.S3Env()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGCS(t *testing.T) {
	srv := storefake.GCS(t, "rows", "other")
	a := &asking{t, srv.URL, func(*http.Request, string) {}}
	const o, up = "/storage/v1/b/rows/o", "/upload/storage/v1/b/rows/o"
	for _, path := range []string{"/", "/storage/v1/b/rows", "/storage/v1/b/rows/x", "/storage/v1/b/rows/o/k/l"} {
		a.says(path, a.ask("GET", path, ""), 404, "no such route")
	}
	a.says("no bucket", a.ask("GET", "/storage/v1/b/none/o/k", ""), 404, `{"error": {"code": 404, "message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}`)
	a.says("no object", a.ask("GET", o+"/a%2Fb", ""), 404, "No such object: rows/a/b")
	multi := func(name, about, data string) *reply {
		body := "--e\r\nContent-Type: application/json\r\n\r\n" + about + "\r\n--e\r\nContent-Type: x/y\r\n\r\n" + data + "\r\n--e--\r\n"
		return a.ask("POST", up+"?ifGenerationMatch=0&uploadType=multipart&name="+name, body, "Content-Type", "multipart/related; boundary=e")
	}
	type described struct {
		Kind, Name, Generation, Size string
		Updated                      time.Time
		Metadata                     map[string]string
	}
	is := func(what string, r *reply, name, size string, meta map[string]string) described {
		t.Helper()
		var d described
		if err := json.Unmarshal([]byte(r.body), &d); err != nil || d.Kind != "storage#object" || d.Name != name || d.Size != size || len(d.Generation) != 16 || time.Since(d.Updated).Abs() > time.Minute {
			t.Errorf("%s: %s, %v", what, r.body, err)
		}
		if diff := cmp.Diff(meta, d.Metadata); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		return d
	}
	made := is("put", a.says("put", multi("a%2Fb", `{"name": "a/b", "metadata": {"m": "n"}}`, "0123456789"), 200, ""), "a/b", "10", map[string]string{"m": "n"})
	a.says("put again", multi("a%2Fb", `{"name": "a/b"}`, "x"), 412, "conditionNotMet")
	is("described", a.says("described", a.ask("GET", o+"/a%2Fb", ""), 200, ""), "a/b", "10", map[string]string{"m": "n"})
	a.says("no description", multi("k", "x", "x"), 400, "want a description")
	a.says("nothing", a.ask("POST", up+"?uploadType=multipart&name=k", "x", "Content-Type", "multipart/related; boundary=e"), 400, "want a description")
	a.says("no object in it", a.ask("POST", up+"?uploadType=multipart&name=k", "--e\r\n\r\n{}\r\n--e--\r\n", "Content-Type", "multipart/related; boundary=e"), 400, "want an object")
	a.says("half of it", a.ask("POST", up+"?uploadType=multipart&name=k", "--e\r\n\r\n{}\r\n--e\r\n\r\nabc", "Content-Type", "multipart/related; boundary=e"), 400, "want a whole object")
	a.ranges(o+"/a%2Fb?alt=media", "")
	if r := a.says("a generation", a.ask("GET", o+"/a%2Fb?alt=media&ifGenerationMatch="+made.Generation, ""), 200, ""); r.header.Get("X-Goog-Generation") != made.Generation {
		t.Errorf("%v", r.header)
	}
	a.says("another", a.ask("GET", o+"/a%2Fb?alt=media&ifGenerationMatch=1", ""), 412, "conditionNotMet")
	a.says("an odd method", a.ask("PATCH", o+"/a%2Fb", ""), 405, "")
	a.says("removed", a.ask("DELETE", o+"/a%2Fb", ""), 204, "")
	a.says("removed again", a.ask("DELETE", o+"/a%2Fb", ""), 404, "No such object")

	// Sessions.
	begin := func(name string) string {
		r := a.says("begun", a.ask("POST", up+"?ifGenerationMatch=0&uploadType=resumable&name="+name, `{"metadata": {"m": "o"}}`), 200, "")
		at, err := url.Parse(r.header.Get("Location"))
		if err != nil || !strings.HasPrefix(r.header.Get("Location"), srv.URL+up+"?uploadType=resumable&upload_id=") {
			t.Fatalf("begun: %v", r.header)
		}
		return at.RequestURI()
	}
	kib := strings.Repeat("x", 256<<10)
	at := begin("k")
	goes := func(what, span, body string, status int, kept string) {
		t.Helper()
		if r := a.says(what, a.ask("PUT", at, body, "Content-Range", "bytes "+span), status, ""); r.header.Get("Range") != kept {
			t.Errorf("%s: %q is kept, want %q", what, r.header.Get("Range"), kept)
		}
	}
	goes("asked for", "*/*", "", 308, "")
	goes("a part", "0-262143/*", kib, 308, "bytes=0-262143")
	goes("asked for", "*/*", "", 308, "bytes=0-262143")
	goes("no multiple", "262144-262146/*", "abc", 400, "")
	goes("too far", "300000-562143/*", kib, 503, "")
	goes("another length", "262144-262150/*", "abc", 503, "")
	goes("odd", "a-b/*", "abc", 503, "")
	goes("again", "0-262143/*", kib, 308, "bytes=0-262143")
	goes("another total", "*/9", "", 308, "bytes=0-262143")
	if srv.Uploads() != 1 {
		t.Errorf("%d uploads", srv.Uploads())
	}
	is("made", a.says("made", a.ask("PUT", at, "abc", "Content-Range", "bytes 262144-262146/262147"), 200, ""), "k", "262147", map[string]string{"m": "o"})
	if r := a.ask("GET", o+"/k?alt=media", ""); r.body != kib+"abc" || srv.Uploads() != 0 {
		t.Errorf("%d bytes, %d uploads", len(r.body), srv.Uploads())
	}
	a.says("over", a.ask("PUT", at, "", "Content-Range", "bytes */*"), 404, "no such upload")
	a.says("one is there", a.ask("POST", up+"?ifGenerationMatch=0&uploadType=resumable&name=k", "{}"), 412, "conditionNotMet")
	a.says("no condition", a.ask("POST", up+"?uploadType=resumable&name=k", "{}"), 200, "")
	a.says("no description", a.ask("POST", up+"?uploadType=resumable&name=l", "x"), 400, "want a description")
	at = begin("l")
	multi("l", "{}", "first")
	goes("one came first", "0-2/3", "abc", 412, "")
	a.says("dropped", a.ask("DELETE", at, ""), 499, "")
	a.says("dropped again", a.ask("DELETE", at, ""), 404, "no such upload")

	// Lists.
	for i := range 1001 {
		a.ask("POST", fmt.Sprintf("/upload/storage/v1/b/other/o?uploadType=multipart&name=p%%2F%04d", i), "--e\r\n\r\n{}\r\n--e\r\n\r\nxy\r\n--e--\r\n", "Content-Type", "multipart/related; boundary=e")
	}
	type page struct {
		Kind, NextPageToken string
		Items               []described
	}
	read := func(query string) (p page) {
		if err := json.Unmarshal([]byte(a.says("a list", a.ask("GET", "/storage/v1/b/other/o?"+query, ""), 200, "").body), &p); err != nil || p.Kind != "storage#objects" {
			t.Fatal(p.Kind, err)
		}
		return p
	}
	first := read("prefix=p")
	last := read("prefix=p&pageToken=" + url.QueryEscape(first.NextPageToken))
	if len(first.Items) != 1000 || first.Items[0].Name != "p/0000" || first.Items[0].Size != "2" || len(last.Items) != 1 || last.Items[0].Name != "p/1000" || last.NextPageToken != "" {
		t.Errorf("%d and %d keys", len(first.Items), len(last.Items))
	}
	if p := read("prefix=z"); p.Items != nil {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(map[string]string{"STORAGE_EMULATOR_HOST": srv.URL}, srv.GCSEnv()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAzure(t *testing.T) {
	srv := storefake.Azure(t, "rows", "other")
	key, _ := base64.StdEncoding.DecodeString(storefake.AzureKey)
	sign := func(r *http.Request, body string) {
		size := ""
		if body != "" {
			size = fmt.Sprint(len(body))
		}
		h := r.Header
		h.Set("X-Ms-Date", "now")
		h.Set("X-Ms-Version", "1")
		text := r.Method + "\n" + h.Get("Content-Encoding") + "\n" + h.Get("Content-Language") + "\n" + size + "\n\n" + h.Get("Content-Type") + "\n\n\n" + h.Get("If-Match") + "\n" + h.Get("If-None-Match") + "\n\n" + h.Get("Range") + "\n"
		for _, name := range []string{"X-Ms-Blob-Type", "X-Ms-Date", "X-Ms-Meta-A", "X-Ms-Version"} {
			if h.Get(name) != "" {
				text += strings.ToLower(name) + ":" + h.Get(name) + "\n"
			}
		}
		text += "/" + storefake.AzureAccount + r.URL.EscapedPath()
		for _, name := range []string{"blockid", "Comp", "comp", "marker", "prefix"} {
			if v := r.URL.Query().Get(name); v != "" {
				text += "\n" + strings.ToLower(name) + ":" + v
			}
		}
		h.Set("Authorization", "SharedKey "+storefake.AzureAccount+":"+storefake.HMAC(string(key), text))
	}
	a := &asking{t, srv.URL + "/" + storefake.AzureAccount, sign}
	put := func(path, body string, pairs ...string) *reply {
		return a.ask("PUT", path, body, append([]string{"X-Ms-Blob-Type", "BlockBlob"}, pairs...)...)
	}
	a.says("no container", a.ask("GET", "/none/k", ""), 404, "ContainerNotFound")
	for name, change := range map[string]func(r *http.Request){
		"nothing": func(r *http.Request) { r.Header.Del("Authorization") }, "another version": func(r *http.Request) { r.Header.Set("X-Ms-Version", "2") }, "more than is signed": func(r *http.Request) { r.Header.Set("X-Ms-A", "b") },
		"another range": func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }, "another path": func(r *http.Request) { r.URL.Path += "x" }, "another query": func(r *http.Request) { r.URL.RawQuery = "comp=list" }, "another method": func(r *http.Request) { r.Method = "DELETE" },
	} {
		a.sign = func(r *http.Request, body string) { sign(r, body); change(r) }
		a.says("signed, "+name, a.ask("GET", "/rows/k", ""), 403, "<Code>AuthenticationFailed</Code><Message>The message of AuthenticationFailed.\nRequestId:0</Message>")
	}
	a.sign = sign
	a.says("no blob", a.ask("GET", "/rows/a%20b", ""), 404, "BlobNotFound")
	a.says("without a type", a.ask("PUT", "/rows/a%20b", "x"), 400, "MissingRequiredHeader")
	tag := a.says("put", put("/rows/a%20b", "0123456789", "If-None-Match", "*", "X-Ms-Meta-A", "b", "Content-Type", "x/y"), 201, "").header.Get("ETag")
	if !strings.HasPrefix(tag, `"0x`) {
		t.Errorf("put: %s", tag)
	}
	a.says("put again", put("/rows/a%20b", "x", "If-None-Match", "*"), 409, "BlobAlreadyExists")
	a.ranges("/rows/a%20b", "InvalidRange")
	if r := a.says("asked about", a.ask("HEAD", "/rows/a%20b", ""), 200, ""); r.body != "" || r.header.Get("Content-Length") != "10" || r.header.Get("ETag") != tag || r.header.Get("X-Ms-Meta-A") != "b" {
		t.Errorf("asked about: %v", r)
	}
	a.says("of a version", a.ask("GET", "/rows/a%20b", "", "If-Match", tag), 200, "")
	a.says("of another", a.ask("GET", "/rows/a%20b", "", "If-Match", `"x"`), 412, "ConditionNotMet")
	a.says("a backslash", a.ask("GET", "/rows/"+url.PathEscape(`x\y`), ""), 404, "BlobNotFound")
	put("/rows/x/y", "slash")
	if r := a.ask("GET", "/rows/"+url.PathEscape(`x\y`), ""); r.body != "slash" {
		t.Errorf("a backslash is none: %+v", r)
	}
	a.says("an odd method", a.ask("PATCH", "/rows/a%20b", ""), 405, "")
	a.says("removed", a.ask("DELETE", "/rows/a%20b", ""), 202, "")
	a.says("removed again", a.ask("DELETE", "/rows/a%20b", ""), 404, "BlobNotFound")

	// Blocks.
	block := func(id, body string) *reply {
		return a.ask("PUT", "/rows/k?blockid="+url.QueryEscape(id)+"&comp=block", body)
	}
	list := func(ids ...string) *reply {
		text := "<BlockList>"
		for _, id := range ids {
			text += "<Latest>" + id + "</Latest>"
		}
		return a.ask("PUT", "/rows/k?comp=blocklist", text+"</BlockList>", "If-None-Match", "*", "X-Ms-Meta-A", "c")
	}
	a.says("a block", block("YQ==", "one"), 201, "")
	a.says("another", block("Yg==", "two"), 201, "")
	a.says("of another length", block("YWI=YWI=", "two"), 400, "InvalidBlobOrBlock")
	a.says("of what is not there", list("YQ==", "Yw=="), 400, "InvalidBlockList")
	a.says("no list", a.ask("PUT", "/rows/k?comp=blocklist", "x"), 400, "InvalidXmlDocument")
	a.says("not made", a.ask("GET", "/rows/k", ""), 404, "BlobNotFound")
	if srv.Uploads() != 1 {
		t.Errorf("%d uploads", srv.Uploads())
	}
	a.says("made", list("Yg==", "YQ=="), 201, "")
	if r := a.ask("GET", "/rows/k", ""); r.body != "twoone" || r.header.Get("X-Ms-Meta-A") != "c" || srv.Uploads() != 0 {
		t.Errorf("made: %+v, %d uploads", r, srv.Uploads())
	}
	a.says("a block again", block("YQ==", "one"), 201, "")
	a.says("one is there", list("YQ=="), 409, "BlobAlreadyExists")
	a.says("of nothing, put", put("/rows/k", "x"), 201, "")
	a.says("its blocks are gone", list("YQ=="), 400, "InvalidBlockList")
	a.ask("DELETE", "/rows/k", "")
	a.says("of nothing", list(), 201, "")

	// Lists.
	for i := range 1001 {
		put(fmt.Sprintf("/other/p/%04d", i), "xy")
	}
	put("/other/a&b", "x")
	type page struct {
		NextMarker string
		Blobs      struct {
			Blob []struct {
				Name       string
				Properties struct {
					Modified string `xml:"Last-Modified"`
					Etag     string
					Size     int `xml:"Content-Length"`
				}
			}
		}
	}
	read := func(query string) (p page) {
		if err := xml.Unmarshal([]byte(a.says("a list", a.ask("GET", "/other?comp=list&"+query, ""), 200, "").body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := read("prefix=p%2F")
	last := read("marker=" + url.QueryEscape(first.NextMarker) + "&prefix=p%2F")
	if n := len(first.Blobs.Blob); n != 1000 || len(last.Blobs.Blob) != 1 || last.NextMarker != "" || last.Blobs.Blob[0].Name != "p/1000" {
		t.Fatalf("%d and %d names", n, len(last.Blobs.Blob))
	}
	if b := first.Blobs.Blob[0]; b.Name != "p/0000" || b.Properties.Size != 2 || !strings.HasPrefix(b.Properties.Etag, "0x") {
		t.Errorf("%+v", b)
	} else if at, err := http.ParseTime(b.Properties.Modified); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("modified at %v, %v", at, err)
	}
	if p := read("prefix=a"); len(p.Blobs.Blob) != 1 || p.Blobs.Blob[0].Name != "a&b" {
		t.Errorf("%+v", p)
	}
	if diff := cmp.Diff(map[string]string{"AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=acme1;AccountKey=c3RvcmVmYWtlJ3Mga2V5IGZvciBhY21lMQ==;BlobEndpoint=" + srv.URL + "/acme1;"}, srv.AzureEnv()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Trouble comes before the store, breaks answers off, and loses them.
func TestTrouble(t *testing.T) {
	srv := storefake.GCS(t, "rows")
	const at = "/upload/storage/v1/b/rows/o?uploadType=multipart&name="
	send := func(method, path, body string) (string, error) {
		r, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "multipart/related; boundary=e")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	const body = "--e\r\n\r\n{}\r\n--e\r\n\r\n0123456789\r\n--e--\r\n"
	var breaks atomic.Int64 // after so many bytes; 0 is not at all, -1 before the first
	breaks.Store(-1)
	srv.Trouble = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch n := int(breaks.Load()); n {
		case -1:
			storefake.Lose(r, next)
		case 0:
			next.ServeHTTP(w, r)
		default:
			next.ServeHTTP(storefake.Break(w, n), r)
		}
	}
	if text, err := send("POST", at+"k", body); err == nil {
		t.Errorf("a lost answer: %q", text)
	}
	for n, want := range map[int]string{4: "0123", 10: "0123456789"} {
		breaks.Store(int64(n))
		if text, err := send("GET", "/storage/v1/b/rows/o/k?alt=media", ""); text != want || (err == nil) != (n == 10) {
			t.Errorf("broken after %d: %q, %v", n, text, err)
		}
	}
	breaks.Store(0)
	if text, err := send("GET", "/storage/v1/b/rows/o/k?alt=media", ""); text != "0123456789" || err != nil || srv.Asked("GET") < 3 {
		t.Errorf("%q, %v, %d requests", text, err, srv.Asked("GET"))
	}
}

// A wire keeps what is asked, and answers as it is told.
func TestWire(t *testing.T) {
	no := io.ErrUnexpectedEOF
	w := storefake.Script(storefake.Says(201, "one", "A", "1", "A", "2"), storefake.Fails(no))
	c := &http.Client{Transport: w}
	resp, err := c.Post("http://h/p?q", "x/y", bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != "one" || resp.StatusCode != 201 || resp.ContentLength != 3 || len(resp.Header["A"]) != 2 || resp.Request == nil {
		t.Errorf("%q, %v, %+v", text, err, resp)
	}
	for range 2 { // the last one answers from then on
		if _, err := c.Get("http://h/"); err == nil || !strings.Contains(err.Error(), no.Error()) {
			t.Errorf("got %v", err)
		}
	}
	want := []storefake.Asked{{Method: "POST", URL: "http://h/p?q", Header: http.Header{"Content-Type": {"x/y"}}, Body: "body"}, {Method: "GET", URL: "http://h/", Header: http.Header{}}, {Method: "GET", URL: "http://h/", Header: http.Header{}}}
	if diff := cmp.Diff(want, w.All()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := storefake.HMAC("key", "The quick brown fox jumps over the lazy dog"); got != "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg=" {
		t.Errorf("HMAC is %s", got)
	}
	r, _ := http.NewRequest("POST", "http://h/", io.MultiReader(strings.NewReader("a"), failing{}))
	if _, err := w.RoundTrip(r); err != no {
		t.Errorf("a body that fails: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
