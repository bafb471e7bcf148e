package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
)

// signature prints what a loaded model takes and gives, for people.
func signature(w io.Writer, indent string, sig *driver.Signature) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range sig.Inputs {
		fmt.Fprintf(t, "%sinput\t%s\t%s\n", indent, sig.Inputs[i].Name, infer.Describe(&sig.Inputs[i]))
	}
	for i := range sig.Outputs {
		fmt.Fprintf(t, "%soutput\t%s\t%s\n", indent, sig.Outputs[i].Name, infer.Describe(&sig.Outputs[i]))
	}
	t.Flush()
}

// sizeText prints bytes as people read them.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// counts prints "Conv 2, Relu 3" in the order of the names.
func counts[N int | int64](m map[string]N) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
