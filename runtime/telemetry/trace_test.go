package telemetry_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/telemetry"
)

const (
	id     = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent = "00f067aa0ba902b7"
)

func TestParseTrace(t *testing.T) {
	long := strings.Repeat("k=v,", 32)
	tests := []struct {
		name, parent, state string
		ok                  bool
		sampled             bool
		wantState           string
	}{
		{name: "sampled", parent: "00-" + id + "-" + parent + "-01", ok: true, sampled: true},
		{name: "not sampled", parent: "00-" + id + "-" + parent + "-00", ok: true},
		{name: "other flags", parent: "00-" + id + "-" + parent + "-fe", ok: true},
		{name: "later version", parent: "cc-" + id + "-" + parent + "-01-what-comes-next", ok: true, sampled: true},
		{name: "later version, same length", parent: "cc-" + id + "-" + parent + "-01", ok: true, sampled: true},
		{name: "later version, no dash", parent: "cc-" + id + "-" + parent + "-01x"},
		{name: "version 0 with more", parent: "00-" + id + "-" + parent + "-01-x"},
		{name: "version ff", parent: "ff-" + id + "-" + parent + "-01"},
		{name: "empty"},
		{name: "short", parent: "00-" + id},
		{name: "upper case", parent: "00-" + strings.ToUpper(id) + "-" + parent + "-01"},
		{name: "not hex", parent: "00-" + strings.Repeat("z", 32) + "-" + parent + "-01"},
		{name: "zero trace", parent: "00-" + strings.Repeat("0", 32) + "-" + parent + "-01"},
		{name: "zero span", parent: "00-" + id + "-" + strings.Repeat("0", 16) + "-01"},
		{name: "wrong dash", parent: "00_" + id + "-" + parent + "-01"},
		{name: "bad flags", parent: "00-" + id + "-" + parent + "-0g"},
		{name: "state", parent: "00-" + id + "-" + parent + "-01", state: "a=1, t@v=x y", ok: true, sampled: true, wantState: "a=1, t@v=x y"},
		{name: "state of 32", parent: "00-" + id + "-" + parent + "-00", state: long, ok: true, wantState: long},
		{name: "state of 33", parent: "00-" + id + "-" + parent + "-00", state: long + "k=v", ok: true},
		{name: "state without value", parent: "00-" + id + "-" + parent + "-00", state: "a", ok: true},
		{name: "state with a newline", parent: "00-" + id + "-" + parent + "-00", state: "a=1\n", ok: true},
		{name: "state with a bad key", parent: "00-" + id + "-" + parent + "-00", state: "A=1", ok: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := telemetry.ParseTrace(tt.parent, tt.state)
			if ok != tt.ok {
				t.Fatalf("ParseTrace ok = %v, want %v", ok, tt.ok)
			}
			if !ok {
				return
			}
			if got.TraceID() != id {
				t.Errorf("trace id %s, want %s", got.TraceID(), id)
			}
			if got.SpanID() == parent || got.SpanID() == strings.Repeat("0", 16) {
				t.Errorf("span id %s is not a new one", got.SpanID())
			}
			if got.Sampled != tt.sampled || got.State != tt.wantState {
				t.Errorf("sampled %v state %q, want %v %q", got.Sampled, got.State, tt.sampled, tt.wantState)
			}
			again, ok := telemetry.ParseTrace(got.Header(), got.State)
			if !ok || again.ID != got.ID || again.Parent != got.Span || again.Sampled != got.Sampled {
				t.Errorf("header %q reads as %+v", got.Header(), again)
			}
		})
	}
}

func TestTraceTravelsInTheContext(t *testing.T) {
	if _, ok := telemetry.TraceOf(context.Background()); ok {
		t.Error("a bare context carries a trace")
	}
	want := telemetry.NewTrace()
	got, ok := telemetry.TraceOf(telemetry.WithTrace(context.Background(), want))
	if !ok {
		t.Fatal("the trace was lost")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	if other := telemetry.NewTrace(); other.ID == want.ID || other.Span == want.Span {
		t.Error("two new traces share an id")
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("00-"+id+"-"+parent+"-01", "a=1,b=2")
	f.Add("cc-"+id+"-"+parent+"-01-x", "")
	f.Add("", ",,=")
	f.Fuzz(func(t *testing.T, traceparent, tracestate string) {
		got, ok := telemetry.ParseTrace(traceparent, tracestate)
		if !ok {
			return
		}
		if got.TraceID() != traceparent[3:35] || got.ID == [16]byte{} || got.Parent == [8]byte{} {
			t.Errorf("%q read as %+v", traceparent, got)
		}
		if strings.ContainsAny(got.State, "\r\n\x00") {
			t.Errorf("state %q would break a header", got.State)
		}
	})
}
