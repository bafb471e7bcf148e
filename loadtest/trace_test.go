package loadtest_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

func TestReadTrace(t *testing.T) {
	want := []time.Duration{0, 250 * time.Millisecond, 250 * time.Millisecond, 61 * time.Second}
	for name, text := range map[string]string{
		"seconds":     "# what came\n0\n0.25\n\n 2.5e-1 \r\n61",
		"csv":         "function,Offset,note\nf,0,a\nf,0.25,b\ng, .25 ,c\nf,61,\n",
		"csv times":   "\"timestamp\",\"x\"\n\"2026-01-31T12:00:00Z\",1\n2026-01-31T12:00:00.25Z,2\n2026-01-31T13:00:00.25+01:00,3\n2026-01-31T12:01:01Z,4\n",
		"json":        `{"offset":0,"time":"x"}` + "\n" + `{"offset":0.25}` + "\n" + `{"offset_seconds":"0.25"}` + "\n" + `{"ts":61}`,
		"a log's":     `{"time":"2026-01-31T12:00:00Z"}` + "\n" + `{"time":"2026-01-31T12:00:00.25Z"}` + "\n" + `{"time":"2026-01-31T12:00:00.25Z"}` + "\n" + `{"time":"2026-01-31T12:01:01Z"}`,
		"only a head": "offset\n0\n0.25\n0.25\n61",
	} {
		var got []time.Duration
		for at, err := range loadtest.ReadTrace(strings.NewReader(text)) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, at)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWrongTracesAreRefused(t *testing.T) {
	for text, line := range map[string]string{
		"1\n0.5\n":                        "line 2",
		"0\nsoon\n":                       "line 2",
		"a,b\n1,2\n":                      "line 1",
		"x,offset\n1\n":                   "line 2",
		"{\"offset\":1}\n{\"other\":2}\n": "line 2",
		"{\"offset\":1\n":                 "line 1",
		"{\"offset\":[]}\n":               "line 1",
		"-1\n":                            "line 1",
		"NaN\n":                           "line 1",
		"1e300\n":                         "line 1",
		"2026-01-31T12:00:00Z\n2036-01-31T12:00:00Z": "line 2",
		"1\n" + strings.Repeat("x", 2<<20):           "line 2",
	} {
		var last error
		n := 0
		for _, err := range loadtest.ReadTrace(strings.NewReader(text)) {
			if last != nil {
				t.Errorf("%.20q: want nothing after the error", text)
			}
			last = err
			n++
		}
		if fault.CodeOf(last) != fault.Invalid || !strings.Contains(last.Error(), line) {
			t.Errorf("%.20q: want code invalid at %s, got %v", text, line, last)
		}
	}
	broken := errors.New("broken")
	var last error
	for _, err := range loadtest.ReadTrace(io.MultiReader(strings.NewReader("1\n"), iotest.ErrReader(broken))) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Errorf("want the reader's error, got %v", last)
	}
}

func FuzzReadTrace(f *testing.F) {
	for _, seed := range []string{"0\n0.25\n", "a,offset\nf,1\n", `{"timestamp":"2026-01-31T12:00:00Z"}`, "# x\n\n1", "offset,offset\n,", `{"ts":"1"}` + "\n{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := time.Duration(0)
		for at, err := range loadtest.ReadTrace(strings.NewReader(text)) {
			if err != nil {
				if fault.CodeOf(err) != fault.Invalid {
					t.Fatalf("%v has no code", err)
				}
				return
			}
			if at < last {
				t.Fatalf("%v after %v", at, last)
			}
			last = at
		}
	})
}
