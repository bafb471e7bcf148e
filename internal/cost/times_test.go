package cost_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/cost"
	"godwit.dev/runtime/fault"
)

func measured() *cost.Times {
	return &cost.Times{Schema: cost.TimesSchema, Model: "fraud", Digest: "sha256:00", Taken: "2026-11-23", Machine: "a processor",
		Service: []cost.RowTime{{Rows: 1, Spread: cost.Spread{P50: 12, P99: 18, Low: 11, High: 13, N: 300}}, {Rows: 4, Spread: cost.Spread{P50: 20}}},
		BusyMS:  cost.Spread{P50: 9, N: 100}, StartMS: cost.Spread{P50: 400, P99: 600, N: 7}, StartOf: "of the package for awslambda",
		Memory: 200 << 20, Body: 2000, Answer: 500}
}

func TestTimesAreReadAsWritten(t *testing.T) {
	var b bytes.Buffer
	if err := measured().Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := cost.ReadTimes(&b)
	if diff := cmp.Diff(measured(), got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	want := &cost.Load{Service: 12 * time.Millisecond, Busy: 9 * time.Millisecond, Start: 400 * time.Millisecond, Body: 2000, Bytes: 2500}
	if diff := cmp.Diff(want, got.Load()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadTimes(t *testing.T) {
	for what, tt := range map[string]struct {
		edit func(*cost.Times)
		want string
	}{
		"another document":  {func(t *cost.Times) { t.Schema = "godwit.dev/times/v2" }, `want "godwit.dev/times/v1", got "godwit.dev/times/v2"`},
		"no day":            {func(t *cost.Times) { t.Taken = "yesterday" }, `got "yesterday"`},
		"no time":           {func(t *cost.Times) { t.Service = nil }, "want the time of 1 row first, got 0 entries"},
		"not of one row":    {func(t *cost.Times) { t.Service[0].Rows = 2 }, "want the time of 1 row first"},
		"falling rows":      {func(t *cost.Times) { t.Service[1].Rows = 1 }, "want rising rows"},
		"no time of one":    {func(t *cost.Times) { t.Service[0].P50 = 0 }, "want rising rows and times above 0"},
		"longer than a day": {func(t *cost.Times) { t.Service[1].P50 = 1e9 }, "got 4 rows in 1e+09 ms"},
		"no start":          {func(t *cost.Times) { t.StartMS.P50 = 0 }, "want a time above 0, got 0 ms"},
		"below 0":           {func(t *cost.Times) { t.BusyMS.P50 = -1 }, "got busy -1"},
		"memory below 0":    {func(t *cost.Times) { t.Memory = -1 }, "memory -1"},
	} {
		m := measured()
		tt.edit(m)
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := cost.ReadTimes(&b); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", what, err, tt.want)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"schema":"godwit.dev/times/v1","more":1}`, `{} {}`} {
		if _, err := cost.ReadTimes(strings.NewReader(text)); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzReadTimes(f *testing.F) {
	var b bytes.Buffer
	if err := measured().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"schema":"godwit.dev/times/v1","taken":"2026-11-23","service":[{"rows":1,"p50_ms":1e-300}],"start":{"p50_ms":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := cost.ReadTimes(bytes.NewReader(text))
		if err != nil {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("%v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		if again, err := cost.ReadTimes(&b); err != nil || !cmp.Equal(m, again) {
			t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(m, again))
		}
		if l := m.Load(); l.Service < 0 || l.Start < 0 {
			t.Errorf("%+v", l)
		}
	})
}
