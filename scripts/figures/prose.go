package main

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// textLine is a line of a document that is neither code nor generated.
type textLine struct {
	number int
	text   string
}

// A generated part begins with the result that it is made of, and the test
// that makes it again and compares.
const blockEnd = "<!-- end of figures -->"

var blockBegin = regexp.MustCompile(`^<!-- figures of ([\w.-]+), compared by ([\w./-]+):(Test\w+)`)

// prose leaves code and generated parts out of a document. A generated part is
// left out only where there is the result and the test that its mark names.
func prose(root fs.FS, name, text string) (lines []textLine, problems []problem) {
	fence, fenceLine, block := "", 0, 0
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		switch m := blockBegin.FindStringSubmatch(trimmed); {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
		case block > 0:
			if trimmed == blockEnd {
				block = 0
			}
		case strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~"):
			fence, fenceLine = trimmed[:3], i+1
		case m != nil:
			if err := compared(root, m[1], m[2], m[3]); err != nil {
				problems = append(problems, problem{file: name, line: i + 1, text: err.Error()})
			}
			block = i + 1
		default:
			lines = append(lines, textLine{i + 1, l})
		}
	}
	if block > 0 {
		problems = append(problems, problem{file: name, line: block, text: fmt.Sprintf("want %q behind it, got the end of the file", blockEnd)})
	}
	if fence != "" {
		problems = append(problems, problem{file: name, line: fenceLine, text: fmt.Sprintf("want %q behind it, got the end of the file", fence)})
	}
	return lines, problems
}

// compared says whether there are the result and the test of a generated part.
func compared(root fs.FS, result, folder, test string) error {
	if _, err := fs.Stat(root, resultsDir+"/"+result); err != nil {
		return fmt.Errorf("want the result %q in %s, got none", result, resultsDir)
	}
	files, err := fs.Glob(root, folder+"/*_test.go")
	if err != nil {
		return err
	}
	for _, f := range files {
		if text, err := fs.ReadFile(root, f); err == nil && strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("want a test %s in %s that makes this part again from %s and compares, got none", test, folder, result)
}
