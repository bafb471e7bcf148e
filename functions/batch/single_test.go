package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
)

func single(to string) *batch.Job {
	return &batch.Job{Input: "s3://bucket/in/a.jsonl", Output: "s3://bucket/" + to}
}

// plain is objects without prefixes, as a command line has it.
func plain(m *memory, h *batch.Objects) *batch.Objects {
	h.Input, h.Output = "", ""
	return h
}

func TestOneFileIsJoined(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(30, 3, 20))
	r := registry(t, true, doubles)
	h := batch.New(ask(r), &batch.Options{Objects: plain(m, objects(m, r, 100))})
	var last batch.Progress
	job := single("scores.jsonl")
	job.Progress = func(p batch.Progress) { last = p }
	res, err := h.Score(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if res.Already || res.Rows != 28 || res.Bad != 2 || res.Scored != len(res.Manifest.Parts) || res.Output != "s3://bucket/scores.jsonl" {
		t.Errorf("%+v", res)
	}
	if last.Rows != 28 || last.Bad != 2 || last.Done != last.Parts || !last.Ended || last.Fraction() != 1 {
		t.Errorf("the last progress is %+v", last)
	}
	all := m.all()
	if diff := cmp.Diff([]string{"in/a.jsonl", "scores.jsonl", "scores.jsonl.bad.jsonl", "scores.jsonl.manifest.json"}, slices.Sorted(maps.Keys(all))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var want strings.Builder
	for i := range 30 {
		if i != 3 && i != 20 {
			fmt.Fprintf(&want, "{\"id\":%d,\"y\":[%d,2]}\n", i, 2*i)
		}
	}
	if diff := cmp.Diff(want.String(), all["scores.jsonl"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if res, err = h.Score(t.Context(), single("scores.jsonl")); err != nil || !res.Already || res.Manifest.Rows != 28 {
		t.Errorf("again: %+v, %v", res, err)
	}
	if res.Manifest.File.Bytes != int64(want.Len()) || res.Manifest.BadFile == nil || res.Manifest.Parts[0].File != nil {
		t.Errorf("the manifest is %+v", res.Manifest)
	}
}

// Whatever is where scores should go stays, and nothing is scored for nobody.
func TestWhatIsThereStays(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(30))
	m.set("scores.jsonl", "mine")
	r := registry(t, true, doubles)
	h := batch.New(ask(r), &batch.Options{Objects: plain(m, objects(m, r, 100))})
	if _, err := h.Score(t.Context(), single("scores.jsonl")); fault.CodeOf(err) != fault.Unprocessable {
		t.Errorf("over another object: %v", err)
	}
	if len(m.all()) != 2 || m.all()["scores.jsonl"] != "mine" {
		t.Errorf("left behind: %v", slices.Sorted(maps.Keys(m.all())))
	}
	if _, err := h.Score(t.Context(), single("other.jsonl")); err != nil {
		t.Fatal(err)
	}
	m.set("in/a.jsonl", lines(31))
	if _, err := h.Score(t.Context(), single("other.jsonl")); fault.CodeOf(err) != fault.Unprocessable {
		t.Errorf("over the scores of another version: %v", err)
	}
	if _, err := h.Score(t.Context(), single("in/a.jsonl")); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("over the rows: %v", err)
	}
}

// A run that ends at any operation is gone on with, to the same bytes.
func TestOneFileSurvivesAnEndAnywhere(t *testing.T) {
	r := registry(t, true, doubles)
	clean := newMemory()
	clean.set("in/a.jsonl", lines(20, 7))
	h := batch.New(ask(r), &batch.Options{Objects: plain(clean, objects(clean, r, 100))})
	if _, err := h.Score(t.Context(), single("s.jsonl")); err != nil {
		t.Fatal(err)
	}
	want := untimed(t, clean.all())
	lost := errors.New("told to end")
	for at := 0; ; at++ {
		m := newMemory()
		m.set("in/a.jsonl", lines(20, 7))
		o := plain(m, objects(m, r, 100))
		o.Parallel = 1
		ctx, end := context.WithCancelCause(t.Context())
		var mu sync.Mutex
		n := 0
		ended := false
		m.before = func(context.Context, string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n > at {
				ended = true
				end(lost)
				return lost
			}
			return nil
		}
		_, err := batch.New(ask(r), &batch.Options{Objects: o}).Score(ctx, single("s.jsonl"))
		end(nil)
		if !ended {
			if err != nil {
				t.Fatal(err)
			}
			if at < 20 {
				t.Errorf("only %d operations were ended", at)
			}
			break
		}
		m.before = nil
		if _, err := batch.New(ask(r), &batch.Options{Objects: o}).Score(t.Context(), single("s.jsonl")); err != nil {
			t.Fatalf("after an end at operation %d: %v", at, err)
		}
		if diff := cmp.Diff(want, untimed(t, m.all())); diff != "" {
			t.Fatalf("after an end at operation %d (-want +got):\n%s", at, diff)
		}
	}
}

// untimed is what a bucket holds without what of manifests differs between runs.
func untimed(t testing.TB, all map[string]string) map[string]string {
	t.Helper()
	for key, text := range all {
		if !strings.HasSuffix(key, "manifest.json") {
			continue
		}
		var m batch.Manifest
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		if m.Timings == nil {
			t.Errorf("%s has no timings", key)
		}
		m.Timings = nil
		plain, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		all[key] = string(plain)
	}
	return all
}

// Another process may have joined the parts, and not have said so yet, between
// this one's look for parts and its look for what they become.
func TestAnotherProcessJoinsMeanwhile(t *testing.T) {
	r := registry(t, true, doubles)
	m := newMemory()
	m.set("in/a.jsonl", lines(20))
	other := &memory{disk: m.disk, before: func(_ context.Context, op, key string) error {
		if op == "commit" && strings.HasSuffix(key, "manifest.json") {
			return fault.New(fault.Denied, "test", key, "it ends here")
		}
		return nil
	}}
	joined := false
	m.before = func(ctx context.Context, op, key string) error {
		if op == "stat" && key == "s.jsonl" && !joined {
			joined = true
			h := batch.New(ask(r), &batch.Options{Objects: plain(other, objects(other, r, 100))})
			if _, err := h.Score(ctx, single("s.jsonl")); fault.CodeOf(err) != fault.Denied {
				t.Errorf("the other: %v", err)
			}
		}
		return nil
	}
	h := batch.New(ask(r), &batch.Options{Objects: plain(m, objects(m, r, 100))})
	res, err := h.Score(t.Context(), single("s.jsonl"))
	if err != nil || !joined || res.Manifest.Rows != 20 {
		t.Errorf("%+v, %v", res, err)
	}
}
