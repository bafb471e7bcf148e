package batch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// lake is a bucket with objects of many sizes below in/, some of which are no
// rows by their names; n is how many are.
func lake() (m *memory, n int) {
	m = newMemory()
	for i := range 12 {
		m.set(fmt.Sprintf("in/day=%d/small %d.jsonl", i%3, i), lines(2+i%3, 1))
	}
	m.set("in/large.jsonl", lines(70))
	m.set("in/a/b/c/larger.jsonl", lines(90, 3, 80))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(lines(40))); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	m.set("in/stream.jsonl.gz", zipped.String())
	for _, key := range []string{"in/_SUCCESS", "in/.hidden", "in/_delta_log/000.json", "in/day=1/.part.crc", "in/day=1/", "elsewhere/a.jsonl", "input.jsonl"} {
		m.set(key, "no rows")
	}
	return m, 15
}

func scorer(m *memory, r *infer.Registry) *batch.Handler {
	return batch.New(ask(r), &batch.Options{Objects: objects(m, r, 300)})
}

// written is what a run has written, by key.
func written(t *testing.T, m *memory) map[string]string {
	t.Helper()
	all := scores(t, m)
	for key := range all {
		if !strings.HasPrefix(key, "out/") {
			delete(all, key)
		}
	}
	return all
}

// Shards score a prefix together to the bytes of one run, each object and part
// once, whenever each begins and however often; what an event has scored is the
// same, too.
func TestShardsOfAPrefix(t *testing.T) {
	r := registry(t, true, doubles)
	alone, n := lake()
	var last batch.PrefixProgress
	res, err := scorer(alone, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/", Progress: func(p batch.PrefixProgress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	want := written(t, alone)
	if res.Scored != n || res.Mine != n || res.Objects != n || res.Failed+res.Waiting+res.Already != 0 || res.Bad != 14 {
		t.Errorf("got %v", res)
	}
	if last.Objects != n || last.Done != n || last.Settled != last.Bytes || last.Rows != res.Rows || last.Bad != res.Bad || !last.Ended {
		t.Errorf("at the end: %+v, %v", last, res)
	}
	if again, err := scorer(alone, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/"}); err != nil || again.Already != n || again.Rows != 0 {
		t.Errorf("again: %v, %v", again, err)
	}
	for _, shards := range []int{2, 3, 7, 40} {
		m, _ := lake()
		var mu sync.Mutex
		rows, scored, waiting := int64(0), 0, 0
		var group sync.WaitGroup
		for shard := range shards {
			run := func() {
				res, err := scorer(m, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/", Shard: shard, Shards: shards})
				if err != nil || res.Failed > 0 || res.Objects != n || shards == 2 && (res.Mine == 0 || res.Mine == n) {
					t.Errorf("%d of %d: %v, %v", shard, shards, res, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				rows, scored, waiting = rows+res.Rows, scored+res.Scored, waiting+res.Waiting
			}
			if shards == 3 {
				run() // one after the other: the last finds what the others have done
			} else {
				group.Go(run)
			}
		}
		group.Wait()
		if diff := cmp.Diff(want, written(t, m)); diff != "" {
			t.Fatalf("%d shards (-one +many):\n%s", shards, diff)
		}
		if rows != res.Rows || scored < n || waiting == 0 {
			t.Errorf("%d shards: %d rows of %d, %d scored, %d waited", shards, rows, res.Rows, scored, waiting)
		}
		for key, times := range m.changed {
			if times != 1 {
				t.Errorf("%d shards: %s changed %d times", shards, key, times)
			}
		}
	}

	// Another place for scores, as people name one: below it as below the input.
	m, _ := lake()
	if _, err := scorer(m, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/", Output: "s3://bucket/out/"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, written(t, m)); diff != "" {
		t.Errorf("(-as events +named):\n%s", diff)
	}
}

// An object that fails for good fails alone, and is kept aside where that is
// wanted; one that is gone meanwhile is nobody's.
func TestAPrefixWithBadObjects(t *testing.T) {
	r := registry(t, true, doubles)
	for _, keep := range []bool{false, true} {
		m, n := lake()
		m.set("in/bad.parquet", "PAR1 and then nothing")
		m.set("in/notes.txt", "these are no rows")
		opts := &batch.Options{Objects: objects(m, r, 300)}
		if keep {
			opts.Dead = &batch.Dead{Stores: inMemory{m}, Prefix: "out/dead/"}
		}
		m.before = func(_ context.Context, op, key string) error { // it goes after the list was made
			if op == "stat" && key == "in/large.jsonl" {
				m.mu.Lock()
				delete(m.objects, key)
				m.mu.Unlock()
			}
			return nil
		}
		res, err := batch.New(ask(r), opts).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/"})
		if err != nil || res.Scored != n-1 || res.Mine != n+2 {
			t.Fatalf("%v, %v", res, err)
		}
		dead := deadItems(t, m, "out/dead/")
		if keep {
			if res.Kept != 2 || res.Failed != 0 || len(dead) != 2 || len(res.Failures) != 0 {
				t.Errorf("%v, kept %v", res, dead)
			}
			for _, d := range dead {
				if d.Kind != "job" || d.Object.Version == "" {
					t.Errorf("%+v", d)
				}
			}
			continue
		}
		if res.Kept != 0 || res.Failed != 2 || len(dead) != 0 || len(res.Failures) != 2 {
			t.Errorf("%v, kept %v", res, dead)
		}
		for _, f := range res.Failures {
			if !strings.HasPrefix(f.URL, "s3://bucket/in/") || f.Err == nil {
				t.Errorf("%+v", f)
			}
		}
	}
}

// What may pass ends a run that has met it several times in a row, and what is
// done until then stays; the next run does the rest.
func TestAPrefixThatIsInterrupted(t *testing.T) {
	r := registry(t, true, doubles)
	alone, n := lake()
	if _, err := scorer(alone, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/"}); err != nil {
		t.Fatal(err)
	}
	want := written(t, alone)
	m, _ := lake()
	var mu sync.Mutex
	commits := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.after = func(_ context.Context, op, key string) error {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasSuffix(key, "manifest.json") {
			if commits++; commits == 4 {
				cancel() // as a signal does
			}
		}
		return nil
	}
	res, err := scorer(m, r).ScorePrefix(ctx, &batch.Prefix{Input: "s3://bucket/in/"})
	if fault.CodeOf(err) != fault.Canceled || res.Scored < 3 || res.Scored >= n {
		t.Fatalf("%v, %v", res, err)
	}
	m.after = nil
	away := map[string]bool{}
	m.before = func(_ context.Context, op, key string) error {
		if op == "stat" && strings.HasPrefix(key, "in/") {
			mu.Lock()
			defer mu.Unlock()
			away[key] = true
			return fault.New(fault.RateLimited, "memory", key, "not now")
		}
		return nil
	}
	if _, err := scorer(m, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/"}); fault.CodeOf(err) != fault.RateLimited || len(away) > 8 {
		t.Errorf("want it to end soon with why, got %v after %d objects", err, len(away))
	}
	m.before = nil
	res, err = scorer(m, r).ScorePrefix(t.Context(), &batch.Prefix{Input: "s3://bucket/in/"})
	if err != nil || res.Already < 3 || res.Already+res.Scored != n {
		t.Fatalf("%v, %v", res, err)
	}
	if diff := cmp.Diff(want, written(t, m)); diff != "" {
		t.Errorf("(-undisturbed +interrupted):\n%s", diff)
	}
}

func TestPrefixesThatAreRefused(t *testing.T) {
	r := registry(t, true, doubles)
	m, _ := lake()
	for name, c := range map[string]struct {
		p    batch.Prefix
		want fault.Code
	}{
		"one object":          {batch.Prefix{Input: "s3://bucket/in/large.jsonl"}, fault.BadConfig},
		"nothing there":       {batch.Prefix{Input: "s3://bucket/nothing/"}, fault.NotFound},
		"scores among rows":   {batch.Prefix{Input: "s3://bucket/in/", Output: "s3://bucket/in/scores/"}, fault.BadConfig},
		"rows among scores":   {batch.Prefix{Input: "s3://bucket/in/", Output: "s3://bucket/"}, fault.BadConfig},
		"the same place":      {batch.Prefix{Input: "s3://bucket/in/", Output: "s3://bucket/in/"}, fault.BadConfig},
		"scores in one":       {batch.Prefix{Input: "s3://bucket/in/", Output: "s3://bucket/scores.csv"}, fault.BadConfig},
		"no such shard":       {batch.Prefix{Input: "s3://bucket/in/", Shard: 3, Shards: 3}, fault.Usage},
		"no such model":       {batch.Prefix{Input: "s3://bucket/in/", Model: "other"}, fault.NotFound},
		"not below the input": {batch.Prefix{Input: "s3://bucket/elsewhere/"}, fault.Unprocessable},
	} {
		res, err := scorer(m, r).ScorePrefix(t.Context(), &c.p)
		if err == nil && res.Failed > 0 { // each object fails
			err = res.Failures[0].Err
		}
		if fault.CodeOf(err) != c.want {
			t.Errorf("%s: want %v, got %v", name, c.want, err)
		}
	}
}
