package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// queue keeps messages until a test delivers them.
type queue struct {
	mu       sync.Mutex
	messages []trigger.Item
	fail     func(n int) error // before the n-th message is there
}

func (q *queue) Send(_ context.Context, messages [][]byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range messages {
		if q.fail != nil {
			if err := q.fail(i); err != nil {
				return err
			}
		}
		id := fmt.Sprint("m", len(q.messages))
		q.messages = append(q.messages, trigger.Item{ID: id, Key: id, Data: slices.Clone(m)})
	}
	return nil
}

// take empties the queue.
func (q *queue) take() []trigger.Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.messages
	q.messages = nil
	return all
}

// splitter is a handler of a process of its own, which hands objects out.
func splitter(m *memory, r *infer.Registry, q batch.Queue, per int, code string) *batch.Handler {
	o := objects(m, r, 100)
	o.Code = code
	return batch.New(ask(r), &batch.Options{Objects: o, Split: &batch.Split{Queue: q, Parts: per}})
}

func eventOf(key string) *trigger.Event {
	return &trigger.Event{Kind: "s3", Items: []trigger.Item{{ID: "1", Key: "k", Object: &trigger.Object{Store: "s3", Bucket: "bucket", Key: key, Size: -1}}}}
}

// scores are all objects that a run has written but what says when.
func scores(t *testing.T, m *memory) map[string]string {
	t.Helper()
	all := m.all()
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.HasPrefix(key, "in/") || path.Base(key) == "sent.json" })
	for key, text := range all {
		if path.Base(key) != "manifest.json" {
			continue
		}
		var man map[string]any
		if err := json.Unmarshal([]byte(text), &man); err != nil {
			t.Fatal(err)
		}
		delete(man, "timings")
		plain, err := json.Marshal(man)
		if err != nil {
			t.Fatal(err)
		}
		all[key] = string(plain)
	}
	return all
}

// An object that is handed out becomes the same as one that is not, in whatever
// order and however often its messages come, to many processes at once.
func TestObjectHandedOut(t *testing.T) {
	r, alone := registry(t, true, doubles), newMemory()
	rows := lines(120, 7, 80)
	alone.set("in/a.jsonl", rows)
	if _, err := batch.New(ask(r), &batch.Options{Objects: objects(alone, r, 100)}).Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"}); err != nil {
		t.Fatal(err)
	}
	want := scores(t, alone)
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m, q := newMemory(), &queue{}
		m.set("in/a.jsonl", rows)
		per := 1 + rnd.IntN(7)
		for range 2 { // the event comes twice too
			out := trigger.Run(t.Context(), splitter(m, r, q, per, ""), eventOf("in/a.jsonl"))
			if out[0].State != trigger.Done || !strings.Contains(string(out[0].Result), `"messages"`) {
				t.Fatalf("seed %d: %v, %s", seed, out[0].Err, out[0].Result)
			}
		}
		items := q.take()
		if len(items) < 6 {
			t.Fatalf("seed %d: want many messages, got %d", seed, len(items))
		}
		items = append(items, items...)
		rnd.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		var all sync.WaitGroup
		for part := range slices.Chunk(items, 1+len(items)/3) {
			all.Go(func() {
				for _, o := range trigger.Run(t.Context(), splitter(m, r, q, per, ""), &trigger.Event{Kind: "queue", Items: part}) {
					if o.State != trigger.Done {
						t.Errorf("seed %d: %v", seed, o.Err)
					}
				}
			})
		}
		all.Wait()
		if diff := cmp.Diff(want, scores(t, m)); diff != "" {
			t.Fatalf("seed %d, %d parts a message (-alone +handed out):\n%s", seed, per, diff)
		}
		for key, n := range m.changed {
			if n != 1 {
				t.Errorf("seed %d: %s changed %d times", seed, key, n)
			}
		}
		if out := trigger.Run(t.Context(), splitter(m, r, q, per, ""), eventOf("in/a.jsonl")); out[0].State != trigger.Done || len(q.take()) != 0 {
			t.Errorf("seed %d: an object that is done: %v, want it done and no message", seed, out[0].Err)
		}
	}
}

// Until all messages are there the event is not done with.
func TestMessagesThatAreNotSent(t *testing.T) {
	r, m := registry(t, true, doubles), newMemory()
	m.set("in/a.jsonl", lines(50))
	q := &queue{fail: func(n int) error {
		if n == 2 {
			return fault.New(fault.Denied, "test", "", "no rights")
		}
		return nil
	}}
	h := splitter(m, r, q, 1, "")
	if got := results(trigger.Run(t.Context(), h, eventOf("in/a.jsonl"))); got[0] != "retry unavailable" {
		t.Errorf("the queue goes away: %s, want it delivered again", got)
	}
	first := q.take()
	q.fail = nil
	if got := states(trigger.Run(t.Context(), h, eventOf("in/a.jsonl"))); got[0] != "done" {
		t.Fatalf("afterwards: %v", got)
	}
	items := append(first, q.take()...)
	for _, o := range trigger.Run(t.Context(), h, &trigger.Event{Kind: "queue", Items: items}) {
		if o.State != trigger.Done {
			t.Error(o.Err)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(m.all())), func(key string) bool { return path.Base(key) == "manifest.json" }) {
		t.Error("want a manifest in the end")
	}
}

// An event that comes again hands out what is missing, and no more.
func TestMessagesForWhatIsMissing(t *testing.T) {
	r, m, q := registry(t, true, doubles), newMemory(), &queue{}
	m.set("in/a.jsonl", lines(60))
	h := splitter(m, r, q, 1, "")
	if got := states(trigger.Run(t.Context(), h, eventOf("in/a.jsonl"))); got[0] != "done" {
		t.Fatal(got)
	}
	all := q.take()
	trigger.Run(t.Context(), h, &trigger.Event{Kind: "queue", Items: all[:len(all)-2]})
	if got := states(trigger.Run(t.Context(), h, eventOf("in/a.jsonl"))); got[0] != "done" {
		t.Fatal(got)
	}
	again := q.take()
	if len(again) != 2 || string(again[0].Data) != string(all[len(all)-2].Data) || string(again[1].Data) != string(all[len(all)-1].Data) {
		t.Errorf("want messages for the last 2 of %d parts, got %d", len(all), len(again))
	}
}

// What is for one message is not sent away.
func TestSmallObjectsAreNotHandedOut(t *testing.T) {
	r, m, q := registry(t, true, doubles), newMemory(), &queue{}
	m.set("in/a.jsonl", lines(3))
	m.set("in/b.jsonl", "")
	for _, key := range []string{"in/a.jsonl", "in/b.jsonl"} {
		if got := states(trigger.Run(t.Context(), splitter(m, r, q, 4, ""), eventOf(key))); got[0] != "done" || len(q.take()) != 0 {
			t.Errorf("%s: %v, want it done and no message", key, got)
		}
	}
}

// Messages for an object that was written again do nothing, and those that were
// counted for another model hand it out again, once.
func TestMessagesOfBefore(t *testing.T) {
	r, m, q := registry(t, true, doubles), newMemory(), &queue{}
	m.set("in/a.jsonl", lines(60))
	if got := states(trigger.Run(t.Context(), splitter(m, r, q, 2, ""), eventOf("in/a.jsonl"))); got[0] != "done" {
		t.Fatal(got)
	}
	old := q.take()
	half := old[:len(old)/2]
	trigger.Run(t.Context(), splitter(m, r, q, 2, ""), &trigger.Event{Kind: "queue", Items: half})
	fresh := splitter(m, r, q, 2, "new code")
	for _, item := range old[len(half):] {
		if got := states(trigger.Run(t.Context(), fresh, &trigger.Event{Kind: "queue", Items: []trigger.Item{item}})); got[0] != "done" {
			t.Fatal(got)
		}
	}
	again := q.take()
	if len(again) != len(old) {
		t.Errorf("want %d messages for the new model, got %d", len(old), len(again))
	}
	trigger.Run(t.Context(), fresh, &trigger.Event{Kind: "queue", Items: again})
	var manifests int
	for key, text := range m.all() {
		if path.Base(key) == "manifest.json" {
			manifests++
			if !strings.Contains(text, "new code") || !strings.Contains(text, `"rows": 60`) {
				t.Errorf("%s:\n%s", key, text)
			}
		}
	}
	if manifests != 1 {
		t.Errorf("%d manifests, want that of the new model", manifests)
	}

	before := len(m.all())
	m.set("in/a.jsonl", lines(61))
	for _, o := range trigger.Run(t.Context(), fresh, &trigger.Event{Kind: "queue", Items: again}) {
		if o.State != trigger.Done || string(o.Result) != `{"replaced":true}` {
			t.Errorf("of a version that is gone: %v, %s", o.Err, o.Result)
		}
	}
	if after := len(m.all()); after != before {
		t.Errorf("%d objects, want %d as before", after, before)
	}
}

// A message can name no more than an event can.
func TestMessagesThatAreRefused(t *testing.T) {
	r, m, q := registry(t, true, doubles), newMemory(), &queue{}
	m.set("in/a.jsonl", lines(60))
	m.set("elsewhere/a.jsonl", lines(60))
	m.set("out/a.jsonl", lines(60))
	h := splitter(m, r, q, 2, "")
	message := func(object string, from, to int, more string) []byte {
		return fmt.Appendf(nil, `{"godwit":"parts","object":%q,"version":"v","id":"i","from":%d,"to":%d%s}`, object, from, to, more)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"outside of the input": {message("s3://bucket/elsewhere/a.jsonl", 0, 1, ""), "permanent unprocessable"},
		"a score":              {message("s3://bucket/out/a.jsonl", 0, 1, ""), "permanent unprocessable"},
		"nothing":              {message("s3://bucket/in/b.jsonl", 0, 1, ""), "permanent not-found"},
		"no part":              {message("s3://bucket/in/a.jsonl", 1, 1, ""), "permanent invalid"},
		"a part below none":    {message("s3://bucket/in/a.jsonl", -1, 1, ""), "permanent invalid"},
		"more keys":            {message("s3://bucket/in/a.jsonl", 0, 1, `,"output":"s3://theirs/"`), "permanent invalid"},
		"a model of no name":   {message("s3://bucket/in/a.jsonl", 0, 1, `,"model":"../x"`), "permanent invalid"},
		"half":                 {message("s3://bucket/in/a.jsonl", 0, 1, "")[:40], "permanent invalid"},
	} {
		got := results(trigger.Run(t.Context(), h, &trigger.Event{Kind: "queue", Items: []trigger.Item{{ID: "1", Key: "k", Data: c.data}}}))[0]
		if strings.ReplaceAll(got, "_", "-") != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	plain := batch.New(ask(r), nil)
	if got := results(trigger.Run(t.Context(), plain, &trigger.Event{Kind: "queue", Items: []trigger.Item{{ID: "1", Data: message("s3://bucket/in/a.jsonl", 0, 1, "")}}}))[0]; got != "permanent "+fault.Unsupported.String() {
		t.Errorf("without objects: %s", got)
	}
}

// FuzzParts: whatever is in a message, it ends as an outcome, and writes nothing
// but below the place for scores.
func FuzzParts(f *testing.F) {
	f.Add([]byte(`{"godwit":"parts","object":"s3://bucket/in/a.jsonl","version":"v","id":"i","from":0,"to":1}`))
	f.Add([]byte(`{"godwit":"parts","object":"file:///etc/passwd","version":"v","id":"i","from":0,"to":9223372036854775807}`))
	f.Add([]byte(`{"godwit":"parts",`))
	r, err := register(context.Background(), true, doubles)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = r.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMemory()
		m.set("in/a.jsonl", lines(60))
		h := splitter(m, r, &queue{}, 2, "")
		trigger.Run(t.Context(), h, &trigger.Event{Kind: "queue", Items: []trigger.Item{{ID: "1", Key: "k", Data: data}}})
		for key := range m.all() {
			if !strings.HasPrefix(key, "in/") && !strings.HasPrefix(key, "out/") {
				t.Errorf("%q wrote %s", data, key)
			}
		}
	})
}
