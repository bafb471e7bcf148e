package report

import (
	"fmt"
	"io"
	"strings"
)

// Benchstat writes r as `go test -bench` would, a line for each window of the
// load, so that benchstat has samples to compare: seconds become ns, and
// windows without an answer are left out.
func Benchstat(w io.Writer, r *Recording) error {
	var b strings.Builder
	m := &r.Run.Machine
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: godwit.dev/bench\ncpu: %s\n", m.OS, m.Arch, oneLine(m.CPU))
	name := "BenchmarkLoad/model=" + word(r.Model) + "/protocol=" + word(string(r.Protocol)) + "/loop=" + word(r.Loop)
	if r.Rate > 0 {
		name += fmt.Sprintf("/rate=%g", r.Rate)
	}
	for _, one := range r.load() {
		if one.OK == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s \t%d\t%d ns/op\t%d p50-ns\t%d p99-ns\t%.1f req/s", name, one.OK,
			one.Latency.Mean.Nanoseconds(), one.Latency.P50.Nanoseconds(), one.Latency.P99.Nanoseconds(), float64(one.OK)/one.Seconds)
		if s := one.Server; s != nil {
			fmt.Fprintf(&b, "\t%.0f cpu-ns/op\t%d RSS-bytes", s.CPUSeconds*1e9/float64(one.OK+one.Failed()), s.RSS)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// word is s as a part of a benchmark's name.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == '=' || r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, s)
}
