package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fitting is a template as far as moto can make it.
type fitting struct {
	template map[string]any
	unknown  map[string]string   // id → type that moto's CloudFormation does not make
	refers   map[string]string   // id → what it refers to, of those
	aliases  map[string]string   // id of an alias → that of its function, which stands for it
	outputs  map[string][]string // outputs left out → what they refer to
	texts    map[string]any      // id → what stands for a Ref to it, where moto has nothing that is text
	versions map[string]string   // id of a version → that of its function; moto's first is 1
}

// fit takes out of a template what moto cannot make, and what refers to that.
func fit(text []byte, known map[string]bool) (*fitting, error) {
	f := &fitting{unknown: map[string]string{}, refers: map[string]string{}, aliases: map[string]string{}, outputs: map[string][]string{}, texts: map[string]any{}, versions: map[string]string{}}
	if err := json.Unmarshal(text, &f.template); err != nil {
		return nil, err
	}
	all, _ := f.template["Resources"].(map[string]any)
	for id, v := range all {
		r, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("want a resource, got %v", v)
		}
		kind, _ := r["Type"].(string)
		if !known[kind] {
			f.unknown[id] = kind
		}
		properties, _ := r["Properties"].(map[string]any)
		switch kind {
		case "AWS::Lambda::Alias":
			f.aliases[id] = refersTo(properties["FunctionName"])[0]
		case "AWS::Lambda::Version":
			f.versions[id] = refersTo(properties["FunctionName"])[0]
		case "AWS::Events::EventBus":
			f.texts[id] = properties["Name"]
		case "AWS::CodeDeploy::Application":
			f.texts[id] = id // CloudFormation would choose a name
		}
	}
	f.template = f.standIn(f.template).(map[string]any)
	all = f.template["Resources"].(map[string]any)
	gone := func(id string) bool { return f.unknown[id] != "" || f.refers[id] != "" }
	for again := true; again; {
		again = false
		for id, v := range all {
			for _, to := range refersTo(v.(map[string]any)["Properties"]) {
				if !gone(id) && gone(to) {
					f.refers[id], again = to, true
				}
			}
		}
	}
	for id, v := range all {
		r := v.(map[string]any)
		if f.unknown[id] != "" || f.refers[id] != "" {
			delete(all, id)
			continue
		}
		after := []any{}
		if many, ok := r["DependsOn"].([]any); ok {
			for _, to := range many {
				if s, _ := to.(string); !gone(s) {
					after = append(after, to)
				}
			}
			r["DependsOn"] = after
		} else if s, ok := r["DependsOn"].(string); ok && gone(s) {
			delete(r, "DependsOn")
		}
	}
	outputs, _ := f.template["Outputs"].(map[string]any)
	for name, v := range outputs {
		if to := slices.DeleteFunc(refersTo(v), func(id string) bool { return !gone(id) }); len(to) > 0 {
			f.outputs[name] = to
			delete(outputs, name)
		}
	}
	return f, nil
}

// standIn is v with what stands for what moto cannot refer to: functions for their
// aliases, numbers and names.
func (f *fitting) standIn(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if id, ok := v["Ref"].(string); ok && f.aliases[id] != "" {
			return map[string]any{"Fn::GetAtt": []any{f.aliases[id], "Arn"}}
		}
		if id, ok := v["Ref"].(string); ok && f.texts[id] != nil {
			return f.texts[id]
		}
		if id, ok := v["Ref"].(string); ok && f.versions[id] != "" {
			return map[string]any{"Fn::Join": []any{":", []any{map[string]any{"Fn::GetAtt": []any{f.versions[id], "Arn"}}, "1"}}}
		}
		if at, ok := v["Fn::GetAtt"].([]any); ok {
			if id, _ := at[0].(string); f.versions[id] != "" && at[1] == "Version" {
				return "1"
			}
		}
		if join, ok := v["Fn::Join"].([]any); ok && f.isAliasName(join[1]) {
			return f.standIn(join[1].([]any)[0])
		}
		for k := range v {
			v[k] = f.standIn(v[k])
		}
	case []any:
		for i := range v {
			v[i] = f.standIn(v[i])
		}
	}
	return v
}

// isAliasName reports whether parts are FUNCTION and :ALIAS, as CDK writes an alias's name.
func (f *fitting) isAliasName(parts any) bool {
	two, ok := parts.([]any)
	if !ok || len(two) != 2 {
		return false
	}
	name, _ := two[1].(string)
	of := refersTo(two[0])
	return strings.HasPrefix(name, ":") && len(of) == 1 && f.aliases[of[0]] != ""
}

// refersTo is the ids that Ref and GetAtt name below v.
func refersTo(v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		if id, ok := v["Ref"].(string); ok {
			all = append(all, id)
		}
		if at, ok := v["Fn::GetAtt"].([]any); ok {
			id, _ := at[0].(string)
			all = append(all, id)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, refersTo(v[k])...)
		}
	case []any:
		for _, one := range v {
			all = append(all, refersTo(one)...)
		}
	}
	return all
}

// report says what of the template moto made, and what it did not.
func (f *fitting) report(all map[string]*resource) {
	count := func(title string, of func(id string) bool) {
		types := map[string]int{}
		for id, r := range all {
			if of(id) {
				types[r.Type]++
			}
		}
		fmt.Printf("%s:\n", title)
		for _, t := range slices.Sorted(maps.Keys(types)) {
			fmt.Printf("  %2d %s\n", types[t], t)
		}
	}
	count("moto made", func(id string) bool { return all[id].Physical != "" })
	count("moto's CloudFormation does not make", func(id string) bool { return f.unknown[id] != "" })
	count("left out, as they refer to these", func(id string) bool { return f.refers[id] != "" && f.unknown[id] == "" })
	for id, to := range f.aliases {
		fmt.Printf("  %s stands for %s\n", to, id)
	}
	for _, name := range slices.Sorted(maps.Keys(f.outputs)) {
		fmt.Printf("  output %s refers to %v\n", name, f.outputs[name])
	}
}
