// Package rendertest has what the tests of all renderers need: a deployment of a
// godwit.yaml, and readers of what was rendered for it.
package rendertest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// Digest is that of every package here.
const Digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// Deployment is what text, a godwit.yaml, becomes, with an image below registry.
func Deployment(t testing.TB, text, registry string) *render.Deployment {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	name := s.Models[0].Name
	return &render.Deployment{
		Spec: s, Image: registry + "/" + s.Name + "@" + Digest, Digest: Digest, ModelBytes: 1 << 20,
		Request: &render.Request{Model: name, Path: "requests/" + name + "/1.json"},
	}
}

// Example is the godwit.yaml of one of the repository's examples, whose root is
// at root.
func Example(t testing.TB, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", name, spec.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Rendered is a renderer's answer for d, by path; an error ends the test.
func Rendered(t testing.TB, renderer func(*render.Deployment) ([]render.File, error), d *render.Deployment) map[string]string {
	t.Helper()
	all, err := renderer(d)
	if err != nil {
		t.Fatal(err)
	}
	return ByPath(all)
}

// ByPath is the text of each file.
func ByPath(all []render.File) map[string]string {
	m := map[string]string{}
	for _, f := range all {
		m[f.Path] = string(f.Data)
	}
	return m
}

// Decoded is a document of YAML, or of JSON, which is YAML too.
func Decoded(t testing.TB, text string) (v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// Within follows path: keys, and indices of lists. Where there is nothing it is nil.
func Within(v any, path ...string) any {
	for _, p := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// Words are what a shell makes of line: quotes taken away, $NAME left as it is.
func Words(t testing.TB, line string) (all []string) {
	t.Helper()
	var word strings.Builder
	in := false
	end := func() {
		if in {
			all = append(all, word.String())
		}
		word.Reset()
		in = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '\\':
			i++
			if i < len(line) && line[i] != '\n' {
				in = true
				word.WriteByte(line[i])
			}
		case ' ', '\n':
			end()
		case '\'', '"':
			n := strings.IndexByte(line[i+1:], c)
			if n < 0 {
				t.Fatalf("a quote is left open in %s", line)
			}
			in = true
			text := line[i+1 : i+1+n]
			if c == '"' && strings.ContainsAny(text, "`\\") {
				t.Fatalf("the shell reads more than names in %q", text)
			}
			word.WriteString(text)
			i += n + 1
		default:
			if strings.IndexByte("|&;<>()$`*?[]#~%{}!", c) >= 0 {
				t.Fatalf("%q stands outside of quotes in %s", c, line)
			}
			in = true
			word.WriteByte(c)
		}
	}
	end()
	return all
}
