package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"godwit.dev/internal/page"
)

// maxBytes is what the page may weigh: it comes with every binary.
const maxBytes = 40 << 10

func get(t *testing.T, method string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, r)
	return w
}

// elements is every element of the page by its tag.
func elements(t *testing.T) map[string][]*html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(get(t, http.MethodGet, nil).Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]*html.Node{}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			all[n.Data] = append(all[n.Data], n)
		}
	}
	return all
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func TestHeaders(t *testing.T) {
	w := get(t, http.MethodGet, nil)
	want := map[string]string{
		"Content-Type":                 "text/html; charset=utf-8",
		"Content-Length":               strconv.Itoa(w.Body.Len()),
		"Cache-Control":                "no-cache",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = w.Header().Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if w.Code != http.StatusOK || w.Body.Len() > maxBytes {
		t.Errorf("status %d with %d bytes, want 200 with at most %d", w.Code, w.Body.Len(), maxBytes)
	}
}

func TestRevalidation(t *testing.T) {
	tag := get(t, http.MethodGet, nil).Header().Get("ETag")
	tests := []struct {
		name, method, match string
		status              int
		body                bool
	}{
		{"the same", http.MethodGet, tag, http.StatusNotModified, false},
		{"one of several", http.MethodGet, `"other", ` + tag, http.StatusNotModified, false},
		{"another", http.MethodGet, `"other"`, http.StatusOK, true},
		{"none", http.MethodGet, "", http.StatusOK, true},
		{"head", http.MethodHead, "", http.StatusOK, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.match != "" {
				header.Set("If-None-Match", tt.match)
			}
			w := get(t, tt.method, header)
			if w.Code != tt.status || (w.Body.Len() > 0) != tt.body {
				t.Errorf("status %d with %d bytes, want %d and a body: %v", w.Code, w.Body.Len(), tt.status, tt.body)
			}
			if w.Header().Get("ETag") != tag || w.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("want the page's headers, got %v", w.Header())
			}
		})
	}
}

// TestPolicy computes the hashes from what a browser parses, not from what
// the handler joined.
func TestPolicy(t *testing.T) {
	all := elements(t)
	hash := func(tag string) string {
		if len(all[tag]) != 1 || all[tag][0].FirstChild == nil || len(all[tag][0].Attr) != 0 {
			t.Fatalf("want one <%s> without attributes, got %d", tag, len(all[tag]))
		}
		sum := sha256.Sum256([]byte(all[tag][0].FirstChild.Data))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	want := []string{
		"default-src 'none'", "script-src " + hash("script"), "style-src " + hash("style"), "img-src data:", "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
	}
	got := strings.Split(get(t, http.MethodGet, nil).Header().Get("Content-Security-Policy"), "; ")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestNothingFromElsewhere(t *testing.T) {
	text := get(t, http.MethodGet, nil).Body.String()
	for _, sign := range []string{"http://", "https://", "@import"} {
		if i := strings.Index(text, sign); i >= 0 {
			t.Errorf("want no %q, got %q", sign, text[i:min(len(text), i+60)])
		}
	}
	all := elements(t)
	if strings.Contains(all["style"][0].FirstChild.Data, "url(") {
		t.Error("want no url( in the style")
	}
	for tag, nodes := range all {
		if slices.Contains([]string{"img", "iframe", "object", "embed", "base", "audio", "video", "source"}, tag) {
			t.Errorf("want no <%s>", tag)
		}
		for _, n := range nodes {
			for _, a := range n.Attr {
				to := strings.HasPrefix(a.Val, "data:image/svg+xml,") || a.Val == "openapi.json"
				if slices.Contains([]string{"src", "href", "srcset", "action", "formaction", "poster"}, a.Key) && !to {
					t.Errorf("<%s %s=%q>: want the icon or openapi.json", tag, a.Key, a.Val)
				}
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
					t.Errorf("<%s %s>: the policy would refuse it", tag, a.Key)
				}
			}
		}
	}
}

// TestReferences: what names an id names one that is there, once.
func TestReferences(t *testing.T) {
	all := elements(t)
	ids := map[string]int{}
	for _, nodes := range all {
		for _, n := range nodes {
			if id := attribute(n, "id"); id != "" {
				ids[id]++
			}
		}
	}
	script := all["script"][0].FirstChild.Data
	for _, m := range regexp.MustCompile(`id: "([\w-]+)"`).FindAllStringSubmatch(script, -1) {
		ids[m[1]]++ // the script makes it
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %q is there %d times", id, n)
		}
	}
	named := regexp.MustCompile(`\$\("([\w-]+)"\)`).FindAllStringSubmatch(script, -1)
	for _, m := range named {
		if ids[m[1]] == 0 {
			t.Errorf("the script asks for %q, which is not there", m[1])
		}
	}
	if len(named) < 20 {
		t.Errorf("want at least 20 ids in the script, got %d: how are they written now?", len(named))
	}
	for tag, nodes := range all {
		for _, n := range nodes {
			for _, key := range []string{"for", "aria-labelledby", "aria-describedby"} {
				if to := attribute(n, key); to != "" && ids[to] == 0 {
					t.Errorf("<%s %s=%q>: no such id", tag, key, to)
				}
			}
		}
	}
}

// TestScript: what a server says never becomes markup or code.
func TestScript(t *testing.T) {
	script := elements(t)["script"][0].FirstChild.Data
	for _, sink := range []string{
		"innerHTML", "outerHTML", "insertAdjacentHTML", "setHTML", "document.write", "DOMParser", "createContextualFragment",
		"eval(", "Function(", "import(", "importScripts", "srcdoc", "javascript:", "localStorage", "document.cookie",
	} {
		if strings.Contains(script, sink) {
			t.Errorf("want no %s in the script", sink)
		}
	}
}

// TestSources: every script is in the page, and none has what must not be
// squeezed.
func TestSources(t *testing.T) {
	script := elements(t)["script"][0].FirstChild.Data
	files, err := filepath.Glob("*.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("want scripts, got %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if strings.Count(line, "`")%2 != 0 {
				t.Errorf("%s:%d: want no string over several lines, got %q", file, i+1, line)
			}
			trimmed := strings.TrimSpace(line)
			if trimmed != "" && !strings.HasPrefix(trimmed, "//") && !strings.Contains(script, trimmed+"\n") {
				t.Errorf("%s:%d: not in the page: %q", file, i+1, line)
			}
		}
	}
}
