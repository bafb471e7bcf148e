package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// isPrefix reports whether SRC names all objects below it. What is no URL at all
// is not one, and whoever opens it says so.
func isPrefix(src string) bool {
	at, err := store.Parse(src)
	return err == nil && at.Prefix()
}

// scoredPrefix is the document of `godwit score PREFIX --json`.
type scoredPrefix struct {
	Input   string    `json:"input"`
	Output  string    `json:"output"`
	Objects int       `json:"objects"` // below the prefix
	Mine    int       `json:"mine"`    // of them, those of this shard
	Scored  int       `json:"scored"`
	Already int       `json:"already"` // scored before
	Waiting int       `json:"waiting"` // with parts that other shards have to score
	Failed  []failure `json:"failed"`  // for good, at most 100
	Left    int       `json:"left"`    // how many failed
	Rows    int64     `json:"rows"`    // scored by this run
	Bad     int64     `json:"bad"`     // left out by this run
	Seconds float64   `json:"seconds"`
}

// scorePrefix scores all objects below a prefix.
func (p *program) scorePrefix(ctx context.Context, f *app.Function, src, dst string, o *scoreOptions) error {
	begun := time.Now()
	line := p.scoring("scoring " + src)
	r, err := f.ScorePrefix(ctx, &batch.Prefix{Input: src, Output: dst, Model: o.job.Model, ModelVersion: o.job.ModelVersion,
		Shard: o.job.Shard, Shards: o.job.Shards, Progress: line.prefix}, &o.app)
	line.end()
	if r == nil {
		return err
	}
	if err != nil {
		p.say("%s of %d scored before that; the same command goes on from there.\n", plural(r.Scored+r.Already, "object"), r.Mine)
		return err
	}
	return p.printPrefix(src, dst, r, time.Since(begun))
}

func (p *program) printPrefix(src, dst string, r *batch.PrefixResult, took time.Duration) error {
	doc := scoredPrefix{src, dst, r.Objects, r.Mine, r.Scored, r.Already, r.Waiting, []failure{}, r.Failed, r.Rows, r.Bad, took.Seconds()}
	for _, f := range r.Failures {
		doc.Failed = append(doc.Failed, failure{f.URL, fault.CodeOf(f.Err).String(), app.Problems(f.Err)[0].Error})
	}
	switch {
	case p.json:
		writeJSON(p.Stdout, &doc)
	default:
		var came []string
		for _, n := range []struct {
			n    int
			what string
		}{{r.Scored, "scored"}, {r.Already, "there before"}, {r.Waiting, "that others have parts of"}, {r.Failed, "failed"}} {
			if n.n > 0 {
				came = append(came, fmt.Sprintf("%s %s", grouped(int64(n.n)), n.what))
			}
		}
		fmt.Fprintf(p.Stdout, "%s\n  objects  %s of %s: %s\n  rows     %s\n  bad      %s\n  took     %.1f s, %s rows/s\n", shownURL(dst),
			grouped(int64(r.Mine)), grouped(int64(r.Objects)), strings.Join(came, ", "), grouped(r.Rows), grouped(r.Bad),
			took.Seconds(), grouped(int64(float64(r.Rows+r.Bad)/max(took.Seconds(), 1e-3))))
		t := newTable("object", "code", "why")
		for _, one := range doc.Failed {
			t.add(shownURL(one.ID), one.Code, firstLine(one.Error))
		}
		if len(doc.Failed) > 0 {
			t.print(p.Stdout, "  ")
		}
	}
	if r.Failed > 0 {
		return exited(fault.Unprocessable.Exit()) // what failed has been told
	}
	return nil
}
