package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

func TestColumnRanges(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want map[string]string
		code     fault.Code
	}{
		{name: "nothing", want: map[string]string{}},
		{"a range", map[string]string{"p8..p11": "pixels", "age": "x"}, map[string]string{"p8": "pixels", "p9": "pixels", "p10": "pixels", "p11": "pixels", "age": "x"}, 0},
		{"one", map[string]string{"p0..p0": "pixels"}, map[string]string{"p0": "pixels"}, 0},
		{"other stems are a name", map[string]string{"p0..q3": "x"}, map[string]string{"p0..q3": "x"}, 0},
		{"no figures", map[string]string{"a..b": "x"}, map[string]string{"a..b": "x"}, 0},
		{"figures alone", map[string]string{"1..3": "x"}, map[string]string{"1": "x", "2": "x", "3": "x"}, 0},
		{"leading zeros are a name", map[string]string{"p00..p03": "x"}, map[string]string{"p00..p03": "x"}, 0},
		{"more than a number holds", map[string]string{"p0..p99999999999999999999": "x"}, map[string]string{"p0..p99999999999999999999": "x"}, 0},
		{"backwards", map[string]string{"p3..p1": "x"}, nil, fault.BadConfig},
		{"too many", map[string]string{"p0..p65536": "x"}, nil, fault.BadConfig},
		{"twice the same", map[string]string{"p0..p1": "x", "p1": "x"}, map[string]string{"p0": "x", "p1": "x"}, 0},
		{"for two inputs", map[string]string{"p0..p1": "x", "p1": "y"}, nil, fault.BadConfig},
	} {
		got, err := app.Columns(c.in)
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.code != 0) || err != nil && fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v (-want +got)\n%s", c.name, err, diff)
		}
	}
}
