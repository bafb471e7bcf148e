package cost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/cost"
	"godwit.dev/internal/golden"
	"godwit.dev/internal/simulate"
	"godwit.dev/runtime/fault"
)

const function = "model: fraud.onnx\nauth: none\ntargets: {awslambda: {}, cloudrun: {}, sagemaker: {}}\n"

func parse(t testing.TB, text string) *spec.Spec {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t testing.TB, r cost.Requests, o *cost.Options) *cost.Ask {
	t.Helper()
	all, err := cost.Configs(parse(t, function), o)
	if err != nil {
		t.Fatal(err)
	}
	return &cost.Ask{Function: "fraud", Configs: all, Times: measured(), Arrivals: cost.Arrivals{Rate: r}, Now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
}

func report(t testing.TB, a *cost.Ask) *cost.Report {
	t.Helper()
	r, err := cost.New(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func row(t testing.TB, r *cost.Report, name string) *cost.Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Name == name {
			return row
		}
	}
	t.Fatalf("no row %s", name)
	return nil
}

// Every target is there, with what it has to say.
func TestReport(t *testing.T) {
	t.Parallel()
	a := ask(t, 2e6, &cost.Options{Node: "m5.large"})
	r := report(t, a)
	t.Run("break-even", func(t *testing.T) { breakEven(t, a, r) })
	names := map[string]bool{}
	for i, row := range r.Rows {
		names[strings.Split(row.Name, "/")[0]] = true
		if row.Configuration == "" || len(row.Excluded) < 3 {
			t.Errorf("%s: want its configuration and what is not included, got %+v", row.Name, row)
		}
		if row.At == nil {
			if !strings.Contains(row.Unknown, "--gpu-ms") || !strings.HasSuffix(row.Name, "/gpu") {
				t.Errorf("%s: unknown: %s", row.Name, row.Unknown)
			}
			continue
		}
		if i > 0 && row.At.USD.Cmp(r.Rows[i-1].At.USD) < 0 {
			t.Errorf("%s is cheaper than the one before it", row.Name)
		}
		at := row.At
		if at.Low.Cmp(at.USD) > 0 || at.High.Cmp(at.USD) < 0 || row.Idle.Cmp(at.USD) > 0 || row.Ten.USD.Cmp(at.USD) < 0 {
			t.Errorf("%s: want idle ≤ the rate ≤ ten times, within the range, got %v, %v in %v to %v, %v", row.Name, row.Idle, at.USD, at.Low, at.High, row.Ten.USD)
		}
		if at.Seen == nil || at.Seen.P99 < 12 || at.FastP99 >= at.SlowP99 || len(at.Sensitivity) != 4 || len(at.Bill.Lines) == 0 || at.PerMillion == nil {
			t.Errorf("%s: want latencies, sensitivities and a bill, got %+v", row.Name, at)
		}
	}
	for _, target := range []string{"awslambda", "cloudrun", "azurefunctions", "knative", "sagemaker", "vertexai", "azureml"} {
		if !names[target] {
			t.Errorf("no %s", target)
		}
	}
	if !row(t, r, "awslambda").Chosen || row(t, r, "awslambda/arm64").Chosen || row(t, r, "vertexai").Chosen {
		t.Error("want what the spec has to be chosen, and nothing else")
	}
	if len(r.Warnings) != 0 || r.Prices == "" {
		t.Errorf("want no warnings a day after the prices were read, got %q, %q", r.Warnings, r.Prices)
	}
}

// breakEven: where two bills cross, they do: one request below the machine is dearer,
// from there on it is not.
func breakEven(t *testing.T, a *cost.Ask, r *cost.Report) {
	configs := map[string]*cost.Config{}
	for _, c := range a.Configs {
		configs[c.Name] = c
	}
	l := measured().Load()
	usd := func(name string, n cost.Requests) cost.Money {
		return configs[name].Bill(configs[name].Steady(n, l), false).Total
	}
	found := 0
	for _, row := range r.Rows {
		if row.BreakEven == nil {
			continue
		}
		found++
		use, machine, n := row.Name, row.BreakEven.Against, row.BreakEven.Requests
		if row.Kind == cost.Standing {
			use, machine = machine, use
		}
		if usd(use, n-1).Cmp(usd(machine, n-1)) > 0 || usd(use, n).Cmp(usd(machine, n)) <= 0 {
			t.Errorf("%s and %s at %d: %v and %v, one request before: %v and %v", use, machine, n, usd(use, n), usd(machine, n), usd(use, n-1), usd(machine, n-1))
		}
	}
	if found < 8 {
		t.Errorf("want break-even points, got %d", found)
	}
	for i, from := range r.Cheapest {
		for _, c := range a.Configs {
			if c.Unknown == "" && usd(c.Name, from.Requests).Cmp(usd(from.Name, from.Requests)) < 0 {
				t.Errorf("at %v %s is cheaper than %s", from.Requests, c.Name, from.Name)
			}
		}
		if i > 0 && (from.Requests <= r.Cheapest[i-1].Requests || from.Name == r.Cheapest[i-1].Name) {
			t.Errorf("want rising rates and other targets, got %+v", r.Cheapest)
		}
	}
	if len(r.Cheapest) < 2 {
		t.Errorf("want a machine to be the cheapest somewhere, got %+v", r.Cheapest)
	}
}

// Prices are warned about from their 91st day on, by the clock that is given.
func TestOldPrices(t *testing.T) {
	t.Parallel()
	a := ask(t, 1000, &cost.Options{Targets: []string{"cloudrun", "awslambda"}})
	day, err := time.Parse(time.DateOnly, report(t, a).Prices)
	if err != nil {
		t.Fatal(err)
	}
	for days, want := range map[int]int{data.StaleDays: 0, data.StaleDays + 1: 3} { // Cloud Run's, Lambda's, the gateway's
		a.Now = day.AddDate(0, 0, days)
		r := report(t, a)
		if len(r.Warnings) != want && !(want > 0 && len(r.Warnings) >= want) {
			t.Errorf("after %d days: want %d warnings, got %q", days, want, r.Warnings)
		}
		for _, w := range r.Warnings {
			if !strings.HasPrefix(w, "prices are older than 90 days: ") {
				t.Errorf("got %q", w)
			}
		}
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	r := report(t, ask(t, 2e6, &cost.Options{Targets: []string{"awslambda", "sagemaker", "cloudrun/*"}}))
	for _, tt := range []struct {
		most  string
		named []string
		code  fault.Code
		want  string
	}{
		{"$100", nil, fault.OK, ""},
		{"$10", nil, fault.TooLarge, "sagemaker: want at most $10.00 a month, got $74."},
		{"$10", []string{"awslambda"}, fault.OK, ""},
		{"$1", []string{"awslambda"}, fault.TooLarge, "awslambda: want at most $1.00"},
		{"$100", []string{"cloudrun/*"}, fault.OK, ""},
		{"$5", []string{"cloudrun/*"}, fault.TooLarge, "cloudrun"},
		{"$100", []string{"cloudrun/gpu"}, fault.Unsupported, "cloudrun/gpu: want its cost, to hold it to $100.00 a month, got none: the time of a run on the GPU"},
	} {
		most, err := cost.ParseMoney(tt.most)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Hold(most, tt.named); fault.CodeOf(err) != tt.code && !(err == nil && tt.code == fault.OK) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: got %v, want %v %q", tt.most, tt.named, err, tt.code, tt.want)
		}
	}
}

func TestConfigs(t *testing.T) {
	s := parse(t, function)
	for _, tt := range []struct {
		o    cost.Options
		code fault.Code
		want string
	}{
		{cost.Options{Targets: []string{"lambda"}}, fault.Usage, `got "lambda"`},
		{cost.Options{Targets: []string{"awslambda/gpu"}}, fault.Usage, `got "awslambda/gpu"`},
		{cost.Options{Targets: []string{"cloudrun/gpu"}}, fault.Usage, "want the time of a run on its GPU"},
	} {
		if _, err := cost.Configs(s, &tt.o); fault.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.o.Targets, err, tt.want)
		}
	}
	for name, want := range map[string]string{
		"awslambda":                    "1769MiB, amd64 zip, HTTP API",
		"awslambda/arm64":              "1769MiB, arm64 zip, HTTP API",
		"awslambda/image":              "1769MiB, amd64 image, HTTP API",
		"awslambda/provisioned":        "1769MiB, amd64 zip, HTTP API, 1 provisioned",
		"cloudrun/instance":            "1 CPU, 1GiB, billed by instance",
		"cloudrun/gpu":                 "4 CPU, 16GiB, billed by instance, nvidia-l4",
		"azurefunctions":               "Flex Consumption, 2GiB",
		"azurefunctions/premium":       "Premium EP1, 1 at least",
		"azurefunctions/containerapps": "Container Apps, 1 CPU, 2GiB",
		"knative":                      "pods of 1 CPU, 1GiB on n2-standard-2",
		"sagemaker/serverless":         "serverless endpoint, 2GiB",
		"vertexai/gpu":                 "endpoint, 1 of n1-standard-4 at least with 1 of NVIDIA_TESLA_T4",
		"azureml/gpu":                  "endpoint, 1 of Standard_NC4as_T4_v3",
		"edge":                         "the device",
	} {
		all, err := cost.Configs(s, &cost.Options{Targets: []string{name}, GPU: true, Node: "n2-standard-2"})
		if err != nil || len(all) != 1 || all[0].Text != want || all[0].Unknown != "" || all[0].Name != name {
			t.Errorf("%s: got %+v, %v, want %q", name, all, err, want)
		}
	}
	if _, err := cost.Configs(s, &cost.Options{Targets: []string{"knative"}, Node: "abacus"}); err != nil {
		t.Errorf("want an unknown node to be unknown, got %v", err)
	}
	if s.Targets.AWSLambda.Architecture != "amd64" || s.Targets.AWSLambda.ProvisionedConcurrency != 0 {
		t.Error("a variant changed the spec")
	}
}

func TestRegions(t *testing.T) {
	a := ask(t, 1000, &cost.Options{Targets: []string{"awslambda", "cloudrun"}})
	a.Regions = []string{"us-west-2"}
	r := report(t, a)
	if got := row(t, r, "awslambda"); got.Region != "us-west-2" || got.At == nil {
		t.Errorf("want Lambda's prices in Oregon, got %+v", got)
	}
	if got := row(t, r, "cloudrun"); got.At != nil || !strings.Contains(got.Unknown, "its prices are known in [us-central1 ") {
		t.Errorf("want Cloud Run unknown there, got %+v", got)
	}
	nodes := ask(t, 1000, &cost.Options{Targets: []string{"knative", "cloudrun/gpu", "cloudrun"}, Node: "e2-standard-4", GPU: true})
	nodes.Times.GPUMS = 1
	nodes.Regions = []string{"us-east-1", "europe-west1"}
	r = report(t, nodes)
	for name, known := range map[string]bool{"knative": false, "cloudrun/gpu": false, "cloudrun": true} { // a node of Google's, and the list of GPUs
		if got := row(t, r, name); (got.At != nil) != known {
			t.Errorf("%s in %v: got %q, %q", name, nodes.Regions, got.Region, got.Unknown)
		}
	}
	a.Regions = []string{"moon-north-1"}
	if _, err := cost.New(t.Context(), a); fault.CodeOf(err) != fault.Usage {
		t.Errorf("want a coded error, got %v", err)
	}
}

// What does not fit is said, and billed as what would be needed.
func TestTooSmall(t *testing.T) {
	t.Parallel()
	a := ask(t, 1e9, &cost.Options{Targets: []string{"azureml", "awslambda", "cloudrun"}})
	a.Times.Memory = 1200 << 20
	r := report(t, a)
	if got := row(t, r, "azureml"); len(got.Over) != 1 || got.Instances < 2 || !strings.Contains(got.Over[0], "more than the 1 instances") {
		t.Errorf("want too few instances, got %v of %v", got.Over, got.Instances)
	}
	if got := row(t, r, "cloudrun"); len(got.Over) == 0 || !strings.Contains(got.Over[len(got.Over)-1], "1GiB of memory, and the server took 1200 MiB") {
		t.Errorf("want too little memory, got %v", got.Over)
	}
	if got := row(t, r, "awslambda"); len(got.Over) != 0 {
		t.Errorf("want it to fit, got %v", got.Over)
	}
}

// every is one request each so often, and bursts of them each hour.
type every struct{ n int }

const traced = 48 * time.Hour

func (e *every) Next() (simulate.Arrival, error) {
	at := time.Duration(e.n/10)*time.Hour + time.Duration(e.n%10)*time.Millisecond
	e.n++
	if at >= traced {
		return simulate.Arrival{}, io.EOF
	}
	return simulate.Arrival{At: at}, nil
}

// With a trace bills are of what the simulator saw: ten requests at once each hour
// start ten environments of Lambda, which an even rate would not.
func TestTrace(t *testing.T) {
	t.Parallel()
	a := ask(t, 7300, &cost.Options{Targets: []string{"awslambda", "sagemaker"}})
	even := report(t, a)
	a.Arrivals.Trace = func() (simulate.Source, error) { return &every{n: 0}, nil }
	a.Arrivals.Length, a.Arrivals.Peak = traced, 10*60*24*365/12
	bursts := report(t, a)
	x, y := row(t, even, "awslambda").At, row(t, bursts, "awslambda").At
	if y.Seen.ColdShare < 0.99 || y.Seen.ColdShare < 2*x.Seen.ColdShare || y.USD.Cmp(x.USD) <= 0 {
		t.Errorf("want all cold and dearer, got %v and %v, cold %v and %v", x.USD, y.USD, x.Seen.ColdShare, y.Seen.ColdShare)
	}
	if got := row(t, bursts, "awslambda").Even(); got == "" {
		t.Error("want a break-even point against the machine")
	}
	if !bursts.Trace || row(t, bursts, "sagemaker").At.Seen.ColdShare != 0 {
		t.Error("want no cold starts of a machine that stands")
	}
}

// The document stays as it is, but where figures change on purpose, and the page has
// what it should.
func TestDocument(t *testing.T) {
	t.Parallel()
	a := ask(t, 2e6, &cost.Options{Targets: []string{"awslambda", "cloudrun/*", "sagemaker"}})
	r := report(t, a)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "report.json", append(b, '\n'))
	page, err := r.Page().HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`class="line`, `class="axis"`, `class="bar`, "asked: 2M/month", "What fraud costs", "cloudrun/instance", "unknown", "Not included", "Assumed", "a request of 4 rows, alone", "<table>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	again, err := report(t, a).Page().HTML()
	if err != nil || string(again) != string(page) {
		t.Error("want the same page of the same report")
	}
}

// Zero requests are idle, and nothing divides by them.
func TestNothing(t *testing.T) {
	r := report(t, ask(t, 0, nil))
	for _, row := range r.Rows {
		if row.At == nil {
			continue
		}
		if row.At.USD.Cmp(*row.Idle) != 0 || row.At.PerMillion != nil || row.At.Seen != nil {
			t.Errorf("%s: got %+v, idle %v", row.Name, row.At, row.Idle)
		}
	}
	if _, err := r.Page().HTML(); err != nil {
		t.Error(err)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := ask(t, 2e6, nil)
	a.Progress = func(done, _ int, _ string) {
		if done == 1 {
			cancel()
		}
	}
	if _, err := cost.New(ctx, a); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want it canceled, got %v", err)
	}
}

func ExampleParseRequests() {
	r, err := cost.ParseRequests("500k/day")
	fmt.Println(int64(r), r, err)
	// Output: 15208333 15.2M/month <nil>
}
