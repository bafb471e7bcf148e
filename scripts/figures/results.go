package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	resultsDir     = "docs/results"
	measuredFile   = resultsDir + "/measured.json"
	unmeasuredFile = resultsDir + "/unmeasured.txt"
)

// figure is one line of a result: every result has a list of them, "figures",
// beside whatever else it holds.
type figure struct {
	ID    string   `json:"id"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"` // "" is a ratio
}

// measured is measured.json: what somebody measured by hand.
type measured struct {
	About   []string `json:"about"`
	Records []record `json:"records"`
	Figures []struct {
		ID      string   `json:"id"`
		Value   *float64 `json:"value,omitempty"`
		From    string   `json:"from,omitempty"` // instead of a value: FILE#KEY of a JSON file that a program wrote
		Unit    string   `json:"unit"`
		What    string   `json:"what"`
		Measure string   `json:"measure"` // the command that measures it again, or what to do
		Date    string   `json:"date"`
		Commit  string   `json:"commit"`
		Machine string   `json:"machine,omitempty"`
	} `json:"figures"`
}

// record is a document that says what was found on its day, and is not kept
// up to date: none of its numbers is tied on its own.
type record struct {
	File   string `json:"file"`
	Date   string `json:"date"`
	Commit string `json:"commit"`
}

// results are the figures of all files, read when the first tie asks.
type results struct {
	root    fs.FS
	files   map[string]map[string]figure // by file without .json, by id
	bad     map[string]error
	used    map[string]bool // ids of measured.json
	records []record
}

var (
	aDate   = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	aCommit = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	anID    = regexp.MustCompile(`^[\w.-]+$`)
)

// readResults reads measured.json.
func readResults(root fs.FS) (res *results, problems []problem) {
	res = &results{root: root, files: map[string]map[string]figure{"measured": {}}, bad: map[string]error{}, used: map[string]bool{}}
	wrong := func(format string, args ...any) {
		problems = append(problems, problem{file: measuredFile, text: fmt.Sprintf(format, args...)})
	}
	text, err := fs.ReadFile(root, measuredFile)
	var all measured
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&all)
	}
	if err != nil {
		wrong("%v", err)
		return res, problems
	}
	res.records = all.Records
	for _, r := range all.Records {
		if !aDate.MatchString(r.Date) || !aCommit.MatchString(r.Commit) {
			wrong("record %q: want the day and the commit of the measurement, got %q and %q", r.File, r.Date, r.Commit)
		}
	}
	for _, f := range all.Figures {
		value, err := f.Value, error(nil)
		if f.From != "" {
			value, err = valueFrom(root, f.From)
		}
		switch {
		case !anID.MatchString(f.ID) || res.files["measured"][f.ID].ID != "":
			wrong("want an id of its own, got %q", f.ID)
		case err != nil || value == nil || f.From != "" && f.Value != nil:
			wrong("%q: want a value, or from where it comes, got neither or both: %v", f.ID, err)
		case f.What == "" || f.Measure == "" || !aDate.MatchString(f.Date) || !aCommit.MatchString(f.Commit):
			wrong("%q: want what it is, how to measure it again, the day and the commit, got %q, %q, %q, %q", f.ID, f.What, f.Measure, f.Date, f.Commit)
		default:
			res.files["measured"][f.ID] = figure{f.ID, value, f.Unit}
		}
	}
	return res, problems
}

// valueFrom reads FILE#KEY.
func valueFrom(root fs.FS, from string) (*float64, error) {
	name, key, _ := strings.Cut(from, "#")
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %v", name, err)
	}
	v, ok := all[key].(float64)
	if !ok {
		return nil, fmt.Errorf("%s: want a number %q, got %v", name, key, all[key])
	}
	return &v, nil
}

// file is the figures of one result.
func (r *results) file(name string) (map[string]figure, error) {
	if all, ok := r.files[name]; ok {
		return all, r.bad[name]
	}
	all := map[string]figure{}
	r.files[name] = all
	text, err := fs.ReadFile(r.root, resultsDir+"/"+name+".json")
	var content struct{ Figures []figure }
	if err == nil {
		err = json.Unmarshal(text, &content)
	}
	for _, f := range content.Figures {
		if all[f.ID].ID != "" {
			err = fmt.Errorf("want an id of its own for each figure, got %q twice", f.ID)
		}
		all[f.ID] = f
	}
	r.bad[name] = err
	return all, err
}

// compare is what is wrong with a number that is tied, or "".
func (r *results) compare(n numeral) string {
	name, id, _ := strings.Cut(n.tie, ":")
	all, err := r.file(name)
	if err != nil {
		return fmt.Sprintf("%q is tied to %s/%s.json: %v", n.String(), resultsDir, name, err)
	}
	f, ok := all[id]
	if !ok || f.Value == nil {
		return fmt.Sprintf("%q is tied to %q, which %s/%s.json does not have", n.String(), id, resultsDir, name)
	}
	if name == "measured" {
		r.used[id] = true
	}
	if err := agree(n, *f.Value, f.Unit); err != nil {
		return fmt.Sprintf("%q is tied to %s: %v", n.String(), n.tie, err)
	}
	return ""
}

// unused are the ids of measured.json that no document asked for.
func (r *results) unused() (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(r.files["measured"])) {
		if !r.used[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
