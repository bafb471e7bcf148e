package batch

import "testing"

// A claim is of one item, one model and one function.
func TestClaimKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range [][3]string{{"f", "item", "sha256:aa"}, {"f", "item", "sha256:bb"}, {"f", "other", "sha256:aa"}, {"g", "item", "sha256:aa"}, {"", "fitem", "sha256:aa"}, {"fi", "tem", "sha256:aa"}, {"f", "items", "ha256:aa"}} {
		key := claimKey(k[0], k[1], k[2])
		if seen[key] || len(key) != 64 {
			t.Errorf("%q: %s is there already, or not of 64 digits", k, key)
		}
		seen[key] = true
	}
}
