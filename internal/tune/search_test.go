package tune

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// machine is a made-up one, on a clock of its own: each candidate's blocks take a
// time, and give its true score times what the machine does just then, which
// drifts and sometimes stops, and times noise of their own.
type machine struct {
	truth  []float64
	noise  float64 // of one block, relative
	rare   float64 // how often something else takes half of the machine
	drift  float64
	random *rand.Rand
	now    time.Time
	block  time.Duration
	asked  []int
}

func newMachine(seed uint64, noise float64, truth ...float64) *machine {
	return &machine{truth: truth, noise: noise, rare: 0.04, random: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(0, 0), block: 1800 * time.Millisecond}
}

func (m *machine) trial(_ context.Context, c int) (float64, error) {
	m.asked = append(m.asked, c)
	m.now = m.now.Add(m.block)
	m.drift = 0.95*m.drift + 0.02*m.random.NormFloat64()
	score := m.truth[c] * math.Exp(m.drift+m.noise*m.random.NormFloat64())
	if m.random.Float64() < m.rare {
		score /= 2
	}
	return score, nil
}

func (m *machine) options() *SearchOptions {
	return &SearchOptions{Now: func() time.Time { return m.now }}
}

// equal is n candidates of which none is better.
func equal(n int) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = 1000
	}
	return all
}

func with(truth []float64, i int, v float64) []float64 { truth[i] = v; return truth }

// Of each made-up machine hundreds, each with its own noise. The shares are those
// that were seen, less what another set of seeds may take from them.
func TestSearchFinds(t *testing.T) {
	const seeds = 400
	tests := []struct {
		name  string
		truth []float64
		noise float64
		want  int
		least float64 // share of the seeds
	}{
		{"one of nine is better by 12 %", with(equal(9), 5, 1120), 0.03, 5, 0.95},
		{"one of fourteen is twice as good, in much noise", with(equal(14), 13, 2000), 0.10, 13, 0.95},
		{"all are equal", equal(9), 0.03, 0, 0.95},
		{"all are equal, in much noise", equal(9), 0.10, 0, 0.95},
		{"the default is the best", with(equal(9), 0, 1100), 0.03, 0, 0.99},
		{"one is better by less than counts", with(equal(5), 2, 1010), 0.01, 0, 0.95},
		{"one of two is better by 6 %", with(equal(2), 1, 1060), 0.02, 1, 0.95},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			right, blocks := 0, 0
			for seed := range uint64(seeds) {
				m := newMachine(seed, tt.noise, tt.truth...)
				got, err := Search(t.Context(), len(tt.truth), m.trial, m.options())
				if err != nil {
					t.Fatal(err)
				}
				blocks += got.Blocks
				if got.Best == tt.want {
					right++
				}
				if over := got.Elapsed - 2*time.Minute; over > 2*m.block {
					t.Errorf("seed %d: %v over the budget", seed, over)
				}
				if got.Best > 0 && (got.Gain.Low <= 1 || got.Gain.Value < 1.02 || got.Candidates[got.Best].Verdict != Chosen || got.Candidates[0].Verdict != Default) {
					t.Errorf("seed %d: chose %d with %+v, %+v", seed, got.Best, got.Gain, got.Candidates[got.Best])
				}
			}
			t.Logf("%.1f %% of the seeds, %d blocks", 100*float64(right)/seeds, blocks/seeds)
			if share := float64(right) / seeds; share < tt.least {
				t.Errorf("want candidate %d in at least %.2f of the seeds, got %.3f", tt.want, tt.least, share)
			}
		})
	}
}

// The interval that is told holds the truth as often as it says.
func TestSearchGainIsHonest(t *testing.T) {
	held, chosen := 0, 0
	for seed := range uint64(400) {
		m := newMachine(seed, 0.04, with(equal(6), 3, 1200)...)
		got, err := Search(t.Context(), 6, m.trial, m.options())
		if err != nil {
			t.Fatal(err)
		}
		if got.Best == 3 {
			chosen++
			if got.Gain.Low <= 1.2 && 1.2 <= got.Gain.High {
				held++
			}
		}
	}
	if share := float64(held) / float64(chosen); chosen < 380 || share < 0.95 {
		t.Errorf("want the truth in the interval in 0.95 of the seeds, got %.3f of %d", share, chosen)
	}
}

// Turns are A B C, C B A, and so on, and the last two A B B A.
func TestSearchTakesTurns(t *testing.T) {
	m := newMachine(1, 0.001, 1000, 1000, 1500)
	m.rare = 0
	got, err := Search(t.Context(), 3, m.trial, m.options())
	if err != nil || got.Best != 2 {
		t.Fatalf("got %+v, %v, want the third", got, err)
	}
	want := []int{0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 0, 0, 2, 2, 0, 0, 2}
	for i := range want {
		if i >= len(m.asked) || m.asked[i] != want[i] {
			t.Fatalf("asked %v, want %v", m.asked, want)
		}
	}
	if v := got.Candidates[1].Verdict; v != Worse {
		t.Errorf("the second is %q, want worse", v)
	}
}

func TestSearchOut(t *testing.T) {
	m := newMachine(3, 0.01, 1000, 3000, 1300, 2000)
	trial := func(ctx context.Context, c int) (float64, error) {
		score, err := m.trial(ctx, c)
		switch {
		case c == 1:
			err = &Out{"killed for its memory"}
		case c == 3 && len(m.asked)%3 != 0:
			err = &Miss{"p99 of 31 ms"}
		}
		return score, err
	}
	got, err := Search(t.Context(), 4, trial, m.options())
	if err != nil {
		t.Fatal(err)
	}
	if one := got.Candidates[1]; one.Verdict != Failed || one.Reason != "killed for its memory" {
		t.Errorf("got %+v, want it out for its memory", one)
	}
	if three := got.Candidates[3]; three.Verdict != Failed || three.Reason != "p99 of 31 ms" {
		t.Errorf("got %+v, want it out for what it misses", three)
	}
	if got.Best != 2 {
		t.Errorf("chose %d, want 2", got.Best)
	}

	// What is out in the end makes way for the one that was behind it.
	m = newMachine(4, 0.01, 1000, 2000, 1500, 900)
	turns := 0
	got, err = Search(t.Context(), 4, func(ctx context.Context, c int) (float64, error) {
		if c == 1 {
			if turns++; turns == 6 {
				return 0, &Out{"killed"}
			}
		}
		return m.trial(ctx, c)
	}, m.options())
	if err != nil || got.Best != 2 || got.Gain.Pairs == 0 || got.Candidates[1].Verdict != Failed {
		t.Errorf("got %+v, %v, want the third", got, err)
	}

	// The default that is out leaves the best of the others, with nothing to compare it to.
	got, err = Search(t.Context(), 3, func(ctx context.Context, c int) (float64, error) {
		if c == 0 {
			return 0, &Out{"killed"}
		}
		return float64(c), nil
	}, m.options())
	if err != nil || got.Best != 2 || got.Gain.Pairs != 0 || got.Ended != "the default is out" {
		t.Errorf("got %+v, %v, want the third", got, err)
	}
	got, err = Search(t.Context(), 2, func(context.Context, int) (float64, error) { return 0, &Out{"no"} }, m.options())
	if err != nil || got.Best != -1 {
		t.Errorf("got %+v, %v, want none", got, err)
	}
}

func TestSearchEnds(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Search(t.Context(), 2, func(context.Context, int) (float64, error) { return 0, broken }, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want the trial's error", err)
	}
	if _, err := Search(t.Context(), 2, func(context.Context, int) (float64, error) { return 0, nil }, nil); err == nil {
		t.Error("want an error for a score of 0, got none")
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := newMachine(1, 0.01, 1, 2)
	_, err := Search(ctx, 2, func(ctx context.Context, c int) (float64, error) { cancel(); return m.trial(ctx, c) }, m.options())
	if !errors.Is(err, context.Canceled) || len(m.asked) != 1 {
		t.Errorf("got %v after %d blocks, want it canceled after one", err, len(m.asked))
	}
	// A budget that is spent at once still measures once, and changes nothing.
	m = newMachine(1, 0.01, 1, 2)
	o := m.options()
	o.Budget = time.Millisecond
	got, err := Search(t.Context(), 2, m.trial, o)
	if err != nil || got.Best != 0 || got.Candidates[1].Verdict != NoBetter || len(got.Candidates[1].Scores) != 1 {
		t.Errorf("got %+v, %v, want the default", got, err)
	}
}
