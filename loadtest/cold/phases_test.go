package cold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each moment of a start belongs to one phase.
func TestSplit(t *testing.T) {
	begun := time.Unix(1700000000, 0)
	at := func(name string, from, to int) interval {
		return interval{"start", name, begun.Add(time.Duration(from) * time.Millisecond).UnixNano(), begun.Add(time.Duration(to) * time.Millisecond).UnixNano()}
	}
	tests := []struct {
		name            string
		reported        []interval
		admitted, total int
		want            map[string]int
	}{
		{"nothing is reported", nil, 30, 40, map[string]int{"ready": 30, "answer": 10}},
		{
			"one after the other",
			[]interval{at("main", 2, 2), at("library", 3, 8), at("environment", 8, 18), at("session", 20, 24), at("load", 4, 25), at("warmup", 26, 28), at("ready", 2, 30)}, 33, 40,
			map[string]int{"exec": 2, "library": 5, "environment": 10, "session": 4, "load": 3, "first_run": 2, "ready": 4, "probe": 3, "answer": 7},
		},
		{
			"the digest counts where nothing else goes on",
			[]interval{at("main", 1, 1), at("session", 5, 10), at("digest", 6, 14), at("load", 5, 15), at("ready", 1, 15)}, 15, 16,
			map[string]int{"exec": 1, "session": 5, "digest": 4, "load": 1, "ready": 4, "answer": 1},
		},
		{
			"several models",
			[]interval{at("session", 2, 4), at("session", 6, 9), at("ready", 0, 10)}, 10, 12,
			map[string]int{"session": 5, "ready": 5, "answer": 2},
		},
		{
			"the first run is the first request's",
			[]interval{at("main", 1, 1), at("ready", 1, 5), at("first_run", 7, 10)}, 6, 12,
			map[string]int{"exec": 1, "ready": 4, "probe": 1, "answer": 3, "first_run": 3},
		},
		{
			"the platform lets requests in before the models are loaded",
			[]interval{at("main", 1, 1), at("session", 5, 10), at("load", 4, 11), at("ready", 1, 12), at("first_run", 12, 13)}, 3, 14,
			map[string]int{"exec": 1, "ready": 2, "answer": 3, "session": 5, "load": 2, "first_run": 1},
		},
		{
			"what is reported from before the first line is exec",
			[]interval{at("main", 5, 5), at("session", 2, 8), at("ready", 5, 10)}, 10, 12,
			map[string]int{"exec": 5, "session": 3, "ready": 2, "answer": 2},
		},
		{
			"a clock that was set",
			[]interval{at("main", -50, -50), at("session", -40, 5), at("load", 20, 900), at("ready", 0, 900)}, 25, 30,
			map[string]int{"session": 5, "ready": 15, "load": 10},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, sum := map[string]int{}, time.Duration(0)
			took := split(tt.reported, begun, time.Duration(tt.admitted)*time.Millisecond, time.Duration(tt.total)*time.Millisecond)
			for phase, d := range took {
				got[phase] = int(d / time.Millisecond)
				sum += d
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
			if want := time.Duration(tt.total) * time.Millisecond; sum != want {
				t.Errorf("want phases that add up to %v, got %v", want, sum)
			}
		})
	}
}

// The report is found among other lines, in whatever pieces it comes.
func TestLog(t *testing.T) {
	text := "hello\n" +
		`{"time":"2026-11-23T00:00:00Z","level":"INFO","msg":"start","phase":"library","from_ns":5,"to_ns":9}` + "\n" +
		`{"level":"INFO","msg":"starting","phase":"x"}` + "\n" +
		`{"level":"INFO","msg":"say \"msg\":\"start\"","phase":"y"}` + "\n" +
		`{"msg":"start","phase":"cut` + "\n" +
		`{"level":"INFO","msg":"start","phase":"ready","from_ns":1,"to_ns":10}` + "\nthe end"
	for _, size := range []int{1, 7, len(text)} {
		var l Log
		for i := 0; i < len(text); i += size {
			piece := text[i:min(i+size, len(text))]
			if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("want %d bytes written, got %d, %v", len(piece), n, err)
			}
		}
		last := string(l.Last())
		if !strings.HasPrefix(last, "hello\n") || !strings.HasSuffix(last, "\nthe end") || strings.Contains(last, "library") {
			t.Errorf("want the other lines, got %q", last)
		}
		want := []interval{{"start", "library", 5, 9}, {"start", "ready", 1, 10}}
		if diff := cmp.Diff(want, l.take()); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", size, diff)
		}
		if got := l.take(); got != nil {
			t.Errorf("want an empty report after it was taken, got %v", got)
		}
	}
}

// A function that writes without end fills no memory.
func TestLogIsBounded(t *testing.T) {
	var l Log
	long := strings.Repeat("x", maxLine)
	for i := range maxParts + 100 {
		fmt.Fprintf(&l, `{"msg":"start","phase":"p","from_ns":%d,"to_ns":%d}`+"\n", i, i)
		if i < 40 {
			fmt.Fprintf(&l, "%d %s%s\n", i, long, long)
		}
	}
	if got := len(l.Last()); got > maxRest*(maxLine+1) {
		t.Errorf("want at most %d bytes, got %d", maxRest*(maxLine+1), got)
	}
	for i := range 100 {
		fmt.Fprintln(&l, i)
	}
	if got := string(l.Last()); strings.Count(got, "\n") != maxRest || !strings.HasPrefix(got, "80\n") || !strings.HasSuffix(got, "99\n") {
		t.Errorf("want the last %d lines, got %q", maxRest, got)
	}
	if got := len(l.take()); got != maxParts {
		t.Errorf("want %d phases, got %d", maxParts, got)
	}
}
