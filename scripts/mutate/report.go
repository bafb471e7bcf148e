package main

import (
	"fmt"
	"io"
	"strings"
)

// score is what became of the mutants of one package.
type score struct {
	name    string
	found   int // mistakes that the tool knows for it
	mutants []*mutant
}

func (s *score) count(fates ...string) int {
	n := 0
	for _, m := range s.mutants {
		for _, fate := range fates {
			if m.fate == fate {
				n++
			}
		}
	}
	return n
}

func (s *score) share() float64 {
	if len(s.mutants) == 0 {
		return 1
	}
	return float64(s.count(killed, timedOut)) / float64(len(s.mutants))
}

// report prints the table and what tests have not seen. An error is that it is
// too much.
func report(w io.Writer, scores []score, seeded bool) error {
	fmt.Fprint(w, "\n| package | possible | made | killed | timed out | survived | not reached | score |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	var low []string
	for i := range scores {
		s := &scores[i]
		fmt.Fprintf(w, "| `%s` | %d | %d | %d | %d | %d | %d | %.1f %% |\n", s.name, s.found, len(s.mutants), s.count(killed), s.count(timedOut), s.count(survived), s.count(unreached), 100*s.share())
		if s.share() < floor || seeded && s.share() < 1 {
			low = append(low, s.name)
		}
	}
	for i := range scores {
		if scores[i].count(survived, unreached) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n\n", scores[i].name)
		for _, m := range scores[i].mutants {
			if m.fate == survived || m.fate == unreached {
				fmt.Fprintf(w, "- %s (%s)\n", m, m.fate)
			}
		}
	}
	if len(low) > 0 {
		want := fmt.Sprintf("%.0f %%", 100*floor)
		if seeded {
			want = "every one"
		}
		return fmt.Errorf("want tests that see %s of the mistakes, got fewer in %s", want, strings.Join(low, ", "))
	}
	return nil
}
