package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/plan"
	"godwit.dev/runtime/fault"
)

// planned is what render --diff prints as JSON; documented in docs/cli.md.
type planned struct {
	Name     string          `json:"name"`
	Defaults []plan.Default  `json:"defaults"` // of keys that are no target's
	Targets  []plannedTarget `json:"targets"`
}

type plannedTarget struct {
	*plan.Target
	// Refused is why it is not rendered as godwit.yaml has it.
	Refused *app.Problem `json:"refused,omitempty"`
	Path    string       `json:"path,omitempty"`    // the folder that was compared with
	Changes []change     `json:"changes,omitempty"` // of its files, by path
}

// A change is what rendering would do to one file.
type change struct {
	Path    string `json:"path"`
	Change  string `json:"change"` // "new", "gone" or "changed"
	Added   int    `json:"added"`  // lines; none of a file that is no text
	Removed int    `json:"removed"`
	Diff    string `json:"diff,omitempty"` // hunks of a unified diff
}

// diff says what the targets are and what rendering would change, and writes nothing.
func (p *program) diff(ctx context.Context, path string, o *renderOptions) error {
	if o.out != "" && o.target == "" {
		return fault.New(fault.Usage, "", "-o", "want --target beside it, got none").WithHint("A folder has one target's files.")
	}
	dir, s, err := app.ReadSpec(path)
	if err != nil {
		return err
	}
	targets := s.Targets.Names()
	if o.target != "" {
		if !slices.Contains(spec.TargetNames(), o.target) {
			return fault.New(fault.Usage, "", "--target", "want one of %s, got %q", strings.Join(spec.TargetNames(), ", "), o.target)
		}
		targets = []string{o.target}
	}
	if len(targets) == 0 || s.Targets.Common(targets[0]) == nil {
		return fault.New(fault.BadConfig, "", filepath.Join(dir, spec.FileName), "want a target%s, got none", strings.Join(append([]string{""}, targets...), " ")).
			WithHint("Add one, as targets: {awslambda: {}}.")
	}
	all := planned{Name: s.Name, Defaults: plan.Common(s)}
	for _, target := range targets {
		one := plannedTarget{Target: plan.Of(s, target)}
		if how := p.renderers()[target]; how.refuses != nil {
			if err := how.refuses(s); err != nil {
				one.Refused = &app.Problems(err)[0]
			}
		}
		if o.out != "" {
			if one.Path, one.Changes, err = p.changes(ctx, path, o); err != nil {
				return err
			}
		}
		all.Targets = append(all.Targets, one)
	}
	if p.json {
		writeJSON(p.Stdout, all)
		return nil
	}
	p.printPlan(&all, o)
	return nil
}

// changes renders beside nothing and compares with the folder that is there.
func (p *program) changes(ctx context.Context, path string, o *renderOptions) (string, []change, error) {
	how, r, err := p.toRender(path, o)
	if err != nil {
		return "", nil, err
	}
	if err := mayRender(o, how.ours); err != nil {
		return "", nil, err
	}
	tmp, err := os.MkdirTemp(p.Getenv("TMPDIR"), "godwit-render-*")
	if err != nil {
		return "", nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	defer os.RemoveAll(tmp)
	made, err := p.renderInto(ctx, how, r, filepath.Join(tmp, "new"))
	if err != nil {
		return "", nil, err
	}
	stale, err := how.stale(o.out, made.Files)
	if err != nil {
		return "", nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	all, err := compare(o.out, r.into, made.Files, stale)
	if err != nil {
		return "", nil, fault.New(fault.Internal, "", o.out, "%w", err)
	}
	return o.out, all, nil
}

// compare is what the files below made would change in dir. What lies there beside
// them stays, but for what is in a folder at the root that both have, and the
// stale names at the root.
func compare(dir, made string, files, stale []string) ([]change, error) {
	all := []change{}
	roots := map[string]bool{}
	for _, root := range stale {
		roots[root] = true
	}
	for _, name := range files {
		root, _, below := strings.Cut(name, "/")
		roots[root] = roots[root] || below
		was, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		now, readErr := os.ReadFile(filepath.Join(made, filepath.FromSlash(name)))
		switch {
		case readErr != nil:
			return nil, readErr
		case err != nil:
			all = append(all, changeOf(name, "new", nil, now))
		case !bytes.Equal(was, now):
			all = append(all, changeOf(name, "changed", was, now))
		}
	}
	for root, below := range roots {
		if !below {
			continue
		}
		err := filepath.WalkDir(filepath.Join(dir, root), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			rel, relErr := filepath.Rel(dir, path)
			if err := errors.Join(err, relErr); err != nil {
				return err
			}
			if name := filepath.ToSlash(rel); !slices.Contains(files, name) {
				was, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				all = append(all, changeOf(name, "gone", was, nil))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b change) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func changeOf(path, what string, was, now []byte) change {
	c := change{Path: path, Change: what}
	if !isText(was) || !isText(now) {
		return c
	}
	edits := lineEdits(linesOf(was), linesOf(now))
	for _, e := range edits {
		switch e.kind {
		case '+':
			c.Added++
		case '-':
			c.Removed++
		}
	}
	if what == "changed" { // else the whole file would be said again
		c.Diff = unified(edits)
	}
	return c
}

func isText(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) }

func linesOf(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// printPlan prints for people; with -o the differences come last.
func (p *program) printPlan(all *planned, o *renderOptions) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for i, t := range all.Targets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s\n", all.Name, t.Target.Target)
		if t.Refused != nil {
			fmt.Fprintf(w, "  refused  %s\n", t.Refused.Error)
			if t.Refused.Hint != "" {
				fmt.Fprintf(w, "           %s\n", t.Refused.Hint)
			}
		}
		if t.Path != "" && len(t.Changes) == 0 {
			fmt.Fprintf(w, "  change\tnothing in %s\t\t\n", t.Path)
		}
		for _, c := range t.Changes {
			fmt.Fprintf(w, "  change\t%s\t%s\t%s\n", c.Path, c.Change, tally(c))
		}
		idle := "not known here"
		if t.Idle.USD != nil {
			idle = fmt.Sprintf("$%.2f a month", *t.Idle.USD)
		}
		prices := t.Idle.Region
		if prices != "" {
			prices += " (" + strings.Join(t.Idle.Sources, "; ") + ")"
		}
		fmt.Fprintf(w, "  idle\t%s\t%s\t%s\n", idle, t.Idle.What, prices)
		for _, c := range t.Cannot {
			fmt.Fprintf(w, "  cannot\t%s\t%s\t%s\n", c.What, c.Asked, c.Source)
		}
		printDefaults(w, t.Defaults)
	}
	if o.target == "" && len(all.Defaults) > 0 {
		fmt.Fprintf(w, "\n%s everywhere\n", all.Name)
		printDefaults(w, all.Defaults)
	}
	w.Flush()
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(p.Stdout, strings.TrimRight(line, " \n"))
	}
	for _, t := range all.Targets {
		for _, c := range t.Changes {
			if c.Diff != "" {
				fmt.Fprintf(p.Stdout, "\n--- %[1]s\n+++ %[1]s\n%[2]s", filepath.ToSlash(filepath.Join(t.Path, c.Path)), c.Diff)
			}
		}
	}
}

func printDefaults(w io.Writer, all []plan.Default) {
	for _, d := range all {
		fmt.Fprintf(w, "  default\t%s\t%s\t%s\n", d.Path, d.Value, d.Why)
	}
}

// tally is "+3 -1"; "" where no lines are counted.
func tally(c change) string {
	if c.Added+c.Removed == 0 {
		return ""
	}
	return fmt.Sprintf("+%d -%d", c.Added, c.Removed)
}
