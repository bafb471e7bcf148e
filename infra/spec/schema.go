package spec

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// SchemaID identifies the JSON Schema; apiVersion names the same version.
const SchemaID = "https://godwit.dev/v1/godwit.schema.json"

// schemas collects the definitions of the blocks.
type schemas struct {
	defs     map[string]any
	defaults map[string]map[string]string
}

// Schema is godwit.yaml's JSON Schema (draft 2020-12), for editors: it takes
// every spec that Parse takes, and refuses unknown keys, wrong types and words
// and numbers out of range. What needs more than one key is left to Parse.
func Schema() []byte {
	s := &schemas{defs: map[string]any{}, defaults: shownDefaults()}
	root := s.object(&Spec{})
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "godwit.yaml"
	root["description"] = "What runs, where and how big: one spec for every serverless target."
	root["$defs"] = s.defs
	root["oneOf"] = []any{
		map[string]any{"required": []string{"model"}},
		map[string]any{"required": []string{"models"}},
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic("spec: a schema is made of maps, lists and texts: " + err.Error())
	}
	return b.Bytes()
}

// ref points at b's definition, and makes it the first time.
func (s *schemas) ref(b block) map[string]any {
	name := blockName(b)
	if _, ok := s.defs[name]; !ok {
		s.defs[name] = nil // a block that holds itself would else never end
		s.defs[name] = s.object(b)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func blockName(b block) string { return reflect.TypeOf(b).Elem().Name() }

func (s *schemas) object(b block) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, k := range b.keys() {
		js := k.to.schema(s)
		js["description"] = k.doc
		if text := s.defaults[blockName(b)][k.name]; text != "" {
			js["description"] = k.doc + " Default: " + text + "."
		}
		properties[k.name] = js
		if k.required {
			required = append(required, k.name)
		}
	}
	js := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		js["required"] = required
	}
	return js
}
