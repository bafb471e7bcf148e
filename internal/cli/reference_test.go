package cli_test

import (
	"testing"

	"godwit.dev/internal/cli"
	"godwit.dev/internal/golden"
)

// testdata/docs is a link to the repository's docs, where this is published.
func TestReferenceIsCurrent(t *testing.T) {
	golden.Check(t, "docs/cli.md", []byte(cli.Reference()))
}
