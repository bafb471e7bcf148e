package awsauth

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A command line is cut at spaces, but for those in double quotes.
func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"a": {"a"}, "a b": {"a", "b"}, "  a \t b  ": {"a", "b"}, `"a b" c`: {"a b", "c"}, `a" "b`: {"a b"}, `a ""`: {"a", ""}, `"" a`: {"", "a"}, "a\tb": {"a", "b"},
		"": nil, "   ": nil, `"a`: nil, `a "b`: nil,
	} {
		got, err := words(line)
		if (err == nil) != (want != nil) {
			t.Errorf("%q: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

// Agents of AWS are asked without TLS where only this machine hears it.
func TestAgents(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "169.254.170.2": true, "169.254.170.23": true, "fd00:ec2::23": true,
		"169.254.170.3": false, "169.254.169.254": false, "10.0.0.1": false, "example.com": false, "": false, "fd00:ec2::24": false, "localhost.example": false} {
		if got := agent(host); got != want {
			t.Errorf("%q is one: %v", host, got)
		}
	}
}
