package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/loadtest"
	"godwit.dev/loadtest/report"
	"godwit.dev/runtime/fault"
)

// recorded is a run of n windows with 300 requests each, whose latencies are
// log-normal, slower by a factor.
func recorded(n int, slower float64, seed uint64) *report.Recording {
	random := rand.New(rand.NewPCG(seed, 7))
	r := &report.Recording{
		Run: report.Run{Version: report.Version, Started: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Command: []string{"godwit", "bench", "fraud/", "--rate", "300"},
			Target: "http://127.0.0.1:8080", Server: "godwit 1.0", Local: true, Model: "fraud", Digest: "sha256:12", Protocol: loadtest.JSON, Loop: "poisson", Rate: 300,
			Connections: 256, Payloads: 64, Seed: 1, Warmup: 2, Duration: float64(n), Timeout: 10, Window: 1,
			Machine: report.Machine{OS: "linux", Arch: "amd64", CPU: "a processor", Cores: 2, Memory: 8 << 30, Kernel: "6.1"}, Godwit: "1.0", Go: "go1.26"},
	}
	res := &loadtest.Result{Target: r.Run.Target, Model: "fraud", Protocol: loadtest.JSON, Loop: "poisson", Rate: 300, Connections: 256, Payloads: 64, Seed: 1,
		Seconds: float64(n), Errors: map[string]int64{}, Server: &loadtest.ServerUsage{}}
	for k := -2; k < n; k++ {
		w := loadtest.Window{Part: loadtest.PartLoad, At: float64(k), Seconds: 1, OK: 300, Outstanding: 2,
			Server: &loadtest.ServerUsage{CPUSeconds: 0.3 * slower * (1 + 0.03*random.NormFloat64()), RSS: 90<<20 + int64(k)<<18, Processes: 1}}
		for range 300 {
			w.Histogram.Add(time.Duration(float64(2*time.Millisecond)*slower*math.Exp(0.35*random.NormFloat64())), 1)
		}
		w.Latency = w.Histogram.Latencies()
		if k < 0 {
			w.Part = loadtest.PartWarmup
		} else {
			res.OK += w.OK
			res.Histogram.Merge(&w.Histogram)
			res.Server.CPUSeconds += w.Server.CPUSeconds
			res.Server.RSS, res.Server.Processes = w.Server.RSS, 1
		}
		r.Add(&w)
	}
	res.Sent, res.All, res.Achieved = res.OK, res.OK+600, 300
	res.PerRequest = res.Server.CPUSeconds * 1e3 / float64(max(res.OK, 1))
	res.Latency = res.Histogram.Latencies()
	res.Latency.Count = 0 // is not written
	r.Result = res
	return r
}

func write(t *testing.T, r *report.Recording, upto int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := report.NewWriter(&b)
	w.Start(&r.Run)
	for i := range min(len(r.Windows), upto) {
		w.Window(&r.Windows[i])
	}
	if r.Limit != nil {
		for i := range r.Limit.Steps {
			w.Step(&r.Limit.Steps[i])
		}
	}
	if err := w.End(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same compares by what is written: durations are rounded there.
func same(t *testing.T, want, got *report.Recording) {
	t.Helper()
	text := func(r *report.Recording) string {
		b, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if diff := cmp.Diff(text(want), text(got)); diff != "" {
		t.Errorf("recording (-want +got):\n%s", diff)
	}
}

func TestAResultFileIsReadBack(t *testing.T) {
	r := recorded(12, 1, 1)
	got, err := report.Read("f", bytes.NewReader(write(t, r, 99)))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r, got)
	document, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = report.Read("f", bytes.NewReader(document)); err != nil {
		t.Fatal(err)
	}
	same(t, r, got)
}

// A writer that was killed leaves what it had written, with half a line behind.
func TestAFileWithoutItsEndIsReadBack(t *testing.T) {
	r := recorded(12, 1, 1)
	whole := write(t, r, 99)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	cut := bytes.Join(lines[:9], nil)
	for _, text := range [][]byte{cut, append(bytes.Clone(cut), lines[9][:20]...)} {
		got, err := report.Read("f", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Interrupted || len(got.Windows) != 8 || got.OK != 6*300 || got.Sent != 6*300 || got.All != 8*300 || got.Seconds != 6 || got.Achieved != 300 ||
			got.Model != "fraud" || math.Abs(float64(got.Latency.P50)/2e6-1) > 0.05 || math.Abs(got.PerRequest-1) > 0.1 {
			t.Errorf("want six windows of load, got %+v", got.Result)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	start := `{"type":"start","version":1,"protocol":"json"}` + "\n"
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "load  fraud",
		"an array":          "[1]",
		"other JSON":        `{"a":1}`,
		"no result":         `{"run":{"version":1}}`,
		"a later version":   `{"type":"start","version":9}`,
		"a later document":  `{"protocol":"json","run":{"version":9}}`,
		"a window first":    `{"type":"window"}`,
		"two starts":        start + start,
		"behind the end":    start + `{"type":"end","result":{}}` + "\n" + `{"type":"window"}`,
		"no time":           start + `{"type":"window","seconds":-1}`,
		"odd counts":        start + `{"type":"window","ok":-1}`,
		"odd errors":        start + `{"type":"window","errors":{"503":-1}}`,
		"odd CPU":           start + `{"type":"window","server":{"cpu_seconds":-1}}`,
		"odd latencies":     start + `{"type":"window","latency_ms":{"p50":-1}}`,
		"odd histogram":     start + `{"type":"window","histogram":"x"}`,
		"an end of nothing": start + `{"type":"end"}`,
		"an odd end":        start + `{"type":"end","result":{"ok":3,"sent":1}}`,
		"broken inside":     start + `{"type":"window"` + "\n{}",
	} {
		if _, err := report.Read("f.json", strings.NewReader(text)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: want code invalid, got %v", name, err)
		}
	}
	// What a later version adds is no mistake.
	if r, err := report.Read("f", strings.NewReader(start+`{"type":"weather","sun":true}`)); err != nil || r.Result == nil {
		t.Errorf("want other lines to be passed over, got %v", err)
	}
}

func TestManyWindowsAreJoined(t *testing.T) {
	r := recorded(4200, 1, 1)
	if n := len(r.Windows); n > 4096 || n < 2000 {
		t.Errorf("want at most 4096 windows, got %d", n)
	}
	sum, seconds := int64(0), 0.0
	for i, w := range r.Windows {
		sum, seconds = sum+w.OK, seconds+w.Seconds
		if w.Histogram.Count() != w.OK || i > 0 && math.Abs(w.At-(r.Windows[i-1].At+r.Windows[i-1].Seconds)) > 1e-6 {
			t.Fatalf("window %d: %d in the histogram of %d, at %g", i, w.Histogram.Count(), w.OK, w.At)
		}
	}
	if sum != 4202*300 || math.Abs(seconds-4202) > 1e-6 {
		t.Errorf("want all requests and seconds, got %d and %g", sum, seconds)
	}
}

// Parts stay apart, and so does what a rest lies between.
func TestOnlyNeighboursAreJoined(t *testing.T) {
	r := &report.Recording{}
	for k := range 4098 {
		w := loadtest.Window{Part: loadtest.PartLoad, At: float64(k - 1), Seconds: 1}
		if k == 0 {
			w.Part = loadtest.PartWarmup
		}
		if k > 3 {
			w.At += 60
		}
		r.Add(&w)
	}
	for i, want := range []loadtest.Window{{Part: loadtest.PartWarmup, At: -1, Seconds: 1}, {Part: loadtest.PartLoad, Seconds: 2}, {Part: loadtest.PartLoad, At: 2, Seconds: 1}, {Part: loadtest.PartLoad, At: 63, Seconds: 2}} {
		if got := r.Windows[i]; got.Part != want.Part || got.At != want.At || got.Seconds != want.Seconds {
			t.Errorf("window %d: want %s of %g s at %g, got %s of %g s at %g", i, want.Part, want.Seconds, want.At, got.Part, got.Seconds, got.At)
		}
	}
}

type failing struct{ n int }

func (f *failing) Write(b []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestAFullDiskIsTold(t *testing.T) {
	r := recorded(3, 1, 1)
	w := report.NewWriter(&failing{2})
	w.Start(&r.Run)
	for i := range r.Windows {
		w.Window(&r.Windows[i])
	}
	if err := w.End(r); err == nil {
		t.Error("want the error of writing, got none")
	}
}

func limited() *report.Recording {
	r := recorded(0, 1, 1)
	r.Windows = nil
	o, _ := loadtest.ParseObjective("p99=20ms")
	r.Run.SLO = "p99=20ms"
	r.Limit = &loadtest.Limit{Objective: *o, Rate: 420, Above: 440}
	for i, s := range []loadtest.Step{{Rate: 200, LatencyMS: 4, Holds: true, Why: "first"}, {Rate: 400, LatencyMS: 14, Holds: true, Why: "double"}, {Rate: 800, LatencyMS: 600, Share: 0.6, Early: true, Why: "double"},
		{Rate: 440, LatencyMS: 31, Share: 0.02, Why: "bisect"}, {Rate: 420, LatencyMS: 18, Share: 0.009, Holds: true, Why: "confirm"}} {
		s.Seconds, s.Sent, s.Achieved = 10, int64(10*s.Rate), s.Rate
		s.Missed = int64(s.Share * float64(s.Sent))
		if i == 3 {
			s.Errors = map[string]int64{"503": 12}
		}
		r.Limit.Steps = append(r.Limit.Steps, s)
	}
	return r
}

func TestThePage(t *testing.T) {
	plain := recorded(30, 1, 1)
	bad := recorded(30, 1.2, 2)
	bad.Errors["503"], bad.Errors["timeout"] = 40, 2
	bad.Sent += 42
	bad.Windows[12].Errors = map[string]int64{"503": 40, "timeout": 2}
	bad.Late = "the client was 3ms late at p99 by itself; latencies contain that"
	bad.Interrupted, bad.Error = true, "the disk is <full>"
	bad.Bursts = []loadtest.Cold{{First: 800 * time.Millisecond, OK: 100, Latency: bad.Latency}, {Failed: 3}}
	comparison, err := report.Compare(plain, bad, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    *report.Recording
		c    *report.Comparison
		want []string
	}{
		"plain": {plain, nil, []string{"Load on fraud", "Over time", "Distribution of latencies", "Server&#39;s CPU", "Errors: none", "a processor, 2 cores", "sha256:12", "godwit bench fraud/ --rate 300", "No request failed"}},
		"bad":   {bad, comparison, []string{"ended before its time", "the disk is &lt;full&gt;", "Careful: the client was", "503: 40, timeout: 2", "Bursts from zero", "800 ms", "Worse: p50, p99, cpu"}},
		"limit": {limited(), nil, []string{"highest rate", "420/s", "hold it, 440 do not", "misses, ended early", "holds (confirm)", "Latency at p99 by rate"}},
		"empty": {&report.Recording{Result: &loadtest.Result{}}, nil, []string{"Load on"}},
	} {
		t.Run(name, func(t *testing.T) {
			html, err := report.HTML(c.r, c.c)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !bytes.Contains(html, []byte(want)) {
					t.Errorf("want %q in the page, got none", want)
				}
			}
			if bytes.Contains(html, []byte("NaN")) || bytes.Contains(html, []byte("Inf")) {
				t.Error("want no figure that is none")
			}
			if name == "limit" {
				golden.Check(t, "limit.html", html)
			}
		})
	}
}

func TestBenchstatLines(t *testing.T) {
	var b bytes.Buffer
	r := recorded(3, 1, 1)
	r.Model = "a model/b"
	if err := report.Benchstat(&b, r); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 7 || lines[0] != "goos: linux" || !strings.HasPrefix(lines[4], "BenchmarkLoad/model=a_model_b/protocol=json/loop=poisson/rate=300 \t300\t") {
		t.Errorf("want four lines of what it ran on and three of figures, got\n%s", b.String())
	}
	for _, l := range lines[4:] { // as benchstat reads them: name, count, then pairs of value and unit
		f := strings.Fields(l)
		if len(f)%2 != 0 {
			t.Errorf("want pairs, got %q", l)
		}
		for i := 2; i < len(f); i += 2 {
			var v float64
			if _, err := fmt.Sscan(f[i], &v); err != nil || v <= 0 {
				t.Errorf("want a number, got %q", f[i])
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	r := recorded(3, 1, 1)
	document, _ := json.Marshal(r)
	var b bytes.Buffer
	w := report.NewWriter(&b)
	w.Start(&r.Run)
	w.Window(&r.Windows[0])
	w.End(r)
	for _, seed := range [][]byte{document, b.Bytes(), b.Bytes()[:b.Len()/2], []byte(`{"type":"start","version":1}` + "\n" + `{"type":"step","rate":1}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := report.Read("f", bytes.NewReader(text))
		if err != nil {
			return
		}
		if _, err := report.HTML(r, nil); err != nil {
			t.Fatalf("a result that was read has no page: %v", err)
		}
		if _, err := report.Compare(r, r, nil); err != nil && fault.CodeOf(err) != fault.Usage {
			t.Fatalf("a result that was read is not compared: %v", err)
		}
		r.Text(io.Discard)
		if err := report.Benchstat(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	})
}
