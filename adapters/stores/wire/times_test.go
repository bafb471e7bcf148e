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
