package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/runtime/fault"
)

// Reference is docs/cli.md: every command with its help, and the exit codes.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Command line\n\nWritten by `make golden` from the commands' own help.\n\n" +
		"Data go to stdout, everything else to stderr. With `--json` a command prints one JSON document on stdout, " +
		"and an error is JSON on stderr: `{\"error\", \"code\", \"hint\"}`. Progress is shown on a terminal only.\n")
	p := &program{Env: Env{Getenv: func(string) string { return "" }}}
	commands := append([]*cobra.Command{}, p.root().Commands()...)
	slices.SortFunc(commands, func(a, b *cobra.Command) int { return strings.Compare(a.Name(), b.Name()) })
	for _, c := range commands {
		text := c.Long
		if text == "" {
			text = c.Short
		}
		fmt.Fprintf(&b, "\n## godwit %s\n\n%s\n\n```\n%s\n```\n", c.Name(), strings.TrimSpace(text), c.UseLine())
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", c.Example)
		}
		if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", flags)
		}
	}
	b.WriteString("\n## Environment\n\n| variable | what |\n| --- | --- |\n" +
		"| `GODWIT_FUNCTION` | the function folder, where a command is given none |\n" +
		"| `GODWIT_ONNXRUNTIME` | the shared library of ONNX Runtime; it wins over `lib/` beside the binary and the user's cache |\n" +
		"| `GODWIT_MODEL_CACHE`, `GODWIT_MODEL_CACHE_SIZE`, `GODWIT_MODEL_PRIVATE_HOSTS` | where models behind URLs are kept, how much of them, and which private hosts they may come from ([more](models.md#models-from-elsewhere)) |\n" +
		"| `GODWIT_SOURCE` | a checkout of Godwit, to compile handlers that have no module of their own |\n" +
		"| `GODWIT_STORES` | a folder that plays all stores: what s3://BUCKET/KEY names is its s3/BUCKET/KEY |\n" +
		"| `PORT` | the port that `serve` listens on, where `--listen` is not given |\n")
	b.WriteString("\n## Codes\n\nOne table decides what an error is everywhere.\n\n| code | HTTP | gRPC | exit |\n| --- | --- | --- | --- |\n| ok | 200 | 0 | 0 |\n")
	for _, c := range fault.Codes() {
		fmt.Fprintf(&b, "| %v | %d | %d | %d |\n", c, c.HTTP(), c.GRPC(), c.Exit())
	}
	return b.String()
}
