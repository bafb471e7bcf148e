package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"godwit.dev/internal/doctor"
)

// docs/doctor.md lists every code in the words of Codes, and no other.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	seen := map[string]bool{}
	for _, c := range doctor.Codes() {
		if seen[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		seen[c.Name] = true
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", c.Name, c.About, c.Proof)
	}
	if !strings.Contains(string(b), table.String()) {
		t.Errorf("docs/doctor.md: want this table:\n%s", &table)
	}
}

// Every code that the sources give is in Codes, and the other way round, but for
// those of a model, which package onnx gives.
func TestCodes(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{"opset": true, "ir-version": true, "body-limit": true, "response-limit": true, "size-zip": true, "size-unpacked": true, "size-image": true}
	code := regexp.MustCompile(`(?:Code: |f\.Code, f\.[A-Za-z]+, f\.[A-Za-z]+ = |f\.Code, f\.[A-Za-z]+ = |f\.[A-Za-z]+, f\.Code = [A-Za-z]+, |f\.Code = )"([a-z-]+)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(b), -1) {
			given[m[1]] = true
		}
	}
	delete(given, "size-") // the rest of it is a key of package data
	known := map[string]bool{}
	for _, c := range doctor.Codes() {
		known[c.Name] = true
	}
	for name := range given {
		if !known[name] {
			t.Errorf("%s: want a line in Codes", name)
		}
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "runtime", "onnx", "unusual.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range known {
		if !given[name] && !strings.Contains(string(b), `"`+name+`"`) {
			t.Errorf("%s: want a check that gives it", name)
		}
	}
}
