package measure

import (
	"fmt"
	"os"
	"strings"
)

// SectionEnd is the mark that ends a Section.
const SectionEnd = "<!-- end of figures -->"

// Section is the part of a document that a program writes: what stands behind
// the mark Begin and before the next SectionEnd.
type Section struct {
	Path, Begin string
}

// Read is the section's text, without the empty lines around it.
func (s *Section) Read() (string, error) {
	_, text, _, err := s.cut()
	return strings.Trim(text, "\n"), err
}

// Write replaces the section's text, and nothing else of the document: whole or
// not at all.
func (s *Section) Write(text string) error {
	head, _, tail, err := s.cut()
	if err != nil {
		return err
	}
	return Replace(s.Path, []byte(head+s.Begin+"\n\n"+strings.Trim(text, "\n")+"\n\n"+SectionEnd+tail))
}

func (s *Section) cut() (head, text, tail string, err error) {
	all, err := os.ReadFile(s.Path)
	if err != nil {
		return "", "", "", err
	}
	head, rest, ok := strings.Cut(string(all), s.Begin)
	text, tail, ok2 := strings.Cut(rest, SectionEnd)
	if !ok || !ok2 {
		return "", "", "", fmt.Errorf("%s: want the marks %q and %q, got a file without", s.Path, s.Begin, SectionEnd)
	}
	return head, text, tail, nil
}

// Replace writes a file whole or not at all.
func Replace(path string, text []byte) error {
	if err := os.WriteFile(path+".part", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
