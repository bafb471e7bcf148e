package wire_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

var root = &url.URL{Scheme: "https", Host: "store.example"}

func get(body []byte) *wire.Call {
	return &wire.Call{Op: "op", Key: "key", Method: http.MethodPut, URL: func() *url.URL { return root }, Header: http.Header{"A": {"b"}}, Body: body}
}

// named reads an error whose body is its name, a colon and its text.
func named(_ *http.Response, body []byte) (name, text string) {
	name, text, _ = strings.Cut(string(body), ":")
	return name, text
}

// over is a client of a wire.
func over(w *storefake.Wire) *wire.Client {
	return &wire.Client{HTTP: &http.Client{Transport: w, CheckRedirect: wire.NewHTTP().CheckRedirect}, Read: named}
}

// Attempts come further and further apart, at least half of a time that doubles
// up to five seconds and no more than all of it; a store that says when to come
// again is asked then, within twenty seconds.
func TestTimesBetweenAttempts(t *testing.T) {
	type span struct{ least, most time.Duration }
	doubling := func(first time.Duration, n int) (all []span) {
		for d := first; len(all) < n; d *= 2 {
			all = append(all, span{min(d, 5*time.Second) / 2, min(d, 5*time.Second)})
		}
		return all
	}
	for name, tt := range map[string]struct {
		attempts int
		pause    time.Duration
		header   []string
		want     []span
	}{
		"as it is":            {0, 0, nil, doubling(100*time.Millisecond, 4)},
		"one":                 {1, 0, nil, nil},
		"many":                {12, 0, nil, doubling(100*time.Millisecond, 11)},
		"another pause":       {4, time.Second, nil, doubling(time.Second, 3)},
		"when to come again":  {3, 0, []string{"Retry-After", "7"}, []span{{7 * time.Second, 7 * time.Second}, {7 * time.Second, 7 * time.Second}}},
		"much later":          {2, 0, []string{"Retry-After", "3600"}, []span{{20 * time.Second, 20 * time.Second}}},
		"later by a second":   {2, 10 * time.Second, []string{"Retry-After", "1"}, []span{{2500 * time.Millisecond, 5 * time.Second}}},
		"at once":             {2, time.Second, []string{"Retry-After", "0"}, []span{{500 * time.Millisecond, time.Second}}},
		"at a time":           {2, time.Second, []string{"Retry-After", "Mon, 23 Nov 2026 00:00:00 GMT"}, []span{{500 * time.Millisecond, time.Second}}},
		"before it was asked": {2, time.Second, []string{"Retry-After", "-5"}, []span{{500 * time.Millisecond, time.Second}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				down := storefake.Says(http.StatusServiceUnavailable, "", tt.header...)
				c := over(&storefake.Wire{Answer: func(*http.Request, string, int) (*http.Response, error) { at = append(at, time.Now()); return down() }})
				c.Attempts, c.Pause = tt.attempts, tt.pause
				if _, _, err := c.Text(t.Context(), get(nil)); fault.CodeOf(err) != fault.Unavailable {
					t.Errorf("got %v", err)
				}
				if len(at) != len(tt.want)+1 {
					t.Fatalf("%d attempts, want %d", len(at), len(tt.want)+1)
				}
				for i, want := range tt.want {
					if got := at[i+1].Sub(at[i]); got < want.least || got > want.most {
						t.Errorf("after attempt %d: %v, want %v to %v", i+1, got, want.least, want.most)
					}
				}
			})
		})
	}
}

// An end of the caller's time ends the attempts, whatever they do just then.
func TestAttemptsEndWithTheirContext(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func() (*http.Response, error)
		limit  time.Duration
		want   fault.Code
		tries  int
	}{
		"while it waits":  {storefake.Says(503, ""), 10 * time.Millisecond, fault.DeadlineExceeded, 1},
		"canceled before": {storefake.Fails(context.Canceled), 0, fault.Canceled, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := storefake.Script(tt.answer)
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			if tt.limit == 0 {
				ctx, cancel = context.WithCancel(t.Context())
				cancel()
			}
			defer cancel()
			begun := time.Now()
			_, _, err := over(w).Text(ctx, get(nil))
			if fault.CodeOf(err) != tt.want || len(w.All()) > tt.tries || time.Since(begun) != tt.limit || fault.Of(err).Op != "op" || fault.Of(err).Subject != "key" {
				t.Errorf("%s: %v after %d attempts and %v", name, err, len(w.All()), time.Since(begun))
			}
		})
	}
}

// What a status and a name say, and what of it is said.
func TestErrorsOfAnswers(t *testing.T) {
	long := strings.Repeat("x", 400)
	for _, tt := range []struct {
		status int
		body   string
		want   fault.Code
		text   string
	}{
		{400, "", fault.Invalid, "the store says 400"}, {401, "", fault.Unauthenticated, "the store says 401"}, {403, "", fault.Denied, "the store says 403"},
		{404, "", fault.NotFound, "the store says 404"}, {408, "", fault.Unavailable, "the store says 408"}, {412, "", fault.Mismatch, "the store says 412"},
		{413, "", fault.TooLarge, "the store says 413"}, {429, "", fault.Unavailable, "the store says 429"}, {499, "", fault.Invalid, "the store says 499"},
		{500, "", fault.Unavailable, "the store says 500"}, {599, "", fault.Unavailable, "the store says 599"}, {301, "", fault.Invalid, "the store says 301"},
		{400, "Odd:a text\n of\tlines", fault.Invalid, "the store says 400 Odd: a text of lines"}, {400, "Odd", fault.Invalid, "the store says 400 Odd"}, {400, ":text", fault.Invalid, "the store says 400: text"},
		{403, "InvalidAccessKeyId", fault.Unauthenticated, ""}, {403, "SignatureDoesNotMatch", fault.Unauthenticated, ""}, {400, "ExpiredToken", fault.Unauthenticated, ""},
		{400, "InvalidToken", fault.Unauthenticated, ""}, {403, "AuthenticationFailed", fault.Unauthenticated, ""}, {400, "InvalidAuthenticationInfo", fault.Unauthenticated, ""},
		{400, "TokenRefreshRequired", fault.Unauthenticated, ""}, {400, "RequestTimeout", fault.Unavailable, ""}, {400, "SlowDown", fault.Unavailable, ""},
		{409, "OperationAborted", fault.Unavailable, ""}, {409, "ConditionalRequestConflict", fault.Unavailable, ""}, {400, "ServerBusy", fault.Unavailable, ""},
		{403, "RequestTimeTooSkewed", fault.Unavailable, ""}, {409, "BucketNotEmpty", fault.Invalid, ""},
		{400, "Odd:" + long, fault.Invalid, "the store says 400 Odd: " + strings.Repeat("x", 300) + "…"}, {400, "Odd:" + long[:300], fault.Invalid, "the store says 400 Odd: " + long[:300]},
		{400, "Odd:\xff", fault.Invalid, "the store says 400 Odd: ?"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := storefake.Script(storefake.Says(tt.status, tt.body))
			c := over(w)
			var code fault.Code
			var name string
			c.Hint = func(c fault.Code, n string) string { code, name = c, n; return "Mend it." }
			_, _, err := c.Text(t.Context(), get(nil))
			f := fault.Of(err)
			if f == nil || f.Code != tt.want || tt.text != "" && f.Err.Error() != tt.text || f.Op != "op" || f.Subject != "key" || f.Hint != "Mend it." {
				t.Fatalf("%d %q: %+v, want %v, %q", tt.status, tt.body, f, tt.want, tt.text)
			}
			if want, _, _ := strings.Cut(tt.body, ":"); code != tt.want || name != want {
				t.Errorf("%d %q: asked for a hint of %v and %q", tt.status, tt.body, code, name)
			}
			if tries := len(w.All()); (tries == 1) != (tt.want != fault.Unavailable) {
				t.Errorf("%d %q: %d attempts", tt.status, tt.body, tries)
			}
		})
	}
}

// What goes over the wire is the call's own at every attempt, signed anew, and
// what comes is read whole.
func TestWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := storefake.Script(storefake.Says(503, ""), storefake.Fails(errors.New("reset")), storefake.Says(200, "answer", "X", "y"))
		c := over(w)
		signed := 0
		c.Sign = func(_ context.Context, req *http.Request, body []byte) error {
			signed++
			req.Header.Set("Authorization", string(body)+req.Host)
			return nil
		}
		a, body, err := c.Text(t.Context(), get([]byte("body")))
		if err != nil || string(body) != "answer" || a.Tries != 3 || a.Header.Get("X") != "y" || signed != 3 {
			t.Errorf("got %+v, %q, %v; signed %d times", a, body, err, signed)
		}
		one := storefake.Asked{Method: "PUT", URL: "https://store.example", Header: http.Header{"A": {"b"}, "User-Agent": {"godwit"}, "Authorization": {"bodystore.example"}}, Body: "body"}
		if diff := cmp.Diff([]storefake.Asked{one, one, one}, w.All()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a redirect that again follows, three times
		w := storefake.Script(storefake.Says(301, ""))
		c := over(w)
		asked := 0
		c.Again = func(context.Context, *http.Response) bool { asked++; return true }
		begun := time.Now()
		if _, _, err := c.Text(t.Context(), get(nil)); fault.CodeOf(err) != fault.Invalid || asked != 3 || len(w.All()) != 4 || time.Since(begun) != 0 {
			t.Errorf("%v after %d requests, asked %d times", err, len(w.All()), asked)
		}
	})
	synctest.Test(t, func(t *testing.T) { // what is sent once more at once counts as one attempt
		w := storefake.Script(storefake.Says(301, ""), storefake.Says(200, ""))
		c := over(w)
		c.Again = func(context.Context, *http.Response) bool { return true }
		if a, _, err := c.Text(t.Context(), get(nil)); err != nil || a.Tries != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// An answer of 2xx may have failed after all, and be too long.
func TestAnswersThatFailAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			answers []func() (*http.Response, error)
			want    fault.Code
			tries   int
		}{
			"at first":          {[]func() (*http.Response, error){storefake.Says(200, "bad"), storefake.Says(200, "good")}, fault.OK, 2},
			"always":            {[]func() (*http.Response, error){storefake.Says(200, "bad")}, fault.Unavailable, 5},
			"but not of 2xx":    {[]func() (*http.Response, error){storefake.Says(412, "bad")}, fault.OK, 1},
			"cut":               {[]func() (*http.Response, error){broken("go", io.ErrUnexpectedEOF), storefake.Says(200, "good")}, fault.OK, 2},
			"always cut":        {[]func() (*http.Response, error){broken("go", io.ErrUnexpectedEOF)}, fault.Unavailable, 5},
			"as long as can be": {[]func() (*http.Response, error){storefake.Says(200, strings.Repeat(" ", 16<<20))}, fault.OK, 1},
			"too long":          {[]func() (*http.Response, error){storefake.Says(200, strings.Repeat(" ", 16<<20+1))}, fault.Invalid, 5},
		} {
			w := storefake.Script(tt.answers...)
			call := get(nil)
			call.Fine = []int{300, 412}
			call.Failed = func(body []byte) bool { return string(body) == "bad" }
			a, _, err := over(w).Text(t.Context(), call)
			if fault.CodeOf(err) != tt.want || len(w.All()) != tt.tries || err == nil && a.Tries != tt.tries {
				t.Errorf("%s: %v after %d attempts, want %v after %d", name, err, len(w.All()), tt.want, tt.tries)
			}
		}
	})
}

// broken is an answer of 200 whose body ends with an error.
func broken(text string, err error, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		resp, _ := storefake.Says(200, "", header...)()
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text), failing{err}))
		return resp, nil
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// An error of the network has no address in it, which may be signed.
func TestErrorsOfTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := over(storefake.Script(storefake.Fails(errors.New("reset by peer"))))
		_, err := c.Stream(t.Context(), &wire.Call{Op: "op", Key: "key", Method: "GET", URL: func() *url.URL { return &url.URL{Scheme: "https", Host: "h", RawQuery: "sig=secret"} }})
		if fault.CodeOf(err) != fault.Unavailable || err.Error() != "op key: reset by peer" {
			t.Errorf("got %v", err)
		}
	})
}

// The client has as little of a mind of its own as it says, and waits for none.
func TestClientOfStores(t *testing.T) {
	c := wire.NewHTTP()
	if err := c.CheckRedirect(nil, nil); err != http.ErrUseLastResponse {
		t.Errorf("a redirect: %v", err)
	}
	tr := c.Transport.(*http.Transport)
	got := []any{tr.TLSHandshakeTimeout, tr.ResponseHeaderTimeout, tr.ExpectContinueTimeout, tr.IdleConnTimeout, tr.MaxIdleConnsPerHost, tr.MaxResponseHeaderBytes, tr.DisableCompression, tr.ForceAttemptHTTP2, tr.Proxy != nil, c.Timeout}
	want := []any{10 * time.Second, time.Minute, time.Second, time.Minute, 64, int64(256 << 10), true, false, true, time.Duration(0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Addresses are escaped as stores sign them.
func TestAddresses(t *testing.T) {
	const all = "azAZ09-._~"
	if got := wire.Escape(all, false); got != all {
		t.Errorf("got %q", got)
	}
	for text, want := range map[string]string{"/": "%2F", "a b+c": "a%20b%2Bc", "ä": "%C3%A4", "\x00\xff": "%00%FF", "@`[{:": "%40%60%5B%7B%3A", "*'()!": "%2A%27%28%29%21"} {
		if got := wire.Escape(text, false); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := wire.Escape("a/b c", true); got != "a/b%20c" {
		t.Errorf("with slashes: %q", got)
	}
	if got := wire.Query(); got != "" {
		t.Errorf("no query: %q", got)
	}
	if got := wire.Query("a", "", "b c", "d/e&"); got != "a=&b%20c=d%2Fe%26" {
		t.Errorf("a query: %q", got)
	}
	for base, want := range map[string]string{"https://h": "https://h/a%20b/%2Fc?q=1", "https://h/": "https://h/a%20b/%2Fc?q=1", "https://h/x%2Fy/": "https://h/x%2Fy/a%20b/%2Fc?q=1"} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		got := wire.At(u, "a b//c", "q=1")
		if want = strings.ReplaceAll(want, "%2Fc", "/c"); got.String() != want || u.String() != base {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
	}
}

// ranged answers ranges of data: each answer breaks off after as many bytes as
// breaks says, and 0 is never.
func ranged(data, tag string, breaks ...int) *storefake.Wire {
	return &storefake.Wire{Answer: func(r *http.Request, _ string, n int) (*http.Response, error) {
		from, to := 0, len(data)
		status := 200
		if v, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			first, last, _ := strings.Cut(v, "-")
			from = atoi(first)
			if status = 206; last != "" {
				to = min(to, atoi(last)+1)
			}
		}
		if from >= len(data) && from > 0 {
			return storefake.Says(416, "")()
		}
		text, err := data[from:to], io.EOF
		if n < len(breaks) && breaks[n] > 0 {
			text, err = text[:min(breaks[n], len(text))], errors.New("reset")
		}
		resp, _ := broken(text, err, "ETag", tag)()
		resp.StatusCode = status
		return resp, nil
	}}
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// object is a range of "key" by its ETag.
func object(offset, length int64, version string) *wire.Range {
	return &wire.Range{
		Op: "op", Key: "key", Version: version, Offset: offset, Length: length,
		Call: func(version string, h http.Header) *wire.Call {
			if version != "" {
				h.Set("If-Match", version)
			}
			return &wire.Call{Op: "op", Key: "key", Method: "GET", URL: func() *url.URL { return root }, Header: h}
		},
		VersionOf: func(h http.Header) string { return h.Get("ETag") },
		Stat:      func(context.Context) (*store.Object, error) { return &store.Object{Version: "one"}, nil },
	}
}

// ranges is what was asked for.
func ranges(w *storefake.Wire) (all []string) {
	for _, a := range w.All() {
		all = append(all, a.Header.Get("Range")+" "+a.Header.Get("If-Match"))
	}
	return all
}

// A range is asked for as it is, and goes on where it broke off, of the version
// that it began with; with less and less patience where little comes.
func TestRangesGoOn(t *testing.T) {
	data := string(text(200_000))
	for name, tt := range map[string]struct {
		offset, length int64
		version        string
		breaks         []int
		asked          []string
	}{
		"all":                     {0, -1, "", nil, []string{" "}},
		"all of a version":        {0, -1, "one", nil, []string{" one"}},
		"from an offset":          {10, -1, "", nil, []string{"bytes=10- "}},
		"a length":                {0, 100, "", nil, []string{"bytes=0-99 "}},
		"one byte":                {5, 1, "", nil, []string{"bytes=5-5 "}},
		"broken off":              {0, -1, "", []int{70_000}, []string{" ", "bytes=70000- one"}},
		"broken off in a length":  {1000, 100_000, "", []int{40_000}, []string{"bytes=1000-100999 ", "bytes=41000-100999 one"}},
		"broken off at its start": {0, -1, "", []int{1, 1}, []string{" ", "bytes=1- one", "bytes=2- one"}},
		"at the end":              {0, 3, "", []int{3}, []string{"bytes=0-2 "}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := ranged(data, "one", tt.breaks...)
				r, err := over(w).Open(t.Context(), object(tt.offset, tt.length, tt.version))
				if err != nil {
					t.Fatal(err)
				}
				want := data[tt.offset:]
				if tt.length > 0 {
					want = want[:tt.length]
				}
				if got, err := io.ReadAll(r); string(got) != want || err != nil {
					t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
				}
				if diff := cmp.Diff(tt.asked, ranges(w)); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				for _, a := range w.All() {
					if a.Header.Get("Accept-Encoding") != "identity" {
						t.Errorf("takes %q", a.Header.Get("Accept-Encoding"))
					}
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("at the end: %d, %v", n, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A range that breaks off again and again with little in between ends, and one
// that brings 64 KiB each time goes on.
func TestRangesThatBreakOff(t *testing.T) {
	data := string(text(2 << 20))
	for name, tt := range map[string]struct {
		each, times int
		tag         string
		asked       int
		whole       bool
		took        [2]time.Duration
	}{
		"little, five times":      {100, 5, "one", 6, true, [2]time.Duration{700 * time.Millisecond, 1500 * time.Millisecond}}, // at once, then 100, 200, 400, 800 ms
		"little, six times":       {100, 6, "one", 6, false, [2]time.Duration{700 * time.Millisecond, 1500 * time.Millisecond}},
		"nothing":                 {0, 6, "one", 6, false, [2]time.Duration{}},
		"much, often":             {64 << 10, 31, "one", 32, true, [2]time.Duration{0, 0}},
		"nearly much":             {64<<10 - 1, 30, "one", 6, false, [2]time.Duration{700 * time.Millisecond, 1500 * time.Millisecond}},
		"of no version":           {100, 1, "", 1, false, [2]time.Duration{0, 0}},
		"of no version, unbroken": {100, 0, "", 1, true, [2]time.Duration{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.each == 0 {
					return
				}
				breaks := make([]int, tt.times)
				for i := range breaks {
					breaks[i] = tt.each
				}
				w := ranged(data, tt.tag, breaks...)
				begun := time.Now()
				r, err := over(w).Open(t.Context(), object(0, -1, ""))
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				got, err := io.ReadAll(r)
				if (err == nil) != tt.whole || tt.whole && string(got) != data || !tt.whole && fault.CodeOf(err) != fault.Unavailable || len(w.All()) != tt.asked {
					t.Errorf("%d bytes, %v, after %d requests; want it whole: %v, after %d", len(got), err, len(w.All()), tt.whole, tt.asked)
				}
				if took := time.Since(begun); took < tt.took[0] || took > tt.took[1] {
					t.Errorf("took %v, want %v to %v", took, tt.took[0], tt.took[1])
				}
				if n, again := r.Read(make([]byte, 1)); n != 0 || tt.whole && again != io.EOF || !tt.whole && again != err {
					t.Errorf("afterwards: %d, %v", n, again)
				}
			})
		})
	}
}

// What comes must be what was asked for.
func TestAnswersToRanges(t *testing.T) {
	for name, tt := range map[string]struct {
		offset, length int64
		version        string
		answers        []func() (*http.Response, error)
		want           fault.Code
		text           string
	}{
		"all":                    {0, -1, "", []func() (*http.Response, error){storefake.Says(200, "abc", "ETag", "one")}, fault.OK, "abc"},
		"more than was asked":    {0, 2, "", []func() (*http.Response, error){storefake.Says(200, "abc", "ETag", "one")}, fault.OK, "ab"},
		"from its offset":        {1, -1, "", []func() (*http.Response, error){storefake.Says(206, "bc", "ETag", "one", "Content-Range", "bytes 1-2/3")}, fault.OK, "bc"},
		"from another":           {1, -1, "", []func() (*http.Response, error){storefake.Says(206, "abc", "ETag", "one", "Content-Range", "bytes 0-2/3")}, fault.Unavailable, ""},
		"from one like it":       {1, -1, "", []func() (*http.Response, error){storefake.Says(206, "abc", "ETag", "one", "Content-Range", "bytes 10-12/13")}, fault.Unavailable, ""},
		"all of it instead":      {1, -1, "", []func() (*http.Response, error){storefake.Says(200, "abc", "ETag", "one")}, fault.Unavailable, ""},
		"without where":          {1, -1, "", []func() (*http.Response, error){storefake.Says(206, "bc", "ETag", "one")}, fault.OK, "bc"},
		"of another version":     {0, -1, "one", []func() (*http.Response, error){storefake.Says(200, "abc", "ETag", "two")}, fault.Mismatch, ""},
		"of the version":         {0, -1, "one", []func() (*http.Response, error){storefake.Says(200, "abc", "ETag", "one")}, fault.OK, "abc"},
		"of no version":          {0, -1, "one", []func() (*http.Response, error){storefake.Says(200, "abc")}, fault.OK, "abc"},
		"the version is gone":    {0, -1, "one", []func() (*http.Response, error){storefake.Says(412, "")}, fault.Mismatch, ""},
		"a condition not asked":  {0, -1, "", []func() (*http.Response, error){storefake.Says(412, "")}, fault.Mismatch, ""},
		"beyond the end":         {9, -1, "", []func() (*http.Response, error){storefake.Says(416, "")}, fault.OK, ""},
		"beyond, of the version": {9, 5, "one", []func() (*http.Response, error){storefake.Says(416, "")}, fault.OK, ""},
		"beyond, of another":     {9, 5, "two", []func() (*http.Response, error){storefake.Says(416, "")}, fault.Mismatch, ""},
		"nothing":                {0, 0, "", nil, fault.OK, ""},
		"nothing of the version": {0, 0, "one", nil, fault.OK, ""},
		"nothing of another":     {0, 0, "two", nil, fault.Mismatch, ""},
		"before its start":       {-1, 5, "", nil, fault.Invalid, ""},
		"not there":              {0, -1, "one", []func() (*http.Response, error){storefake.Says(404, "")}, fault.NotFound, ""},
		"changed while it is read": {0, -1, "", []func() (*http.Response, error){broken("a", errors.New("reset"), "ETag", "one"), func() (*http.Response, error) {
			resp, _ := storefake.Says(206, "bc", "ETag", "two")()
			return resp, nil
		}}, fault.Mismatch, "a"},
		"shorter while it is read":  {0, -1, "", []func() (*http.Response, error){broken("a", errors.New("reset"), "ETag", "one"), storefake.Says(416, "")}, fault.Mismatch, "a"},
		"gone while it is read":     {0, -1, "", []func() (*http.Response, error){broken("a", errors.New("reset"), "ETag", "one"), storefake.Says(404, "")}, fault.NotFound, "a"},
		"replaced while it is read": {0, -1, "", []func() (*http.Response, error){broken("a", errors.New("reset"), "ETag", "one"), storefake.Says(412, "")}, fault.Mismatch, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := storefake.Script(append(tt.answers, storefake.Says(500, ""))...)
				if len(tt.answers) > 0 {
					w = storefake.Script(tt.answers...)
				}
				var closed int
				answer := w.Answer
				w.Answer = func(r *http.Request, body string, n int) (*http.Response, error) {
					resp, err := answer(r, body, n)
					if resp != nil {
						resp.Body = counted{resp.Body, &closed}
					}
					return resp, err
				}
				r, err := over(w).Open(t.Context(), object(tt.offset, tt.length, tt.version))
				var got []byte
				if err == nil {
					got, err = io.ReadAll(r)
					_ = r.Close()
				}
				if fault.CodeOf(err) != tt.want || string(got) != tt.text {
					t.Errorf("%q, %v; want %q, %v", got, err, tt.text, tt.want)
				}
				if asked := len(w.All()); closed < asked {
					t.Errorf("%d of %d bodies were closed", closed, asked)
				}
			})
		})
	}
	gone := object(0, 0, "")
	gone.Stat = func(context.Context) (*store.Object, error) { return nil, errTold }
	if _, err := (&wire.Client{}).Open(t.Context(), gone); !errors.Is(err, errTold) {
		t.Errorf("nothing of what is not there: %v", err)
	}
}

type counted struct {
	io.ReadCloser
	n *int
}

func (c counted) Close() error { *c.n++; return c.ReadCloser.Close() }

// silent gives nothing until its request's end.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

// What nothing comes of is asked for again after half a minute, or as it is
// said; and an end of the caller's context ends a reader that waits.
func TestRangesThatFallSilent(t *testing.T) {
	for idle, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 5 * time.Second: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := &storefake.Wire{Answer: func(r *http.Request, _ string, n int) (*http.Response, error) {
				if n > 0 {
					return storefake.Says(206, "cd", "ETag", "one")()
				}
				resp, _ := storefake.Says(200, "", "ETag", "one")()
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("ab"), silent{r.Context()}))
				return resp, nil
			}}
			c := over(w)
			c.Idle = idle
			r, err := c.Open(t.Context(), object(0, -1, ""))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			<-time.After(10 * time.Minute) // of somebody who reads slowly
			begun := time.Now()
			if got, err := io.ReadAll(r); string(got) != "abcd" || err != nil || time.Since(begun) != want {
				t.Errorf("%q, %v after %v, want it after %v", got, err, time.Since(begun), want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		c := over(&storefake.Wire{Answer: func(r *http.Request, _ string, _ int) (*http.Response, error) {
			resp, _ := storefake.Says(200, "", "ETag", "one")()
			resp.Body = io.NopCloser(silent{r.Context()})
			return resp, nil
		}})
		r, err := c.Open(ctx, object(0, -1, ""))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("nothing: %d, %v", n, err)
		}
		begun := time.Now()
		if _, err := io.ReadAll(r); fault.CodeOf(err) != fault.DeadlineExceeded || time.Since(begun) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); fault.CodeOf(err) != fault.DeadlineExceeded {
			t.Errorf("closed after an error: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r, err := over(ranged("abc", "one")).Open(t.Context(), object(0, -1, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		_ = r.Close()
		if _, err := r.Read(make([]byte, 1)); fault.CodeOf(err) != fault.Internal {
			t.Errorf("closed: %v", err)
		}
	})
}
