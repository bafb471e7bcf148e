package infer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
)

func registry(t *testing.T, versions ...string) *infer.Registry {
	t.Helper()
	r := &infer.Registry{}
	for _, nv := range versions {
		name, version, _ := strings.Cut(nv, "@")
		if err := r.Add(load(t, memengine.AddSub(), &infer.Options{Name: name, Version: version})); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestLookup(t *testing.T) {
	r := registry(t, "a@9", "a@10", "a@v2", "b@1")
	if err := r.Declare("c", "1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Fail("d", "1", fault.New(fault.BadModel, "ort.Open", "d.onnx", "cut short")); err != nil {
		t.Fatal(err)
	}
	if err := r.Declare("a", "11"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, version string
		want          string // "name@version"
		code          fault.Code
	}{
		{"a", "", "a@v2", fault.OK},
		{"a", "9", "a@9", fault.OK},
		{"a", "12", "", fault.NotFound},
		{"a", "11", "", fault.Unavailable},
		{"b", "", "b@1", fault.OK},
		{"c", "", "", fault.Unavailable},
		{"d", "", "", fault.Unavailable},
		{"e", "", "", fault.NotFound},
		{"", "", "", fault.Invalid}, // several models: which one?
	}
	for _, tt := range tests {
		t.Run(tt.name+"@"+tt.version, func(t *testing.T) {
			m, err := r.Lookup(tt.name, tt.version)
			if fault.CodeOf(err) != tt.code {
				t.Fatalf("err = %v, want code %v", err, tt.code)
			}
			if err == nil && m.Name()+"@"+m.Version() != tt.want {
				t.Errorf("got %s@%s, want %s", m.Name(), m.Version(), tt.want)
			}
		})
	}
	if _, err := r.Lookup("d", ""); !strings.Contains(err.Error(), "not loaded") || strings.Contains(err.Error(), "d.onnx") {
		t.Errorf("a failed model: %v, want that it is not loaded, and no file", err)
	}
}

func TestLookupOfTheOnlyModelNeedsNoName(t *testing.T) {
	r := registry(t, "a@1", "a@2")
	m, err := r.Lookup("", "")
	if err != nil || m.Version() != "2" {
		t.Errorf("Lookup() = %v, %v; want version 2", m, err)
	}
}

func TestReadyMeansAll(t *testing.T) {
	r := &infer.Registry{}
	if err := r.Ready(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("an empty registry: %v, want Unavailable", err)
	}
	r = registry(t, "a@1")
	if err := r.Ready(); err != nil {
		t.Errorf("all loaded: %v", err)
	}
	if err := r.Fail("b", "1", errors.New("secret /path")); err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("one failed: %v, want Unavailable", err)
	}
	want := []infer.Status{{Name: "a", Version: "1", State: infer.Ready}, {Name: "b", Version: "1", State: infer.Unavailable}}
	got := r.Index()
	if strings.Contains(got[1].Reason, "secret") {
		t.Errorf("the reason %q shows an internal cause", got[1].Reason)
	}
	got[1].Reason = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

func TestSameVersionTwiceIsRefused(t *testing.T) {
	r := registry(t, "a@1")
	if err := r.Add(load(t, memengine.AddSub(), &infer.Options{Name: "a", Version: "1"})); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("Add: %v, want BadConfig", err)
	}
}

func TestCloseRefusesNewRequests(t *testing.T) {
	r := registry(t, "a@1")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Lookup("a", ""); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Lookup after Close: %v, want Unavailable", err)
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"0", "1", "01", "2", "9", "10", "1000000000000000000000", "a", "a1", "a1b", "v1", "v1.2", "v1.10", "v2"}
	for i, a := range sorted {
		for j, b := range sorted {
			got := infer.CompareVersions(a, b)
			if want := compare(i, j); sign(got) != want && !(strings.Trim(a, "01") == "" && strings.Trim(b, "01") == "") {
				t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	if !slices.IsSortedFunc([]string{"1", "2", "10"}, infer.CompareVersions) {
		t.Error("1, 2, 10 are out of order")
	}
}

func compare(i, j int) int { return sign(i - j) }

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
