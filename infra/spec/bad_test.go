package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/runtime/fault"
)

// badCase is one refused spec of testdata/bad.txt.
type badCase struct{ name, text string }

func badCases(t testing.TB) (intro string, cases []badCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "\n== ")
	for _, p := range parts[1:] {
		name, rest, _ := strings.Cut(p, "\n")
		text, _, _ := strings.Cut(rest, "\n-> ")
		cases = append(cases, badCase{name, strings.TrimSuffix(text, "\n") + "\n"})
	}
	if len(cases) < 90 {
		t.Fatalf("found %d bad specs", len(cases))
	}
	return parts[0], cases
}

func TestBadSpecs(t *testing.T) {
	sch := compileSchema(t)
	intro, cases := badCases(t)
	var got strings.Builder
	got.WriteString(intro)
	for _, c := range cases {
		fmt.Fprintf(&got, "\n== %s\n%s", c.name, c.text)
		s, err := Parse(FileName, []byte(c.text))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
		}
		if s != nil && err != nil {
			t.Errorf("%s: a spec and an error", c.name)
		}
		unknown := false
		for _, f := range Problems(err) {
			p := f.Err.(*Problem)
			path := p.Path
			if path != "" {
				path += ": "
			}
			fmt.Fprintf(&got, "-> %d:%d %s%s\n   %s\n", p.Line, p.Column, path, p.Message, f.Hint)
			unknown = unknown || strings.Contains(p.Message, "unknown key")
			if f.Code != fault.BadConfig || f.Hint == "" || f.Op != "spec.Parse" {
				t.Errorf("%s: want code bad_config, a hint and an op in %+v", c.name, f)
			}
		}
		verdict := sch.verdict(t, c.text)
		fmt.Fprintf(&got, "-> schema: %s\n", verdict)
		if unknown && verdict != "refused" {
			t.Errorf("%s: the schema takes an unknown key", c.name)
		}
	}
	golden.Check(t, "bad.txt", []byte(got.String()))
}

func TestErrorText(t *testing.T) {
	_, err := Parse("fraud/godwit.yaml", []byte("model: \"ü.onnx\"\ntargets:\n\tawslambda: {}\n"))
	want := `spec.Parse fraud/godwit.yaml:3:1: found character '\t' that cannot start any token
   3 |  awslambda: {}
     | ^`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = Parse("fraud/godwit.yaml", []byte("model: x.onnx\r\ntargets:\r\n  knative: {env: {A: \"日本\"}, memory: 64}\r\n  azureml: {mod: x}\r\n"))
	want = `spec.Parse fraud/godwit.yaml:3:37: targets.knative.memory: want a size with a unit such as 512MiB, got the number 64
   3 |   knative: {env: {A: "日本"}, memory: 64}
     |                                     ^
spec.Parse fraud/godwit.yaml:4:13: targets.azureml: unknown key "mod"
   4 |   azureml: {mod: x}
     |             ^`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if code := fault.CodeOf(err); code != fault.BadConfig {
		t.Errorf("code = %v, want %v", code, fault.BadConfig)
	}
	if got := len(Problems(fmt.Errorf("wrapped: %w", err))); got != 1 {
		t.Errorf("a wrapped error has %d problems of its own, want the first", got)
	}
	var p *Problem
	if !errors.As(err, &p) || p.Line != 3 || p.Path != "targets.knative.memory" {
		t.Errorf("errors.As found %+v", p)
	}
}

func TestExcerptIsBoundedAndTame(t *testing.T) {
	_, err := Parse("x", []byte("model: x.onnx\nname: \""+strings.Repeat("ü", 300)+"\u200b\", image: 3\n"))
	p := Problems(err)[0].Err.(*Problem)
	for _, line := range strings.Split(p.Excerpt, "\n") {
		if n := len([]rune(line)); n > excerptWidth+10 {
			t.Errorf("a line of %d characters", n)
		}
	}
	if strings.Contains(p.Excerpt, "\u200b") {
		t.Error("an invisible character reaches the terminal")
	}
}

// Hostile files are refused at their first bad byte or word, in little time.
func TestHostileFiles(t *testing.T) {
	mib := int(maxSize)
	much := mib / 8 // beyond every limit, and quick to read
	tests := []struct{ name, text, want string }{
		{"too large", "model: x.onnx\n#" + strings.Repeat("x", mib), `godwit.yaml: want at most 1MiB, got more`},
		{"1 MiB of comments is a spec", "model: x.onnx\n" + strings.Repeat("#"+strings.Repeat("x", 254)+"\n", mib/256-1), ""},
		{"many keys", strings.Repeat("a: b\n", much/5), `godwit.yaml:3334:2: want at most 10000 words and signs, got more`},
		{"many open lists", strings.Repeat("[", much), `godwit.yaml:1:10001: want at most 10000 words and signs, got more`},
		{"many dashes", strings.Repeat("- ", much/2), `godwit.yaml:1:20001: want at most 10000 words and signs, got more`},
		{"1 MiB of one text", "model: " + strings.Repeat("x", mib-8), `godwit.yaml:1:8: model: want at most 1024 characters, got 1048568`},
		{"9000 open lists", strings.Repeat("[", 9000), `godwit.yaml:1:9000: sequence end token ']' not found`},
		{"9000 dashes", strings.Repeat("- ", 9000) + "x", `godwit.yaml:1:1: want a mapping, got a list`},
		{"many anchors", strings.Repeat("&a ", much/3), `godwit.yaml:1:1: anchors are not allowed in a spec`},
		{"NUL", "model: x\x00.onnx", `godwit.yaml:1:9: the character U+0000 is not allowed in YAML`},
		{"escape", "model: x\n# \x1b[2J", `godwit.yaml:2:3: the character U+001B is not allowed in YAML`},
		{"not UTF-8", "model: x.onnx\nname: a\xffb", `godwit.yaml:2:8: want UTF-8, got the byte 0xff`},
		{"UTF-16", "\xff\xfem\x00o\x00", `godwit.yaml:1:1: want UTF-8, got the byte 0xff`},
		{"byte order mark in front", "\ufeffmodel: x.onnx", ""},
		{"byte order mark inside", "model: x\ufeff.onnx", `godwit.yaml:1:9: the character U+FEFF is not allowed in YAML`},
		{"empty", "", `godwit.yaml: want a spec, got an empty file`},
		{"60 unknown keys", "model: x.onnx\n" + strings.Repeat("k: 1\n", 60), `godwit.yaml:2:1: unknown key "k"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(FileName, []byte(tt.text))
			got := ""
			if err != nil {
				got, _, _ = strings.Cut(strings.TrimPrefix(err.Error(), "spec.Parse "), "\n")
			}
			if got != tt.want {
				t.Errorf("got  %.200s\nwant %s", got, tt.want)
			}
			if n := len(Problems(err)); n > maxProblems+1 {
				t.Errorf("%d problems", n)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(p)
	}
	good := write("good/godwit.yaml", "model: x.onnx\n")
	if s, err := Load(good); err != nil || s.Models[0].Path != "x.onnx" {
		t.Errorf("Load = %v, %v", s, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "folder", FileName), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "pipe"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe", FileName), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, dir, want, hint string }{
		{"missing", t.TempDir(), "no such file", "godwit init MODEL"},
		{"other name", write("other/godwit.yml", "model: x.onnx\n"), "no such file", "Rename "},
		{"bad", write("bad/godwit.yaml", "mode: x.onnx\n"), `unknown key "mode"`, `Did you mean "model"?`},
		{"too large", write("large/godwit.yaml", strings.Repeat("#\n", int(maxSize)/2+1)), "at most 1MiB", "right file"},
		{"folder", filepath.Join(dir, "folder"), "want a regular file, got one of mode d", "folder with a godwit.yaml"},
		{"pipe", filepath.Join(dir, "pipe"), "want a regular file, got one of mode p", "folder with a godwit.yaml"},
		{"a file for the folder", filepath.Join(good, FileName), "not a directory", "folder with a godwit.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("err = %v\nhint = %s\nwant %q and hint %q", err, fault.HintOf(err), tt.want, tt.hint)
			}
			if code := fault.CodeOf(err); code != fault.BadConfig {
				t.Errorf("code = %v", code)
			}
		})
	}
	if _, err := Load(tests[0].dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a missing file is not fs.ErrNotExist")
	}
}
