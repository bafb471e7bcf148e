package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Trial measures candidate c for one block and says how good it was: any number
// above 0, larger is better. A Miss or an *Out is told by its error; every other
// error ends the search.
type Trial func(ctx context.Context, c int) (score float64, err error)

// A Miss says that a block did not hold what was asked of it. A candidate that
// misses in most of its blocks is out.
type Miss struct{ Reason string }

func (m *Miss) Error() string { return m.Reason }

// Out says why a candidate is out of question, whatever it would measure.
type Out struct{ Reason string }

func (o *Out) Error() string { return o.Reason }

// Verdict is what became of a candidate.
type Verdict string

// The verdicts.
const (
	Chosen Verdict = "chosen"
	// Kept is the default where nothing is better beyond the noise.
	Kept Verdict = "kept"
	// Default is the default where another was chosen.
	Default  Verdict = "default"
	Worse    Verdict = "worse"     // with confidence, than the best of its round
	Behind   Verdict = "behind"    // in the lesser half when half were let go
	NoBetter Verdict = "no better" // than the default, beyond the noise
	Failed   Verdict = "out"
	Untried  Verdict = "untried" // the budget was spent before
)

// SearchOptions of a search; the zero value of a field means its default.
type SearchOptions struct {
	// Budget is the time that all of it may take. It ends at the end of the block
	// under way. Default 2 minutes.
	Budget time.Duration
	// Least is the smallest gain that is worth a change. Default 0.02.
	Least float64
	// Now is the clock, default time.Now.
	Now func() time.Time
	// Progress is told before each block, and Dropped when a candidate is measured
	// no more.
	Progress func(Progress)
	Dropped  func(c int)
}

// Progress is where a search stands.
type Progress struct {
	Candidate       int // that is measured now
	Left            int // candidates that are still in
	Confirming      bool
	Block           int // from 1, in all
	Elapsed, Budget time.Duration
}

// Found is what a search came to.
type Found struct {
	// Best is the candidate to take: 0, the default, where none is better beyond
	// the noise, and -1 where every candidate is out.
	Best int
	// Gain is Best over the default, from blocks that had no part in choosing it.
	// It has no pairs where Best is the default, or the default is out.
	Gain Ratio
	// Next is the best of the others over the default, where the default is kept.
	Next   Ratio
	NextIs int // -1: none was held against it
	// Ended is why the search ended, in a clause.
	Ended      string
	Candidates []Tried
	Blocks     int
	Elapsed    time.Duration
}

// Tried is what a search found of one candidate.
type Tried struct {
	Verdict Verdict
	Reason  string
	Scores  []float64 // of its blocks; NaN where one was missed
	Misses  int
	// Against is the candidate over the default, in the rounds that both were in.
	Against Ratio
}

const (
	// screening and confirming are how often, on either side, a look may be wrong;
	// there are several looks, so each is asked for more than the whole.
	screening  = 0.01
	confirming = 0.005
	// share of the budget that is for choosing; the rest is for holding what was
	// chosen against the default.
	choosing = 0.5
)

// looks are the rounds after which candidates are let go; confirmed are the pairs
// after which the last two are compared.
var (
	looks     = []int{3, 5, 8, 12, 17, 23}
	confirmed = []int{4, 6, 9, 13, 18, 24, 32}
)

// Search finds the best of n candidates, the first of which is the default and
// the others of which become less simple.
//
// It is a halving in rounds: in each, all that are left take a turn, in one order
// and then in the other (A B C C B A), and are compared within rounds only. At
// each look the candidates that are worse with confidence go, and of the rest the
// lesser half; the default stays to the end, to be compared with. Who is left is
// then measured against the default in pairs of new blocks, until one is better
// with confidence, or both are the same but for Least, or the budget is spent.
// What is chosen must be better beyond the noise and by Least; of candidates that
// are within Least of the best, the simplest leads.
//
// Errors: those of trial that are no Miss and no *Out, and ctx's; what was found
// up to then comes with them.
func Search(ctx context.Context, n int, trial Trial, o *SearchOptions) (*Found, error) {
	s := &search{trial: trial, found: &Found{Best: 0, NextIs: -1, Candidates: make([]Tried, n)}, alive: make([]bool, n)}
	if o != nil {
		s.o = *o
	}
	if s.o.Budget <= 0 {
		s.o.Budget = 2 * time.Minute
	}
	if s.o.Least <= 0 {
		s.o.Least = 0.02
	}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	for i := range s.alive {
		s.alive[i] = true
	}
	s.begun = s.o.Now()
	err := s.run(ctx)
	s.found.Elapsed = s.o.Now().Sub(s.begun)
	for i := range s.found.Candidates {
		c := &s.found.Candidates[i]
		if a, b := s.shared(i, 0); i > 0 && len(a) > 0 {
			c.Against = compare(a, b, confirming)
		}
		if c.Verdict == "" {
			c.Verdict = Untried
			if len(c.Scores) > 0 {
				c.Verdict, c.Reason = Behind, "the budget was spent"
			}
		}
	}
	return s.found, err
}

type search struct {
	o     SearchOptions
	trial Trial
	begun time.Time
	found *Found
	alive []bool
	// rounds has each candidate's score of each round; NaN where there is none.
	rounds [][]float64
}

func (s *search) tried(i int) *Tried { return &s.found.Candidates[i] }

func (s *search) left() (all []int) {
	for i, in := range s.alive {
		if in {
			all = append(all, i)
		}
	}
	return all
}

func (s *search) spent(share float64) bool {
	return s.o.Now().Sub(s.begun) >= time.Duration(float64(s.o.Budget)*share)
}

func (s *search) run(ctx context.Context) error {
	if err := s.choose(ctx); err != nil {
		return err
	}
	left := s.left()
	if len(left) == 0 {
		s.found.Best, s.found.Ended = -1, "every candidate is out"
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(left), func(i int) bool { return i == 0 })
	if len(others) == 0 {
		s.keep()
		s.found.Ended = "nothing is better than the default"
		return nil
	}
	best := s.leader(others)
	if !s.alive[0] {
		s.found.Best, s.tried(best).Verdict = best, Chosen
		s.found.Ended = "the default is out"
		return nil
	}
	for _, i := range others {
		switch {
		case i == best:
		case len(s.tried(i).Scores) == 0:
			s.drop(i, Untried, "the budget for choosing was spent")
		default:
			s.drop(i, Behind, "the budget for choosing was spent")
		}
	}
	return s.confirm(ctx, best)
}

// choose runs rounds until one is left beside the default, or the time for it is over.
func (s *search) choose(ctx context.Context) error {
	for look, round := 0, 0; ; round++ {
		left := s.left()
		if others := len(slices.DeleteFunc(slices.Clone(left), func(i int) bool { return i == 0 })); others == 0 && round >= looks[0] || others == 1 {
			return nil // one is held against the default, in blocks that decide
		}
		if round%2 == 1 {
			slices.Reverse(left)
		}
		s.rounds = append(s.rounds, nan(len(s.alive)))
		for _, i := range left {
			if s.spent(choosing) && s.found.Blocks > 0 {
				s.found.Ended = "the budget is spent"
				return nil
			}
			score, err := s.block(ctx, i, false)
			if err != nil {
				return err
			}
			s.rounds[round][i] = score
		}
		if look < len(looks) && round+1 == looks[look] {
			look++
			s.letGo()
		}
	}
}

func nan(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

// block measures one candidate once. NaN is a miss, or a candidate that is out now.
func (s *search) block(ctx context.Context, i int, confirming bool) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.found.Blocks++
	if s.o.Progress != nil {
		s.o.Progress(Progress{Candidate: i, Left: len(s.left()), Confirming: confirming, Block: s.found.Blocks,
			Elapsed: s.o.Now().Sub(s.begun), Budget: s.o.Budget})
	}
	score, err := s.trial(ctx, i)
	c := s.tried(i)
	var miss *Miss
	var out *Out
	switch {
	case errors.As(err, &out):
		s.drop(i, Failed, out.Reason)
		return math.NaN(), nil
	case errors.As(err, &miss):
		score = math.NaN()
		c.Scores, c.Misses = append(c.Scores, score), c.Misses+1
		if c.Misses >= 2 && 2*c.Misses > len(c.Scores) {
			s.drop(i, Failed, miss.Reason)
		}
		return score, nil
	case err != nil:
		return 0, err
	case !(score > 0) || math.IsInf(score, 0):
		return 0, fmt.Errorf("tune.Search: want a score above 0, got %g", score)
	}
	c.Scores = append(c.Scores, score)
	return score, nil
}

func (s *search) drop(i int, v Verdict, reason string) {
	s.alive[i] = false
	s.tried(i).Verdict, s.tried(i).Reason = v, reason
	if s.o.Dropped != nil {
		s.o.Dropped(i)
	}
}

// shared is the scores of two candidates in the rounds that both have.
func (s *search) shared(i, j int) (a, b []float64) {
	for _, r := range s.rounds {
		if !math.IsNaN(r[i]) && !math.IsNaN(r[j]) {
			a, b = append(a, r[i]), append(b, r[j])
		}
	}
	return a, b
}

// scale is a candidate's place among those that are left: its distance from all
// of them, in logarithms.
func (s *search) scale(i int, left []int) float64 {
	sum := 0.0
	for _, j := range left {
		if a, b := s.shared(i, j); len(a) > 0 {
			sum += middle(a, b)
		}
	}
	return sum / float64(len(left))
}

// leader is the simplest of those that are within Least of the best.
func (s *search) leader(left []int) int {
	best := math.Inf(-1)
	for _, i := range left {
		best = max(best, s.scale(i, left))
	}
	for _, i := range left {
		if s.scale(i, left) >= best-math.Log1p(s.o.Least) {
			return i
		}
	}
	return left[0]
}

// letGo drops what is worse with confidence, and of the rest the lesser half.
func (s *search) letGo() {
	left := s.left()
	if len(left) == 0 {
		return
	}
	lead := s.leader(left)
	alpha := screening / float64(max(1, len(left)-1))
	for _, i := range left {
		if i == lead || i == 0 {
			continue
		}
		if a, b := s.shared(i, lead); len(a) > 0 {
			if r := compare(a, b, alpha); r.High < 1 {
				s.drop(i, Worse, "")
			}
		}
	}
	all := s.left()
	left = slices.DeleteFunc(s.left(), func(i int) bool { return i == 0 })
	if len(left) <= 1 {
		return
	}
	lead = s.leader(left)
	place := map[int]float64{}
	for _, i := range left {
		place[i] = s.scale(i, all)
	}
	// The leader first, who may be behind by less than counts.
	slices.SortStableFunc(left, func(i, j int) int {
		switch {
		case i == lead:
			return -1
		case j == lead:
			return 1
		case place[i] > place[j]:
			return -1
		case place[i] < place[j]:
			return 1
		}
		return 0
	})
	for _, i := range left[(len(left)+1)/2:] {
		s.drop(i, Behind, "")
	}
}

// confirm holds best against the default, in pairs of new blocks.
func (s *search) confirm(ctx context.Context, best int) error {
	var ours, others []float64
	least := 1 + s.o.Least
	for pair, look := 0, 0; ; pair++ {
		order := []int{best, 0}
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		score := nan(len(s.alive))
		for _, i := range order {
			var err error
			if score[i], err = s.block(ctx, i, true); err != nil {
				return err
			}
		}
		switch {
		case !s.alive[best]:
			if next := s.second(); next > 0 && s.alive[0] && !s.spent(1) {
				best, ours, others, look = next, nil, nil, 0
				continue
			}
			s.found.Ended = "the best of the others is out: " + s.tried(best).Reason
			if s.alive[0] {
				s.keep()
			} else {
				s.found.Best = -1
			}
			return nil
		case !s.alive[0]:
			s.found.Best, s.tried(best).Verdict, s.found.Ended = best, Chosen, "the default is out"
			return nil
		case !math.IsNaN(score[best]) && !math.IsNaN(score[0]):
			ours, others = append(ours, score[best]), append(others, score[0])
		}
		over := s.spent(1)
		if n := len(ours); !over && (look >= len(confirmed) || n < confirmed[look]) {
			continue
		}
		look++
		r := compare(ours, others, confirming)
		switch {
		case r.Low > 1 && r.Value >= least:
			s.found.Best, s.found.Gain = best, r
			s.tried(best).Verdict, s.tried(0).Verdict = Chosen, Default
			s.found.Ended = "the best is separated from the default"
			return nil
		case r.High < least && r.Low > 0:
			s.found.Ended = "nothing is better than the default by what counts"
		case over:
			s.found.Ended = "the budget is spent"
		case look >= len(confirmed):
			s.found.Ended = "the difference does not leave the noise"
		default:
			continue
		}
		s.keep()
		s.found.Next, s.found.NextIs = r, best
		s.tried(best).Verdict = NoBetter
		return nil
	}
}

// second brings the best of those back that were let go; 0 where there is none.
func (s *search) second() int {
	best, place := 0, math.Inf(-1)
	for i := range s.alive {
		a, b := s.shared(i, 0)
		if v := s.tried(i).Verdict; i == 0 || v != Behind && v != Worse || len(a) == 0 {
			continue
		}
		if p := middle(a, b); p > place {
			best, place = i, p
		}
	}
	if best > 0 {
		s.alive[best] = true
		s.tried(best).Verdict, s.tried(best).Reason = "", ""
	}
	return best
}

func (s *search) keep() { s.found.Best, s.tried(0).Verdict = 0, Kept }
