// Package page is the page at GET /: the models of a server, a form filled
// with a recorded request, the answer and the curl line that repeats it.
//
// The page asks the same routes as every other client, so it can show nothing
// that they do not. It is one answer of the server without any other file, and
// its policy lets it talk to the server that it came from and to nothing else.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed index.html style.css *.js
var sources embed.FS

// scripts are joined in this order into one script.
func scripts() []string {
	return []string{"json.js", "dom.js", "server.js", "picture.js", "editor.js", "answer.js", "main.js"}
}

// Handler serves the page, whatever the path. It is safe for concurrent use.
// The page is put together for the first who asks: few servers are ever looked at.
func Handler() http.Handler {
	page := sync.OnceValue(assemble)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page().ServeHTTP(w, r) })
}

func assemble() http.Handler {
	style, script := squeezeStyle(read("style.css")), &strings.Builder{}
	script.WriteString("\"use strict\";(() => {\n")
	for _, name := range scripts() {
		script.WriteString(squeeze(read(name)))
	}
	script.WriteString("})();\n")
	html := squeeze(read("index.html"))
	html = strings.Replace(html, "<style></style>", "<style>"+style+"</style>", 1)
	html = strings.Replace(html, "<script></script>", "<script>"+script.String()+"</script>", 1)

	sum := sha256.Sum256([]byte(html))
	header := map[string]string{
		"Content-Type":                 "text/html; charset=utf-8",
		"Content-Security-Policy":      policy(script.String(), style),
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
		// To be kept, and asked for again each time: another server may listen
		// at the same address tomorrow.
		"Cache-Control": "no-cache",
		"ETag":          `"` + hex.EncodeToString(sum[:16]) + `"`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, v := range header {
			w.Header().Set(name, v)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(html)))
	})
}

// policy allows the one script and the one style by their hashes and requests
// to the page's own server. The script never makes markup out of text, and
// require-trusted-types-for has the browser hold it to that.
func policy(script, style string) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src '" + hash(script) + "'",
		"style-src '" + hash(style) + "'",
		"img-src data:", // the icon
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func read(name string) string {
	text, err := sources.ReadFile(name)
	if err != nil {
		panic(err) // embedded above
	}
	return string(text)
}

// squeeze leaves out what only people who change the sources need: white space
// around lines and lines that are comments. So no source may have a string or
// a text that goes over several lines and means its white space.
func squeeze(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "//") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// squeezeStyle leaves out the white space between the signs of a style sheet
// too, none of which may stand in a string.
func squeezeStyle(text string) string {
	return strings.NewReplacer(": ", ":", "; ", ";", ", ", ",", " {", "{", "{ ", "{", ";\n}", "}", "\n", "").Replace(squeeze(text))
}
