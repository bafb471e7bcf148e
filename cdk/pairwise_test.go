package cdk_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit.dev/cdk"
	"godwit.dev/infra/spec"
)

// A dimension is one question that godwit.yaml answers, with the answers that
// are tried. The first answer of each is that of the row from which the search
// starts; all first answers go together.
type dimension struct {
	name    string
	choices []choice
}

// A choice sets keys of godwit.yaml, by path.
type choice struct {
	name string
	set  settings
}

type settings map[string]any

const aws = "targets.awslambda."

const (
	keyARN      = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4444-8888-0123456789ab"
	providerARN = "arn:aws:lambda:eu-central-1:111122223333:capacity-provider:c5"
	queueURL    = "https://sqs.eu-central-1.amazonaws.com/111122223333/parts"
)

func dimensions() []dimension {
	return []dimension{
		{"api", []choice{{"http", settings{aws + "api": "http"}}, {"rest", settings{aws + "api": "rest"}}, {"url", settings{aws + "api": "url"}}, {"alb", settings{aws + "api": "alb"}}, {"none", settings{aws + "api": "none"}}}},
		{"auth", []choice{{"platform", nil}, {"none", settings{"auth": "none"}}, {"key", settings{"auth": "key", aws + "secrets.GODWIT_API_KEYS": "models/keys"}},
			{"jwt", settings{"auth.jwt.issuer": "https://issuer.example.com/", "auth.jwt.audience": []string{"models"}}}}},
		{"package", []choice{{"zip", nil}, {"image", settings{aws + "package": "image"}}}},
		{"architecture", []choice{{"amd64", nil}, {"arm64", settings{aws + "architecture": "arm64"}}}},
		{"machines", []choice{{"lambda", nil}, {"managed", settings{aws + "memory": "4GiB", aws + "managedInstances.capacityProvider": providerARN, aws + "managedInstances.maxConcurrency": 8}},
			{"gpu", settings{aws + "gpu": "16GB", aws + "managedInstances.capacityProvider": providerARN}}}},
		{"tracing", []choice{{"active", nil}, {"passThrough", settings{aws + "tracing": "passThrough"}}}},
		{"rollout", []choice{{"all", nil}, {"canary", settings{aws + "rollout": "Canary10Percent5Minutes"}}, {"linear", settings{aws + "rollout": "Linear10PercentEvery1Minute"}}}},
		{"concurrency", []choice{{"free", nil}, {"reserved", settings{aws + "reservedConcurrency": 20}}, {"provisioned", settings{aws + "provisionedConcurrency": 3}}}},
		{"vpc", []choice{{"none", nil}, {"subnets", settings{aws + "vpc.subnets": []string{"subnet-0a1b2c3d", "subnet-1a1b2c3d"}, aws + "vpc.id": "vpc-0a1b2c3d"}},
			{"groups", settings{aws + "vpc.subnets": []string{"subnet-0a1b2c3d", "subnet-1a1b2c3d"}, aws + "vpc.securityGroups": []string{"sg-0a1b2c3d"}}}}},
		{"key", []choice{{"aws", nil}, {"own", settings{aws + "kmsKey": keyARN}}}},
		{"compliance", []choice{{"none", nil}, {"aws-solutions", settings{"compliance": "aws-solutions"}}, {"hipaa", settings{"compliance": "hipaa"}}}},
		{"batch", []choice{{"objects", withBatch("objects")}, {"none", nil}, {"untriggered", withBatch()}, {"queue", withBatch("queue")}, {"both", withBatch("objects", "queue")},
			{"topic", withBatch("topic")}, {"events", withBatch("events")}, {"stream", withBatch("stream")}}},
		{"places", []choice{{"relative", nil}, {"buckets", settings{"batch.input": "s3://rows-of-ours/in/", "batch.output": "s3://scores-of-ours/out/"}}}},
		{"order", []choice{{"none", nil}, {"stop", settings{"batch.order": "stop"}}, {"skip-group", settings{"batch.order": "skip-group"}}}},
		{"claims", []choice{{"none", nil}, {"table", settings{"batch.claims": "dynamodb://claims"}}}},
		{"split", []choice{{"none", nil}, {"parts", settings{"batch.split.queue": queueURL, "batch.split.parts": 4}}}},
		{"letters", []choice{{"none", nil}, {"kept", settings{"batch.deadLetter": true}}}},
		{"delivery", []choice{{"plain", nil}, {"many", settings{"batch.size": 100, "batch.window": "5s", "batch.maxConcurrency": 8, "batch.attempts": 7, "batch.timeout": "14m"}}}},
		{"streaming", []choice{{"off", nil}, {"on", settings{aws + "responseStreaming": true}}}},
		{"cors", []choice{{"none", nil}, {"two", settings{aws + "cors": []string{"https://a.example.com", "https://b.example.com"}}}, {"all", settings{aws + "cors": []string{"*"}}}}},
		{"throttle", []choice{{"none", nil}, {"set", settings{aws + "throttle.rate": 50, aws + "throttle.burst": 100}}}},
		{"edge", []choice{{"none", nil}, {"open", settings{aws + "edgeCache.maxAge": "1h"}},
			{"keyed", settings{aws + "edgeCache.maxAge": "1h", aws + "edgeCache.keyGroup": "98c6a1ff-4a0b-4c7e-9d3d-0a2b7c1d9e10"}},
			{"named", settings{aws + "edgeCache.maxAge": "1h", aws + "edgeCache.keyGroup": "98c6a1ff-4a0b-4c7e-9d3d-0a2b7c1d9e10",
				aws + "edgeCache.domain": "scores.example.com", aws + "edgeCache.certificate": "arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012"}},
			{"signed", settings{aws + "edgeCache.maxAge": "1h", aws + "edgeCache.keyGroup": "98c6a1ff-4a0b-4c7e-9d3d-0a2b7c1d9e10",
				aws + "edgeCache.domain": "scores.example.com", aws + "edgeCache.certificate": "arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012",
				aws + "edgeCache.webACL": "arn:aws:wafv2:us-east-1:111122223333:global/webacl/scores/12345678-1234-1234-1234-123456789012", aws + "edgeCache.accessLogs": true}}}},
		{"path", []choice{{"none", nil}, {"models", settings{aws + "basePath": "/models"}}}},
		{"sizes", []choice{{"default", nil}, {"others", settings{aws + "memory": "3008MiB", aws + "ephemeralStorage": "2GiB", aws + "logRetention": "7d", aws + "timeout": "20s"}}}},
		{"variables", []choice{{"none", nil}, {"plain", settings{aws + "env.LEVEL": "debug"}}, {"secret", settings{aws + "secrets.DB_PASSWORD": "models/db", aws + "env.LEVEL": "info"}}}},
	}
}

func withBatch(triggers ...string) settings {
	s := settings{"batch.input": "rows/", "batch.output": "scores/"}
	if len(triggers) > 0 {
		s["triggers"] = triggers
	}
	return s
}

// row is the answer to each dimension, by its place.
type row []int

func (r row) name(dims []dimension) string {
	var all []string
	for i, c := range r {
		if c != 0 {
			all = append(all, dims[i].name+"="+dims[i].choices[c].name)
		}
	}
	return strings.Join(all, " ")
}

// has says whether the row has the named choices, as "api=alb".
func (r row) has(dims []dimension, choices ...string) bool {
	for _, want := range choices {
		name, choice, _ := strings.Cut(want, "=")
		i := slices.IndexFunc(dims, func(d dimension) bool { return d.name == name })
		if i < 0 || dims[i].choices[r[i]].name != choice {
			return false
		}
	}
	return true
}

// yaml is godwit.yaml of a row, behind "model: m.onnx". JSON is YAML.
func (r row) yaml(dims []dimension) string {
	all := map[string]any{"targets": map[string]any{"awslambda": map[string]any{}}}
	for i, c := range r {
		for _, path := range slices.Sorted(maps.Keys(dims[i].choices[c].set)) {
			at, keys := all, strings.Split(path, ".")
			for _, k := range keys[:len(keys)-1] {
				if _, ok := at[k].(map[string]any); !ok {
					at[k] = map[string]any{}
				}
				at = at[k].(map[string]any)
			}
			at[keys[len(keys)-1]] = dims[i].choices[c].set[path]
		}
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		b, err := json.Marshal(all[k])
		if err != nil {
			panic(err)
		}
		lines = append(lines, k+": "+string(b))
	}
	return strings.Join(lines, "\n")
}

// deciding are the dimensions on which others depend: two of them are changed
// together where that is needed to make a pair valid.
var deciding = []string{"api", "auth", "vpc", "batch", "compliance", "machines"}

// pair is two choices: of dimension i the a-th, of dimension j the b-th.
type pair struct{ i, a, j, b int }

// covering is rows in which all pairs of choices are that ok lets into any row
// that the search finds; refused is the pairs that are in none.
func covering(dims []dimension, seed uint64, ok func(row) bool) (rows []row, covered, refused []pair) {
	known := map[string]bool{}
	valid := func(r row) bool {
		k := fmt.Sprint(r)
		v, there := known[k]
		if !there {
			v = ok(r)
			known[k] = v
		}
		return v
	}
	base := make(row, len(dims))
	// hopeless is a pair that a refusal names, whatever else is chosen.
	hopeless := func(p pair) bool {
		two := []string{dims[p.i].name + "=" + dims[p.i].choices[p.a].name, dims[p.j].name + "=" + dims[p.j].choices[p.b].name}
		return slices.ContainsFunc(refusals, func(u refusal) bool {
			return !slices.ContainsFunc(u.choices, func(c string) bool { return !slices.Contains(two, c) })
		})
	}
	// witness is a valid row with the pair: the first row but for the pair,
	// and, where these contradict something, but for one or two choices more.
	witness := func(p pair) row {
		r := slices.Clone(base)
		r[p.i], r[p.j] = p.a, p.b
		if valid(r) {
			return r
		}
		free := func(i int) bool { return i != p.i && i != p.j }
		if hopeless(p) {
			return nil
		}
		for x := range dims {
			for c := 1; free(x) && c < len(dims[x].choices); c++ {
				one := slices.Clone(r)
				one[x] = c
				if valid(one) {
					return one
				}
			}
		}
		for x := range dims {
			for y := range x {
				if !free(x) || !free(y) || !slices.Contains(deciding, dims[x].name) || !slices.Contains(deciding, dims[y].name) {
					continue
				}
				for c := 1; c < len(dims[x].choices); c++ {
					for d := 1; d < len(dims[y].choices); d++ {
						two := slices.Clone(r)
						two[x], two[y] = c, d
						if valid(two) {
							return two
						}
					}
				}
			}
		}
		return nil
	}
	open := map[pair]bool{}
	witnesses := map[pair]row{}
	var order []pair
	for j := range dims {
		for i := range j {
			for a := range dims[i].choices {
				for b := range dims[j].choices {
					p := pair{i, a, j, b}
					if w := witness(p); w == nil {
						refused = append(refused, p)
					} else {
						open[p], witnesses[p] = true, w
						order = append(order, p)
					}
				}
			}
		}
	}
	gain := func(r row) (n int) {
		for j := range dims {
			for i := range j {
				if open[pair{i, r[i], j, r[j]}] {
					n++
				}
			}
		}
		return n
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	for _, p := range order {
		if !open[p] {
			continue
		}
		r := witnesses[p]
		for _, x := range rnd.Perm(len(dims)) {
			if x == p.i || x == p.j {
				continue
			}
			best, most := r, gain(r)
			for c := range dims[x].choices {
				other := slices.Clone(r)
				other[x] = c
				if n := gain(other); n > most && valid(other) {
					best, most = other, n
				}
			}
			r = best
		}
		for j := range dims {
			for i := range j {
				if q := (pair{i, r[i], j, r[j]}); open[q] {
					covered = append(covered, q)
					delete(open, q)
				}
			}
		}
		rows = append(rows, r)
	}
	return rows, covered, refused
}

// pairwise is the rows that the spec takes.
func pairwise() (dims []dimension, rows []row, covered, refused []pair) {
	dims = dimensions()
	rows, covered, refused = covering(dims, 7, func(r row) bool {
		_, err := spec.Parse(spec.FileName, []byte("model: m.onnx\n"+r.yaml(dims)))
		without := r.has(dims, "batch=none") && !r.has(dims, "places=relative")
		return err == nil && !without && unsupported(dims, r) == ""
	})
	return dims, rows, covered, refused
}

// unsupported is what the spec takes and the constructs refuse, with why: the
// message has to have it.
func unsupported(dims []dimension, r row) string {
	for _, u := range refusals {
		if r.has(dims, u.choices...) {
			return u.says
		}
	}
	return ""
}

type refusal struct {
	says    string // a part of the message or of its hint
	choices []string
}

var refusals = append([]refusal{
	{"no stream is made", []string{"batch=stream"}},
	{"give vpc with a way to the issuer", []string{"auth=jwt", "compliance=hipaa", "vpc=none"}},
	{"asked who they are", []string{"auth=none", "compliance=aws-solutions"}}, {"asked who they are", []string{"auth=none", "compliance=hipaa"}},
	{"only named callers", []string{"api=url", "auth=key", "compliance=hipaa"}},
	{"TLS 1.2 between callers", []string{"api=url", "edge=keyed", "compliance=aws-solutions"}},
}, slices.Concat(
	each("has no browsers", []string{"api=none"}, []string{"cors=two", "cors=all"}),
	each("a bucket tells of its objects in none", []string{"batch=objects", "batch=both"}, []string{"order=stop", "order=skip-group"}),
	each("leave the order out, or the splitting", []string{"batch=queue", "batch=topic", "batch=events"}, []string{"order=stop", "order=skip-group"}, []string{"split=parts"}),
	each("only named callers", []string{"vpc=groups", "vpc=subnets"}, []string{"api=url"}, []string{"auth=jwt"}, []string{"compliance=hipaa"}),
)...)

// each is a refusal of every combination.
func each(says string, choices ...[]string) []refusal {
	all := []refusal{{says: says}}
	for _, some := range choices {
		var next []refusal
		for _, r := range all {
			for _, c := range some {
				next = append(next, refusal{says, append(slices.Clone(r.choices), c)})
			}
		}
		all = next
	}
	return all
}

func TestCoveringCoversAllPairs(t *testing.T) {
	dims := make([]dimension, 5)
	for i := range dims {
		dims[i] = dimension{name: fmt.Sprint("d", i), choices: make([]choice, 2+i%3)}
	}
	// The third choice of d1 goes with nothing but the second of d0.
	ok := func(r row) bool { return r[1] != 2 || r[0] == 1 }
	rows, covered, refused := covering(dims, 1, ok)
	seen := map[pair]bool{}
	for _, r := range rows {
		if !ok(r) {
			t.Errorf("row %v is not valid", r)
		}
		for j := range dims {
			for i := range j {
				seen[pair{i, r[i], j, r[j]}] = true
			}
		}
	}
	for _, p := range covered {
		if !seen[p] {
			t.Errorf("pair %v is in no row", p)
		}
	}
	if want := []pair{{0, 0, 1, 2}}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	total := 0
	for j := range dims {
		for i := range j {
			total += len(dims[i].choices) * len(dims[j].choices)
		}
	}
	if len(covered)+len(refused) != total {
		t.Errorf("covered %d and refused %d pairs, want %d in all", len(covered), len(refused), total)
	}
	if again, _, _ := covering(dims, 1, ok); fmt.Sprint(again) != fmt.Sprint(rows) {
		t.Error("want the same rows of the same seed")
	}
}

// loadRow is the function of a row.
func loadRow(t testing.TB, yaml string) *cdk.Function {
	t.Helper()
	dir := folder(t, yaml)
	s, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := &cdk.LoadOptions{Image: image}
	if s.Targets.AWSLambda.Package == "zip" {
		o = &cdk.LoadOptions{Zip: pack(t, filepath.Join(dir, "m.zip"), map[string]string{"bootstrap": "x", "requests/m/1.want.json": "{}"})}
	}
	f, err := cdk.Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
