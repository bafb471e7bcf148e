package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit.dev/internal/golden"
)

type compiled struct{ s *jsonschema.Schema }

func compileSchema(t testing.TB) compiled {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler() // with no loader for the network
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return compiled{s}
}

// verdict is what an editor would say of the YAML text: taken, refused, or not YAML.
func (c compiled) verdict(t testing.TB, text string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return "not YAML"
	}
	// Through JSON, as editors have it: numbers without Go's types.
	data, err := json.Marshal(v)
	if err != nil {
		return "not JSON"
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.s.Validate(instance); err != nil {
		return "refused"
	}
	return "taken"
}

// testdata/docs is a link to the repository's docs, where these two are published.
func TestPublishedFiles(t *testing.T) {
	golden.Check(t, "docs/godwit.schema.json", Schema())
	golden.Check(t, "docs/spec.md", Reference())
}

func TestSchemaTakesGoodSpecs(t *testing.T) {
	sch := compileSchema(t)
	for name, data := range goodFiles(t) {
		if got := sch.verdict(t, string(data)); got != "taken" {
			t.Errorf("%s: %s", name, got)
		}
		written, err := mustParse(t, data).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got := sch.verdict(t, string(written)); got != "taken" {
			t.Errorf("%s, written by Marshal: %s", name, got)
		}
	}
}

// Every key is refused by the schema under a name that Parse does not know.
func TestSchemaRefusesUnknownKeysEverywhere(t *testing.T) {
	sch := compileSchema(t)
	text := string(goodFiles(t)["everything"])
	key := regexp.MustCompile(`[{ ]([a-zA-Z0-9]+): `)
	seen := map[string]bool{}
	count := 0
	everyBlock(sample(), "", func(_ string, b block) {
		for _, k := range b.keys() {
			seen[k.name] = true
		}
	})
	for _, m := range key.FindAllStringSubmatchIndex(text, -1) {
		if !seen[text[m[2]:m[3]]] || strings.HasPrefix(text[m[2]:], "TOKEN") {
			continue // a free key of env, columns and their like
		}
		changed := text[:m[3]] + "x" + text[m[3]:]
		count++
		if got := sch.verdict(t, changed); got != "refused" {
			t.Errorf("%sx: %s", text[m[2]:m[3]], got)
		}
		if _, err := Parse(FileName, []byte(changed)); err == nil {
			t.Errorf("%sx: Parse takes it", text[m[2]:m[3]])
		}
	}
	if count < 150 {
		t.Errorf("only %d keys were tried", count)
	}
}

// The sentences of the keys are all that an editor shows.
func TestEveryKeyIsDescribed(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	applied := sample().withDefaults(nil)
	last := func(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
	withDefault := map[string]bool{}
	for path := range applied {
		withDefault[last(path)] = true
	}
	everyBlock(sample(), "", func(path string, b block) {
		seen := map[string]bool{}
		for _, k := range b.keys() {
			at := fmt.Sprintf("%s.%s", path, k.name)
			if !name.MatchString(k.name) && k.name != "jwksURL" {
				t.Errorf("%s: not in camel case", at)
			}
			if seen[k.name] {
				t.Errorf("%s: twice", at)
			}
			seen[k.name] = true
			if !strings.HasSuffix(k.doc, ".") || strings.Contains(k.doc, "|") || len(k.doc) > 220 {
				t.Errorf("%s: want one sentence that fits a table, got %q", at, k.doc)
			}
			if k.why != "" && (strings.HasSuffix(k.why, ".") || k.shown == "" && !withDefault[k.name]) {
				t.Errorf("%s: why %q without a default, or with a full stop", at, k.why)
			}
			if k.required && k.why != "" {
				t.Errorf("%s: required, and has a default", at)
			}
		}
	})
	s := sample()
	for path := range s.withDefaults(nil) {
		found := false
		walk("", s, func(p string, k key) { found = found || p == path && k.why != "" })
		if !found {
			t.Errorf("%s gets a default without a reason", path)
		}
	}
}
