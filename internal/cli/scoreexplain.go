package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// shownRows is how many of the first rows --explain shows, where --limit does
// not say.
const shownRows = 3

// explained is the document of `godwit score --explain --json`.
type explained struct {
	Input       string            `json:"input"`
	Format      string            `json:"format"`
	Compression string            `json:"compression,omitempty"`
	Model       string            `json:"model"`
	Version     string            `json:"model_version"`
	Digest      string            `json:"model_digest"`
	Inputs      []explainedInput  `json:"inputs"`
	Pass        []string          `json:"pass"`
	Unused      []string          `json:"unused"`
	Output      []string          `json:"output"` // columns of the scores
	First       []explainedRow    `json:"first"`
	Bad         []json.RawMessage `json:"bad"` // of the first rows
}

type explainedInput struct {
	Name    string   `json:"name"`
	Type    string   `json:"datatype"`
	Shape   []int64  `json:"shape"` // of a row
	Columns []string `json:"columns"`
}

// An explainedRow is what the model is asked for a row, and what it answers.
type explainedRow struct {
	Row    int64           `json:"row"`
	Inputs json.RawMessage `json:"inputs"`
	Scores json.RawMessage `json:"scores"`
}

// explain shows how the columns of src fill the inputs, with the first rows and
// their answers.
func (p *program) explain(ctx context.Context, f *app.Function, stores *store.Set, src, dst string, o *scoreOptions) error {
	model, lease, err := f.Models.Acquire(o.model, o.version)
	if err != nil {
		return err
	}
	defer lease.Release()
	file, err := openRows(ctx, stores, src)
	if err != nil {
		return err
	}
	schema, err := rows.ReadSchema(ctx, file)
	if err != nil {
		return err
	}
	objects, err := f.Objects(&o.app)
	if err != nil {
		return err
	}
	plan, err := rows.NewPlan(model.Signature(), schema, &rows.PlanOptions{Columns: objects.Columns, Pass: objects.Pass})
	if err != nil {
		return err
	}
	out, err := rows.OutputSchema(schema, plan)
	if err != nil {
		return err
	}
	e := &explained{
		Input: src, Format: string(file.Format), Compression: string(file.Compression),
		Model: model.Name(), Version: model.Version(), Digest: model.Digest(), Pass: append([]string{}, plan.Pass...),
		Output: columnNames(out, cmp.Or(formatOfName(dst), objects.Format, file.Format)),
		Unused: []string{}, Bad: []json.RawMessage{},
	}
	used := map[string]bool{}
	for i := range plan.Inputs {
		in := &plan.Inputs[i]
		e.Inputs = append(e.Inputs, explainedInput{in.Name, in.Type.String(), in.Shape, in.Columns})
		for _, c := range in.Columns {
			used[c] = true
		}
	}
	for _, c := range schema.Columns {
		if !used[c.Name] && !slices.Contains(plan.Pass, c.Name) {
			e.Unused = append(e.Unused, c.Name)
		}
	}
	n := shownRows
	if o.limit > 0 {
		n = int(min(o.limit, 1000))
	}
	if e.First, err = firstRows(ctx, file, schema, plan, n); err != nil {
		return err
	}
	if err := p.firstScores(ctx, f, src, e, o, n); err != nil {
		return err
	}
	if p.json {
		writeJSON(p.Stdout, e)
		return nil
	}
	p.printExplained(e, model.Signature(), schema)
	if dst != "" {
		p.say("Nothing is written. Without --explain it is %s.\n", dst)
	}
	return nil
}

// columnNames are the columns of a file of scores.
func columnNames(s *rows.Schema, format rows.Format) []string {
	var names []string
	for _, c := range s.Columns {
		if !c.List || format != rows.CSV {
			names = append(names, c.Name)
			continue
		}
		for i := range c.Length {
			names = append(names, fmt.Sprintf("%s_%d", c.Name, i))
		}
		if c.Length == 0 {
			names = append(names, c.Name+"_0", "…")
		}
	}
	return names
}

// firstRows reads the first n rows that are not bad, each as JSON of what the
// model gets.
func firstRows(ctx context.Context, file *rows.File, schema *rows.Schema, plan *rows.Plan, n int) ([]explainedRow, error) {
	part := rows.Part{Line: 1, To: math.MaxInt64}
	if file.Format == rows.Parquet {
		parts, err := rows.Split(ctx, file, nil)
		if err != nil || len(parts) == 0 {
			return nil, err
		}
		part = parts[0]
	}
	inputs := make([]rows.Output, len(plan.Inputs)) // written as a model's outputs are
	for i, in := range plan.Inputs {
		inputs[i] = rows.Output{Name: in.Name, Type: in.Type, Shape: in.Shape}
	}
	asked := &rows.Plan{Inputs: plan.Inputs, Outputs: inputs}
	out, err := rows.OutputSchema(schema, asked)
	if err != nil {
		return nil, err
	}
	r, err := rows.Open(ctx, file, part, asked, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := []explainedRow{}
	for block := new(rows.Block); len(all) < n; {
		err := r.Next(ctx, block, n-len(all))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		w, err := rows.NewWriter(&text, rows.JSONL, out, inputs, nil)
		if err == nil {
			err = errors.Join(w.Write(block, block.Inputs), w.Close())
		}
		if err != nil {
			return nil, err
		}
		for i, line := range lines(text.Bytes()) {
			all = append(all, explainedRow{Row: block.At[i], Inputs: line})
		}
	}
	return all, nil
}

// lines are those of JSON Lines.
func lines(text []byte) []json.RawMessage {
	var all []json.RawMessage
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			all = append(all, bytes.Clone(line))
		}
	}
	return all
}

// firstScores scores the first rows into a folder that is gone afterwards, in
// the way that all are scored.
func (p *program) firstScores(ctx context.Context, f *app.Function, src string, e *explained, o *scoreOptions, n int) error {
	dir, err := os.MkdirTemp("", "godwit-explain-*")
	if err != nil {
		return fault.New(fault.Internal, "", "", "%w", err)
	}
	defer os.RemoveAll(dir)
	how, job := o.app, o.job
	how.Format, how.MaxBad = rows.JSONL, 100
	job.Input, job.Output, job.Limit = src, filepath.Join(dir, "first.jsonl"), int64(n)
	job.Shard, job.Shards = 0, 0
	r, err := f.Score(ctx, &job, &how)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(job.Output)
	if err != nil {
		return fault.New(fault.Internal, "", "", "%w", err)
	}
	scores := lines(text)
	for i := range e.First[:min(len(e.First), len(scores))] {
		e.First[i].Scores = scores[i]
	}
	e.First = e.First[:min(len(e.First), len(scores))] // of the first rows some may be bad
	for _, bad := range badFiles(r.Manifest) {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(bad.Name)))
		if err != nil {
			return fault.New(fault.Internal, "", "", "%w", err)
		}
		e.Bad = append(e.Bad, lines(text)...)
	}
	return nil
}

// printExplained is explained for people.
func (p *program) printExplained(e *explained, sig *driver.Signature, schema *rows.Schema) {
	kind := e.Format
	if e.Compression != "" {
		kind += ", " + e.Compression
	}
	fmt.Fprintf(p.Stdout, "%s (%s) for %s version %s\n\n", e.Input, kind, e.Model, e.Version)
	t := newTable("input", "wants", "columns")
	for _, in := range e.Inputs {
		wants := in.Type
		for i := range sig.Inputs {
			if sig.Inputs[i].Name == in.Name {
				wants = infer.Describe(&sig.Inputs[i])
			}
		}
		t.add(in.Name, wants, nameRange(in.Columns))
	}
	t.print(p.Stdout, "  ")
	fmt.Fprintf(p.Stdout, "\n  passed through  %s\n  not used        %s\n  scores          %s\n", nameRange(e.Pass), nameRange(e.Unused), nameRange(e.Output))
	place := "line"
	if e.Format == string(rows.Parquet) {
		place = "row"
	}
	for _, row := range e.First {
		fmt.Fprintf(p.Stdout, "\n  %s %d  %s\n    gives %s\n", place, row.Row, clipped(row.Inputs), clipped(row.Scores))
	}
	if len(e.First) == 0 && len(e.Bad) == 0 {
		fmt.Fprintf(p.Stdout, "\n  no rows\n")
	}
	for _, bad := range e.Bad {
		var b struct {
			Row            int64
			Column, Reason string
		}
		if json.Unmarshal(bad, &b) == nil {
			fmt.Fprintf(p.Stdout, "\n  %s %d is bad: %s\n", place, b.Row, strings.TrimPrefix(b.Column+": "+b.Reason, ": "))
		}
	}
}

// nameRange is names on one line, of many the first and the last.
func nameRange(names []string) string {
	switch n := len(names); {
	case n == 0:
		return "none"
	case n > 8:
		return fmt.Sprintf("%s, %s … %s (%d)", names[0], names[1], names[n-1], n)
	}
	return strings.Join(names, ", ")
}

// clipped is a row on one line of a terminal.
func clipped(row []byte) string {
	const most = 150
	if text := []rune(string(row)); len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(row)
}

// openRows finds out what a file of rows is.
func openRows(ctx context.Context, stores *store.Set, url string) (*rows.File, error) {
	bucket, key, err := stores.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	object, err := bucket.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	return rows.Identify(ctx, url, &objectSource{bucket, object})
}

// objectSource is an object of a store as package rows reads it.
type objectSource struct {
	bucket store.Bucket
	object *store.Object
}

func (s *objectSource) Size() int64 { return s.object.Size }

func (s *objectSource) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	return s.bucket.Open(ctx, s.object.Key, s.object.Version, offset, length)
}
