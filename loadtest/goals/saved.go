//go:build linux && cgo

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// savedFigure is a figure in a report, dist/bench/bench.json and
// docs/results/goals.json: what ties of the documents name by id.
type savedFigure struct {
	ID       string       `json:"id"`   // "3-added-cpu-small-binary": the goal, and what
	Goal     int          `json:"goal"` // 0: none
	What     string       `json:"what"`
	How      string       `json:"how,omitempty"`
	Value    *float64     `json:"value,omitempty"` // the median; absent if not measured
	Unit     string       `json:"unit"`            // "" is a ratio
	Min      *float64     `json:"min,omitempty"`
	Max      *float64     `json:"max,omitempty"`
	N        int          `json:"n,omitempty"`
	Ship     *savedTarget `json:"ship,omitempty"`
	Moonshot *savedTarget `json:"moonshot,omitempty"`
	Absolute string       `json:"absolute,omitempty"`
	Note     string       `json:"note,omitempty"`
	Missing  string       `json:"missing,omitempty"`
}

type savedTarget struct {
	Least   bool    `json:"least"` // at least, else at most
	Value   float64 `json:"value"`
	Reached string  `json:"reached"` // "yes", "no", or either "within noise"; "–" if not measured
}

var noWord = regexp.MustCompile(`[^a-z0-9]+`)

// id is the figure's name for ties, which stays while it measures the same.
func (f *figure) id() string {
	text := strings.ToLower(f.What)
	if f.Goal > 0 {
		text = f.name() + " " + text
	}
	return strings.Trim(noWord.ReplaceAllString(text, "-"), "-")
}

// MarshalJSON writes it as a savedFigure.
func (f *figure) MarshalJSON() ([]byte, error) {
	s := savedFigure{ID: f.id(), Goal: f.Goal, What: f.What, How: f.How, Unit: f.Unit, N: f.Got.N, Absolute: f.Absolute, Note: f.Note, Missing: f.Missing,
		Ship: f.savedTarget(f.Ship), Moonshot: f.savedTarget(f.Moonshot)}
	if f.Missing == "" && f.Got.N > 0 { // JSON has no NaN
		s.Value, s.Min, s.Max = &f.Got.Median, &f.Got.Min, &f.Got.Max
	}
	return json.Marshal(s)
}

func (f *figure) savedTarget(t target) *savedTarget {
	if !t.set {
		return nil
	}
	return &savedTarget{t.Least, t.Value, f.mark(t)}
}

// UnmarshalJSON reads a savedFigure.
func (f *figure) UnmarshalJSON(text []byte) error {
	var s savedFigure
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*f = figure{Goal: s.Goal, What: s.What, How: s.How, Unit: s.Unit, Got: spreadOf(nil), Absolute: s.Absolute, Note: s.Note, Missing: s.Missing,
		Ship: s.Ship.target(), Moonshot: s.Moonshot.target()}
	if s.Value != nil && s.Min != nil && s.Max != nil {
		f.Got = spread{Median: *s.Value, Min: *s.Min, Max: *s.Max, N: s.N}
	}
	return nil
}

func (t *savedTarget) target() target {
	if t == nil {
		return target{}
	}
	return target{Least: t.Least, Value: t.Value, set: true}
}

// save writes the report for programs, a figure a line.
func (r *runReport) save(path string) error {
	b, err := json.MarshalIndent(struct {
		*runReport
		Figures []json.RawMessage `json:"figures"`
	}{runReport: r}, "", "  ")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var lines []string
	for _, f := range r.Figures {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if seen[f.id()] {
			return fmt.Errorf("want an id of its own for each figure, got %q twice", f.id())
		}
		seen[f.id()] = true
		lines = append(lines, "    "+string(line))
	}
	text := strings.Replace(string(b), `"figures": null`, "\"figures\": [\n"+strings.Join(lines, ",\n")+"\n  ]", 1)
	return os.WriteFile(path, []byte(text+"\n"), 0o644)
}

// readReport reads what save wrote.
func readReport(path string) (*runReport, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r runReport
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}
