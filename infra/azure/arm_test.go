package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// arm prints a tree a second time, as the ARM template that a compiler makes of
// the Bicep (languageVersion 2.0, in which resources keep their symbols). What
// it cannot resolve fails the test, as it would fail the compiler.
type arm struct {
	t    testing.TB
	of   *template
	used map[string]bool
	deps map[string]bool // of the resource at hand
}

func armOf(t testing.TB, of *template) map[string]any {
	t.Helper()
	a := &arm{t: t, of: of, used: map[string]bool{}}
	a.declared()
	doc := map[string]any{
		"$schema":         "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
		"languageVersion": "2.0", "contentVersion": "1.0.0.0",
	}
	sections := map[string]map[string]any{"parameters": {}, "variables": {}, "resources": {}, "outputs": {}}
	for _, i := range of.items {
		switch i := i.(type) {
		case *param:
			p := map[string]any{"type": i.typ}
			if i.secure {
				p["type"] = "secureString"
			}
			if i.value != nil {
				p["defaultValue"] = a.value(i.value)
			}
			if i.about != "" {
				p["metadata"] = map[string]any{"description": i.about}
			}
			sections["parameters"][i.name] = p
		case *variable:
			sections["variables"][i.name] = a.value(i.value)
		case *resource:
			sections["resources"][i.symbol] = a.resource(i)
		case *module:
			sections["resources"][i.symbol] = a.module(i)
		case *output:
			sections["outputs"][i.name] = map[string]any{"type": i.typ, "value": a.value(i.value)}
		}
	}
	for name, s := range sections {
		if len(s) > 0 {
			doc[name] = s
		}
	}
	for _, i := range of.items {
		switch i := i.(type) {
		case *param:
			if !a.used[i.name] {
				t.Errorf("parameter %s is not used", i.name)
			}
		case *variable:
			if !a.used[i.name] {
				t.Errorf("variable %s is not used", i.name)
			}
		}
	}
	return doc
}

// declared fails on a name that is declared twice, or that one of Bicep's
// namespaces has.
func (a *arm) declared() {
	seen := map[string]bool{"az": true, "sys": true, "subscription": true, "resourceGroup": true, "environment": true, "deployer": true, "reference": true}
	for _, i := range a.of.items {
		name := ""
		switch i := i.(type) {
		case *param:
			name = i.name
		case *variable:
			name = i.name
		case *resource:
			name = i.symbol
		case *module:
			name = i.symbol
		default:
			continue
		}
		if seen[name] || !identifier().MatchString(name) {
			a.t.Errorf("want a new identifier, got %q", name)
		}
		seen[name] = true
	}
}

func (a *arm) resource(r *resource) map[string]any {
	a.deps = map[string]bool{}
	doc := map[string]any{"type": r.kind(), "apiVersion": r.version()}
	if r.existing {
		doc["existing"] = true
	}
	names := a.names(r)
	doc["name"] = a.value(r.name)
	if len(names) > 1 {
		doc["name"] = "[format('" + slots(len(names)) + "', " + strings.Join(names, ", ") + ")]"
	}
	if r.parent != nil {
		a.deps[r.parent.symbol] = true
	}
	if r.scope != nil {
		doc["scope"] = "[" + a.expression(ref(r.scope.symbol+".id")) + "]"
	}
	for _, f := range r.body {
		doc[f.key.(string)] = a.value(f.value)
	}
	for _, s := range r.needs {
		a.expression(ref(s))
	}
	a.depends(doc, r.symbol)
	return doc
}

func slots(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{%d}", i)
	}
	return strings.Join(all, "/")
}

// names are the parts of a resource's name, its parents' first.
func (a *arm) names(r *resource) (all []string) {
	for ; r != nil; r = r.parent {
		all = append([]string{a.expression(r.name)}, all...)
	}
	return all
}

func (a *arm) depends(doc map[string]any, self string) {
	var all []string
	for s := range a.deps {
		if r, ok := a.find(s).(*resource); s == self || ok && r.existing {
			continue
		}
		all = append(all, s)
	}
	if slices.Sort(all); len(all) > 0 {
		doc["dependsOn"] = all
	}
}

func (a *arm) module(m *module) map[string]any {
	a.deps = map[string]bool{}
	values := map[string]any{}
	for _, f := range m.params {
		values[f.key.(string)] = map[string]any{"value": a.value(f.value)}
	}
	for _, i := range m.of.items {
		if p, ok := i.(*param); ok && p.value == nil && values[p.name] == nil {
			a.t.Errorf("module %s: want %s, got none", m.symbol, p.name)
		}
	}
	if len(values) > 0 && len(m.params) != len(values) {
		a.t.Errorf("module %s: a parameter twice", m.symbol)
	}
	doc := map[string]any{
		"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": m.name,
		"properties": map[string]any{
			"expressionEvaluationOptions": map[string]any{"scope": "inner"}, "mode": "Incremental",
			"parameters": values, "template": armOf(a.t, m.of),
		},
	}
	if m.group != nil {
		doc["resourceGroup"] = a.value(m.group)
	}
	a.depends(doc, m.symbol)
	return doc
}

func (a *arm) find(symbol string) any {
	for _, i := range a.of.items {
		switch i := i.(type) {
		case *param:
			if i.name == symbol {
				return i
			}
		case *variable:
			if i.name == symbol {
				return i
			}
		case *resource:
			if i.symbol == symbol {
				return i
			}
		case *module:
			if i.symbol == symbol {
				return i
			}
		}
	}
	a.t.Errorf("%q is not declared", symbol)
	return &variable{name: symbol}
}

func (a *arm) value(v any) any {
	switch v := v.(type) {
	case object:
		doc := map[string]any{}
		for _, f := range v {
			k, ok := f.key.(string)
			if !ok {
				k = "[" + a.expression(f.key) + "]"
			}
			if _, twice := doc[k]; twice {
				a.t.Errorf("key %q twice", k)
			}
			doc[k] = a.value(f.value)
		}
		return doc
	case list:
		all := []any{}
		for _, e := range v {
			all = append(all, a.value(e))
		}
		return all
	case string:
		if strings.HasPrefix(v, "[") && strings.HasSuffix(v, "]") {
			return "[" + v
		}
		return v
	case ref, call, text, choice:
		return "[" + a.expression(v) + "]"
	}
	return v
}

func (a *arm) expression(v any) string {
	switch v := v.(type) {
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case int, bool:
		return fmt.Sprint(v)
	case call:
		args := make([]string, len(v.args))
		for i, e := range v.args {
			args[i] = a.expression(e)
		}
		all := v.name + "(" + strings.Join(args, ", ") + ")"
		if v.property != "" {
			all += "." + v.property
		}
		return all
	case text:
		var form strings.Builder
		var args []string
		for _, part := range v {
			if s, ok := part.(string); ok {
				form.WriteString(strings.NewReplacer("{", "{{", "}", "}}", "'", "''").Replace(s))
				continue
			}
			fmt.Fprintf(&form, "{%d}", len(args))
			args = append(args, a.expression(part))
		}
		return "format('" + form.String() + "', " + strings.Join(args, ", ") + ")"
	case choice:
		return "if(" + a.expression(v.when) + ", " + a.expression(v.then) + ", " + a.expression(v.other) + ")"
	case list:
		all := make([]string, len(v))
		for i, e := range v {
			all[i] = a.expression(e)
		}
		return "createArray(" + strings.Join(all, ", ") + ")"
	case object:
		var all []string
		for _, f := range v {
			all = append(all, a.expression(f.key), a.expression(f.value))
		}
		return "createObject(" + strings.Join(all, ", ") + ")"
	case ref:
		return a.ref(string(v))
	}
	a.t.Fatalf("%T is no expression", v)
	return ""
}

func (a *arm) ref(path string) string {
	root, rest, _ := strings.Cut(path, ".")
	a.used[root] = true
	switch i := a.find(root).(type) {
	case *param:
		return "parameters('" + root + "')" + dotted(rest)
	case *variable:
		if o, ok := i.value.(object); ok && rest != "" && !slices.ContainsFunc(o, func(f field) bool { return f.key == rest }) {
			a.t.Errorf("%q is not in %s", rest, root)
		}
		return "variables('" + root + "')" + dotted(rest)
	case *resource:
		if a.deps != nil {
			a.deps[root] = true
		}
		property, below, _ := strings.Cut(rest, ".")
		switch property {
		case "":
			return ""
		case "id":
			id := "resourceId('" + i.kind() + "', " + strings.Join(a.names(i), ", ") + ")"
			if i.scope != nil {
				id = "extensionResourceId(" + a.expression(ref(i.scope.symbol+".id")) + ", '" + i.kind() + "', " + a.expression(i.name) + ")"
			}
			return id
		case "name":
			return a.expression(i.name)
		case "properties":
			return "reference('" + root + "')" + dotted(below)
		}
		return "reference('" + root + "', '" + i.version() + "', 'full')." + rest
	case *module:
		if a.deps != nil {
			a.deps[root] = true
		}
		return "reference('" + root + "')" + dotted(rest)
	}
	return root
}

func dotted(rest string) string {
	if rest == "" {
		return ""
	}
	return "." + rest
}

// asJSON is doc as a file, sorted by key.
func asJSON(t testing.TB, doc any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
