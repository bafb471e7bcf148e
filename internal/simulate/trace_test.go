package simulate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/simulate"
	"godwit.dev/runtime/fault"
)

func text(s string) simulate.Open {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// all reads a source to its end.
func all(t testing.TB, s simulate.Source) (out []simulate.Arrival) {
	t.Helper()
	for {
		a, err := s.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
}

func TestOpen2021(t *testing.T) {
	tr, err := simulate.Open2021(text("app,func,end_timestamp,duration\r\na,f,1.5,0.5\nb,f,2,1.75\na,g,3,0\n\na,f,4.25,0.25\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []simulate.Arrival{
		{At: 250 * time.Millisecond, Function: 1, Service: 1750 * time.Millisecond}, // ended later, began first
		{At: time.Second, Function: 0, Service: 500 * time.Millisecond},
		{At: 3 * time.Second, Function: 2, Service: 1},
		{At: 4 * time.Second, Function: 0, Service: 250 * time.Millisecond},
	}
	if d := cmp.Diff(want, all(t, tr)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	functions := []simulate.TraceFunction{{Name: "a/f", Requests: 2}, {Name: "b/f", Requests: 1}, {Name: "a/g", Requests: 1}}
	if d := cmp.Diff(functions, tr.Functions); d != "" || tr.Until != 4*time.Second || tr.Requests != 4 {
		t.Errorf("want 4 requests until 4 s, got %d until %v; functions (-want +got):\n%s", tr.Requests, tr.Until, d)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

// minute is a row of counts that are 0 but in some minutes.
func minute(counts map[int]int) string {
	fields := make([]string, 1440)
	for k := range fields {
		fields[k] = fmt.Sprint(counts[k+1])
	}
	return strings.Join(fields, ",")
}

func head2019() string {
	fields := make([]string, 1440)
	for k := range fields {
		fields[k] = fmt.Sprint(k + 1)
	}
	return "HashOwner,HashApp,HashFunction,Trigger," + strings.Join(fields, ",") + "\n"
}

const durations2019 = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n"

func TestOpen2019(t *testing.T) {
	first := head2019() + "o,a,f,http," + minute(map[int]int{1: 3, 1440: 1}) + "\no,a,g,timer," + minute(map[int]int{2: 2}) + "\n"
	second := head2019() + "o,b,h,queue," + minute(map[int]int{1: 1}) + "\n"
	days := []simulate.Day2019{
		{
			Invocations: text(first),
			Durations:   text(durations2019 + "o,a,f,20,4,10,40,10,10,15,20,30,40,40\no,x,never,1,1,1,1,1,1,1,1,1,1,1\n"),
			Memory:      text("HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\no,a,9,170.5,1\n"),
		},
		{Invocations: text(second)},
	}
	tr, err := simulate.Open2019(days, 1)
	if err != nil {
		t.Fatal(err)
	}
	functions := []simulate.TraceFunction{{Name: "o/a/f", Requests: 4, MemoryMB: 170.5}, {Name: "o/a/g", Requests: 2, MemoryMB: 170.5}, {Name: "o/b/h", Requests: 1}}
	if d := cmp.Diff(functions, tr.Functions); d != "" || tr.Until != 24*time.Hour+time.Minute || tr.Requests != 7 {
		t.Errorf("want 7 requests until a minute into the second day, got %d until %v; functions (-want +got):\n%s", tr.Requests, tr.Until, d)
	}
	got := map[string]int{}
	last := time.Duration(0)
	for _, a := range all(t, tr) {
		got[fmt.Sprintf("%s in minute %d", tr.Functions[a.Function].Name, a.At/time.Minute+1)]++
		if a.At < last {
			t.Errorf("want arrivals in order, got %v behind %v", a.At, last)
		}
		last = a.At
		if known := a.Service >= 10*time.Millisecond && a.Service <= 40*time.Millisecond; known != (a.Function == 0) || a.Service != 0 && !known {
			t.Errorf("want 10 to 40 ms for o/a/f alone, got %v for %s", a.Service, tr.Functions[a.Function].Name)
		}
	}
	want := map[string]int{"o/a/f in minute 1": 3, "o/a/g in minute 2": 2, "o/a/f in minute 1440": 1, "o/b/h in minute 1441": 1}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	again, err := simulate.Open2019(days, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := simulate.Open2019(days, 2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := all(t, again), all(t, other)
	tr, _ = simulate.Open2019(days, 1)
	if d := cmp.Diff(all(t, tr), a); d != "" || cmp.Equal(a, b) {
		t.Errorf("want the seed to decide, got (-first +second):\n%s", d)
	}
}

// TestNoTrace is what is refused, with the line.
func TestNoTrace(t *testing.T) {
	good := head2019() + "o,a,f,http," + minute(map[int]int{1: 1}) + "\n"
	of2019 := func(d simulate.Day2019) error {
		tr, err := simulate.Open2019([]simulate.Day2019{d}, 1)
		for err == nil {
			_, err = tr.Next()
		}
		return err
	}
	of2021 := func(s string) error {
		tr, err := simulate.Open2021(text(s))
		for err == nil {
			_, err = tr.Next()
		}
		return err
	}
	const head = "app,func,end_timestamp,duration\n"
	tests := []struct {
		name string
		err  error
		line string
	}{
		{"2021: empty", of2021(""), "line 0"},
		{"2021: another head", of2021("a,b\n"), "line 1"},
		{"2021: too few fields", of2021(head + "a,f,1\n"), "line 2"},
		{"2021: no number", of2021(head + "a,f,1,1\na,f,x,1\n"), "line 3"},
		{"2021: not finite", of2021(head + "a,f,NaN,1\n"), "line 2"},
		{"2021: below 0", of2021(head + "a,f,1,-1\n"), "line 2"},
		{"2021: beyond a year", of2021(head + "a,f,1e300,1\n"), "line 2"},
		{"2021: an endless line", of2021(head + strings.Repeat("x", 70_000)), "line 2"},
		{"2021: too far out of order", of2021(head + "a,f,9000,1\na,f,20000,1\na,f,30000,1\na,f,5,1\n"), "line 5"},
		{"2019: another head", of2019(simulate.Day2019{Invocations: text("HashOwner\n")}), "line 1"},
		{"2019: a minute too few", of2019(simulate.Day2019{Invocations: text(head2019() + "o,a,f,http,1\n")}), "line 2"},
		{"2019: below 0", of2019(simulate.Day2019{Invocations: text(strings.Replace(good, "http,1,", "http,-1,", 1))}), "line 2"},
		{"2019: far too many", of2019(simulate.Day2019{Invocations: text(strings.Replace(good, "http,1,", "http,99999999,", 1))}), "line 2"},
		{"2019: percentiles that fall", of2019(simulate.Day2019{Invocations: text(good), Durations: text(durations2019 + "o,a,f,1,1,1,1,3,2,3,4,5,6,7\n")}), "line 2"},
		{"2019: durations without percentiles", of2019(simulate.Day2019{Invocations: text(good), Durations: text(durations2019 + "o,a,f,1,1,1,1\n")}), "line 2"},
		{"2019: no memory", of2019(simulate.Day2019{Invocations: text(good), Memory: text("HashOwner,HashApp,SampleCount,AverageAllocatedMb\no,a,1,lots\n")}), "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if fault.CodeOf(tt.err) != fault.Invalid || !strings.Contains(tt.err.Error(), tt.line) {
				t.Errorf("want code invalid and %q, got %v", tt.line, tt.err)
			}
		})
	}
	gone := func() (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }
	if _, err := simulate.Open2021(gone); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("want the file's error, got %v", err)
	}
	if _, err := simulate.Open2019([]simulate.Day2019{{Invocations: gone}}, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("want the file's error, got %v", err)
	}
}

// TestRoundTrip writes a generated trace in both formats and reads it back.
func TestRoundTrip(t *testing.T) {
	g := simulate.Synthetic{Functions: 30, Until: 20 * time.Hour, Rate: 0.2, Durations: true, Seed: 3}
	source := func() simulate.Source {
		s, err := g.Source()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := all(t, source())
	if len(want) < 5000 {
		t.Fatalf("want some thousand arrivals, got %d", len(want))
	}
	var calls, invocations, took bytes.Buffer
	if err := simulate.Write2021(&calls, g.Names(), source()); err != nil {
		t.Fatal(err)
	}
	tr, err := simulate.Open2021(text(calls.String()))
	if err != nil {
		t.Fatal(err)
	}
	got := all(t, tr)
	if len(got) != len(want) {
		t.Fatalf("2021: want %d arrivals, got %d", len(want), len(got))
	}
	for k := range want {
		name, _, _ := strings.Cut(tr.Functions[got[k].Function].Name, "/")
		if name != g.Names()[want[k].Function] || (got[k].At-want[k].At).Abs() > time.Microsecond || (got[k].Service-want[k].Service).Abs() > time.Microsecond {
			t.Fatalf("2021: arrival %d: want %+v, got %+v of %s", k, want[k], got[k], name)
		}
	}
	if err := simulate.Write2019(&invocations, &took, g.Names(), source()); err != nil {
		t.Fatal(err)
	}
	tr, err = simulate.Open2019([]simulate.Day2019{{Invocations: text(invocations.String()), Durations: text(took.String())}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	count := func(all []simulate.Arrival) (perMinute map[[2]int]int, durations []float64) {
		perMinute = map[[2]int]int{}
		for _, a := range all {
			perMinute[[2]int{a.Function, int(a.At / time.Minute)}]++
			durations = append(durations, a.Service.Seconds())
		}
		slices.Sort(durations)
		return perMinute, durations
	}
	wantCounts, wantTook := count(want)
	gotCounts, gotTook := count(all(t, tr))
	if d := cmp.Diff(wantCounts, gotCounts); d != "" {
		t.Errorf("2019: counts (-want +got):\n%s", d)
	}
	for _, q := range []float64{0.1, 0.5, 0.9} {
		a, b := wantTook[int(q*float64(len(wantTook)))], gotTook[int(q*float64(len(gotTook)))]
		if math.Abs(a/b-1) > 0.15 {
			t.Errorf("2019: want %.3f s at %.0f %%, got %.3f s", a, 100*q, b)
		}
	}
}

// TestSynthetic holds the generator to what the papers say of real traces.
func TestSynthetic(t *testing.T) {
	g := simulate.Synthetic{Functions: 1000, Until: 3 * 24 * time.Hour, Rate: 3, Durations: true, Seed: 5}
	s, err := g.Source()
	if err != nil {
		t.Fatal(err)
	}
	calls := make([]int, g.Functions)
	mean := make([]float64, g.Functions)
	hours := make([]int, 72)
	n := 0
	last := time.Duration(0)
	for _, a := range all(t, s) {
		n++
		calls[a.Function]++
		mean[a.Function] += a.Service.Seconds()
		hours[int(a.At/time.Hour)]++
		if a.At < last || a.At >= g.Until {
			t.Fatalf("want arrivals in order before %v, got %v behind %v", g.Until, a.At, last)
		}
		last = a.At
	}
	if rate := float64(n) / g.Until.Seconds(); math.Abs(rate/3-1) > 0.25 {
		t.Errorf("want about 3 calls per second, got %.2f", rate)
	}
	rare, short, called := 0, 0, 0
	for k, c := range calls {
		if float64(c) < g.Until.Minutes() {
			rare++
		}
		if c > 0 {
			called++
			if mean[k]/float64(c) < 1 {
				short++
			}
		}
	}
	top := slices.Clone(calls)
	slices.Sort(top)
	most := 0
	for _, c := range top[800:] {
		most += c
	}
	if share := float64(rare) / 1000; share < 0.5 {
		t.Errorf("want most functions called less than once a minute, got %.0f %%", 100*share)
	}
	if share := float64(most) / float64(n); share < 0.99 {
		t.Errorf("want a fifth of the functions to make 99 %% of the calls, got %.1f %%", 100*share)
	}
	if share := float64(short) / float64(called); share < 0.4 || share > 0.7 {
		t.Errorf("want half of the functions to take less than a second, got %.0f %%", 100*share)
	}
	day := func(hour int) int { return hours[hour] + hours[hour+24] + hours[hour+48] }
	if noon, night := day(11)+day(12)+day(13), day(23)+day(0)+day(1); noon < night*3/2 {
		t.Errorf("want days and nights, got %d calls at noon and %d at midnight", noon, night)
	}
	for _, bad := range []simulate.Synthetic{{Functions: -1}, {Rate: -1}, {Zipf: math.NaN()}, {Diurnal: 2}, {Switching: 0.6, Bursty: 0.6}} {
		if _, err := bad.Source(); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%+v: want code bad_config, got %v", bad, err)
		}
	}
}

// drain reads what a fuzzer made: arrivals are in order and of functions that
// there are, or there is a coded error.
func drain(t *testing.T, tr *simulate.Trace, err error) {
	if err != nil {
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("want code invalid, got %v", err)
		}
		return
	}
	last := time.Duration(0)
	for n := range int64(10_000) {
		a, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if n != tr.Requests {
				t.Errorf("want %d arrivals, got %d", tr.Requests, n)
			}
			return
		}
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("want code invalid, got %v", err)
			}
			return
		}
		if a.At < last || a.Function < 0 || a.Function >= len(tr.Functions) || a.Service < 0 {
			t.Fatalf("want arrivals in order, got %+v behind %v", a, last)
		}
		last = a.At
	}
}

func FuzzOpen2021(f *testing.F) {
	f.Add("app,func,end_timestamp,duration\na,f,1.5,0.5\nb,f,2,1.75\n")
	f.Add("app,func,end_timestamp,duration\na,f,1,5\na,f,9000,0\na,f,20000,3\n")
	f.Add("app,func,end_timestamp,duration\n,,0,0\n\n,,1e7,1e7")
	f.Fuzz(func(t *testing.T, s string) {
		tr, err := simulate.Open2021(text(s))
		drain(t, tr, err)
	})
}

func FuzzOpen2019(f *testing.F) {
	f.Add("o,a,f,http,", "3", "o,a,f,20,4,10,40,10,10,15,20,30,40,40", "o,a,9,170.5")
	f.Add("o,a,f,http,", "0", "", "")
	f.Add(",,,,", "1000", ",,,,,,,0,0,0,0,0,0,0", ",,,0")
	f.Fuzz(func(t *testing.T, key, count, took, memory string) {
		tr, err := simulate.Open2019([]simulate.Day2019{{
			Invocations: text(head2019() + key + count + "," + strings.TrimPrefix(minute(nil), "0,") + "\n"),
			Durations:   text(durations2019 + took + "\n"),
			Memory:      text("HashOwner,HashApp,SampleCount,AverageAllocatedMb\n" + memory + "\n"),
		}}, 1)
		drain(t, tr, err)
	})
}
