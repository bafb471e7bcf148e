// Command mutate says what a package's tests see: it makes one small mistake
// after the other in the package and runs the tests on each. All mistakes are
// compiled into one test binary, each behind a switch that an environment
// variable sets, by the go tool's overlay: nothing is written into the tree,
// and a mistake costs a run of the tests that reach it and no build.
//
//	mutate [-n 200] [-seed 1] PACKAGE...     mistakes of its own (docs/mutation.md says which)
//	mutate -seeded scripts/mutate/seeded/knative.txt ...   the mistakes that a file lists
//
// It exits with 1 when tests let more than 15 % of its own mistakes pass, or
// any of those that a file lists.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// floor is the least part of the mistakes that tests must see.
const floor = 0.85

// settings are the flags.
type settings struct {
	n      int // most mistakes of a package; 0: all
	seed   uint64
	seeded bool
	only   string // just the mutants whose position contains it
	quick  bool   // leave out tests of more than a second
	list   bool
	skip   string // tests that are not asked
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := mutate(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func mutate(ctx context.Context, args []string, w io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.IntVar(&s.n, "n", 0, "at most this many mistakes of each package, drawn by -seed; 0 is all")
	flags.Uint64Var(&s.seed, "seed", 1, "what draws the mistakes")
	flags.BoolVar(&s.seeded, "seeded", false, "the arguments are files of mistakes: each must be seen")
	flags.StringVar(&s.only, "only", "", "just the mistakes whose line of output contains this")
	flags.BoolVar(&s.quick, "quick", false, "leave out tests that take more than a second")
	flags.BoolVar(&s.list, "list", false, "print the mistakes and run nothing")
	flags.StringVar(&s.skip, "skip", "", "leave out the tests that this regular expression matches, such as one that counts allocations, which the switches add to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("want packages, such as ./adapters/knative, or with -seeded files; got none")
	}
	var scores []score
	for _, arg := range flags.Args() {
		one, err := mutatePackage(ctx, arg, &s, w)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		scores = append(scores, one)
	}
	if s.list {
		return nil
	}
	return report(w, scores, s.seeded)
}

// mutatePackage makes the mistakes of one package, or of one file of mistakes.
func mutatePackage(ctx context.Context, arg string, s *settings, w io.Writer) (score, error) {
	dir := arg
	if s.seeded {
		dir = "adapters/" + strings.TrimSuffix(filepath.Base(arg), ".txt")
	}
	pkg, err := load(ctx, dir)
	if err != nil {
		return score{}, err
	}
	var all []*mutant
	if s.seeded {
		all, err = seeds(pkg, arg)
	} else {
		all = find(pkg)
	}
	if err != nil {
		return score{}, err
	}
	sum := score{name: pkg.name, found: len(all)}
	if s.only != "" {
		all = slices.DeleteFunc(all, func(m *mutant) bool { return !strings.Contains(m.String(), s.only) })
	}
	if s.n > 0 && s.n < len(all) {
		rand.New(rand.NewPCG(s.seed, 0)).Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		all = all[:s.n]
	}
	slices.SortFunc(all, func(a, b *mutant) int { return a.id - b.id })
	if s.list {
		for _, m := range all {
			fmt.Fprintln(w, m)
		}
		return sum, nil
	}
	work, err := os.MkdirTemp("", "mutate-*")
	if err != nil {
		return sum, err
	}
	defer os.RemoveAll(work)
	r, err := build(ctx, pkg, all, work, !s.seeded)
	if err != nil {
		return sum, err
	}
	if s.skip != "" {
		if r.skip, err = regexp.Compile(s.skip); err != nil {
			return sum, err
		}
	}
	if err := r.survey(ctx); err != nil {
		return sum, err
	}
	for i, m := range r.mutants {
		m.fate, m.by, err = r.try(ctx, m, s.quick)
		if err != nil {
			return sum, err
		}
		if s.seeded || m.fate == survived || m.fate == unreached {
			fmt.Fprintf(w, "%s: %s%s\n", m.fate, m, by(m))
		}
		if i%50 == 49 {
			fmt.Fprintf(w, "%s: %d of %d\n", pkg.name, i+1, len(r.mutants))
		}
	}
	sum.mutants = r.mutants
	return sum, nil
}

func by(m *mutant) string {
	if m.by == "" {
		return ""
	}
	return " (seen by " + m.by + ")"
}
