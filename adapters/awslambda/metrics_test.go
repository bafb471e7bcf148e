package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

// The line of an invocation is there when its answer is, and only then.
func TestMetricsAreWrittenBeforeTheReply(t *testing.T) {
	var out bytes.Buffer
	m := awslambda.NewMetrics(&out, "f", "7")
	h := awslambda.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		m.Request(telemetry.RequestEvent{Model: "iris", Version: "1", Duration: 1500 * time.Microsecond})
		m.Inference(telemetry.InferenceEvent{Model: "iris", Version: "1", Compute: time.Millisecond, Rows: 4})
	}), nil, &awslambda.Options{Metrics: m})
	m.Runtime(telemetry.RuntimeInfo{Version: "1.2.3", Engine: "onnxruntime", EngineVersion: "1.29.0", Provider: "cpu", Target: "awslambda"})
	m.Start("load", 20*time.Millisecond)
	event := []byte(`{"version":"2.0","rawPath":"/",` + v2Context("$default") + `}`)
	if _, err := h.Invoke(context.Background(), event); err != nil {
		t.Fatal(err)
	}
	got := objects(t, &out)
	if len(got) != 2 {
		t.Fatalf("want a line for the start and one for the model, got %v", got)
	}
	for _, o := range got {
		o["_aws"].(map[string]any)["Timestamp"] = 0
	}
	want := []map[string]any{{
		"_aws": map[string]any{"Timestamp": 0, "CloudWatchMetrics": []any{map[string]any{"Namespace": "Godwit", "Dimensions": []any{[]any{"Function"}},
			"Metrics": []any{map[string]any{"Name": "StartLoad", "Unit": "Milliseconds"}}}}},
		"Function": "f", "StartLoad": 20.0, "runtime": "godwit 1.2.3, onnxruntime 1.29.0, cpu",
	}, {
		"_aws": map[string]any{"Timestamp": 0, "CloudWatchMetrics": []any{map[string]any{"Namespace": "Godwit", "Dimensions": []any{[]any{"Function", "Model", "Version"}, []any{"Function"}},
			"Metrics": []any{map[string]any{"Name": "Requests", "Unit": "Count"}, map[string]any{"Name": "Errors", "Unit": "Count"}, map[string]any{"Name": "RequestTime", "Unit": "Milliseconds"},
				map[string]any{"Name": "QueueTime", "Unit": "Milliseconds"}, map[string]any{"Name": "ComputeTime", "Unit": "Milliseconds"}, map[string]any{"Name": "BatchRows", "Unit": "Count"}}}}},
		"Function": "f", "Model": "iris", "Version": "1", "runtime": "godwit 1.2.3, onnxruntime 1.29.0, cpu",
		"Requests": 1.0, "Errors": 0.0, "RequestTime": 1.5, "QueueTime": 0.0, "ComputeTime": 1.0, "BatchRows": 4.0,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out.Reset()
	m.Flush()
	if out.Len() > 0 {
		t.Errorf("want nothing twice, got %s", out.String())
	}
}

// Whatever happens in an invocation, what is printed follows the specification.
func TestMetricsAreValid(t *testing.T) {
	var out bytes.Buffer
	m := awslambda.NewMetrics(&out, "", "7")
	for i := range 250 { // more values than one metric may have
		m.Request(telemetry.RequestEvent{Model: "a\nb\x1b[31m", Version: "1", Code: fault.Codes()[i%len(fault.Codes())], Duration: time.Duration(i)})
	}
	m.Request(telemetry.RequestEvent{Model: telemetry.Other})
	m.Cache(telemetry.CacheEvent{Model: "iris", Version: "1", Bytes: 1, Hits: 2, Misses: 3})
	m.Restarted()
	for i := range 150 { // more metrics than one object may have
		m.Start(fmt.Sprintf("phase%d", i), time.Second)
	}
	m.Start("", time.Second)
	m.Flush()
	requests := 0
	for _, o := range objects(t, &out) {
		if n, ok := o["Requests"].([]any); ok {
			requests += len(n)
		} else if _, ok := o["Requests"].(float64); ok {
			requests++
		}
	}
	if requests != 251 {
		t.Errorf("want 251 requests over all lines, got %d", requests)
	}
}

// All metrics that there can be, which dashboards and alarms may watch: a file
// that those who draw them read too.
func TestMetricNames(t *testing.T) {
	var out bytes.Buffer
	m := awslambda.NewMetrics(&out, "f", "7")
	m.Request(telemetry.RequestEvent{Model: "iris", Version: "1", Code: fault.Internal})
	m.Inference(telemetry.InferenceEvent{Model: "iris", Version: "1"})
	m.Cache(telemetry.CacheEvent{Model: "iris", Version: "1"})
	m.Restarted()
	for _, phase := range []string{"load", "warmup", "ready"} { // of internal/fnlambda
		m.Start(phase, time.Second)
	}
	m.Flush()
	var lines []string
	for _, o := range objects(t, &out) {
		for _, d := range o["_aws"].(map[string]any)["CloudWatchMetrics"].([]any) {
			d := d.(map[string]any)
			for _, metric := range d["Metrics"].([]any) {
				for _, set := range d["Dimensions"].([]any) {
					names := []string{d["Namespace"].(string), metric.(map[string]any)["Name"].(string)}
					for _, name := range set.([]any) {
						names = append(names, name.(string))
					}
					lines = append(lines, strings.Join(names, " ")+"\n")
				}
			}
		}
	}
	slices.Sort(lines)
	golden.Check(t, "metrics.golden", []byte(strings.Join(lines, "")))
}

// Faults are the function's own and name its version; what callers do wrong is
// none, and where there is none nothing is written.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		codes []fault.Code
		want  any
	}{
		{[]fault.Code{fault.OK, fault.Invalid, fault.RateLimited, fault.Canceled}, nil},
		{[]fault.Code{fault.OK, fault.Internal}, 1.0},
		{[]fault.Code{fault.Unavailable, fault.DeadlineExceeded}, []any{1.0, 1.0}},
	} {
		var out bytes.Buffer
		m := awslambda.NewMetrics(&out, "f", "")
		for _, code := range c.codes {
			m.Request(telemetry.RequestEvent{Model: "iris", Version: "1", Code: code})
		}
		m.Start("load", time.Second) // another line without a model
		m.Flush()
		var got, version any
		for _, o := range objects(t, &out) {
			if o["Faults"] != nil {
				got, version = o["Faults"], o["ExecutedVersion"]
				if o["Model"] != nil || o["StartLoad"] != nil {
					t.Errorf("%v: want a line of its own, got %v", c.codes, o)
				}
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" || got != nil && version != "unknown" {
			t.Errorf("%v (-want +got):\n%s, version %v", c.codes, diff, version)
		}
	}
}

// objects reads lines in CloudWatch's embedded metric format, strictly.
func objects(t *testing.T, out *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out.String()) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		checkEMF(t, o)
		all = append(all, o)
	}
	return all
}

func checkEMF(t *testing.T, o map[string]any) {
	t.Helper()
	aws := o["_aws"].(map[string]any)
	if ms, ok := aws["Timestamp"].(float64); !ok || time.Since(time.UnixMilli(int64(ms))).Abs() > time.Hour {
		t.Errorf("timestamp %v", aws["Timestamp"])
	}
	for _, d := range aws["CloudWatchMetrics"].([]any) {
		d := d.(map[string]any)
		if n := d["Namespace"].(string); n == "" || len(n) > 1024 {
			t.Errorf("namespace %q", n)
		}
		for _, set := range d["Dimensions"].([]any) {
			if len(set.([]any)) > 30 {
				t.Errorf("a set of %d dimensions", len(set.([]any)))
			}
			for _, name := range set.([]any) {
				if v, ok := o[name.(string)].(string); !ok || v == "" || len(v) > 1024 {
					t.Errorf("dimension %v: want a string at the root, got %v", name, o[name.(string)])
				}
			}
		}
		metrics := d["Metrics"].([]any)
		if len(metrics) == 0 || len(metrics) > 100 {
			t.Errorf("%d metrics in one object", len(metrics))
		}
		for _, m := range metrics {
			m := m.(map[string]any)
			if !slices.Contains([]string{"Count", "Bytes", "Milliseconds"}, m["Unit"].(string)) {
				t.Errorf("unit %v", m["Unit"])
			}
			switch v := o[m["Name"].(string)].(type) {
			case float64:
			case []any:
				if len(v) == 0 || len(v) > 100 {
					t.Errorf("%d values of %v", len(v), m["Name"])
				}
			default:
				t.Errorf("metric %v: want numbers at the root, got %v", m["Name"], v)
			}
		}
	}
}
