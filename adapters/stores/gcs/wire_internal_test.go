package gcs

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

// over is the bucket acme on a wire, as somebody with a token.
func over(t *testing.T, w *storefake.Wire, env map[string]string) *bucket {
	t.Helper()
	all := map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "token"}
	for name, value := range env {
		all[name] = value
	}
	o, err := Opener(&Options{Getenv: func(name string) string { return all[name] }, PartSize: 256 << 10})(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	b := o.(*bucket)
	b.client.HTTP.Transport = w
	return b
}

// shown are requests without what each has: who asks.
func shown(t *testing.T, w *storefake.Wire) (all []storefake.Asked) {
	t.Helper()
	for _, a := range w.All() {
		a.Header = a.Header.Clone()
		if a.Header.Get("Authorization") != "Bearer token" || a.Header.Get("User-Agent") != "godwit" {
			t.Errorf("%s %s by %v", a.Method, a.URL, a.Header)
		}
		a.Header.Del("Authorization")
		a.Header.Del("User-Agent")
		all = append(all, a)
	}
	return all
}

const (
	host = "https://storage.googleapis.com"
	root = host + "/storage/v1/b/acme/o"
)

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

const described = `{"name": "odd", "generation": "17", "size": "5", "updated": "2026-11-23T01:02:03.5Z"}`

func TestStatOnTheWire(t *testing.T) {
	w := storefake.Script(says(200, described))
	o, err := over(t, w, nil).Stat(t.Context(), "a b/c")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&store.Object{Key: "a b/c", Version: "17", Size: 5, Modified: time.Date(2026, 11, 23, 1, 2, 3, 5e8, time.UTC)}, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want(t, w, storefake.Asked{Method: "GET", URL: root + "/a%20b%2Fc?fields=name%2Cgeneration%2Csize%2Cupdated%2Cmetadata", Header: header()})
	for body, code := range map[string]fault.Code{"{}": fault.Unavailable, "no JSON": fault.Unavailable, `{"generation": "1"}`: fault.OK, `{"generation": "0"}`: fault.Unavailable, `{"generation": "x"}`: fault.Unavailable} {
		if _, err := over(t, storefake.Script(says(200, body)), nil).Stat(t.Context(), "k"); fault.CodeOf(err) != code {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestOpenOnTheWire(t *testing.T) {
	for of, query := range map[string]string{"": "", "17": "&ifGenerationMatch=17"} {
		w := storefake.Script(says(206, "cd", "X-Goog-Generation", "17", "Content-Range", "bytes 2-3/9"))
		r, err := over(t, w, nil).Open(t.Context(), "a/k", of, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != "cd" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_ = r.Close()
		want(t, w, storefake.Asked{Method: "GET", URL: root + "/a%2Fk?alt=media" + query, Header: header("Range", "bytes=2-3", "Accept-Encoding", "gzip")})
	}
	w := storefake.Script(says(200, "ab", "X-Goog-Generation", "18")) // of another generation
	if _, err := over(t, w, nil).Open(t.Context(), "k", "17", 0, -1); fault.CodeOf(err) != fault.Mismatch {
		t.Errorf("of another generation: %v", err)
	}
	for _, of := range []string{"x", "0", "-1", "1.5"} {
		if _, err := over(t, storefake.Script(says(200, described)), nil).Open(t.Context(), "k", of, 0, -1); fault.CodeOf(err) != fault.Mismatch {
			t.Errorf("version %q: %v", of, err)
		}
		if _, err := over(t, storefake.Script(says(404, "")), nil).Open(t.Context(), "k", of, 0, -1); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("version %q of what is not there: %v", of, err)
		}
	}
	w = storefake.Script(says(200, described))
	if r, err := over(t, w, nil).Open(t.Context(), "k", "1", 0, 0); fault.CodeOf(err) != fault.Mismatch {
		t.Errorf("nothing of another generation: %v, %v", r, err)
	}
	if r, err := over(t, w, nil).Open(t.Context(), "k", "17", 0, 0); err != nil || r == nil {
		t.Errorf("nothing: %v, %v", r, err)
	}
}

func TestDeleteOnTheWire(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		code   fault.Code
	}{
		"there": {204, "", fault.OK}, "not there": {404, `{"error": {"message": "No such object: acme/k"}}`, fault.OK}, "no bucket": {404, `{"error": {"message": "The specified bucket does not exist."}}`, fault.NotFound},
		"denied": {403, "", fault.Denied},
	} {
		w := storefake.Script(says(tt.status, tt.body))
		if err := over(t, w, nil).Delete(t.Context(), "k"); fault.CodeOf(err) != tt.code {
			t.Errorf("%s: %v", name, err)
		}
		want(t, w, storefake.Asked{Method: "DELETE", URL: root + "/k", Header: header()})
	}
}

func TestListOnTheWire(t *testing.T) {
	first := `{"nextPageToken": "t/+", "items": [{"name": "p/a b", "generation": "17", "size": "5", "updated": "2026-11-23T01:02:03Z"}, {"name": "p/folder/", "generation": "1", "size": "0"}]}`
	w := storefake.Script(says(200, first), says(200, `{"items": [{"name": "p/z", "generation": "18", "size": "0"}]}`))
	var got []*store.Object
	for o, err := range over(t, w, nil).List(t.Context(), "p/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	if diff := cmp.Diff([]*store.Object{{Key: "p/a b", Version: "17", Size: 5, Modified: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)}, {Key: "p/z", Version: "18"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const query = "?fields=nextPageToken%2Citems%28name%2Cgeneration%2Csize%2Cupdated%29&maxResults=1000&prefix=p%2F"
	want(t, w, storefake.Asked{Method: "GET", URL: root + query, Header: header()}, storefake.Asked{Method: "GET", URL: root + query + "&pageToken=t%2F%2B", Header: header()})
	for body, code := range map[string]fault.Code{"no JSON": fault.Unavailable, "{}": fault.OK} {
		n := 0
		var last error
		for o, err := range over(t, storefake.Script(says(200, body)), nil).List(t.Context(), "") {
			if last = err; o != nil || n > 0 {
				t.Errorf("%s: %v, %v", body, o, err)
			}
			n++
		}
		if fault.CodeOf(last) != code {
			t.Errorf("%s: %v", body, last)
		}
	}
	n := 0
	for _, err := range over(t, storefake.Script(says(403, "")), nil).List(t.Context(), "") {
		if n++; fault.CodeOf(err) != fault.Denied || n > 1 {
			t.Errorf("denied: %v", err)
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

const part = 256 << 10

// write writes an object of n bytes.
func write(t *testing.T, b *bucket, n int) error {
	t.Helper()
	w, err := b.Create(t.Context(), "a/k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(strings.Repeat("x", n))); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(t.Context())
}

// marked is the mark in a description.
func marked(body string) string {
	_, rest, _ := strings.Cut(body, `"`+mark+`":"`)
	m, _, _ := strings.Cut(rest, `"`)
	return m
}

const uploadsTo = host + "/upload/storage/v1/b/acme/o?ifGenerationMatch=0&name=a%2Fk&uploadType="

// What a small object is made of, on the wire.
func TestSmallWritesOnTheWire(t *testing.T) {
	for _, n := range []int{0, 5, part} {
		w := storefake.Script(says(200, "{}"))
		if err := write(t, over(t, w, nil), n); err != nil {
			t.Fatal(err)
		}
		m := marked(w.All()[0].Body)
		if len(m) < 20 {
			t.Errorf("a mark that others may have: %q", m)
		}
		want(t, w, storefake.Asked{Method: "POST", URL: uploadsTo + "multipart", Header: header("Content-Type", "multipart/related; boundary=godwit-"+m),
			Body: "--godwit-" + m + "\r\nContent-Type: application/json\r\n\r\n" + `{"contentType":"application/octet-stream","metadata":{"godwit-write":"` + m + `"},"name":"a/k"}` +
				"\r\n--godwit-" + m + "\r\nContent-Type: application/octet-stream\r\n\r\n" + strings.Repeat("x", n) + "\r\n--godwit-" + m + "--\r\n"})
	}
}

const session = host + "/upload/session?upload_id=u"

// played is the store's side of a resumable upload: it keeps what comes, or as
// much as keeps says of the n-th request to the session, -1 being all.
type played struct {
	got   int
	n     int
	keeps []int
	lost  map[int]bool // answers that are lost
	final func() (*http.Response, error)
}

func (p *played) answer(r *http.Request, body string, _ int) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return says(200, "", "Location", session)()
	}
	n := p.n
	p.n++
	span, total, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
	if span != "*" {
		keep := len(body)
		if n < len(p.keeps) && p.keeps[n] >= 0 {
			keep = p.keeps[n]
		}
		p.got += keep
	}
	if p.lost[n] {
		return nil, errors.New("reset")
	}
	if total != "*" && atoi(total) == p.got {
		if p.final != nil {
			return p.final()
		}
		return says(200, "{}")()
	}
	if p.got == 0 {
		return says(308, "")()
	}
	return says(308, "", "Range", "bytes=0-"+itoa(p.got-1))()
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// spans are the ranges that were sent to the session, with how much each had.
func spans(w *storefake.Wire) (all []string) {
	for _, a := range w.All() {
		if a.Method == http.MethodPut {
			all = append(all, strings.TrimPrefix(a.Header.Get("Content-Range"), "bytes ")+" "+itoa(len(a.Body)))
		}
	}
	return all
}

// What a large object is made of, and how it goes on where something is lost or
// only in part kept.
func TestLargeWritesOnTheWire(t *testing.T) {
	const n = 2*part + 7
	for name, tt := range map[string]struct {
		store played
		want  []string
	}{
		"at once":               {played{}, []string{"0-262143/* 262144", "262144-524287/* 262144", "524288-524294/524295 7"}},
		"a part of a part":      {played{keeps: []int{100}}, []string{"0-262143/* 262144", "100-262143/* 262044", "262144-524287/* 262144", "524288-524294/524295 7"}},
		"nothing at first":      {played{keeps: []int{0}}, []string{"0-262143/* 262144", "0-262143/* 262144", "262144-524287/* 262144", "524288-524294/524295 7"}},
		"an answer is lost":     {played{lost: map[int]bool{0: true}}, []string{"0-262143/* 262144", "*/* 0", "262144-524287/* 262144", "524288-524294/524295 7"}},
		"half of it is lost":    {played{keeps: []int{-1, 5}, lost: map[int]bool{1: true}}, []string{"0-262143/* 262144", "262144-524287/* 262144", "*/* 0", "262149-524287/* 262139", "524288-524294/524295 7"}},
		"the last one is lost":  {played{lost: map[int]bool{2: true}}, []string{"0-262143/* 262144", "262144-524287/* 262144", "524288-524294/524295 7", "*/524295 0"}},
		"the last one, in part": {played{keeps: []int{-1, -1, 3}}, []string{"0-262143/* 262144", "262144-524287/* 262144", "524288-524294/524295 7", "524291-524294/524295 4"}},
		"the question also":     {played{lost: map[int]bool{0: true, 1: true, 2: true}}, []string{"0-262143/* 262144", "*/* 0", "*/* 0", "*/* 0", "262144-524287/* 262144", "524288-524294/524295 7"}},
		"little by little, often": {played{keeps: []int{1, 1, 1, 1, 1, 1, 1}}, []string{"0-262143/* 262144", "1-262143/* 262143", "2-262143/* 262142", "3-262143/* 262141", "4-262143/* 262140", "5-262143/* 262139", "6-262143/* 262138", "7-262143/* 262137",
			"262144-524287/* 262144", "524288-524294/524295 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &storefake.Wire{Answer: tt.store.answer}
				if err := write(t, over(t, w, nil), n); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, spans(w)); diff != "" || tt.store.got != n {
					t.Errorf("%d bytes are there, sent (-want +got):\n%s", tt.store.got, diff)
				}
				first := w.All()[0]
				m := marked(first.Body)
				if diff := cmp.Diff(storefake.Asked{Method: "POST", URL: uploadsTo + "resumable", Header: header("Content-Type", "application/json; charset=UTF-8", "X-Upload-Content-Type", "application/octet-stream"),
					Body: `{"contentType":"application/octet-stream","metadata":{"godwit-write":"` + m + `"},"name":"a/k"}`}, shown(t, w)[0]); diff != "" {
					t.Errorf("begun (-want +got):\n%s", diff)
				}
				for _, a := range w.All()[1:] {
					if a.URL != session || a.Header.Get("Authorization") != "Bearer token" {
						t.Errorf("%s by %v", a.URL, a.Header)
					}
				}
			})
		})
	}
}

// An upload whose store does odd things ends, and nothing is left behind.
func TestUploadsThatFail(t *testing.T) {
	seq := func(answers ...func() (*http.Response, error)) func(n int) (*http.Response, error) {
		return func(n int) (*http.Response, error) { return answers[min(n, len(answers)-1)]() }
	}
	begun := says(200, "", "Location", session)
	kept := func(upto string) func() (*http.Response, error) { return says(308, "", "Range", "bytes=0-"+upto) }
	for name, tt := range map[string]struct {
		begin func() (*http.Response, error)
		put   func(n int) (*http.Response, error) // to the session
		look  func() (*http.Response, error)
		code  fault.Code
		drops int
		asked int // of the session
	}{
		"it does not begin":        {says(403, ""), nil, nil, fault.Denied, 0, 0},
		"it has no address":        {says(200, ""), nil, nil, fault.Unavailable, 0, 0},
		"it has no host":           {says(200, "", "Location", "/session"), nil, nil, fault.Unavailable, 0, 0},
		"it has an odd address":    {says(200, "", "Location", "http://[::1"), nil, nil, fault.Unavailable, 0, 0},
		"a part is refused":        {begun, seq(says(403, "")), nil, fault.Denied, 1, 1},
		"it ends too early":        {begun, seq(says(200, "{}")), nil, fault.Unavailable, 1, 1},
		"nothing is kept":          {begun, seq(says(308, "")), nil, fault.Unavailable, 1, 5},
		"less is kept than before": {begun, seq(kept("99"), kept("9")), nil, fault.Unavailable, 1, 2},
		"more is kept than sent":   {begun, seq(kept("262144")), nil, fault.Unavailable, 1, 1},
		"an odd range is kept":     {begun, seq(kept("x")), nil, fault.Unavailable, 1, 1},
		"it is always down":        {begun, seq(storefake.Fails(errors.New("reset"))), nil, fault.Unavailable, 1, 6},
		"one is there at its end":  {begun, seq(kept("262143"), says(412, "")), says(200, described), fault.Unprocessable, 1, 2},
		"it was there at its end":  {begun, seq(kept("262143"), says(412, "")), says(404, ""), fault.Unavailable, 1, 2},
		"it is gone at its end":    {begun, seq(kept("262143"), says(404, "")), says(404, ""), fault.NotFound, 1, 2},
		"another's at its end":     {begun, seq(kept("262143"), says(404, "")), says(200, described), fault.Unprocessable, 1, 2},
		"nobody may look":          {begun, seq(kept("262143"), says(412, "")), says(403, ""), fault.Denied, 1, 2},
		"one is there at first":    {says(412, ""), nil, says(200, described), fault.Unprocessable, 0, 0},
		"it was there at first":    {says(412, ""), nil, says(404, ""), fault.Unavailable, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				puts, drops := 0, 0
				w := &storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) {
					switch r.Method {
					case http.MethodPost:
						return tt.begin()
					case http.MethodGet:
						return tt.look()
					case http.MethodDelete:
						if drops++; r.URL.String() != session {
							t.Errorf("dropped %s", r.URL)
						}
						return says(499, "")()
					}
					puts++
					return tt.put(puts - 1)
				}}
				err := write(t, over(t, w, nil), part+5)
				if fault.CodeOf(err) != tt.code || drops != tt.drops || puts != tt.asked || errors.Is(err, store.ErrExists) != (tt.code == fault.Unprocessable) {
					t.Errorf("%v, dropped %d times after %d requests; want %v, %d, %d", err, drops, puts, tt.code, tt.drops, tt.asked)
				}
			})
		})
	}
}

// Whether an object was made is found out where an answer leaves it open.
func TestWhoMadeTheObject(t *testing.T) {
	lost := storefake.Fails(errors.New("reset"))
	type reply = func() (*http.Response, error)
	for name, tt := range map[string]struct {
		put    []reply
		there  string // mine, another's, nothing, no bucket, denied
		code   fault.Code
		exists bool
		hint   bool
		looks  int
	}{
		"made":                       {[]reply{says(200, "{}")}, "nothing", fault.OK, false, false, 0},
		"one is there":               {[]reply{says(412, "")}, "nothing", fault.Unprocessable, true, false, 0},
		"lost, then one is there":    {[]reply{lost, says(412, "")}, "mine", fault.OK, false, false, 1},
		"lost, then another's":       {[]reply{lost, says(412, "")}, "another's", fault.Unprocessable, true, false, 1},
		"lost, then none":            {[]reply{lost, says(412, "")}, "nothing", fault.Unavailable, false, true, 1},
		"lost, then no bucket":       {[]reply{lost, says(412, "")}, "no bucket", fault.NotFound, false, true, 1},
		"lost, then nobody may look": {[]reply{lost, says(412, "")}, "denied", fault.Denied, false, true, 1},
		"always lost, and made":      {[]reply{lost}, "mine", fault.OK, false, false, 1},
		"always lost, and another's": {[]reply{lost}, "another's", fault.Unprocessable, true, false, 1},
		"always lost, and not made":  {[]reply{lost}, "nothing", fault.Unavailable, false, false, 1},
		"denied":                     {[]reply{says(403, "")}, "mine", fault.Denied, false, true, 0},
		"no bucket":                  {[]reply{says(404, `{"error": {"message": "The specified bucket does not exist."}}`)}, "no bucket", fault.NotFound, false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				puts, looks, my := 0, 0, ""
				w := &storefake.Wire{Answer: func(r *http.Request, body string, _ int) (*http.Response, error) {
					if r.Method == http.MethodPost {
						my = marked(body)
						puts++
						return tt.put[min(puts, len(tt.put))-1]()
					}
					looks++
					switch tt.there {
					case "mine":
						return says(200, `{"generation": "1", "metadata": {"`+mark+`": "`+my+`"}}`)()
					case "another's":
						return says(200, `{"generation": "1", "metadata": {"`+mark+`": "x`+my+`"}}`)()
					case "denied":
						return says(403, "")()
					case "no bucket":
						return says(404, `{"error": {"message": "The specified bucket does not exist."}}`)()
					}
					return says(404, "")()
				}}
				err := write(t, over(t, w, nil), 5)
				if fault.CodeOf(err) != tt.code || errors.Is(err, store.ErrExists) != tt.exists || (fault.HintOf(err) != "") != tt.hint || looks != tt.looks {
					t.Errorf("%v (%s) after %d looks; want %v after %d", err, fault.HintOf(err), looks, tt.code, tt.looks)
				}
			})
		})
	}
}

// What to do is said where somebody knows, and errors are read in Google's form.
func TestHints(t *testing.T) {
	b := over(t, nil, nil)
	for _, tt := range []struct {
		code fault.Code
		name string
		want string
	}{
		{fault.NotFound, noBucket, `There is no bucket "acme": make it, or mend its name.`}, {fault.NotFound, "notFound", ""}, {fault.Denied, "", "The service account needs the role Storage Object User on the bucket."},
		{fault.Unauthenticated, "", "Log in with gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS. Without credentials only public objects can be read."}, {fault.Unavailable, "", ""},
	} {
		if got := b.hint(tt.code, tt.name); got != tt.want {
			t.Errorf("%v %s: %q", tt.code, tt.name, got)
		}
	}
	for body, want := range map[string][2]string{
		`{"error": {"message": "m", "errors": [{"reason": "r"}, {"reason": "s"}]}}`: {"r", "m"}, `{"error": {"message": "m"}}`: {"", "m"}, "plain": {"", "plain"}, "{}": {"", ""},
		`{"error": {"message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}`: {noBucket, "The specified bucket does not exist."},
	} {
		if name, text := read(nil, []byte(body)); name != want[0] || text != want[1] {
			t.Errorf("%s: read %q, %q", body, name, text)
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
		if err := do(""); fault.CodeOf(err) != fault.Invalid || fault.Of(err).Op != "gcs."+name {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Create(ctx, "k"); fault.CodeOf(err) != fault.Canceled || fault.Of(err).Subject != "gs://acme/k" {
		t.Errorf("canceled: %v", err)
	}
}

// A token goes to Google and nowhere else.
func TestWhoGetsTheToken(t *testing.T) {
	for at, token := range map[string]string{session: "Bearer token", "https://elsewhere.example/s": "", "http://storage.googleapis.com/s": ""} {
		w := &storefake.Wire{Answer: func(r *http.Request, _ string, n int) (*http.Response, error) {
			if n == 0 {
				return says(200, "", "Location", at)()
			}
			return says(403, "")()
		}}
		_ = write(t, over(t, w, nil), part+1)
		if got := w.All()[1].Header.Get("Authorization"); got != token {
			t.Errorf("%s is asked by %q, want %q", at, got, token)
		}
	}
	for name, env := range map[string]string{"a host": "localhost:9", "a URL": "http://localhost:9/ignored"} {
		w := storefake.Script(says(200, described))
		if _, err := over(t, w, map[string]string{"STORAGE_EMULATOR_HOST": env}).Stat(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if a := w.All()[0]; a.Header.Get("Authorization") != "" || !strings.HasPrefix(a.URL, "http://localhost:9/storage/v1/b/acme/o/k?") {
			t.Errorf("%s: asked %s by %v", name, a.URL, a.Header)
		}
	}
	w := storefake.Script(says(200, "no JSON"))
	bad := over(t, w, map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "", "GOOGLE_APPLICATION_CREDENTIALS": "/none"})
	if _, err := bad.Stat(t.Context(), "k"); fault.CodeOf(err) != fault.BadConfig || len(w.All()) != 0 {
		t.Errorf("credentials that are not there: %v after %d requests", err, len(w.All()))
	}
	for _, env := range []string{"ftp://h", "http://", "http://[::1"} {
		if _, err := Opener(&Options{Getenv: func(string) string { return env }})(t.Context(), "acme"); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s: %v", env, err)
		}
	}
	for size, code := range map[int]fault.Code{0: fault.OK, part: fault.OK, part + 1: fault.BadConfig, 3 * part: fault.OK, 1000: fault.BadConfig} {
		b, err := Opener(&Options{PartSize: size})(t.Context(), "acme")
		if fault.CodeOf(err) != code {
			t.Errorf("parts of %d bytes: %v", size, err)
		}
		if err == nil {
			_ = b.Close()
		}
	}
	if b, err := Opener(nil)(t.Context(), "acme"); err != nil || b.(*bucket).parts.AtOnce != 1 || b.(*bucket).parts.Most != 1<<20 {
		t.Errorf("no options: %+v, %v", b, err)
	}
}
