package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// No text makes Parse panic; what it takes, the schema takes, and Marshal
// writes so that Parse reads the same.
func FuzzParse(f *testing.F) {
	for _, data := range goodFiles(f) {
		f.Add(data)
	}
	_, cases := badCases(f)
	for _, c := range cases {
		f.Add([]byte(c.text))
	}
	sch := compileSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(FileName, data)
		if err != nil {
			if len(Problems(err)) == 0 {
				t.Fatalf("an error without a problem: %v", err)
			}
			for _, p := range Problems(err) {
				_ = p.Error()
			}
			return
		}
		if got := sch.verdict(t, string(data)); got != "taken" {
			t.Fatalf("the schema's verdict on a good spec: %s\n%s", got, data)
		}
		written, err := s.Marshal()
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		again := mustParse(t, written)
		if diff := cmp.Diff(s, again, plainData); diff != "" {
			t.Fatalf("Parse of Marshal (-want +got):\n%s\n%s\n%s", diff, data, written)
		}
		if diff := cmp.Diff(s.Defaults(), again.Defaults()); diff != "" {
			t.Fatalf("defaults after Marshal (-want +got):\n%s\n%s\n%s", diff, data, written)
		}
	})
}

// What a unit's parser takes, its printer writes so that it reads the same.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1769MiB", "24MB", "1.5GiB", "0B", "300ms", "1h30m", "1.5s", "30d", "0s", "0.5", "500m", "4", "70%", "1e9", "9223372036854775807B", "1ns", "100/s", "0.5/m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		roundTrip(t, s, ParseBytes)
		roundTrip(t, s, ParseDuration)
		roundTrip(t, s, ParseCPU)
		roundTrip(t, s, ParsePercent)
		roundTrip(t, s, ParseRate)
	})
}

func roundTrip[T measure](t *testing.T, s string, parse func(string) (T, error)) {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		return
	}
	if v < 0 {
		t.Fatalf("%q is negative: %d", s, v)
	}
	again, err := parse(v.String())
	if err != nil || again != v {
		t.Fatalf("%q → %d → %q → %d, %v", s, v, v, again, err)
	}
}
