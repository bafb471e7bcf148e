package cli

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/loadtest"
)

func TestLiveLine(t *testing.T) {
	var none loadtest.Progress
	warm := loadtest.Progress{Elapsed: time.Second, Total: 12 * time.Second, Done: 100}
	if got, want := live(&none, &warm), "warming up [#...................] 1.0 of 12.0 s  100/s  0 failed  0 under way"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	now := loadtest.Progress{Elapsed: 1500 * time.Millisecond, Total: 2 * time.Second, Warm: true, Done: 300, Failed: 4, Outstanding: 7,
		Latest: &loadtest.Window{OK: 9, Latency: loadtest.Latencies{P50: 1234 * time.Microsecond, P99: 56 * time.Millisecond}}}
	if got, want := live(&warm, &now), "measuring [###############.....] 1.5 of 2.0 s  400/s  p50 1.23 ms  p99 56 ms  4 failed  7 under way"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	late := loadtest.Progress{Done: 300, Elapsed: 5 * time.Second, Total: 2 * time.Second, Warm: true, Latest: &loadtest.Window{}}
	if got, want := live(&now, &late), "measuring [####################] 5.0 of 2.0 s  0/s  0 failed  0 under way"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

// A command line that is kept says what was run, and no secret.
func TestCommandLinesLoseTheirSecrets(t *testing.T) {
	got := withoutSecrets([]string{"bench", "https://me:secret@host/x", "--header", "Authorization: Bearer secret", "--header=X-Key:secret", "--header", "odd", "--rate", "3"})
	want := []string{"bench", "https://me:xxxxx@host/x", "--header", "'Authorization: …'", "--header=X-Key: …", "--header", "'odd: …'", "--rate", "3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

// Every flag of a load is one that --cold refuses.
func TestColdKnowsAllFlagsOfALoad(t *testing.T) {
	p := &program{Env: Env{Getenv: func(string) string { return "" }}}
	cmd := p.newBench()
	for _, name := range loadFlags {
		if cmd.Flags().Lookup(name) == nil {
			t.Errorf("--%s is no flag", name)
		}
	}
	if got, want := len(loadFlags)+3, countFlags(cmd.Flags().FlagUsages()); got != want { // and cold, target and starts
		t.Errorf("want the %d flags of bench known, got %d", want, got)
	}
}

func countFlags(usages string) int {
	n := 0
	for i := range usages {
		if usages[i] == '\n' {
			n++
		}
	}
	return n
}

func TestOnlyLoopbackIsLocal(t *testing.T) {
	for _, where := range []string{"http://example.com:80", "http://192.0.2.1:80", "https://example.com", "http://localhost:0"} {
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		if pid, ok := local(u); ok {
			t.Errorf("%s: want nobody here, got process %d", where, pid)
		}
	}
}
