package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// over is the bucket acme in eu-west-1 on a wire.
func over(t *testing.T, w *storefake.Wire, env map[string]string) *bucket {
	t.Helper()
	all := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
	for name, value := range env {
		all[name] = value
	}
	o, err := Opener(&Options{Getenv: func(name string) string { return all[name] }, PartSize: 10})(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	b := o.(*bucket)
	b.client.HTTP.Transport = w
	return b
}

// shown are requests without what each has: who asks, when, and the sum of what is sent.
func shown(t *testing.T, w *storefake.Wire) (all []storefake.Asked) {
	t.Helper()
	for _, a := range w.All() {
		a.Header = a.Header.Clone()
		if !strings.HasPrefix(a.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=ID/") || !strings.Contains(a.Header.Get("Authorization"), "/eu-west-1/s3/aws4_request") || a.Header.Get("X-Amz-Security-Token") != "token" || a.Header.Get("User-Agent") != "godwit" {
			t.Errorf("%s %s by %v", a.Method, a.URL, a.Header)
		}
		for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token", "User-Agent"} {
			a.Header.Del(name)
		}
		if a.Header.Get(mark) != "" {
			a.Header.Set(mark, "mine")
		}
		all = append(all, a)
	}
	return all
}

const root = "https://acme.s3.eu-west-1.amazonaws.com/"

var says = storefake.Says

func want(t *testing.T, w *storefake.Wire, asked ...storefake.Asked) {
	t.Helper()
	if diff := cmp.Diff(asked, shown(t, w)); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// header are names and values.
func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestStatOnTheWire(t *testing.T) {
	modified := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for tag, version := range map[string]string{`"abc-2"`: "abc-2", `W/"abc"`: "abc", "abc": "abc"} {
		w := storefake.Script(says(200, "12345", "ETag", tag, "Last-Modified", modified.Format(http.TimeFormat)))
		o, err := over(t, w, nil).Stat(t.Context(), "a b/c")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&store.Object{Key: "a b/c", Version: version, Size: 5, Modified: modified}, o); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		want(t, w, storefake.Asked{Method: "HEAD", URL: root + "a%20b/c", Header: header()})
	}
	noLength := func() (*http.Response, error) {
		resp, _ := says(200, "", "ETag", `"a"`)()
		resp.ContentLength = -1
		return resp, nil
	}
	for name, tt := range map[string]struct {
		answers []func() (*http.Response, error)
		code    fault.Code
		hint    bool
		asked   int
	}{
		"no tag":    {[]func() (*http.Response, error){says(200, "1")}, fault.Unavailable, false, 1},
		"no length": {[]func() (*http.Response, error){noLength}, fault.Unavailable, false, 1},
		"empty":     {[]func() (*http.Response, error){says(200, "", "ETag", "a")}, fault.OK, false, 1},
		"no object": {[]func() (*http.Response, error){says(404, ""), says(200, "")}, fault.NotFound, false, 2},
		"no bucket": {[]func() (*http.Response, error){says(404, ""), says(404, "")}, fault.NotFound, true, 2},
		"perhaps":   {[]func() (*http.Response, error){says(404, ""), says(400, "")}, fault.NotFound, false, 2},
		"denied":    {[]func() (*http.Response, error){says(403, "")}, fault.Denied, true, 1},
	} {
		w := storefake.Script(tt.answers...)
		b := over(t, w, nil)
		_, err := b.Stat(t.Context(), "key")
		if fault.CodeOf(err) != tt.code || (fault.HintOf(err) != "") != tt.hint || len(w.All()) != tt.asked {
			t.Errorf("%s: %v (%s) after %d requests", name, err, fault.HintOf(err), len(w.All()))
		}
		if tt.asked == 2 && w.All()[1].URL != root {
			t.Errorf("%s: asked for %s", name, w.All()[1].URL)
		}
		if name == "no object" { // the bucket is known now
			w.Answer = func(*http.Request, string, int) (*http.Response, error) { return says(404, "")() }
			if _, err := b.Stat(t.Context(), "key"); fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) != "" || len(w.All()) != 3 {
				t.Errorf("again: %v (%s) after %d requests", err, fault.HintOf(err), len(w.All()))
			}
		}
	}
}

func TestOpenOnTheWire(t *testing.T) {
	w := storefake.Script(says(206, "cd", "ETag", `"one"`, "Content-Range", "bytes 2-3/9"))
	for of, h := range map[string]http.Header{
		"":    header("Range", "bytes=2-3", "Accept-Encoding", "identity"),
		"one": header("Range", "bytes=2-3", "Accept-Encoding", "identity", "If-Match", `"one"`),
	} {
		r, err := over(t, w, nil).Open(t.Context(), "k", of, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "cd" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_ = r.Close()
		all := shown(t, w)
		if diff := cmp.Diff(storefake.Asked{Method: "GET", URL: root + "k", Header: h}, all[len(all)-1]); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	}
}

func TestDeleteOnTheWire(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		code   fault.Code
	}{
		"there": {204, "", fault.OK}, "not there": {404, "<Error><Code>NoSuchKey</Code></Error>", fault.OK}, "no bucket": {404, "<Error><Code>NoSuchBucket</Code></Error>", fault.NotFound},
		"denied": {403, "", fault.Denied},
	} {
		w := storefake.Script(says(tt.status, tt.body))
		if err := over(t, w, nil).Delete(t.Context(), "k"); fault.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
		want(t, w, storefake.Asked{Method: "DELETE", URL: root + "k", Header: header()})
	}
}

func TestListOnTheWire(t *testing.T) {
	const page = `<ListBucketResult>%s<EncodingType>url</EncodingType><Contents><Key>p/a+b%%2Fc</Key><ETag>"x"</ETag><Size>5</Size><LastModified>2026-11-23T01:02:03.000Z</LastModified></Contents><Contents><Key>p/folder/</Key><Size>0</Size></Contents></ListBucketResult>`
	first := strings.Replace(strings.ReplaceAll(page, "%%", "%"), "%s", "<IsTruncated>true</IsTruncated><NextContinuationToken>t/+</NextContinuationToken>", 1)
	last := `<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>odd</NextContinuationToken><Contents><Key>p/100%25</Key><ETag>"y"</ETag><Size>0</Size></Contents></ListBucketResult>`
	w := storefake.Script(says(200, first), says(200, last))
	b := over(t, w, nil)
	var got []*store.Object
	for o, err := range b.List(t.Context(), "p/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	if diff := cmp.Diff([]*store.Object{{Key: "p/a b/c", Version: "x", Size: 5, Modified: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)}, {Key: "p/100%25", Version: "y"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want(t, w, storefake.Asked{Method: "GET", URL: root + "?encoding-type=url&list-type=2&prefix=p%2F", Header: header()},
		storefake.Asked{Method: "GET", URL: root + "?continuation-token=t%2F%2B&encoding-type=url&list-type=2&prefix=p%2F", Header: header()})
	for name, tt := range map[string]struct {
		body  string
		code  fault.Code
		asked int
	}{
		"no XML":           {"{}", fault.Unavailable, 1},
		"a bad escape":     {`<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>`, fault.Unavailable, 1},
		"more without how": {`<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>`, fault.OK, 1},
		"an empty one":     {`<ListBucketResult></ListBucketResult>`, fault.OK, 1},
	} {
		w := storefake.Script(says(200, tt.body))
		n := 0
		var last error
		for o, err := range over(t, w, nil).List(t.Context(), "") {
			if last = err; o == nil && err == nil || n > 0 {
				t.Errorf("%s: %v, %v", name, o, err)
			}
			n++
		}
		if fault.CodeOf(last) != tt.code || len(w.All()) != tt.asked {
			t.Errorf("%s: %v after %d requests", name, last, len(w.All()))
		}
	}
	w = storefake.Script(says(200, first))
	for range over(t, w, nil).List(t.Context(), "") {
		break // which ends it
	}
	if len(w.All()) != 1 {
		t.Errorf("%d requests for the first of a list", len(w.All()))
	}
}

// write writes an object of n bytes in parts of ten.
func write(t *testing.T, b *bucket, n int) error {
	t.Helper()
	w, err := b.Create(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.Repeat("x", n))); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(t.Context())
}

// What a small and a large object is made of, on the wire.
func TestWritesOnTheWire(t *testing.T) {
	for _, n := range []int{0, 7} {
		w := storefake.Script(says(200, "", "ETag", `"e"`))
		if err := write(t, over(t, w, nil), n); err != nil {
			t.Fatal(err)
		}
		want(t, w, storefake.Asked{Method: "PUT", URL: root + "k", Header: header("If-None-Match", "*", mark, "mine"), Body: strings.Repeat("x", n)})
	}
	w := &storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) {
		switch q := r.URL.Query(); {
		case q.Has("uploads"):
			return says(200, "<R><UploadId>u/1</UploadId></R>")()
		case q.Has("partNumber"):
			return says(200, "", "ETag", `"p`+q.Get("partNumber")+`"`)()
		}
		return says(200, "<CompleteMultipartUploadResult/>")()
	}}
	if err := write(t, over(t, w, nil), 15); err != nil {
		t.Fatal(err)
	}
	marks := map[string]bool{}
	for _, a := range w.All() {
		if m := a.Header.Get(mark); m != "" {
			marks[m] = true
		}
	}
	if len(marks) != 1 {
		t.Errorf("marks %v, want the writer's", marks)
	}
	want(t, w,
		storefake.Asked{Method: "POST", URL: root + "k?uploads=", Header: header(mark, "mine")},
		storefake.Asked{Method: "PUT", URL: root + "k?partNumber=1&uploadId=u%2F1", Header: header(), Body: "xxxxxxxxxx"},
		storefake.Asked{Method: "PUT", URL: root + "k?partNumber=2&uploadId=u%2F1", Header: header(), Body: "xxxxx"},
		storefake.Asked{Method: "POST", URL: root + "k?uploadId=u%2F1", Header: header("If-None-Match", "*", "Content-Type", "application/xml"),
			Body: `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>&#34;p1&#34;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>&#34;p2&#34;</ETag></Part></CompleteMultipartUpload>`})
}

// Whether an object was made is found out where an answer leaves it open.
func TestWhoMadeTheObject(t *testing.T) {
	mine := func(r *storefake.Wire) string { return r.All()[0].Header.Get(mark) }
	type reply = func() (*http.Response, error)
	lost := storefake.Fails(errors.New("reset"))
	for name, tt := range map[string]struct {
		put    []reply // the answers to PUT
		head   string  // what HEAD finds: mine, another's, nothing, no bucket, denied
		code   fault.Code
		exists bool
		hint   bool
		heads  int
	}{
		"made":                       {[]reply{says(200, "")}, "nothing", fault.OK, false, false, 0},
		"one is there":               {[]reply{says(412, "")}, "nothing", fault.Unprocessable, true, false, 0},
		"lost, then one is there":    {[]reply{lost, says(412, "")}, "mine", fault.OK, false, false, 1},
		"lost, then another's":       {[]reply{lost, says(412, "")}, "another's", fault.Unprocessable, true, false, 1},
		"lost, then none":            {[]reply{lost, says(412, "<Error><Code>PreconditionFailed</Code></Error>")}, "nothing", fault.Unavailable, false, true, 2},
		"lost, then no bucket":       {[]reply{lost, says(412, "")}, "no bucket", fault.NotFound, false, true, 2},
		"lost, then nobody may look": {[]reply{lost, says(412, "")}, "denied", fault.Denied, false, true, 1},
		"always lost, and made":      {[]reply{lost}, "mine", fault.OK, false, false, 1},
		"always lost, and another's": {[]reply{lost}, "another's", fault.Unprocessable, true, false, 1},
		"always lost, and not made":  {[]reply{lost}, "nothing", fault.Unavailable, false, false, 2},
		"denied":                     {[]reply{says(403, "")}, "mine", fault.Denied, false, true, 0},
		"too large":                  {[]reply{says(413, "")}, "mine", fault.TooLarge, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				puts, heads := 0, 0
				w := &storefake.Wire{}
				var my string
				w.Answer = func(r *http.Request, _ string, _ int) (*http.Response, error) {
					if r.Method == http.MethodPut {
						my = r.Header.Get(mark)
						puts++
						return tt.put[min(puts, len(tt.put))-1]()
					}
					heads++
					switch tt.head {
					case "mine":
						return says(200, "", mark, my, "ETag", "e")()
					case "another's":
						return says(200, "", mark, "x"+my, "ETag", "e")()
					case "denied":
						return says(403, "")()
					case "no bucket":
						return says(404, "")()
					}
					if r.URL.Path == "/" {
						return says(200, "")()
					}
					return says(404, "")()
				}
				err := write(t, over(t, w, nil), 5)
				if fault.CodeOf(err) != tt.code || errors.Is(err, store.ErrExists) != tt.exists || (fault.HintOf(err) != "") != tt.hint || heads != tt.heads {
					t.Errorf("%v (%s) after %d looks; want %v after %d", err, fault.HintOf(err), heads, tt.code, tt.heads)
				}
				if len(mine(w)) < 20 {
					t.Errorf("a mark that others may have: %q", mine(w))
				}
			})
		})
	}
}

// Of an upload that fails nothing is left behind.
func TestUploadsThatFail(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(r *http.Request) (int, string, []string)
		code   fault.Code
		drops  int
	}{
		"it does not begin":  {func(r *http.Request) (int, string, []string) { return 403, "", nil }, fault.Denied, 0},
		"without an id":      {func(r *http.Request) (int, string, []string) { return 200, "<R/>", nil }, fault.Unavailable, 0},
		"without XML":        {func(r *http.Request) (int, string, []string) { return 200, "id", nil }, fault.Unavailable, 0},
		"a part is refused":  {uploads(http.MethodPut, 403, ""), fault.Denied, 1},
		"a part has no tag":  {uploads(http.MethodPut, 200, ""), fault.Unavailable, 1},
		"the end is refused": {uploads("end", 403, ""), fault.Denied, 1},
		"the end fails":      {uploads("end", 200, "<Error><Code>InternalError</Code></Error>"), fault.Unavailable, 1},
		"one is there":       {uploads("end", 412, ""), fault.Unprocessable, 1},
		"the upload is gone": {uploads("end", 404, "<Error><Code>NoSuchUpload</Code></Error>"), fault.Unavailable, 1},
		"somebody was there": {uploads("end", 409, "<Error><Code>ConditionalRequestConflict</Code></Error>"), fault.Unavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				drops := 0
				w := &storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) {
					if r.Method == http.MethodDelete {
						if drops++; r.URL.RawQuery != "uploadId=u" {
							t.Errorf("dropped %s", r.URL)
						}
						return says(204, "")()
					}
					if r.Method == http.MethodHead && r.URL.Path == "/" {
						return says(200, "")()
					}
					status, body, h := tt.answer(r)
					return says(status, body, h...)()
				}}
				if err := write(t, over(t, w, nil), 25); fault.CodeOf(err) != tt.code || drops != tt.drops {
					t.Errorf("%v, dropped %d times; want %v and %d", err, drops, tt.code, tt.drops)
				}
			})
		})
	}
}

// uploads answers an upload well, but for requests of a method, or for its end.
func uploads(what string, status int, body string) func(r *http.Request) (int, string, []string) {
	return func(r *http.Request) (int, string, []string) {
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodHead:
			return 404, "", nil
		case q.Has("uploads"):
			return 200, "<R><UploadId>u</UploadId></R>", nil
		case r.Method == what, r.Method == http.MethodPost && what == "end":
			return status, body, nil
		case r.Method == http.MethodPut:
			return 200, "", []string{"ETag", "t"}
		}
		return 200, "<R/>", nil
	}
}

// What to do is said where somebody knows.
func TestHints(t *testing.T) {
	b := over(t, nil, nil)
	for _, tt := range []struct {
		code fault.Code
		name string
		want string
	}{
		{fault.NotFound, "NoSuchBucket", `There is no bucket "acme" for this identity: make it, or mend its name.`}, {fault.NotFound, "NoSuchKey", ""},
		{fault.Invalid, "AuthorizationHeaderMalformed", "Set AWS_REGION to the bucket's region."}, {fault.Invalid, "PermanentRedirect", "Set AWS_REGION to the bucket's region."},
		{fault.Invalid, "IllegalLocationConstraintException", "Set AWS_REGION to the bucket's region."}, {fault.Denied, "", "The role needs s3:"}, {fault.Unauthenticated, "", "The credentials are wrong"},
		{fault.Unavailable, "", ""}, {fault.Invalid, "", ""},
	} {
		if got := b.hint(tt.code, tt.name); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%v %s: %q", tt.code, tt.name, got)
		}
	}
	if name, text := read(nil, []byte("<Error><Code>C</Code><Message>m</Message></Error>")); name != "C" || text != "m" {
		t.Errorf("read %q, %q", name, text)
	}
	if name, text := read(nil, []byte("no XML")); name != "" || text != "" {
		t.Errorf("read %q, %q", name, text)
	}
	for region, want := range map[string]bool{"eu-west-1": true, "a": true, "z9-0": true, "": false, "eu west": false, "EU": false, "a/b": false, "a.b": false, "a:b": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		if got := validRegion(region); got != want {
			t.Errorf("%q is a region: %v", region, got)
		}
	}
	for value, want := range map[string]bool{"true": true, "TRUE": true, "1": false, "": false} {
		if got := on(value); got != want {
			t.Errorf("%q is on: %v", value, got)
		}
	}
}

// A key that is none is refused before anybody is asked, and so is a context
// that has ended.
func TestKeysThatAreNone(t *testing.T) {
	b := over(t, storefake.Script(says(200, "")), nil)
	for name, do := range map[string]func(key string) error{
		"Stat":   func(key string) error { _, err := b.Stat(t.Context(), key); return err },
		"Open":   func(key string) error { _, err := b.Open(t.Context(), key, "", 0, -1); return err },
		"Create": func(key string) error { _, err := b.Create(t.Context(), key); return err },
		"Delete": func(key string) error { return b.Delete(t.Context(), key) },
	} {
		if err := do(""); fault.CodeOf(err) != fault.Invalid || fault.Of(err).Op != "s3."+name {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Create(ctx, "k"); fault.CodeOf(err) != fault.Canceled || fault.Of(err).Subject != "s3://acme/k" {
		t.Errorf("canceled: %v", err)
	}
}

// Without credentials nothing is signed; a bucket elsewhere is followed, signed
// for where it is.
func TestWhoAsksS3(t *testing.T) {
	nobody := map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
	w := storefake.Script(says(200, "", "ETag", "e"))
	if _, err := over(t, w, nobody).Stat(t.Context(), "k"); err != nil || len(w.All()[0].Header) != 1 {
		t.Errorf("%v by %v", err, w.All())
	}
	w = storefake.Script(says(301, "", "X-Amz-Bucket-Region", "us-west-2"), says(200, "", "ETag", "e"))
	if _, err := over(t, w, nil).Stat(t.Context(), "k"); err != nil || len(w.All()) != 2 {
		t.Fatalf("%v, %v", err, w.All())
	}
	if a := w.All()[1]; a.URL != "https://acme.s3.us-west-2.amazonaws.com/k" || !strings.Contains(a.Header.Get("Authorization"), "/us-west-2/s3/") {
		t.Errorf("followed to %s by %s", a.URL, a.Header.Get("Authorization"))
	}
	half := map[string]string{"AWS_SECRET_ACCESS_KEY": ""}
	if _, err := over(t, w, half).Stat(t.Context(), "k"); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("half of credentials: %v", err)
	}
	for status, again := range map[int]bool{301: true, 307: true, 400: true, 403: true, 302: false, 404: false, 500: false} {
		b := over(t, nil, nil)
		if got := b.again(t.Context(), &http.Response{StatusCode: status, Header: header("X-Amz-Bucket-Region", "us-west-2")}); got != again {
			t.Errorf("%d: sent again %v", status, got)
		}
	}
}
