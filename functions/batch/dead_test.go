package batch_test

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// pair is a request that the model doubles answers.
const pair = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`

// deadTo is a handler over m that keeps what failed for good below prefix.
func deadTo(t *testing.T, m *memory, prefix string) *batch.Handler {
	r := registry(t, true, doubles)
	return batch.New(ask(r), &batch.Options{
		Sink: &kept{}, Objects: objects(m, r, 100),
		Dead: &batch.Dead{Stores: inMemory{m}, Prefix: prefix, Theirs: func(ev *trigger.Event, item *trigger.Item) bool {
			return ev.Kind == "theirs" && item.Object == nil
		}},
	})
}

// deadItems are the records below prefix by key, without when they were written.
func deadItems(t *testing.T, m *memory, prefix string) map[string]batch.DeadItem {
	t.Helper()
	all := map[string]batch.DeadItem{}
	for key, text := range m.all() {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		d, err := batch.ParseDead([]byte(text))
		if err != nil || d.Time.IsZero() || !batch.IsDead([]byte(text)) {
			t.Fatalf("%s: %v, %s", key, err, text)
		}
		d.Time = time.Time{}
		all[key] = *d
	}
	return all
}

func itemOf(id, key, version string) trigger.Item {
	return trigger.Item{ID: id, Key: "k" + id, Object: &trigger.Object{Store: "s3", Bucket: "bucket", Key: key, Version: version, Size: 7}}
}

// What failed for good is kept once with the reason, however often it comes, and
// is done with; whatever else is in the delivery is as it is without.
func TestWhatFailedForGoodIsKept(t *testing.T) {
	m := newMemory()
	m.set("in/good.jsonl", lines(10))
	m.set("in/day 1/ö.parquet", "PAR1 and then nothing")
	h := deadTo(t, m, "s3://bucket/out/dead/")
	sent := time.Date(2026, 5, 1, 2, 3, 4, 5, time.FixedZone("", 3600))
	items := []trigger.Item{
		itemOf("1", "in/good.jsonl", ""),
		itemOf("2", "in/day 1/ö.parquet", "v2"),
		itemOf("3", "in/gone.csv", "v3"),
		{ID: "4", Key: "k4", Data: []byte(pair)},
		{ID: "5", Key: "k5", Data: []byte("no request \xff"), ContentType: "text/plain", Attributes: map[string]string{"from": "somebody"}, Group: "g", Attempt: 3, Time: sent},
		{ID: "6", Key: "k6", Data: []byte(pair), Attributes: map[string]string{"model": "other"}},
	}
	// The object that is gone is so for every version of it that anybody knows.
	for delivery := range 3 {
		out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "mixed", Source: "somewhere", Items: items})
		for i, o := range out {
			if o.State != trigger.Done {
				t.Errorf("delivery %d, item %s: %v", delivery, items[i].ID, o.Err)
			}
		}
	}
	got := deadItems(t, m, "out/dead/")
	for key, d := range got {
		if d.Error == "" {
			t.Errorf("%s has no reason", key)
		}
		d.Error, d.Hint = "", ""
		delete(got, key)
		if d.Object == nil { // 64 digits
			if name := strings.TrimSuffix(path.Base(key), ".json"); len(name) != 64 || strings.Trim(name, "0123456789abcdef") != "" {
				t.Errorf("a message's record is %s", key)
			}
			key = d.ID
		}
		got[key] = d
	}
	sent = sent.UTC()
	want := map[string]batch.DeadItem{
		"out/dead/day 1/ö.parquet." + batch.Name("s3://bucket/in/day 1/ö.parquet#v2", "")[:16] + ".json": {
			Godwit: "dead", Kind: "mixed", Source: "somewhere", ID: "2", Key: "k2", Code: "invalid",
			Object: &batch.DeadObject{URL: "s3://bucket/in/day 1/ö.parquet", Version: "v2", Size: 7}},
		"out/dead/gone.csv." + batch.Name("s3://bucket/in/gone.csv#v3", "")[:16] + ".json": {
			Godwit: "dead", Kind: "mixed", Source: "somewhere", ID: "3", Key: "k3", Code: "not_found",
			Object: &batch.DeadObject{URL: "s3://bucket/in/gone.csv", Version: "v3", Size: 7}},
		"5": {
			Godwit: "dead", Kind: "mixed", Source: "somewhere", ID: "5", Key: "k5", Group: "g", Code: "invalid", Attempt: 3, Sent: &sent,
			Data: []byte("no request \xff"), ContentType: "text/plain", Attributes: map[string]string{"from": "somebody"}},
		"6": {
			Godwit: "dead", Kind: "mixed", Source: "somewhere", ID: "6", Key: "k6", Code: "not_found",
			Data: []byte(pair), Attributes: map[string]string{"model": "other"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for key, n := range m.changed {
		if n != 1 {
			t.Errorf("%s changed %d times", key, n)
		}
	}

	// Another payload under the same key is another item.
	other := items[4]
	other.Data = []byte("nor this")
	trigger.Run(t.Context(), h, &trigger.Event{Kind: "mixed", Items: []trigger.Item{other}})
	if n := len(deadItems(t, m, "out/dead/")); n != len(want)+1 {
		t.Errorf("want %d records, got %d", len(want)+1, n)
	}

	// What is kept is the item again, as it was.
	for _, d := range want {
		item, err := d.Item()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(items, func(i trigger.Item) bool { return i.ID == d.ID })
		again := items[i]
		if again.Time = again.Time.UTC(); items[i].Time.IsZero() {
			again.Time = time.Time{}
		}
		if diff := cmp.Diff(&again, item); diff != "" {
			t.Errorf("%s (-delivered +kept):\n%s", d.ID, diff)
		}
	}
}

// What the platform puts aside, what nobody wanted scored and what has no place
// here is the platform's: a record of a record would have a record, for ever.
func TestWhatIsNotKept(t *testing.T) {
	bad := trigger.Item{ID: "1", Key: "k", Data: []byte("no request")}
	for name, c := range map[string]struct {
		prefix, kind string
		item         trigger.Item
	}{
		"the platform keeps it":       {"s3://bucket/out/dead/", "theirs", bad},
		"no bucket for messages":      {"out/dead/", "mine", bad},
		"a message without a key":     {"s3://bucket/out/dead/", "mine", trigger.Item{ID: "1", Data: []byte("no request")}},
		"a record of what is kept":    {"s3://bucket/out/dead/", "mine", itemOf("1", "out/dead/a.csv.0011223344556677.json", "v")},
		"scores":                      {"out/dead/", "theirs", itemOf("1", "out/a.csv.0011223344556677/manifest.json", "v")},
		"an object elsewhere":         {"s3://bucket/out/dead/", "mine", itemOf("1", "elsewhere/a.csv", "v")},
		"an object with no identity":  {"out/dead/", "mine", trigger.Item{ID: "1", Object: itemOf("1", "in/a.csv", "").Object}},
		"an object in another bucket": {"s3://bucket/out/dead/", "mine", trigger.Item{ID: "1", Key: "k", Object: &trigger.Object{Store: "gs", Bucket: "bucket", Key: "elsewhere/a.csv", Version: "1"}}},
	} {
		m := newMemory()
		out := trigger.Run(t.Context(), deadTo(t, m, c.prefix), &trigger.Event{Kind: c.kind, Items: []trigger.Item{c.item}})
		if out[0].State != trigger.Permanent || len(m.all()) != 0 {
			t.Errorf("%s: %v (%v), and there is %v; want permanent and nothing", name, out[0].State, out[0].Err, slices.Collect(maps.Keys(m.all())))
		}
	}

	// An object's record is in its own bucket where the prefix names none.
	m := newMemory()
	out := trigger.Run(t.Context(), deadTo(t, m, "out/dead/"), &trigger.Event{Kind: "theirs", Items: []trigger.Item{itemOf("1", "in/a.csv", "v")}})
	if out[0].State != trigger.Done || len(deadItems(t, m, "out/dead/")) != 1 {
		t.Errorf("%v (%v), %v", out[0].State, out[0].Err, m.all())
	}
}

// What cannot be kept now comes again: it is never nowhere. Order is kept.
func TestWhatCannotBeKeptComesAgain(t *testing.T) {
	m := newMemory()
	away := true
	m.before = func(_ context.Context, op, key string) error {
		if away && op == "commit" && strings.HasPrefix(key, "out/dead/") {
			return fault.New(fault.Denied, "memory", key, "no rights").WithHint("give some")
		}
		return nil
	}
	h := deadTo(t, m, "s3://bucket/out/dead/")
	ev := &trigger.Event{Kind: "stream", Order: trigger.Ordered, Items: []trigger.Item{
		{ID: "1", Key: "k1", Data: []byte("no request")}, {ID: "2", Key: "k2", Data: []byte("nor this")}, {ID: "3", Key: "k3", Data: []byte(pair)},
	}}
	out := trigger.Run(t.Context(), h, ev)
	if diff := cmp.Diff([]string{"retry", "retry", "retry"}, states(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := out[0].Err; fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) != "give some" || !strings.Contains(err.Error(), "no rights") {
		t.Errorf("want why it could not be kept, got %v", err)
	}
	if len(m.all()) != 0 {
		t.Errorf("there is %v", m.all())
	}
	away = false
	if diff := cmp.Diff([]string{"done", "done", "done"}, states(trigger.Run(t.Context(), h, ev))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := deadItems(t, m, "out/dead/"); len(got) != 2 {
		t.Errorf("want two, got %v", got)
	}
}

// A key of any length has a record, and reasons do not grow without an end.
func TestRecordsOfLongNames(t *testing.T) {
	m := newMemory()
	h := deadTo(t, m, "out/dead/")
	long := "in/" + strings.Repeat("ä", (store.MaxKey-10)/2) + ".csv"
	out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: []trigger.Item{itemOf("1", long, "v"), {ID: "2", Key: "k", Object: &trigger.Object{Store: "s3", Bucket: "bucket", Key: "in/a.csv", Version: strings.Repeat("v", 9000)}}}})
	got := deadItems(t, m, "out/dead/")
	if out[0].State != trigger.Done || out[1].State != trigger.Done || len(got) != 2 {
		t.Fatalf("%v, %v, %v", out[0].Err, out[1].Err, got)
	}
	for key, d := range got {
		if len(key) > store.MaxKey || len(d.Error) > 4<<10 || strings.Contains(d.Object.URL, long) != (path.Base(key) == batch.Name("s3://bucket/"+long+"#v", "")) {
			t.Errorf("%s: %d bytes of reason", key, len(d.Error))
		}
	}
}

// A reason has its first few thousand bytes, and is text whatever it was.
func TestLongReasons(t *testing.T) {
	m := newMemory()
	h := batch.New(infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
		return nil, fault.New(fault.Invalid, "test", "", "%s\xff", strings.Repeat("ä", 5000))
	}), &batch.Options{Sink: &kept{}, Dead: &batch.Dead{Stores: inMemory{m}, Prefix: "s3://bucket/out/dead"}})
	out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "stream", Items: []trigger.Item{{ID: "1", Key: "k", Data: []byte(pair)}}})
	got := deadItems(t, m, "out/dead/")
	if out[0].State != trigger.Done || len(got) != 1 {
		t.Fatalf("%v, %v", out[0].Err, got)
	}
	for _, d := range got {
		if n := len(d.Error); n < 4000 || n > 4<<10 || strings.Trim(d.Error, "ä") != "test: " {
			t.Errorf("%d bytes: %q", n, strings.Trim(d.Error, "ä"))
		}
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	for _, text := range []string{"", "{}", `{"godwit":"dead"}`, `{"godwit":"dead","data":"bm8="}`, `{"godwit":"dead","key":"k"`, `{"godwit":"parts","key":"k"}`, `{"key":"k","godwit":"dead"}`} {
		if _, err := batch.ParseDead([]byte(text)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: want Invalid, got %v", text, err)
		}
	}
	for _, url := range []string{"", "s3://bucket/", "s3://bucket/in/", "ftp://bucket/a"} {
		d := &batch.DeadItem{Godwit: "dead", Object: &batch.DeadObject{URL: url}}
		if _, err := d.Item(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: want Invalid, got %v", url, err)
		}
	}
}

func FuzzParseDead(f *testing.F) {
	for _, text := range []string{
		`{"godwit":"dead","kind":"s3","source":"x","item":"1","key":"k","object":{"url":"s3://bucket/a.csv","version":"v","size":1},"code":"invalid","error":"x","time":"2026-01-01T00:00:00Z"}`,
		`{"godwit":"dead","key":"k","data":"bm8="}`, `{"godwit":"dead","object":{"url":"s3://bucket/"}}`, `{"godwit":"dead"}`, `{"godwit":"parts"}`, "{}", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := batch.ParseDead(text)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("want Invalid, got %v", err)
			}
			return
		}
		item, err := d.Item()
		if err != nil {
			return
		}
		if (item.Object == nil) != (d.Object == nil) || item.Object == nil && item.Key == "" {
			t.Errorf("%s became %+v", text, item)
		}
		again, err := json.Marshal(d)
		if err != nil || !batch.IsDead(again) {
			t.Errorf("%s, %v", again, err)
		}
	})
}
