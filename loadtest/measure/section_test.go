package measure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &Section{Path: path, Begin: "<!-- b -->"}
	const other = "<!-- a -->\n\nx\n\n" + SectionEnd + "\n"
	write(other + "<!-- b -->\nold\n" + SectionEnd + "\ntail\n")
	for _, text := range []string{"| new |", "\n| new |\n"} {
		if err := s.Write(text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if want := other + "<!-- b -->\n\n| new |\n\n" + SectionEnd + "\ntail\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		if text, err := s.Read(); err != nil || text != "| new |" {
			t.Errorf("read %q, %v", text, err)
		}
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("left %q", left)
	}
	for _, text := range []string{"", "<!-- b -->\n", SectionEnd + "\n<!-- b -->"} {
		write(text)
		if err := s.Write("new"); err == nil || !strings.Contains(err.Error(), s.Begin) {
			t.Errorf("%q: %v, want the marks named", text, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}
