package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// Every number of the documents is what docs/results says, or is said to be
// none that was measured.
func TestNumbersAreThoseOfTheResults(t *testing.T) {
	problems, err := check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func TestNumbersIn(t *testing.T) {
	tests := []struct {
		line string
		want []string // each as printed with its unit, and its tie
	}{
		{"nothing of it", nil},
		{"the zip has 17.5 MB<!-- measured:zip --> now", []string{"17.5 MB measured:zip"}},
		{"17.5<!-- measured:zip --> MB", []string{"17.5 MB measured:zip"}},
		{"| **0.856**<!-- goals:7 --> | **42.0 µs** <!-- goals:3 --> |", []string{"0.856 goals:7", "42.0 µs goals:3"}},
		{"**42.0<!--goals:3--> µs**", []string{"42.0 µs goals:3"}},
		{"3 to 4 ms, 34<!-- a:b --> to 55 µs<!-- a:c -->", []string{"3 ms", "4 ms", "34 µs a:b", "55 µs a:c"}},
		{"20.1, 20.1, 20.2 MB and 20, 50 and 80 %", []string{"20.1 MB", "20.1 MB", "20.2 MB", "20 %", "50 %", "80 %"}},
		{"5.10–12.3 µs; −5, -1 ms; 2-3 s", []string{"5.10 µs", "12.3 µs", "−5 ms", "-1 ms", "2 s", "3 s"}},
		{"99.4% right, 8 per cent, 650,000 times, 1.6x, 4 × as much, 3-fold", []string{"99.4 %", "8 per cent", "650,000 times", "1.6 x", "4 ×", "3 -fold"}},
		{"371/s, 2507 rows/s, 500 requests a second, 40 rps, 64 KiB/s", []string{"371 /s", "2507 rows/s", "500 requests a second", "40 rps", "64 KiB/s"}},
		{"takes 0.65 of the time, 10.0 of Python's", []string{"0.65", "10.0"}},
		{"with Go 1.26, glibc 2.28, ONNX Runtime 1.31.1, Apache-2.0, v0.42, HTTP/1.1", nil},
		{"Python 3.11 may be a ratio, so it wants a line", []string{"3.11"}},
		{"code is `10 MB` or ``5 ms``, [a link](x-5ms.md#3.5), <https://a.b/1.5>", nil},
		{"10 models, 512×512 numbers, 8x8, p99, 2 connections, in 2026, 4-16-3, 3rd, 2k", nil},
		{"at 0:30 of 1/4 and 1.5/2.5 GB", []string{"1.5"}}, // a slash is no list: the other is a part of a path
		{"10 <!-- not a tie --> MB", []string{"10 MB"}},
		{"7.04 ms more, 15 allocations", []string{"7.04 ms", "15 allocations"}},
		{"5 minutes of 24 h, 730 hours, 5 min less", []string{"5 minutes", "24 h", "730 hours", "5 min"}},
		{"5 sheep, 5 mscratch, 3 x86", nil},
	}
	for _, tt := range tests {
		var got []string
		for _, n := range numbersIn(tt.line) {
			got = append(got, strings.TrimSpace(n.String()+" "+n.tie))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestAgree(t *testing.T) {
	tests := []struct {
		printed string
		value   float64
		unit    string
		wrong   string // part of the error; "" is none
	}{
		{"17.5 MB", 17.5, "MB", ""},
		{"17.5 MB", 17.549, "MB", ""},
		{"17.5 MB", 17.5501, "MB", "17.5501 MB"},
		{"17.5 MB", 17449000, "bytes", "17.449 MB"},
		{"17.5 MB", 17450000, "bytes", ""},
		{"18 MB", 17.5, "MB", ""},
		{"17 MB", 17.6, "MB", "17.6 MB"},
		{"17.50 MB", 17.51, "MB", "17.51 MB"},
		{"17.5 MiB", 17.5, "MB", "16.6893 MiB"},
		{"17.5 ms", 17.5, "MB", `a unit like the result's "MB"`},
		{"99.4%", 0.994444, "", ""},
		{"99.5%", 0.994444, "", "99.4444 %"},
		{"650 µs", 0.65, "ms", ""},
		{"0.65 of it", 0.65, "", ""},
		{"1.7 times", 1.75, "", ""}, // a half goes either way
		{"−5 ms", -5.2, "ms", ""},
		{"5 ms", -5.2, "ms", "-5.2 ms"},
		{"7.0 ms more", 7.04, "ms more", ""},
		{"371/s", 371.2, "/s", ""},
		{"12,308 µs", 12308, "µs", ""},
		{"3 ms", 3, "furlongs", `"furlongs"`},
		{"3 rows/s", 3, "MB/s", `"MB/s"`},
	}
	for _, tt := range tests {
		err := agree(numbersIn(tt.printed)[0], tt.value, tt.unit)
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s of %v %s: want %q, got %v", tt.printed, tt.value, tt.unit, tt.wrong, err)
		}
	}
}

// A small repository in which everything is right, and what each test changes.
func TestCheck(t *testing.T) {
	good := map[string]string{
		"README.md":                   "# A\n\nIt has 17.5 MB<!-- measured:zip --> and answers 99.4%<!-- measured:accuracy -->, within 30 s of the platform.\n",
		"docs/a.md":                   "```\n12 ms\n```\n\n<!-- figures of goals.json, compared by a/b:TestTable; by make bench -->\n| 12 ms |\n<!-- end of figures -->\n\nSee 0.86<!-- goals:7-batching --> there.\n",
		"docs/adr/1.md":               "It took 12 ms.\n",
		"docs/cli.md":                 "`--rate` is 10 ms\n",
		"docs/results/goals.json":     `{"figures": [{"id": "7-batching", "value": 0.856, "unit": "", "n": 2}, {"id": "8", "unit": ""}]}`,
		"docs/results/measured.json":  `{"about": [], "records": [{"file": "docs/adr/1.md", "date": "2026-01-02", "commit": "0123abc"}], "figures": [` + measuredLine("zip", `"value": 17.5`, "MB") + `, ` + measuredLine("accuracy", `"from": "examples/h.json#accuracy"`, "") + `]}`,
		"docs/results/unmeasured.txt": "# comment\n\nplatform README.md: within 30 s of\n",
		"examples/h.json":             `{"accuracy": 0.994444}`,
		"a/b/b_test.go":               "package b\n\nfunc TestTable(t *testing.T) {}\n",
	}
	tests := []struct {
		name, file, old, new string
		want                 []string // a part of each problem
	}{
		{name: "good"},
		{"a number changed", "README.md", "17.5 MB", "17.6 MB", []string{`README.md:3: "17.6 MB" is tied to measured:zip: want what was measured, 17.5 MB`}},
		{"a unit changed", "README.md", "17.5 MB", "17.5 KB", []string{`"17.5 KB" is tied to measured:zip: want what was measured, 17500 KB`}},
		{"a training script found another", "examples/h.json", "0.994444", "0.98", []string{`"99.4 %" is tied to measured:accuracy`}},
		{"a tie gone", "README.md", "<!-- measured:zip -->", "", []string{`README.md:3: want a tie behind "17.5 MB"`, `no document says "zip"`}},
		{"no such id", "README.md", "measured:zip", "measured:tar", []string{`tied to "tar", which docs/results/measured.json does not have`, `no document says "zip"`}},
		{"no such result", "README.md", "measured:zip", "nosuch:zip", []string{`docs/results/nosuch.json: open`, `no document says "zip"`}},
		{"a result without a value", "docs/a.md", "goals:7-batching", "goals:8", []string{`tied to "8", which docs/results/goals.json does not have`}},
		{"a result that is broken", "docs/results/goals.json", `"unit": ""}]}`, `"unit": ""}`, []string{`is tied to docs/results/goals.json: unexpected end`}},
		{"two figures of one id", "docs/results/goals.json", `"id": "8"`, `"id": "7-batching"`, []string{`"7-batching" twice`}},
		{"another run", "docs/results/goals.json", "0.856", "0.9", []string{`docs/a.md:9: "0.86" is tied to goals:7-batching`}},
		{"a claim added", "docs/a.md", "See", "It is 3 times as fast. See", []string{`docs/a.md:9: want a tie behind "3 times" to a line of docs/results`}},
		{"a new decision", "docs/adr/2.md", "", "It took 12 ms.\n", []string{`docs/adr/2.md:1: want a tie behind "12 ms"`}},
		{"a limit reworded", "README.md", "within 30 s of", "in 30 s of", []string{`README.md:3: want a tie behind "30 s"`, `unmeasured.txt:3: README.md has no number without a result in "within 30 s of"`}},
		{"a limit changed", "README.md", "30 s", "60 s", []string{`want a tie behind "60 s"`, `unmeasured.txt:3: README.md has no`}},
		{"a limit tied", "README.md", "30 s", "17.5 MB<!-- measured:zip -->", []string{`unmeasured.txt:3: README.md has no`}},
		{"a piece that stands twice", "README.md", "of the platform", "of the platform, within 30 s of it", []string{`want a tie behind "30 s"`, `want a tie behind "30 s"`, `unmeasured.txt:3: README.md has no`}},
		{"a kind that is none", "docs/results/unmeasured.txt", "platform R", "fast R", []string{"unmeasured.txt:3: want KIND FILE: PIECE, with a kind of given, goal,", `want a tie behind "30 s"`}},
		{"a record that is gone", "docs/results/measured.json", "docs/adr/1.md", "docs/adr/0.md", []string{`record "docs/adr/0.md" is none`, `docs/adr/1.md:1: want a tie`}},
		{"a record without a commit", "docs/results/measured.json", "0123abc\"}]", "x\"}]", []string{`record "docs/adr/1.md": want the day and the commit`}},
		{"a figure without a command", "docs/results/measured.json", "make zip", "", []string{`"zip": want what it is, how to measure it again`, `tied to "zip", which`}},
		{"a figure without a day", "docs/results/measured.json", `"make zip", "date": "2026-01-02"`, `"make zip", "date": "soon"`, []string{`"zip": want what it is, how to measure it again, the day and the commit`, `tied to "zip", which`}},
		{"a record without a day", "docs/results/measured.json", `"2026-01-02"`, `"soon"`, []string{`record "docs/adr/1.md": want the day and the commit`}},
		{"a key that is unknown", "docs/results/measured.json", `"about"`, `"abuot"`, []string{`unknown field "abuot"`, `docs/adr/1.md:1: want a tie`, `"17.5 MB" is tied`, `"99.4 %" is tied`}},
		{"a table without its test", "a/b/b_test.go", "TestTable", "TestOther", []string{"docs/a.md:5: want a test TestTable in a/b that makes this part again from goals.json"}},
		{"a table without its results", "docs/a.md", "of goals.json", "of none.json", []string{`docs/a.md:5: want the result "none.json"`}},
		{"a table without an end", "docs/a.md", "<!-- end of figures -->", "", []string{`docs/a.md:5: want "<!-- end of figures -->" behind it`}},
		{"a table by hand", "docs/a.md", "<!-- figures of goals.json, compared by a/b:TestTable;", "<!-- figures", []string{`docs/a.md:6: want a tie behind "12 ms"`}},
		{"code without an end", "docs/a.md", "See", "```\nSee", []string{"docs/a.md:9: want \"```\" behind it"}},
		{"code that is none any more", "docs/a.md", "```\n12 ms\n```", "12 ms", []string{`docs/a.md:1: want a tie behind "12 ms"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range good {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if tt.file != "" {
				root[tt.file] = &fstest.MapFile{Data: []byte(strings.Replace(good[tt.file], tt.old, tt.new, 1))}
			}
			problems, err := check(root)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			all := strings.Join(got, "\n")
			if len(got) != len(tt.want) {
				t.Errorf("want %d problems, got %d:\n%s", len(tt.want), len(got), all)
			}
			for _, w := range tt.want {
				if !strings.Contains(all, w) {
					t.Errorf("want %q, got\n%s", w, all)
				}
			}
		})
	}
}

func measuredLine(id, value, unit string) string {
	return `{"id": "` + id + `", ` + value + `, "unit": "` + unit + `", "what": "it", "measure": "make zip", "date": "2026-01-02", "commit": "0123abc"}`
}
