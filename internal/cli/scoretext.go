package cli

import (
	"fmt"
	"strings"
	"time"

	"godwit.dev/functions/batch"
)

// scored is the document of `godwit score --json`.
type scored struct {
	Input   string `json:"input"`
	Output  string `json:"output"`
	Rows    int64  `json:"rows"` // scored by this run
	Bad     int64  `json:"bad"`  // left out by this run
	Parts   int    `json:"parts"`
	Missing int    `json:"missing"` // parts that nobody has scored yet
	Already bool   `json:"already"` // all was there
	// Manifest tells of all parts, whoever scored them; nil while some are missing.
	Manifest *batch.Manifest `json:"manifest"`
	Seconds  float64         `json:"seconds"`
}

// printScored says what came of a job.
func (p *program) printScored(r *batch.Result, job *batch.Job, took time.Duration) error {
	if p.json {
		writeJSON(p.Stdout, scored{job.Input, r.Output, r.Rows, r.Bad, r.Scored, r.Missing, r.Already, r.Manifest, took.Seconds()})
		return nil
	}
	line := func(what, format string, args ...any) {
		fmt.Fprintf(p.Stdout, "  %-6s "+format+"\n", append([]any{what}, args...)...)
	}
	fmt.Fprintf(p.Stdout, "%s\n", shownURL(r.Output))
	m := r.Manifest
	if m != nil {
		line("rows", "%s", grouped(m.Rows))
		line("bad", "%s", grouped(m.Bad))
		line("parts", "%d, %s", len(m.Parts), sizeText(m.Bytes))
		line("model", "%s version %s, %s", m.Model.Name, m.Model.Version, m.Model.Digest)
	} else {
		line("rows", "%s", grouped(r.Rows))
		line("bad", "%s", grouped(r.Bad))
		line("parts", "%d, and %d that others have to score", r.Scored, r.Missing)
	}
	if r.Already {
		line("took", "nothing: all of it was there")
	} else {
		line("took", "%.1f s, %s rows/s", took.Seconds(), grouped(int64(float64(r.Rows+r.Bad)/max(took.Seconds(), 1e-3))))
	}
	if m != nil && m.Bad > 0 {
		p.say("%s\n", badRows(r, m))
	}
	return nil
}

// shownURL is a URL as people type it: files of this machine as paths.
func shownURL(url string) string { return strings.TrimPrefix(url, "file://") }

// badRows says where the reasons are, and what to do about them.
func badRows(r *batch.Result, m *batch.Manifest) string {
	var names []string
	for _, f := range badFiles(m) {
		names = append(names, f.Name)
	}
	where := strings.Join(names[:min(len(names), 3)], ", ")
	if len(names) > 3 {
		where += fmt.Sprintf(" and %d more", len(names)-3)
	}
	return fmt.Sprintf("Why rows are bad is in %s beside it. `godwit score DIR %s DST --redrive` scores them again.", where, shownURL(r.Output))
}

// badFiles are the files of bad rows.
func badFiles(m *batch.Manifest) []*batch.File {
	if m.BadFile != nil {
		return []*batch.File{m.BadFile}
	}
	var all []*batch.File
	for i := range m.Parts {
		if f := m.Parts[i].BadFile; f != nil {
			all = append(all, f)
		}
	}
	return all
}
