package oip_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/codec"
)

var examples = []oip.Example{
	{Model: "addsub", Name: "two rows of four", Request: json.RawMessage(addsubBody)},
	{Model: "text", Name: "words", Request: json.RawMessage(`{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["a","b"]}]}`),
		Response: json.RawMessage(`{"model_name":"text","outputs":[{"name":"y","shape":[2],"datatype":"BYTES","data":["a","b"]}]}`)},
}

func TestOpenAPIGolden(t *testing.T) {
	w := do(newFixture(t, &oip.Options{Examples: examples}, "addsub", "text"), "GET", "/openapi.json", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	golden.Check(t, "openapi.json", w.Body.Bytes())
}

func TestOpenAPIWithoutModelsOrWithBadExamples(t *testing.T) {
	f := newFixture(t, &oip.Options{Examples: []oip.Example{{Model: "addsub", Name: "x", Request: json.RawMessage(`{`)}}})
	if w := do(f, "GET", "/openapi.json", ""); w.Code != 500 {
		t.Errorf("an example that is not JSON: %d", w.Code)
	}
	if err := f.registry.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := do(f, "GET", "/openapi.json", ""); w.Code != 200 || strings.Contains(w.Body.String(), "addsub") {
		t.Errorf("no model is ready: %d %s", w.Code, w.Body)
	}
}

// The document's examples run, and requests, answers and errors are what its
// schemas say; what the schemas refuse, the server refuses.
func TestOpenAPITellsTheTruth(t *testing.T) {
	f := newFixture(t, &oip.Options{Examples: examples, NaN: codec.NaNNull})
	var doc any
	raw := do(f, "GET", "/openapi.json", "").Body.Bytes()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := func(pointer string) *jsonschema.Schema {
		t.Helper()
		s, err := c.Compile("openapi.json#" + pointer)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	valid := func(s *jsonschema.Schema, body []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		return s.Validate(v)
	}
	var parsed struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Examples map[string]struct{ Value json.RawMessage }
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &parsed); err != nil {
		t.Fatal(err)
	}
	failure := schema("/components/schemas/Error")
	ran := 0
	for path, methods := range parsed.Paths {
		for method := range methods {
			if !strings.HasSuffix(path, "/infer") {
				if w := do(f, strings.ToUpper(method), path, ""); w.Code != 200 {
					t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
				}
				continue
			}
			at := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/post"
			request := schema(at + "/requestBody/content/application~1json/schema")
			answer := schema(at + "/responses/200/content/application~1json/schema")
			for name, e := range methods[method].RequestBody.Content["application/json"].Examples {
				ran++
				var flat bytes.Buffer
				if err := json.Compact(&flat, e.Value); err != nil {
					t.Fatal(err)
				}
				e.Value = flat.Bytes()
				if err := valid(request, e.Value); err != nil {
					t.Errorf("%s example %q: %v", path, name, err)
				}
				w := do(f, "POST", path, string(e.Value), "Content-Type", "application/json")
				if err := valid(answer, w.Body.Bytes()); err != nil || w.Code != 200 {
					t.Errorf("%s example %q: %d %v: %s", path, name, w.Code, err, w.Body)
				}
				for _, change := range [][2]string{{`"datatype":"`, `"datatype":"U`}, {`"shape":[`, `"shape":[7,7,`}, {`"inputs":[`, `"inputs":[{},`}, {`"data":[`, `"data":[{},`}} {
					bad := strings.Replace(string(e.Value), change[0], change[1], 1)
					if valid(request, []byte(bad)) == nil {
						t.Errorf("%s: the schema accepts %s", path, bad)
					}
					w := do(f, "POST", path, bad, "Content-Type", "application/json")
					if err := valid(failure, w.Body.Bytes()); err != nil || w.Code != 400 {
						t.Errorf("%s: %d %v: %s", path, w.Code, err, w.Body)
					}
				}
			}
		}
	}
	if ran != 5 { // addsub at three paths, text at two
		t.Errorf("%d examples ran, want 5", ran)
	}
	const nan = `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`
	if err := valid(schema("/paths/~1v2~1models~1nan~1infer/post/responses/200/content/application~1json/schema"), infers(f, "nan", nan).Body.Bytes()); err != nil {
		t.Errorf("null for NaN: %v", err)
	}
}

// A client that is made from the document sends credentials where they are asked for.
func TestOpenAPINamesTheCredentials(t *testing.T) {
	type operation struct {
		Security *[]map[string][]string
	}
	var doc struct {
		Security   []map[string][]string
		Components struct{ SecuritySchemes map[string]map[string]string }
		Paths      map[string]map[string]operation
	}
	f := newFixture(t, &oip.Options{Auth: everybody{}})
	if err := json.Unmarshal(do(f, "GET", "/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Security) != 1 || doc.Security[0]["bearer"] == nil || doc.Components.SecuritySchemes["bearer"]["scheme"] != "bearer" {
		t.Errorf("security %v, schemes %v", doc.Security, doc.Components.SecuritySchemes)
	}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			if open := o.Security != nil && len(*o.Security) == 0; open != strings.HasPrefix(path, "/v2/health/") {
				t.Errorf("%s %s is open: %v", method, path, open)
			}
		}
	}
}

type everybody struct{}

func (everybody) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return "everybody", nil
}
