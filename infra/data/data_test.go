package data_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"godwit.dev/infra/data"
)

// targets are the spec's; this package imports nothing of ours.
var targets = []string{"awslambda", "cloudrun", "azurefunctions", "knative", "sagemaker", "vertexai", "azureml", "edge"}

// Every value has a unit, a target, a source and a day, and none is there twice.
func TestLimits(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range data.Limits("") {
		id := l.Target + " " + string(l.Key)
		for _, w := range l.When {
			id += " " + w
		}
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if !slices.Contains(targets, l.Target) {
			t.Errorf("%s: want a target, got %q", id, l.Target)
		}
		if !slices.Contains(data.Keys(), l.Key) {
			t.Errorf("%s: want a key of Keys, got %q", id, l.Key)
		}
		if (l.State == data.Known) != (l.Value > 0) {
			t.Errorf("%s: want a value exactly where it is known, got %d, %v", id, l.Value, l.State)
		}
		check(t, id, l.Source)
	}
	for _, target := range targets {
		for _, key := range []data.Key{data.Request, data.Time, data.Start} {
			if l := data.Find(target, key); l.Source.Doc == "" {
				t.Errorf("%s %s: want a word on it, be it that it is unknown", target, key)
			}
		}
	}
}

func check(t *testing.T, id string, s data.Source) {
	t.Helper()
	day, err := time.Parse("2006-01-02", s.Day)
	if s.Doc == "" || err != nil || day.Before(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%s: want a document and the day it was read on, got %+v", id, s)
	}
}

// The limit with most of the choices wins; what nobody wrote down is unknown.
func TestFind(t *testing.T) {
	for _, c := range []struct {
		target  string
		key     data.Key
		choices []string
		want    int64
		state   data.State
	}{
		{"awslambda", data.Time, nil, 900_000, data.Known},
		{"awslambda", data.Time, []string{"api=http"}, 30_000, data.Known},
		{"awslambda", data.Time, []string{"api=rest", "stream", "package=zip"}, 900_000, data.Known},
		{"awslambda", data.Unpacked, []string{"package=zip"}, 250 << 20, data.Known},
		{"awslambda", data.Unpacked, []string{"package=image"}, 0, data.Unknown},
		{"cloudrun", data.Request, []string{"http2"}, 0, data.None},
		{"cloudrun", data.Request, nil, 32 << 20, data.Known},
		{"edge", data.Request, nil, 0, data.Unknown},
		{"nowhere", data.Request, nil, 0, data.Unknown},
	} {
		if l := data.Find(c.target, c.key, c.choices...); l.Value != c.want || l.State != c.state {
			t.Errorf("%s %s %v: want %d %v, got %d %v", c.target, c.key, c.choices, c.want, c.state, l.Value, l.State)
		}
	}
}

// Ranges are ranges, whatever was chosen.
func TestRanges(t *testing.T) {
	for _, target := range targets {
		for _, choice := range []string{"", "managed", "plan=flex", "plan=premium", "mode=serverless"} {
			lo, hi := data.Find(target, data.MemoryMin, choice), data.Find(target, data.MemoryMax, choice)
			if lo.State == data.Known && hi.State == data.Known && lo.Value >= hi.Value {
				t.Errorf("%s %s: want less memory at least than at most, got %d and %d", target, choice, lo.Value, hi.Value)
			}
		}
	}
}

func TestSystems(t *testing.T) {
	version := regexp.MustCompile(`^(2\.[0-9]+)?$`)
	for _, s := range data.Systems() {
		check(t, s.Target, s.Source)
		if !version.MatchString(s.Glibc) || !version.MatchString(s.GlibcMost) || data.Compare(s.Glibc, s.GlibcMost) > 0 {
			t.Errorf("%s %v: want versions of glibc in order, got %q and %q", s.Target, s.When, s.Glibc, s.GlibcMost)
		}
		if s.Name == "" || s.Files == "" || s.Port == "" || len(s.Arch) == 0 {
			t.Errorf("%s %v: want a name, files, a port and processors, got %+v", s.Target, s.When, s)
		}
	}
	for _, target := range targets {
		if _, ok := data.FindSystem(target, "package=zip"); !ok {
			t.Errorf("%s: want a system", target)
		}
	}
	if s, _ := data.FindSystem("azurefunctions", "plan=containerapps"); s.Glibc != "" {
		t.Errorf("Container Apps run the image's own system, got glibc %s", s.Glibc)
	}
}

// A newer release reads at least what an older one does.
func TestRuntimes(t *testing.T) {
	all := data.Runtimes()
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if data.Compare(a.Version, b.Version) >= 0 || a.IR > b.IR || a.Opset > b.Opset || a.ML > b.ML {
			t.Errorf("want releases in order, got %+v before %+v", a, b)
		}
	}
	if r, ok := data.FindRuntime("1.31.1"); !ok || r.Opset != 26 {
		t.Errorf("want opset 26 for 1.31.1, got %+v, %v", r, ok)
	}
	if r, ok := data.FindRuntime("1.3.0"); ok {
		t.Errorf("want nothing for a release that was not measured, got %+v", r)
	}
	if _, ok := data.FindRuntime(data.LeastRuntime + ".0"); !ok {
		t.Errorf("want the oldest release that the engine takes in the table")
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"2.34", "2.4", 1}, {"2.34", "2.34", 0}, {"2.34", "2.34.0", 0}, {"1.9", "1.30", -1}, {"", "2", -1}} {
		if got := data.Compare(c.a, c.b); got != c.want {
			t.Errorf("Compare(%q, %q): want %d, got %d", c.a, c.b, c.want, got)
		}
	}
}

func TestMachine(t *testing.T) {
	if n, s, state := data.Machine("ml.c5.large"); n != 4<<30 || state != data.Known || s.Doc == "" {
		t.Errorf("want 4 GiB with a source, got %d %v %v", n, s, state)
	}
	if n, _, state := data.Machine("ml.new.huge"); n != 0 || state != data.Unknown {
		t.Errorf("want unknown, got %d %v", n, state)
	}
}
