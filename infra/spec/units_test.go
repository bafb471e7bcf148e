package spec

import (
	"testing"

	"godwit.dev/runtime/fault"
)

type unitCase struct {
	text  string
	value int64
	print string // "" when refused
}

func checkUnits[T measure](t *testing.T, parse func(string) (T, error), cases []unitCase) {
	t.Helper()
	for _, c := range cases {
		got, err := parse(c.text)
		switch {
		case c.print == "":
			if fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("%q = %v, %v, want bad_config", c.text, got, err)
			}
		case err != nil || int64(got) != c.value || got.String() != c.print:
			t.Errorf("%q = %d %q, %v, want %d %q", c.text, got, got, err, c.value, c.print)
		}
	}
}

func TestBytes(t *testing.T) {
	checkUnits(t, ParseBytes, []unitCase{
		{"1769MiB", 1769 << 20, "1769MiB"},
		{"24MB", 24_000_000, "24MB"},
		{"512MB", 512_000_000, "512MB"},
		{"1024MiB", 1 << 30, "1GiB"},
		{"1.5GiB", 3 << 29, "1536MiB"},
		{"1000KiB", 1_024_000, "1000KiB"},
		{"64kB", 64_000, "64kB"},
		{"64KB", 64_000, "64kB"},
		{"0MiB", 0, "0B"},
		{"1B", 1, "1B"},
		{"1.0B", 1, "1B"},
		{"9223372036854775807B", 1<<63 - 1, "9223372036854775807B"},
		{"9223372036854775808B", 0, ""},
		{"8388608TiB", 0, ""},
		{"1.5B", 0, ""}, {"1.B", 0, ""}, {".5MB", 0, ""}, {"1.2.3MB", 0, ""},
		{"", 0, ""}, {"MiB", 0, ""}, {"12", 0, ""}, {"12 MiB", 0, ""}, {"12mib", 0, ""}, {"12Mi", 0, ""},
		{"-1MiB", 0, ""}, {"+1MiB", 0, ""}, {"1e3MB", 0, ""}, {"0x10B", 0, ""}, {"１MiB", 0, ""},
		{"00000000000000000000000000000000000000000000000001B", 0, ""},
	})
}

func TestDuration(t *testing.T) {
	checkUnits(t, ParseDuration, []unitCase{
		{"300ms", 300e6, "300ms"},
		{"1.5s", 1500e6, "1.5s"},
		{"1500ms", 1500e6, "1.5s"},
		{"0.25ms", 250e3, "250us"},
		{"1h30m", 5400e9, "1h30m"},
		{"90m", 5400e9, "1h30m"},
		{"24h", 86400e9, "1d"},
		{"30d", 30 * 86400e9, "30d"},
		{"1m0.000000001s", 60e9 + 1, "1m1ns"},
		{"1m1.5s", 61500e6, "1m1.5s"},
		{"1ns", 1, "1ns"},
		{"0s", 0, "0s"},
		{"0.0ms", 0, "0s"},
		{"106751d", 106751 * 86400e9, "106751d"},
		{"106752d", 0, ""},
		{"106751d24h", 0, ""},
		{"0.5ns", 0, ""}, {"300", 0, ""}, {"0", 0, ""}, {"", 0, ""}, {"s", 0, ""}, {"1s1m", 0, ""}, {"1s1s", 0, ""},
		{"1.s", 0, ""}, {"-1s", 0, ""}, {"1 s", 0, ""}, {"1µs", 0, ""}, {"1S", 0, ""}, {"1e3s", 0, ""}, {"1h30", 0, ""}, {"1/2s", 0, ""},
	})
}

func TestCPU(t *testing.T) {
	checkUnits(t, ParseCPU, []unitCase{
		{"4", 4000, "4"}, {"0.5", 500, "0.5"}, {"500m", 500, "0.5"}, {"1500m", 1500, "1.5"}, {"0.125", 125, "0.125"}, {"4.0", 4000, "4"},
		{"0.0001", 0, ""}, {"0.5m", 0, ""}, {"", 0, ""}, {"m", 0, ""}, {"4 CPUs", 0, ""}, {"-1", 0, ""}, {"1e3", 0, ""},
	})
}

func TestPercent(t *testing.T) {
	checkUnits(t, ParsePercent, []unitCase{
		{"70%", 70, "70%"}, {"0%", 0, "0%"}, {"1000%", 1000, "1000%"}, {"70.0%", 70, "70%"},
		{"70", 0, ""}, {"2.5%", 0, ""}, {"%", 0, ""}, {"-1%", 0, ""}, {"9999999%", 0, ""},
	})
}

func TestNearest(t *testing.T) {
	known := []string{"memory", "maxInstances", "minInstances", "timeout", "cpu", "gpu", "env", "concurrency", "scaleDownDelay"}
	tests := []struct{ got, want string }{
		{"memoory", "memory"}, {"Memory", "memory"}, {"memory_size", "memory"}, {"memorySizeMB", "memory"}, {"mem", "memory"},
		{"max-instances", "maxInstances"}, {"maxScale", "maxInstances"}, {"maxReplicas", "maxInstances"},
		{"timeoutSeconds", "timeout"}, {"containerConcurrency", "concurrency"},
		{"gup", "gpu"}, {"cpus", "cpu"}, {"envs", "env"},
		{"", ""}, {"frobnicate", ""}, {"zzz", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.got, known); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.got, got, tt.want)
		}
	}
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"gpu", "gup", 1}, {"abc", "abc", 0}} {
		if got := distance(d.a, d.b); got != d.want {
			t.Errorf("distance(%q, %q) = %d, want %d", d.a, d.b, got, d.want)
		}
	}
}

func TestRate(t *testing.T) {
	checkUnits(t, ParseRate, []unitCase{
		{"100/s", 360_000, "100/s"},
		{"0.5/s", 1800, "30/m"},
		{"90/m", 5400, "90/m"},
		{"60/m", 3600, "1/s"},
		{"5/h", 5, "5/h"},
		{"3600/h", 3600, "1/s"},
		{"100", 0, ""}, {"/s", 0, ""}, {"100/d", 0, ""}, {"100 /s", 0, ""}, {"-1/s", 0, ""}, {"0.1/h", 0, ""}, {"1e3/s", 0, ""}, {"", 0, ""},
	})
	if got := Rate(1800).PerSecond(); got != 0.5 {
		t.Errorf("30/m is %v each second", got)
	}
}
