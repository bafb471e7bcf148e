package google_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"godwit.dev/infra/render/rendertest"
)

// Every file of Terraform's parses and is as `terraform fmt` would have it.
func TestTerraformIsInCanonicalForm(t *testing.T) {
	check := func(name string, all map[string]string) {
		for path, text := range all {
			if !strings.HasSuffix(path, ".tf") && !strings.HasSuffix(path, ".hcl") {
				continue
			}
			if _, diags := hclsyntax.ParseConfig([]byte(text), path, hcl.InitialPos); diags.HasErrors() {
				t.Errorf("%s: %v", name, diags)
			}
			if diff := cmp.Diff(string(hclwrite.Format([]byte(text))), text); diff != "" {
				t.Errorf("%s %s is not as terraform fmt has it (-want +got)\n%s", name, path, diff)
			}
		}
	}
	for _, v := range variants {
		check(v.name, files(t, variant(t, v.name, v.yaml)))
	}
	for _, v := range vertexVariants {
		check(v.name, vertexFiles(t, deployment(t, v.yaml)))
	}
}

// A thing is one resource as Terraform would make it: its type, label and key,
// and its attributes and blocks, the latter as lists.
type thing struct {
	typ, label, key string
	attr            map[string]any
}

func (r thing) text(path ...string) string {
	s, _ := rendertest.Within(r.attr, path...).(string)
	return s
}

// planned is what the module makes with the project acme, evaluated by HCL's own
// rules; what only Google knows has the same values as the gcloud of the tests.
func planned(t testing.TB, all map[string]string) []thing {
	t.Helper()
	e := &evaluation{t: t, files: all, values: map[string]map[string]cty.Value{}, vars: map[string]cty.Value{"project": cty.StringVal("acme")}, locals: map[string]cty.Value{}}
	for _, b := range e.blocks("terraform/variables.tf") {
		if b.Labels[0] == "region" {
			e.vars["region"] = cty.StringVal("europe-west1")
		} else if def, ok := b.Body.Attributes["default"]; ok {
			v, diags := def.Expr.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			e.vars[b.Labels[0]] = v
		} else if b.Labels[0] != "project" {
			t.Errorf("variable %s has no default", b.Labels[0])
		}
	}
	waiting := e.blocks("terraform/main.tf")
	for len(waiting) > 0 {
		var next []*hclsyntax.Block
		var last hcl.Diagnostics
		for _, b := range waiting {
			if diags := e.one(b); diags.HasErrors() {
				next, last = append(next, b), append(last, diags...)
			}
		}
		if len(next) == len(waiting) {
			t.Fatal(last)
		}
		waiting = next
	}
	for _, b := range e.blocks("terraform/outputs.tf") {
		if _, diags := b.Body.Attributes["value"].Expr.Value(e.context(nil)); diags.HasErrors() {
			t.Error(diags)
		}
	}
	return e.made
}

type evaluation struct {
	t      testing.TB
	files  map[string]string
	vars   map[string]cty.Value
	locals map[string]cty.Value
	values map[string]map[string]cty.Value // type → label → value
	made   []thing
}

func (e *evaluation) blocks(path string) hclsyntax.Blocks {
	f, diags := hclsyntax.ParseConfig([]byte(e.files[path]), path, hcl.InitialPos)
	if diags.HasErrors() {
		e.t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body).Blocks
}

func (e *evaluation) context(each map[string]cty.Value) *hcl.EvalContext {
	data := map[string]cty.Value{}
	all := map[string]cty.Value{"var": cty.ObjectVal(e.vars), "local": cty.ObjectVal(e.locals),
		"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal("terraform")})}
	for typ, labels := range e.values {
		if rest, ok := strings.CutPrefix(typ, "data."); ok {
			data[rest] = cty.ObjectVal(labels)
		} else {
			all[typ] = cty.ObjectVal(labels)
		}
	}
	all["data"] = cty.ObjectVal(data)
	if each != nil {
		all["each"] = cty.ObjectVal(each)
	}
	text := func(f func(args []string) (string, error), n int) function.Function {
		var params []function.Parameter
		for i := range n {
			params = append(params, function.Parameter{Name: fmt.Sprint(i), Type: cty.String})
		}
		return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(cty.String), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var in []string
			for _, a := range args {
				in = append(in, a.AsString())
			}
			out, err := f(in)
			return cty.StringVal(out), err
		}})
	}
	return &hcl.EvalContext{Variables: all, Functions: map[string]function.Function{
		"lower": stdlib.LowerFunc,
		"toset": function.New(&function.Spec{Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
			Type: function.StaticReturnType(cty.Set(cty.String)), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return cty.SetVal(args[0].AsValueSlice()), nil }}),
		"base64encode": text(func(a []string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(a[0])), nil }, 1),
		"substr":       stdlib.SubstrFunc,
		"sha256":       text(func(a []string) (string, error) { return fmt.Sprintf("%x", sha256.Sum256([]byte(a[0]))), nil }, 1),
		"file": text(func(a []string) (string, error) {
			if _, ok := e.files[a[0]]; !ok {
				return "", fmt.Errorf("there is no file %s", a[0])
			}
			return e.files[a[0]], nil
		}, 1),
		"replace": text(func(a []string) (string, error) {
			pattern, isPattern := strings.CutPrefix(a[1], "/")
			if !isPattern {
				return strings.ReplaceAll(a[0], a[1], a[2]), nil
			}
			re, err := regexp.Compile(strings.TrimSuffix(pattern, "/"))
			if err != nil {
				return "", err
			}
			return re.ReplaceAllString(a[0], a[2]), nil
		}, 3),
	}}
}

// one evaluates a block of main.tf, if what it refers to is there.
func (e *evaluation) one(b *hclsyntax.Block) (diags hcl.Diagnostics) {
	if b.Type == "locals" {
		for name, a := range b.Body.Attributes {
			v, d := a.Expr.Value(e.context(nil))
			if diags = append(diags, d...); !d.HasErrors() {
				e.locals[name] = v
			}
		}
		return diags
	}
	typ, label := b.Labels[0], b.Labels[1]
	if b.Type == "data" {
		typ = "data." + typ
	}
	each, many := b.Body.Attributes["for_each"]
	if !many {
		v, diags := e.body(b.Body, nil)
		if !diags.HasErrors() {
			e.add(typ, label, "", v)
		}
		return diags
	}
	over, diags := each.Expr.Value(e.context(nil))
	if diags.HasErrors() {
		return diags
	}
	values := map[string]cty.Value{}
	for it := over.ElementIterator(); it.Next(); {
		k, v := it.Element()
		if !over.Type().IsObjectType() && !over.Type().IsMapType() {
			k = v
		}
		one, d := e.body(b.Body, map[string]cty.Value{"key": k, "value": v})
		if diags = append(diags, d...); d.HasErrors() {
			return diags
		}
		values[k.AsString()] = one
	}
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range values {
			if !yield(k) {
				return
			}
		}
	}) {
		e.add(typ, label, k, values[k])
	}
	return nil
}

// add notes a resource, with what only Google knows of it.
func (e *evaluation) add(typ, label, key string, v cty.Value) {
	attr := v.AsValueMap()
	name := func(k string) string {
		if v, ok := attr[k]; ok {
			return v.AsString()
		}
		return ""
	}
	set := func(k, value string) { attr[k] = cty.StringVal(value) }
	switch typ {
	case "google_service_account":
		set("email", name("account_id")+"@acme.iam.gserviceaccount.com")
		set("name", "projects/acme/serviceAccounts/"+attr["email"].AsString())
	case "google_pubsub_topic":
		set("id", "projects/acme/topics/"+name("name"))
	case "google_pubsub_subscription":
		set("id", "projects/acme/subscriptions/"+name("name"))
	case "google_cloud_run_v2_service":
		set("uri", "https://"+name("name")+".a.run.app")
	case "google_api_gateway_api_config":
		set("id", "config-of-"+name("api"))
	case "google_api_gateway_gateway":
		set("default_hostname", name("gateway_id")+".gateway.dev")
	case "google_vertex_ai_endpoint":
		set("id", "projects/acme/locations/europe-west1/endpoints/"+name("name"))
		set("dedicated_endpoint_dns", "dedicated.example.com")
	case "data.google_project":
		set("number", "123456789")
	case "data.google_storage_project_service_account":
		set("email_address", "service-123456789@gs-project-accounts.iam.gserviceaccount.com")
	case "data.google_storage_bucket":
		set("location", "EUROPE-WEST1")
	}
	v = cty.ObjectVal(attr)
	if e.values[typ] == nil {
		e.values[typ] = map[string]cty.Value{}
	}
	if key == "" {
		e.values[typ][label] = v
	} else {
		before := map[string]cty.Value{}
		if old, ok := e.values[typ][label]; ok {
			before = old.AsValueMap()
		}
		before[key] = v
		e.values[typ][label] = cty.ObjectVal(before)
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		e.t.Fatal(err)
	}
	one := thing{typ: typ, label: label, key: key}
	if err := json.Unmarshal(text, &one.attr); err != nil {
		e.t.Fatal(err)
	}
	if !strings.HasPrefix(typ, "data.") {
		e.made = append(e.made, one)
	}
}

func (e *evaluation) body(b *hclsyntax.Body, each map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	all := map[string]cty.Value{}
	var diags hcl.Diagnostics
	for name, a := range b.Attributes {
		if name == "for_each" || name == "depends_on" || name == "provider" {
			continue
		}
		v, d := a.Expr.Value(e.context(each))
		diags = append(diags, d...)
		all[name] = v
	}
	lists := map[string][]cty.Value{}
	for _, inner := range b.Blocks {
		if inner.Type == "lifecycle" {
			continue // Terraform's own, with names of attributes
		}
		v, d := e.body(inner.Body, each)
		diags = append(diags, d...)
		lists[inner.Type] = append(lists[inner.Type], v)
	}
	for name, list := range lists {
		all[name] = cty.TupleVal(list)
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	return cty.ObjectVal(all), nil
}

// last is a name without where it is.
func last(s string) string { return s[strings.LastIndex(s, "/")+1:] }

// byTerraform is what the module makes, in lines: things, grants, and how
// messages are delivered.
func byTerraform(t testing.TB, all map[string]string) (lines []string) {
	t.Helper()
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	grant := func(kind, on string, r thing) { say("grant %s %s %s %s", kind, on, r.text("role"), r.text("member")) }
	for _, r := range planned(t, all) {
		switch r.typ {
		case "google_project_service":
			say("api %s", r.text("service"))
		case "google_service_account":
			say("account %s, %s", r.text("account_id"), r.text("display_name"))
		case "google_cloud_run_v2_service":
			say("service %s in %s", r.text("name"), r.text("location"))
		case "google_cloud_run_v2_job":
			say("job %s in %s", r.text("name"), r.text("location"))
		case "google_pubsub_topic":
			say("topic %s %s", r.text("name"), r.text("kms_key_name"))
		case "google_pubsub_subscription":
			if r.attr["push_config"] == nil {
				say("subscription %s of %s, %s %q", r.text("name"), last(r.text("topic")), r.text("message_retention_duration"), r.text("expiration_policy", "0", "ttl"))
				continue
			}
			say("subscription %s of %s, %s %q: %s as %s for %s, ack %v, retry %s to %s, dead %s after %v", r.text("name"), last(r.text("topic")),
				r.text("message_retention_duration"), r.text("expiration_policy", "0", "ttl"),
				r.text("push_config", "0", "push_endpoint"), r.text("push_config", "0", "oidc_token", "0", "service_account_email"), r.text("push_config", "0", "oidc_token", "0", "audience"),
				r.attr["ack_deadline_seconds"], r.text("retry_policy", "0", "minimum_backoff"), r.text("retry_policy", "0", "maximum_backoff"),
				last(r.text("dead_letter_policy", "0", "dead_letter_topic")), rendertest.Within(r.attr, "dead_letter_policy", "0", "max_delivery_attempts"))
		case "google_storage_bucket":
			say("bucket %s in %s %s uniform %v %s", r.text("name"), r.text("location"), r.text("encryption", "0", "default_kms_key_name"), r.attr["uniform_bucket_level_access"], r.text("public_access_prevention"))
		case "google_storage_notification":
			say("notification of %s to %s below %q %v", r.text("bucket"), last(r.text("topic")), r.text("object_name_prefix"), r.attr["event_types"])
		case "google_eventarc_trigger":
			var filters []string
			for _, f := range r.attr["matching_criteria"].([]any) {
				filters = append(filters, rendertest.Within(f, "attribute").(string)+"="+rendertest.Within(f, "value").(string))
			}
			say("trigger %s in %s %s to %s %s as %s", r.text("name"), r.text("location"), strings.Join(filters, ","),
				r.text("destination", "0", "cloud_run_service", "0", "service"), r.text("destination", "0", "cloud_run_service", "0", "path"), r.text("service_account"))
		case "google_api_gateway_api":
			say("api gateway %s", r.text("api_id"))
		case "google_api_gateway_api_config":
			text, err := base64.StdEncoding.DecodeString(r.text("openapi_documents", "0", "document", "0", "contents"))
			if err != nil || !strings.Contains(string(text), "address: https://") || strings.Contains(string(text), "SERVICE_URL") {
				t.Errorf("the gateway is told %v %s", err, text)
			}
			say("api config %s of %s calls as %q", r.text("api_config_id"), r.text("api"), r.text("gateway_config", "0", "backend_config", "0", "google_service_account"))
		case "google_api_gateway_gateway":
			say("gateway %s in %s", r.text("gateway_id"), r.text("region"))
		case "google_cloud_run_v2_service_iam_member":
			grant("run services", r.text("name"), r)
		case "google_pubsub_topic_iam_member":
			grant("pubsub topics", r.text("topic"), r)
		case "google_pubsub_subscription_iam_member":
			grant("pubsub subscriptions", r.text("subscription"), r)
		case "google_storage_bucket_iam_member":
			grant("storage buckets", "gs://"+r.text("bucket"), r)
		case "google_secret_manager_secret_iam_member":
			grant("secrets", r.text("secret_id"), r)
		case "google_kms_crypto_key_iam_member":
			grant("kms keys", r.text("crypto_key_id"), r)
		case "google_service_account_iam_member":
			grant("iam service-accounts", last(r.text("service_account_id")), r)
		case "google_project_iam_member":
			grant("projects", r.text("project"), r)
		default:
			t.Errorf("what is %s.%s?", r.typ, r.label)
		}
	}
	slices.Sort(lines)
	return lines
}

// byScript is what deploy.sh has made where nothing was there, in the same lines.
func byScript(t *testing.T, calls []call) (lines []string) {
	t.Helper()
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, one := range calls {
		kind, verb, about, f := one.parse()
		switch verb {
		case "describe", "list", "get-value", "":
			continue
		case "add-iam-policy-binding":
			if kind == "pubsub subscriptions" && strings.Contains(about[0], "/eventarc-") {
				continue // Eventarc's own, which Terraform does not know
			}
			say("grant %s %s %s %s", kind, about[0], f["role"], f["member"])
			continue
		}
		switch kind + " " + verb {
		case "services enable":
			for _, a := range about {
				say("api %s", a)
			}
		case "iam service-accounts create":
			say("account %s, %s", about[0], f["display-name"])
		case "run services replace":
			say("service %s in %s", rendertest.Within(decoded(t, one.Stdin), "metadata", "name"), f["region"])
		case "run jobs replace":
			say("job %s in %s", rendertest.Within(decoded(t, one.Stdin), "metadata", "name"), f["region"])
		case "pubsub topics create":
			say("topic %s %s", about[0], f["topic-encryption-key"])
		case "pubsub subscriptions create":
			kept := map[string]string{"7d": "604800s"}[f["message-retention-duration"]]
			ends := map[string]string{"never": ""}[f["expiration-period"]]
			if f["push-endpoint"] == "" {
				say("subscription %s of %s, %s %q", about[0], f["topic"], kept, ends)
				continue
			}
			say("subscription %s of %s, %s %q: %s as %s for %s, ack %v, retry %s to %s, dead %s after %v", about[0], f["topic"], kept, ends,
				f["push-endpoint"], f["push-auth-service-account"], f["push-auth-token-audience"], f["ack-deadline"], f["min-retry-delay"], f["max-retry-delay"],
				f["dead-letter-topic"], f["max-delivery-attempts"])
		case "pubsub subscriptions update":
			if !strings.Contains(about[0], "/eventarc-") || f["dead-letter-topic"] == "" {
				t.Errorf("want an update of Eventarc's own subscription with dead letters, got %q", one.Args)
			}
		case "storage buckets create":
			_, uniform := f["uniform-bucket-level-access"]
			prevention := ""
			if _, ok := f["public-access-prevention"]; ok {
				prevention = "enforced"
			}
			say("bucket %s in %s %s uniform %v %s", strings.TrimPrefix(about[0], "gs://"), f["location"], f["default-encryption-key"], uniform, prevention)
		case "storage buckets notifications create":
			say("notification of %s to %s below %q [%s]", strings.TrimPrefix(about[0], "gs://"), f["topic"], f["object-prefix"], f["event-types"])
		case "eventarc triggers create":
			say("trigger %s in %s %s to %s %s as %s", about[0], f["location"], f["event-filters"], f["destination-run-service"], f["destination-run-path"], f["service-account"])
		case "api-gateway apis create":
			say("api gateway %s", about[0])
		case "api-gateway api-configs create":
			say("api config %s of %s calls as %q", about[0], f["api"], f["backend-auth-service-account"])
		case "api-gateway gateways create":
			say("gateway %s in %s", about[0], f["location"])
		default:
			t.Errorf("what is %q?", one.Args)
		}
	}
	slices.Sort(lines)
	return lines
}
