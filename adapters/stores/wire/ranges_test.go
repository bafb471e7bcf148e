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
