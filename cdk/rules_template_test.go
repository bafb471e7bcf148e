package cdk_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"godwit.dev/infra/spec"
)

// document is a CloudFormation template as the rules look at it, with the spec
// that it was made of.
type document struct {
	Resources  map[string]*resource
	Outputs    map[string]any
	Parameters map[string]any

	spec   *spec.Spec
	models int64 // bytes of all model files
	image  bool
	raw    []byte
}

type resource struct {
	Type                                string
	Properties                          map[string]any
	DeletionPolicy, UpdateReplacePolicy string
	Metadata                            map[string]any
	DependsOn                           any

	id string
}

func parseTemplate(tb testing.TB, raw []byte) *document {
	tb.Helper()
	t := &document{raw: raw}
	if err := json.Unmarshal(raw, t); err != nil {
		tb.Fatal(err)
	}
	for id, r := range t.Resources {
		r.id = id
		if r.Properties == nil {
			r.Properties = map[string]any{}
		}
	}
	return t
}

// copied is a template that may be changed.
func (t *document) copied(tb testing.TB) *document {
	c := parseTemplate(tb, t.raw)
	c.spec, c.models, c.image = t.spec, t.models, t.image
	return c
}

// each is the resources of these types, by id; of all types where none is given.
func (t *document) each(types ...string) []*resource {
	var all []*resource
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		if r := t.Resources[id]; len(types) == 0 || slices.Contains(types, r.Type) {
			all = append(all, r)
		}
	}
	return all
}

// at is what stands at a path of keys and, as "0", places; nil where there is nothing.
func dig(v any, path ...string) any {
	for _, k := range path {
		switch c := v.(type) {
		case map[string]any:
			v = c[k]
		case []any:
			var i int
			if _, err := fmt.Sscan(k, &i); err != nil || i >= len(c) {
				return nil
			}
			v = c[i]
		default:
			return nil
		}
	}
	return v
}

func (r *resource) at(path ...string) any { return dig(r.Properties, path...) }

// many is a list, where CloudFormation lets one stand for it too.
func manyOf(v any) []any {
	switch c := v.(type) {
	case nil:
		return nil
	case []any:
		return c
	}
	return []any{v}
}

// number is a number, which may be written as text; -1 for anything else.
func numberOf(v any) float64 {
	switch c := v.(type) {
	case float64:
		return c
	case string:
		var f float64
		if _, err := fmt.Sscan(c, &f); err == nil {
			return f
		}
	}
	return -1
}

func isTrue(v any) bool { return v == true || v == "true" }

// text is a value as one would write it for Fn::Sub: "arn:${AWS::Partition}:s3:::${Bucket}/rows/*".
func textOf(v any) string {
	switch c := v.(type) {
	case nil:
		return ""
	case string:
		return c
	case map[string]any:
		if len(c) == 1 {
			for k, arg := range c {
				switch k {
				case "Ref":
					return "${" + textOf(arg) + "}"
				case "Fn::GetAtt":
					return "${" + joinOf(manyOf(arg), ".") + "}"
				case "Fn::Join":
					return joinOf(manyOf(dig(arg, "1")), textOf(dig(arg, "0")))
				case "Fn::Sub":
					if s, ok := arg.(string); ok {
						return s
					}
					s := textOf(dig(arg, "0"))
					if vars, ok := dig(arg, "1").(map[string]any); ok {
						for name, val := range vars {
							s = strings.ReplaceAll(s, "${"+name+"}", textOf(val))
						}
					}
					return s
				case "Fn::Select":
					return "${part " + textOf(dig(arg, "0")) + " of " + strings.Trim(textOf(dig(arg, "1")), "${}") + "}"
				case "Fn::Split":
					return textOf(dig(arg, "1"))
				}
			}
		}
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func joinOf(parts []any, sep string) string {
	var all []string
	for _, p := range parts {
		all = append(all, textOf(p))
	}
	return strings.Join(all, sep)
}

var reference = regexp.MustCompile(`\$\{([A-Za-z0-9]+)`)

// ids is the resources that a value names.
func (t *document) ids(v any) []string {
	var all []string
	var visit func(v any)
	visit = func(v any) {
		switch c := v.(type) {
		case map[string]any:
			if s, ok := c["Ref"].(string); ok && t.Resources[s] != nil {
				all = append(all, s)
			}
			if s, ok := dig(c, "Fn::GetAtt", "0").(string); ok && t.Resources[s] != nil {
				all = append(all, s)
			}
			if s := c["Fn::Sub"]; s != nil {
				for _, m := range reference.FindAllStringSubmatch(textOf(dig(manyOf(s), "0")), -1) {
					if t.Resources[m[1]] != nil {
						all = append(all, m[1])
					}
				}
			}
			for _, k := range slices.Sorted(maps.Keys(c)) {
				visit(c[k])
			}
		case []any:
			for _, e := range c {
				visit(e)
			}
		}
	}
	visit(v)
	slices.Sort(all)
	return slices.Compact(all)
}

// the resource that a value names first, or nil.
func (t *document) the(v any) *resource {
	for _, id := range t.ids(v) {
		return t.Resources[id]
	}
	return nil
}

// strings calls fn with every text of a value and the keys that lead there.
func eachString(v any, path string, fn func(path, s string)) {
	switch c := v.(type) {
	case string:
		fn(path, c)
	case map[string]any:
		for k, e := range c {
			eachString(e, path+"."+k, fn)
		}
	case []any:
		for _, e := range c {
			eachString(e, path, fn)
		}
	}
}

var idHash = regexp.MustCompile(`[0-9A-F]{8}$`)

// plain is a logical id without the hash that CDK puts behind it.
func plain(id string) string { return idHash.ReplaceAllString(id, "") }

// policyStatement is one of a policy.
type policyStatement struct {
	owner      *resource
	sid        string
	allow      bool
	actions    []string
	resources  []any
	principals []string // "*", "AWS arn", "Service name"
	condition  map[string]any
	raw        map[string]any
}

func statementsOf(owner *resource, document any) []policyStatement {
	var all []policyStatement
	for _, one := range manyOf(dig(document, "Statement")) {
		m, ok := one.(map[string]any)
		if !ok {
			continue
		}
		s := policyStatement{owner: owner, sid: textOf(m["Sid"]), allow: m["Effect"] == "Allow", resources: manyOf(m["Resource"]), raw: m}
		s.condition, _ = m["Condition"].(map[string]any)
		for _, a := range manyOf(m["Action"]) {
			s.actions = append(s.actions, textOf(a))
		}
		switch p := m["Principal"].(type) {
		case string:
			s.principals = []string{p}
		case map[string]any:
			for _, kind := range slices.Sorted(maps.Keys(p)) {
				for _, who := range manyOf(p[kind]) {
					if name := textOf(who); name == "*" {
						s.principals = append(s.principals, "*")
					} else {
						s.principals = append(s.principals, kind+" "+name)
					}
				}
			}
		}
		all = append(all, s)
	}
	return all
}

// identities are the statements of what roles may do; resourced those of
// what may be done with queues, buckets, topics and keys.
func (t *document) identities() []policyStatement {
	var all []policyStatement
	for _, r := range t.each("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy") {
		all = append(all, statementsOf(r, r.at("PolicyDocument"))...)
	}
	for _, r := range t.each("AWS::IAM::Role") {
		for _, p := range manyOf(r.at("Policies")) {
			all = append(all, statementsOf(r, dig(p, "PolicyDocument"))...)
		}
	}
	return all
}

func (t *document) resourced() []policyStatement {
	var all []policyStatement
	for _, r := range t.each("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy", "AWS::Logs::ResourcePolicy", "AWS::SecretsManager::ResourcePolicy", "AWS::ECR::Repository") {
		for _, key := range []string{"PolicyDocument", "ResourcePolicy", "RepositoryPolicyText"} {
			all = append(all, statementsOf(r, r.at(key))...)
		}
	}
	for _, r := range t.each("AWS::KMS::Key") {
		all = append(all, statementsOf(r, r.at("KeyPolicy"))...)
	}
	for _, r := range t.each("AWS::EC2::VPCEndpoint") {
		all = append(all, statementsOf(r, r.at("PolicyDocument"))...)
	}
	return all
}
