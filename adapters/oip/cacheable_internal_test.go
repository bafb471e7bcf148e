package oip

import (
	"strings"
	"testing"
)

// Each request has one path, or none.
func FuzzFromPath(f *testing.F) {
	for _, text := range []string{"", "e30", "e30=", "e31", "aGk", "_-8", "+/8", "e3\n0", strings.Repeat("A", maxCacheable), strings.Repeat("A", maxCacheable+1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, err := fromPath(text)
		if err != nil {
			return
		}
		if got, want := CacheablePath("m", "", body), "/v2/models/m/infer/"+text; got != want {
			t.Errorf("%q is the request of %q", want, got)
		}
	})
}
