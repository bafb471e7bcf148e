package cdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
)

// A variant is an example with other settings than its own godwit.yaml's.
type variant struct {
	name, example string
	yaml          string // behind "model:", in the place of the example's own; "": the example as it is
}

const rows = "batch: {input: rows/, output: scores/, passThrough: [id]}\n"

// variants are what has golden templates: each example as it is, and each of
// the larger choices once.
var variants = []variant{
	{"digits", "digits", ""},
	{"penguins", "penguins", ""},
	{"digits-batch", "digits", rows + "triggers: [objects]\ntargets: {awslambda: {api: none}}"},
	{"digits-batch-ordered", "digits", "batch: {input: rows/, output: scores/, order: skip-group, claims: dynamodb://digits-claims, deadLetter: true}\ntriggers: [queue]\ntargets: {awslambda: {api: none}}"},
	{"digits-rest-jwt", "digits", "auth: {jwt: {issuer: https://issuer.example.com/, audience: [models]}}\ntargets: {awslambda: {api: rest, throttle: {rate: 50, burst: 100}}}"},
	{"digits-url-stream", "digits", "targets: {awslambda: {api: url, responseStreaming: true}}"},
	{"digits-url-key", "digits", "auth: key\ntargets: {awslambda: {api: url, secrets: {GODWIT_API_KEYS: digits/keys}}}"},
	{"digits-canary", "digits", "targets: {awslambda: {rollout: Canary10Percent5Minutes, provisionedConcurrency: 2}}"},
	{"digits-vpc", "digits", "targets: {awslambda: {vpc: {id: vpc-0a1b2c3d, subnets: [subnet-0a1b2c3d, subnet-1a1b2c3d]}, kmsKey: " + keyARN + "}}"},
	{"digits-managed-gpu", "digits", "targets: {awslambda: {api: none, gpu: 16GB, managedInstances: {capacityProvider: " + providerARN + "}}}\nbatch: {input: rows/, output: scores/}\ntriggers: [objects]"},
	{"digits-aws-solutions", "digits", rows + "triggers: [objects]\ncompliance: aws-solutions\ntargets: {awslambda: {api: rest, rollout: Linear10PercentEvery1Minute}}"},
	{"digits-hipaa", "digits", rows + "triggers: [objects]\ncompliance: hipaa\ntargets: {awslambda: {api: rest}}"},
	{"digits-edge", "digits", "compliance: aws-solutions\ntargets: {awslambda: {api: url, edgeCache: {maxAge: 1h, keyGroup: 98c6a1ff-4a0b-4c7e-9d3d-0a2b7c1d9e10, domain: scores.example.com, " +
		"certificate: arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012, accessLogs: true}}}"},
	{"penguins-image", "penguins", "batch: {input: rows/, output: scores/}\ntriggers: [objects, queue]\ntargets: {awslambda: {package: image, architecture: arm64, tracing: passThrough}}"},
}

// load is the function of a variant, with a small package in the place of the
// real one, which has a recorded request as that has.
func (v variant) load(t testing.TB) *cdk.Function {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "examples", v.example))
	if err != nil {
		t.Fatal(err)
	}
	if v.yaml != "" {
		model := filepath.Join(dir, v.example+".onnx")
		dir = t.TempDir()
		if err := os.Symlink(model, filepath.Join(dir, v.example+".onnx")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, spec.FileName), "model: "+v.example+".onnx\n"+v.yaml+"\n")
	}
	s, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := &cdk.LoadOptions{Image: image}
	if s.Targets.AWSLambda.Package == "zip" {
		o = &cdk.LoadOptions{Zip: pack(t, filepath.Join(t.TempDir(), "function.zip"), map[string]string{"bootstrap": "x", "requests/m/1.want.json": "{}"})}
	}
	f, err := cdk.Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// proven is a variant's proof, made once for all tests, which leave it as it is;
// the spec must not be refused.
func (v variant) proven(t testing.TB) *proof {
	t.Helper()
	if p := proofs[v.name]; p != nil {
		return p
	}
	p, refusal := prove(t, v.load(t))
	if refusal != nil {
		t.Fatal(refusal)
	}
	proofs[v.name] = p
	return p
}

// proofs are those of variants, by name: these tests do not run in parallel.
var proofs = map[string]*proof{}

// TestGolden compares the templates with those that a person has read.
func TestGolden(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			checkGolden(t, "golden/"+v.name+".json", scrubbed(t, v.proven(t).raw))
		})
	}
}

// checkGolden is golden.Check for templates: the difference is told resource by
// resource.
func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	old, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if os.Getenv("UPDATE_GOLDEN") != "" || err != nil || bytes.Equal(old, got) {
		golden.Check(t, name, got)
		return
	}
	want, now := sections(t, old), sections(t, got)
	for _, k := range slices.Sorted(maps.Keys(now)) {
		if _, ok := want[k]; !ok {
			want[k] = nil
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if d := cmp.Diff(want[k], now[k]); d != "" {
			t.Errorf("testdata/%s: %s (-want +got):\n%s", name, k, d)
		}
	}
	t.Log("if the new templates are right, run `UPDATE_GOLDEN=1 go test` here")
}

// sections are the resources and outputs of a template, as "Resources/ID".
func sections(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var all map[string]map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	flat := map[string]any{}
	for section, entries := range all {
		for id, e := range entries {
			flat[section+"/"+id] = e
		}
	}
	return flat
}

// Every byte of a package changes its digest, the key of its asset, and the
// logical id of the version that is published of it.
var (
	assetKey  = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	versionID = regexp.MustCompile(`(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}`)
	stageID   = regexp.MustCompile(`(Deployment[0-9A-F]{8})[0-9a-f]{32}`)
)

// scrubbed is a template as a golden file has it: sorted, by resource, without
// what changes with each package.
func scrubbed(t testing.TB, raw []byte) []byte {
	t.Helper()
	raw = assetKey.ReplaceAll(raw, []byte("DIGEST"))
	raw = versionID.ReplaceAll(raw, []byte("${1}VERSION"))
	raw = stageID.ReplaceAll(raw, []byte("${1}VERSION"))
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	// CDK's own check of its bootstrap version is the same in each template.
	delete(all, "Parameters")
	delete(all, "Rules")
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(all); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSameTemplateTwice is that a template follows from its function alone.
func TestSameTemplateTwice(t *testing.T) {
	for _, v := range variants {
		if v.name != "digits" && v.name != "digits-hipaa" && v.name != "penguins-image" {
			continue
		}
		again, refusal := prove(t, v.load(t))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if !bytes.Equal(v.proven(t).raw, again.raw) {
			t.Errorf("%s: want the same template of the same function, got two", v.name)
		}
	}
}

// TestRules holds every template, of the examples, of their variants and of all
// pairs of what the spec allows, to the rules, and testdata/wildcards.txt to
// what is there.
func TestRules(t *testing.T) {
	used, reasons, ran := map[string]bool{}, map[string]bool{}, 0
	check := func(t *testing.T, p *proof) {
		ran++
		for _, s := range append(p.identities(), p.resourced()...) {
			for _, w := range wildcards(s) {
				used[w] = true
			}
		}
		for _, f := range findings(p.document) {
			t.Error(f)
		}
		for _, f := range unacknowledged(p.found) {
			t.Error("not acknowledged: ", f)
		}
		for _, f := range p.found {
			reasons[f] = true
		}
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { check(t, v.proven(t)) })
	}
	dims, all, covered, refused := pairwise()
	for i, r := range all {
		t.Run(fmt.Sprint("row", i), func(t *testing.T) {
			p, refusal := prove(t, loadRow(t, r.yaml(dims)))
			if refusal != nil {
				t.Fatalf("%s\n%v\n%s", r.name(dims), refusal, refusal.Hint)
			}
			check(t, p)
			if t.Failed() {
				t.Log(r.name(dims))
			}
		})
	}
	if ran < len(variants)+len(all) {
		return // some failed, or -run left them out
	}
	for _, profile := range []string{"aws-solutions", "hipaa"} {
		for _, a := range cdk.Acknowledgements(profile) {
			part := a.ID + " " + a.Path + ": "
			if !slices.ContainsFunc(slices.Collect(maps.Keys(reasons)), func(f string) bool { return strings.Contains(f, part) && strings.HasSuffix(f, a.Reason) }) {
				t.Errorf("want %s at %s gone: no template has the finding any more", a.ID, a.Path)
			}
		}
	}
	t.Logf("%d rows cover %d pairs of what the spec allows; it refuses %d pairs", len(all), len(covered), len(refused))
	for w, why := range allowed() {
		if !used[w] {
			t.Errorf("testdata/wildcards.txt has %q, want it gone: no role has it any more", w)
		}
		if why == "" {
			t.Errorf("testdata/wildcards.txt has %q without a reason above it", w)
		}
	}
}

// TestRefusals is that what the spec takes and the constructs do not is refused
// with a hint, and not passed over.
func TestRefusals(t *testing.T) {
	dims := dimensions()
	for _, u := range refusals {
		r := make(row, len(dims))
		for i, d := range dims {
			for c, choice := range d.choices {
				if slices.Contains(u.choices, d.name+"="+choice.name) {
					r[i] = c
				}
			}
		}
		t.Run(r.name(dims), func(t *testing.T) {
			_, refusal := prove(t, loadRow(t, r.yaml(dims)))
			if refusal == nil {
				t.Fatal("want it refused, got a stack")
			}
			if !bytes.Contains([]byte(refusal.Error()+" "+refusal.Hint), []byte(u.says)) || refusal.Hint == "" {
				t.Errorf("want %q with a hint, got %v (%s)", u.says, refusal, refusal.Hint)
			}
		})
	}
}
