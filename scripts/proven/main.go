// Command proven runs the tests of the modules in the folders that it is given,
// says of each package how it went, as go test does, and checks docs/tests.md:
// every test that is named there as the proof of a requirement ran, passed and
// skipped nothing. What begins with e2e/ and names no test is proven by make e2e.
//
//	go run ./scripts/proven . cdk
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	module = "godwit.dev"
	page   = "docs/tests.md"
)

func main() {
	text, err := os.ReadFile(page)
	if err != nil {
		fatal(err)
	}
	proofs := proofsIn(string(text))
	if len(proofs) == 0 {
		fatal(fmt.Errorf("%s names no test", page))
	}
	ok, results := true, results{}
	for _, dir := range os.Args[1:] {
		if err := run(dir, results); err != nil {
			ok = false
			fmt.Fprintf(os.Stderr, "%s: %v\n", dir, err)
		}
	}
	missing := results.missing(proofs, func(part string) bool {
		info, err := os.Stat(part)
		return err == nil && info.IsDir()
	})
	for _, m := range missing {
		fmt.Fprintf(os.Stderr, "%s: %s\n", page, m)
	}
	if !ok || len(missing) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%s: %d proofs ran\n", page, len(proofs))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var (
	row    = regexp.MustCompile(`(?m)^\|.*\| *([^|]*) *\|$`)
	quoted = regexp.MustCompile("`([^` ]*:(?:Test|Fuzz|Example)[^`]*|e2e/[^`]*)`")
)

// proofsIn are what the page names as proofs, "folder:Test" or "e2e/part", each
// once.
func proofsIn(page string) (all []string) {
	seen := map[string]bool{}
	for _, cells := range row.FindAllStringSubmatch(page, -1) {
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if !seen[m[1]] {
				seen[m[1]] = true
				all = append(all, m[1])
			}
		}
	}
	return all
}

// run runs the tests of the module in dir, and prints what go test would.
func run(dir string, into results) error {
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = into.read(out, os.Stdout)
	return errors.Join(err, cmd.Wait())
}

// An event is what go test prints for a program: go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// results has for each "folder:Test" how it ended: pass, fail or skip.
type results map[string]string

// read takes the events of one go test, and writes what go test without them
// would: a line for each package, and all that a test printed which failed.
func (r results) read(events io.Reader, to io.Writer) error {
	printed := map[string]*strings.Builder{} // by package and test, while they run
	of := func(pkg, test string) *strings.Builder {
		key := pkg + ":" + test
		if printed[key] == nil {
			printed[key] = &strings.Builder{}
		}
		return printed[key]
	}
	for d := json.NewDecoder(events); ; {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		b := of(e.Package, e.Test)
		switch {
		case e.Action == "build-output":
			io.WriteString(to, e.Output)
		case e.Action == "output" && e.Test == "" && e.Output == "PASS\n": // go test has it in no list of packages
		case e.Action == "output" && strings.HasPrefix(e.Output, "=== "):
		case e.Action == "output":
			b.WriteString(e.Output)
		case e.Action != "pass" && e.Action != "fail" && e.Action != "skip":
		case e.Test == "":
			for _, key := range slices.Sorted(maps.Keys(printed)) { // tests that never came to an end
				if strings.HasPrefix(key, e.Package+":") && key != e.Package+":" && e.Action == "fail" {
					io.WriteString(to, printed[key].String())
				}
			}
			io.WriteString(to, b.String())
			delete(printed, e.Package+":")
		default:
			r[strings.TrimPrefix(strings.TrimPrefix(e.Package, module), "/")+":"+e.Test] = e.Action
			if e.Action == "fail" {
				of(e.Package, "").WriteString(b.String())
			}
			delete(printed, e.Package+":"+e.Test)
		}
	}
}

// missing says of each proof that did not run, did not pass, or skipped what it
// should have shown, why it is none.
func (r results) missing(proofs []string, isPart func(string) bool) (all []string) {
	skipped := map[string]string{}
	for test, how := range r {
		if how == "skip" {
			skipped[rootOf(test)] = test
		}
	}
	for _, p := range proofs {
		how, ran := r[p]
		switch {
		case strings.HasPrefix(p, "e2e/") && !strings.Contains(p, ":"):
			if part := strings.Join(strings.SplitN(p, "/", 3)[:2], "/"); !isPart(path.Clean(part)) {
				all = append(all, "there is no "+part)
			}
		case !ran:
			all = append(all, p+" did not run")
		case how != "pass":
			all = append(all, p+": "+how)
		case skipped[rootOf(p)] != "":
			all = append(all, p+": "+skipped[rootOf(p)]+" was skipped")
		}
	}
	return all
}

// rootOf is "folder:Test" of "folder:Test/case".
func rootOf(test string) string {
	folder, name, _ := strings.Cut(test, ":")
	name, _, _ = strings.Cut(name, "/")
	return folder + ":" + name
}
