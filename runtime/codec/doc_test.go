package codec_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// The protocol's page has every code with its statuses, and every type.
func TestProtocolPageIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	row := func(name string) string {
		for line := range strings.Lines(string(page)) {
			first, rest, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|")
			if ok && strings.HasPrefix(line, "|") && strings.Contains(first, "`"+name+"`") {
				return rest
			}
		}
		return ""
	}
	for _, c := range fault.Codes() {
		if got := row(c.String()); !strings.Contains(got, fmt.Sprintf(" %d |", c.HTTP())) || !strings.Contains(got, fmt.Sprintf("(%d)", c.GRPC())) {
			t.Errorf("%v: want a row with HTTP %d and gRPC (%d), got %q", c, c.HTTP(), c.GRPC(), got)
		}
	}
	for _, d := range tensor.DTypes() {
		if row(d.String()) == "" {
			t.Errorf("%v: no row", d)
		}
	}
}
