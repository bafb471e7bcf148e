package sagemaker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/oip"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

// transform runs a batch transform job over one object, and counts its requests.
func transform(t *testing.T, o *sagemaker.Options, object string, settings ...string) (_ *emulate.Reply, requests int64, _ error) {
	t.Helper()
	a := adapter
	a.New = func(s *adaptertest.Subject, _ func(string) string) http.Handler {
		return sagemaker.New(s.API, s.Events, o)
	}
	var asked atomic.Int64
	i := a.Start(t, nil, &emulate.Options{Trace: func(emulate.Exchange) { asked.Add(1) }})
	h := http.Header{}
	for _, line := range settings {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Header: h, Body: []byte(object)})
	return reply, asked.Load(), err
}

// An object's rows come back as as many rows in their order, however the job
// splits it and puts it together again.
func TestTransform(t *testing.T) {
	row := func(i int) string { return fmt.Sprintf("%d,%d,%d\n", i, i+1, i+2) }
	var many strings.Builder
	for i := range 100_000 {
		many.WriteString(row(i))
	}
	const csv, line, back = "Content-Type: text/csv", "Split-Type: Line", "Accept: text/csv"
	const jsonl = "Content-Type: application/jsonlines"
	fp32 := &sagemaker.Options{Model: "echo-FP32"}
	for name, c := range map[string]struct {
		opts     *sagemaker.Options
		object   string
		settings []string
		requests int64
		want     string // begins with "~": within the reply
		status   int    // default 200
	}{
		"whole":                  {fp32, "1,2,3\n4,5,6", []string{csv, back}, 1, "1,2,3\n4,5,6\n", 0},
		"together":               {fp32, "1,2,3\n4,5,6\n7,8,9", []string{csv, back, line, "Assemble-With: Line"}, 1, "1,2,3\n4,5,6\n7,8,9\n", 0},
		"one by one":             {fp32, "1,2,3\n4,5,6\n7,8,9", []string{csv, back, line, "Batch-Strategy: SingleRecord"}, 3, "1,2,3\n4,5,6\n7,8,9\n", 0},
		"several under way":      {fp32, many.String(), []string{csv, back, line, "Max-Payload-In-MB: 1", "Max-Concurrent-Transforms: 8", "Assemble-With: Line"}, 2, many.String(), 0},
		"a line for each row":    {fp32, "1,2,3\n4,5,6", []string{csv, "Accept: application/jsonlines", line}, 1, "[1,2,3]\n[4,5,6]\n", 0},
		"JSON, put in lines":     {fp32, rawBody, []string{"Content-Type: application/json", "Assemble-With: Line"}, 1, "~}\n", 0},
		"lines of JSON":          {fp32, "{\"n\":1}\n{\"n\":2}\n", []string{jsonl, line, "Batch-Strategy: MultiRecord"}, 1, `~"ID":"2"`, 0},
		"a bad line among good":  {fp32, "{\"n\":1}\n{\"test_fail\":\"invalid\"}\r\n{\"n\":3}", []string{jsonl}, 1, "~\n{\"error\":\"the subject: told to\",\"code\":\"invalid\"}\n{", 0},
		"a line that crashes":    {fp32, "{\"n\":1}\n{\"test_panic\":1}\n", []string{jsonl}, 1, "~\"code\":\"internal\"}\n", 0},
		"a line that may pass":   {fp32, "{\"n\":1}\n{\"test_fail\":\"unavailable\"}\n", []string{jsonl}, 4, "~unavailable", 503},
		"a bad row":              {fp32, "1,2,3\n4,x,6", []string{csv, line}, 1, "~line 2, column 2", 400},
		"as a container says it": {&sagemaker.Options{Model: "addsub"}, "{}\n{}\n", []string{jsonl, line}, 2, `~"ID":"1"`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply, requests, err := transform(t, c.opts, c.object, c.settings...)
			if err != nil {
				t.Fatal(err)
			}
			status := max(c.status, 200)
			part, within := strings.CutPrefix(c.want, "~")
			got := string(reply.Body)
			if reply.Status != status || requests != c.requests || within && !strings.Contains(got, part) || !within && got != c.want {
				t.Errorf("want %d after %d requests and %.200q, got %d after %d: %.300q", status, c.requests, c.want, reply.Status, requests, got)
			}
		})
	}
	for name, settings := range map[string][]string{
		"another split":   {csv, "Split-Type: RecordIO"},
		"too many at one": {csv, "Max-Concurrent-Transforms: 17"},
		"no number":       {csv, "Max-Payload-In-MB: 0"},
		"a large record":  {csv, line, "Max-Payload-In-MB: 1"},
	} {
		if reply, requests, err := transform(t, fp32, strings.Repeat("1", 1<<20+1), settings...); err == nil || requests != 0 {
			t.Errorf("%s: want a job that fails before it asks, got %+v after %d", name, reply, requests)
		}
	}
}

// post asks for JSON Lines, of a model that echoes unless the path says another.
func post(h http.Handler, path, body string, headers ...string) (int, []string) {
	w := adaptertest.Ask(h, http.MethodPost, path, body, append([]string{"Content-Type: application/jsonlines"}, headers...)...)
	return w.Code, strings.SplitAfter(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
}

// Lines reach the handler as they are, each an item of its own, 64 at a
// time, for the model that the request names.
func TestLines(t *testing.T) {
	s := adaptertest.For(t, nil)
	var got []*trigger.Event
	ids := map[string]bool{}
	h := sagemaker.New(s.API, trigger.HandlerFunc(func(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
		got = append(got, ev)
		out := make([]trigger.Outcome, len(ev.Items))
		for i := range out {
			out[i] = trigger.Outcome{State: trigger.Done, Result: bytes.TrimSpace(ev.Items[i].Data)}
			ids[ev.Items[i].Key] = true
		}
		return out
	}), &sagemaker.Options{Model: "echo-FP32"})
	want := strings.Split(strings.TrimSuffix(strings.Repeat("{\"a\":1}\n\n\"b\"\n", 700), "\n"), "\n")
	status, lines := post(h, "/invocations", strings.Join(want, "\r\n"))
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	}
	if status != http.StatusOK || !cmp.Equal(want, lines) || len(ids) != len(want) {
		t.Errorf("%d lines, %d of them different: got %d, %d lines", len(want), len(ids), status, len(lines))
	}
	if len(got) != 33 || len(got[0].Items) != 64 || len(got[32].Items) != 52 || !got[0].Replies || got[0].Order != trigger.Unordered {
		t.Fatalf("want 32 times 64 and 52 lines, whose answers go back, got %d deliveries", len(got))
	}
	if i := got[16].Items[0]; i.ID != "1025" || i.ContentType != "application/json" {
		t.Errorf("line 1025: %+v", i)
	}
	for _, c := range []struct {
		path, header string
		want         map[string]string
	}{
		{"/invocations", "", map[string]string{"model": "echo-FP32"}},
		{"/invocations", attributes + ": model=text&version=1", map[string]string{"model": "text", "model_version": "1"}},
		{"/models/addsub/invoke", "", map[string]string{"model": "addsub"}},
	} {
		got = nil
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		if status, _ := post(h, c.path, "{}", headers...); status != http.StatusOK || !cmp.Equal(c.want, got[0].Items[0].Attributes) {
			t.Errorf("%s %s: got %d, %v", c.path, c.header, status, got[0].Items[0].Attributes)
		}
	}
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/invocations", "", 400, "got nothing"},
		{"/invocations", "\n", 400, "got nothing"},
		{"/models/none/invoke", "{}", 404, "not_found"},
		{"/models/..%2Fx/invoke", "{}", 400, "invalid"},
		{"/invocations", strings.Repeat("\n", sagemaker.MaxLines) + "1", 413, "smaller MaxPayloadInMB"},
	} {
		got = nil
		if status, lines := post(h, c.path, c.body); status != c.status || !strings.Contains(lines[0], c.want) || got != nil {
			t.Errorf("%s %.10q: want %d and %q, got %d, %s", c.path, c.body, c.status, c.want, status, lines[0])
		}
	}
	if status, lines := post(h, "/invocations", strings.Repeat("1\n", sagemaker.MaxLines)); status != http.StatusOK || len(lines) != sagemaker.MaxLines {
		t.Errorf("as many lines as may be: got %d, %d", status, len(lines))
	}
	if status, lines := post(of(s.API, "echo-FP32"), "/invocations", "{}"); status != http.StatusUnsupportedMediaType {
		t.Errorf("nobody for lines: got %d, %s", status, lines)
	}
}

// A line for each row has all outputs that have one.
func TestRowsInLines(t *testing.T) {
	s := adaptertest.For(t, nil)
	for name, c := range map[string]struct {
		outputs []tensor.Tensor
		status  int
		want    string
	}{
		"one output":     {[]tensor.Tensor{tensor.Of("y", []int64{2, 1}, []int64{1, 2})}, 200, "=[1]\n[2]\n"},
		"two outputs":    {[]tensor.Tensor{tensor.OfStrings("label", []int64{2}, "a\n", "b"), tensor.Of("p", []int64{2, 2}, []float32{0.5, 1, 2, 3})}, 200, "={\"label\":\"a\\n\",\"p\":[0.5,1]}\n{\"label\":\"b\",\"p\":[2,3]}\n"},
		"what all share": {[]tensor.Tensor{tensor.Of("p", []int64{2, 2}, []float32{0, 1, 2, 3}), tensor.OfStrings("p_keys", []int64{2}, "a", "b")}, 422, "p_keys"},
		"a number":       {[]tensor.Tensor{tensor.Of("y", nil, []float32{1})}, 422, "Accept application/json"},
		"no row of each": {[]tensor.Tensor{tensor.Of("y", []int64{1}, []float32{1})}, 422, "Accept application/json"},
	} {
		api := oip.New(s.Models, infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
			return &infer.Response{Model: "echo-FP32", Outputs: c.outputs}, nil
		}), nil)
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(of(api, "echo-FP32"), http.MethodPost, "/invocations", "1,2,3\n4,5,6", "Content-Type: text/csv", "Accept: application/jsonlines;q=1, */*")
			adaptertest.Answered(t, w, c.status, c.want)
			if w.Code == 200 && w.Header().Get("Content-Type") != "application/jsonlines" {
				t.Errorf("type %q", w.Header().Get("Content-Type"))
			}
		})
	}
}

// An answer of lines may be as large as any.
func TestLinesHaveBounds(t *testing.T) {
	s := adaptertest.For(t, nil)
	big := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i := range out {
			out[i] = trigger.Outcome{State: trigger.Done, Result: make([]byte, 99)}
		}
		return out
	})
	for most, want := range map[int64]int{300 * 100: 200, 300*100 - 1: 413, 64*100 - 1: 413, 0: 200} {
		api := oip.New(s.Models, nil, &oip.Options{Limits: &codec.Limits{Response: most}})
		status, lines := post(sagemaker.New(api, big, &sagemaker.Options{Model: "echo-FP32"}), "/invocations", strings.Repeat("{}\n", 300))
		if status != want || want == 413 && !strings.Contains(lines[0], "limits.response") {
			t.Errorf("at most %d bytes: want %d, got %d, %.200s", most, want, status, lines[0])
		}
	}
}

// counting keeps which requests are counted.
type counting struct {
	telemetry.Discard
	requests []telemetry.RequestEvent
}

func (c *counting) Request(e telemetry.RequestEvent) { c.requests = append(c.requests, e) }

// A body of lines is one request, for metrics too, and says what it is.
func TestLinesAreCounted(t *testing.T) {
	s := adaptertest.For(t, nil)
	var sink counting
	h := sagemaker.New(oip.New(s.Models, nil, &oip.Options{Sink: &sink}), s.Events, &sagemaker.Options{Model: "addsub"})
	w := adaptertest.Ask(h, http.MethodPost, "/invocations", "{}\n{}", "Content-Type: application/jsonlines")
	if got := w.Header()["Content-Type"]; w.Code != http.StatusOK || !cmp.Equal(got, []string{"application/jsonlines"}) {
		t.Errorf("got %d, %q", w.Code, got)
	}
	if len(sink.requests) != 1 || sink.requests[0].Model != "addsub" || sink.requests[0].Code != fault.OK {
		t.Errorf("counted: %+v", sink.requests)
	}
}

// What a container advises is what a job may have, on any machine.
func TestAdviceIsAllowed(t *testing.T) {
	s := adaptertest.For(t, nil)
	for _, c := range []struct {
		cpus             int
		payload, body    int64
		parallel, atMost int
	}{
		{0, 0, 0, 1, 6}, {1, 0, 0, 1, 6}, {16, 0, 0, 16, 6}, {17, 0, 0, 16, 6}, {192, 0, 0, 16, 6},
		{9, 10 << 20, 0, 9, 10}, {11, 10 << 20, 0, 10, 10}, {4, 20 << 20, 0, 4, 16}, {4, 3<<20 - 1, 0, 4, 2},
		{4, 200 << 20, 1 << 30, 1, 100}, {200, 100, 0, 100, 1},
	} {
		api := oip.New(s.Models, nil, &oip.Options{Limits: &codec.Limits{Body: c.body}})
		w := adaptertest.Ask(sagemaker.New(api, nil, &sagemaker.Options{Model: "echo-FP32", Transforms: c.cpus, Payload: c.payload}), http.MethodGet, "/execution-parameters", "")
		var p struct{ MaxConcurrentTransforms, MaxPayloadInMB int }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.MaxConcurrentTransforms != c.parallel || p.MaxPayloadInMB != c.atMost {
			t.Errorf("%+v: got %s", c, w.Body)
		}
	}
}

// A caller's InferenceId is what logs and errors call the request.
func TestInferenceID(t *testing.T) {
	s := adaptertest.For(t, nil)
	const id = "X-Amzn-SageMaker-Inference-Id: order-7"
	for _, c := range [][]string{{id, "order-7"}, {id, "X-Request-Id: mine", "mine"}} {
		w := adaptertest.Ask(of(s.API, "echo-FP32"), http.MethodPost, "/invocations", rawBody, c[:len(c)-1]...)
		if got := w.Header()["X-Request-Id"]; !cmp.Equal(got, []string{c[len(c)-1]}) {
			t.Errorf("%q: got %q", c, got)
		}
	}
}
