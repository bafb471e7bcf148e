package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

// What a row of the property test does to the model, as its first number.
const (
	good       = 0
	poison     = -1 // refused
	crashing   = -2 // takes the model down, always
	panicking  = -3
	transient  = -4 // has no room the first time
	stumbling  = -5 // takes the model down the first time
	unreadable = -6 // no row at all
)

// nasty is a model that does what its rows say.
type nasty struct {
	mu   sync.Mutex
	seen map[float32]bool // transient and stumbling rows
	asks int
}

func (n *nasty) run(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asks++
	x, _ := tensor.View[float32](&in[0])
	y := make([]float32, len(x))
	for i := 0; i < len(x); i += 2 {
		first := !n.seen[x[i+1]]
		n.seen[x[i+1]] = true
		switch x[i] {
		case poison:
			return nil, fault.New(fault.Invalid, "nasty", "", "want no poison")
		case crashing:
			return nil, fault.New(fault.Internal, "nasty", "", "the worker died")
		case panicking:
			panic("told to")
		case transient:
			if first {
				return nil, fault.New(fault.Unavailable, "nasty", "", "no room")
			}
		case stumbling:
			if first {
				return nil, fault.New(fault.Internal, "nasty", "", "the worker died")
			}
		}
		y[i], y[i+1] = x[i+1], 2*x[i+1]
	}
	return []tensor.Tensor{tensor.Of("y", in[0].Shape, y)}, nil
}

// Exactly the bad rows are left out, whatever they do, and good answers are
// those that the rows get alone.
func TestExactlyTheBadRowsAreLeftOut(t *testing.T) {
	undecided := 0
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 6))
				n := 1 + rnd.IntN(60)
				share := rnd.Float64() / 2
				var text strings.Builder
				bad := []int64{}
				var want []string
				for i := range n {
					kind := good
					if rnd.Float64() < share {
						kind = -1 - rnd.IntN(6)
					}
					switch kind {
					case poison, crashing, panicking, unreadable:
						bad = append(bad, int64(i)+1)
					default:
						want = append(want, fmt.Sprintf(`{"id":%d,"y":[%d,%d]}`, i, i, 2*i))
					}
					if kind == unreadable {
						fmt.Fprintf(&text, "{\"id\":%d,\"x\":[1]}\n", i)
					} else {
						fmt.Fprintf(&text, "{\"id\":%d,\"x\":[%d,%d]}\n", i, kind, i)
					}
				}
				m := newMemory()
				m.set("in/a.jsonl", lines(16)+text.String()) // so that every block has seen an answer before
				model := &nasty{seen: map[float32]bool{}}
				r := registry(t, rnd.IntN(4) > 0, model.run)
				o := objects(m, r, 300)
				o.Rows = 1 + rnd.IntN(16)
				o.Output = "out/"
				h := batch.New(ask(r), &batch.Options{Objects: o})
				res, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"})
				if allFail(err) {
					undecided++
					return // every row of a block broke the model: nothing can be said about them
				}
				if err != nil {
					t.Fatal(err)
				}
				scores, badRows := result(t, m, res)
				if diff := cmp.Diff(want, scores[16:], equalEmpty); diff != "" {
					t.Errorf("scores (-want +got):\n%s", diff)
				}
				got := []int64{}
				for i := range badRows {
					got = append(got, badRows[i].Row-16)
				}
				if diff := cmp.Diff(bad, got, equalEmpty); diff != "" {
					t.Errorf("bad rows (-want +got):\n%s", diff)
				}
				if res.Manifest.Rows+res.Manifest.Bad != res.Manifest.Lines || res.Manifest.Lines != int64(n)+16 {
					t.Errorf("rows are not conserved: %+v", res.Manifest)
				}
			})
		})
	}
	if undecided > 50 {
		t.Errorf("%d of 150 said nothing", undecided)
	}
}

var equalEmpty = cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())

func allFail(err error) bool {
	return fault.CodeOf(err) == fault.Internal && strings.Contains(err.Error(), "no row of")
}

// result reads what a job has written, in order.
func result(t testing.TB, m *memory, res *batch.Result) (scores []string, bad []batch.BadRow) {
	t.Helper()
	all := m.all()
	dir := strings.TrimPrefix(res.Output, "s3://bucket/")
	for _, p := range res.Manifest.Parts {
		text := all[dir+p.File.Name]
		if int64(len(text)) != p.File.Bytes {
			t.Errorf("%s has %d bytes, not %d", p.File.Name, len(text), p.File.Bytes)
		}
		if text != "" {
			scores = append(scores, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
		}
		if p.BadFile == nil {
			continue
		}
		for line := range strings.Lines(all[dir+p.BadFile.Name]) {
			var b batch.BadRow
			if err := json.Unmarshal([]byte(line), &b); err != nil {
				t.Fatal(err)
			}
			bad = append(bad, b)
		}
	}
	return scores, bad
}

// A model that answers nothing is to blame itself, and no row is called bad.
func TestABrokenModelIsNoBadRow(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(10))
	r := registry(t, true, doubles)
	for _, tt := range []struct {
		name string
		err  error
		want fault.Code
	}{
		{"it crashes", fault.New(fault.Internal, "test", "", "died"), fault.Internal},
		{"it is gone", fault.New(fault.NotFound, "test", "", "no such model"), fault.NotFound},
		{"nobody may ask it", fault.New(fault.Denied, "test", "", "no"), fault.Denied},
	} {
		h := batch.New(infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) { return nil, tt.err }), &batch.Options{Objects: objects(m, r, 100)})
		if _, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"}); fault.CodeOf(err) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
		for key := range m.all() {
			if strings.Contains(key, "part-") {
				t.Errorf("%s: %s was written", tt.name, key)
			}
		}
	}
}

func TestTooManyBadRowsFailTheObject(t *testing.T) {
	r := registry(t, true, doubles)
	for _, tt := range []struct {
		max  float64
		want trigger.State
	}{{0, trigger.Done}, {1, trigger.Done}, {0.2, trigger.Done}, {0.19, trigger.Permanent}, {-1, trigger.Permanent}} {
		m := newMemory()
		m.set("in/a.jsonl", lines(10, 2, 9))
		o := objects(m, r, 100)
		o.MaxBad = tt.max
		h := batch.New(ask(r), &batch.Options{Objects: o})
		for range 2 {
			out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}})
			if out[0].State != tt.want {
				t.Errorf("at most %v: %v, %v", tt.max, out[0].State, out[0].Err)
			}
			if tt.want == trigger.Permanent && (fault.CodeOf(out[0].Err) != fault.Unprocessable || !strings.Contains(out[0].Err.Error(), "got 2 of 10")) {
				t.Errorf("at most %v: %v", tt.max, out[0].Err)
			}
		}
		for key := range m.all() {
			if tt.want == trigger.Permanent && strings.Contains(key, "manifest") {
				t.Errorf("at most %v: there is %s", tt.max, key)
			}
		}
	}
}

func object(key string) trigger.Item {
	return trigger.Item{ID: key, Key: key, Object: &trigger.Object{Store: "s3", Bucket: "bucket", Key: key, Size: -1}}
}

// What is below the output is never scored, nor what lies elsewhere than the input.
func TestScoresAreNotScored(t *testing.T) {
	m := newMemory()
	r := registry(t, true, doubles)
	keys := []string{"out/a.jsonl.0123456789abcdef/part-00000.jsonl", "out/x.jsonl", "elsewhere/a.jsonl", "inside.jsonl", "in/gone.jsonl", "in/a.txt"}
	for _, key := range keys {
		switch key {
		case "in/gone.jsonl":
		case "in/a.txt":
			m.set(key, "x,y\n1,2\n")
		default:
			m.set(key, lines(2))
		}
	}
	for _, o := range []*batch.Objects{
		objects(m, r, 100),
		{Models: r, Stores: inMemory{m}, Input: "s3://bucket/in/", Output: "s3://bucket/out/"},
		{Models: r, Stores: inMemory{m}, Input: "s3://bucket/in", Output: "s3://bucket/out"},
		{Models: r, Stores: inMemory{m}, Output: "s3://bucket/"},
		{Models: r, Stores: inMemory{m}},
	} {
		h := batch.New(ask(r), &batch.Options{Objects: o})
		var items []trigger.Item
		for _, key := range keys {
			items = append(items, object(key))
		}
		for i, out := range trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: items}) {
			if out.State != trigger.Permanent {
				t.Errorf("input %q output %q: %s is %v: %v", o.Input, o.Output, items[i].ID, out.State, out.Err)
			}
		}
	}
	if got := len(m.all()); got != len(keys)-1 {
		t.Errorf("%d objects, %d were there", got, len(keys)-1)
	}
}

// What there is no time for is left to the next delivery, which goes on from there.
func TestPartsEndBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("in/a.jsonl", lines(100))
		r := registry(t, true, doubles)
		runs := 0
		o := objects(m, r, 100)
		o.Parallel = 1
		h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			runs++
			if _, ok := ctx.Deadline(); !ok {
				t.Error("want the delivery's deadline")
			}
			<-time.After(time.Second)
			return ask(r).Infer(ctx, req)
		}), &batch.Options{Objects: o, Spare: 100 * time.Millisecond})
		deliveries := 0
		for ; deliveries < 50; deliveries++ {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			before := runs
			out := trigger.Run(ctx, h, &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}})
			if ctx.Err() != nil {
				t.Error("the delivery's time was used up")
			}
			cancel()
			if out[0].State == trigger.Done {
				break
			}
			if out[0].State != trigger.Retry || fault.CodeOf(out[0].Err) != fault.DeadlineExceeded {
				t.Fatalf("%v: %v", out[0].State, out[0].Err)
			}
			if runs == before {
				t.Fatal("a delivery did nothing")
			}
		}
		if deliveries < 2 || deliveries > 10 {
			t.Errorf("%d deliveries", deliveries)
		}
		for key, n := range m.changed {
			if n != 1 {
				t.Errorf("%s changed %d times", key, n)
			}
		}
	})
}

// A part that no delivery has the time for is dropped in time, and told of.
func TestAPartThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("in/a.jsonl", lines(100))
		r := registry(t, true, doubles)
		h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			select {
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return ask(r).Infer(ctx, req)
		}), &batch.Options{Objects: objects(m, r, 100)})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out := trigger.Run(ctx, h, &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}})
		if out[0].State != trigger.Retry || fault.CodeOf(out[0].Err) != fault.DeadlineExceeded || fault.HintOf(out[0].Err) == "" {
			t.Errorf("%v: %v", out[0].State, out[0].Err)
		}
		if ctx.Err() != nil {
			t.Error("no time is left for the reply")
		}
		for key := range m.all() {
			if strings.Contains(key, "part-") {
				t.Errorf("%s was written", key)
			}
		}
	})
}

// An object that is written again while it is read comes again, and its scores are the new one's.
func TestAnObjectWrittenAgain(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(150_000)) // too large to be asked for once
	r := registry(t, true, doubles)
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		m.set("in/a.jsonl", lines(50))
		return ask(r).Infer(ctx, req)
	}), &batch.Options{Objects: objects(m, r, 1<<20)})
	ev := &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}}
	out := trigger.Run(t.Context(), h, ev)
	if out[0].State != trigger.Retry || fault.CodeOf(out[0].Err) != fault.Unavailable {
		t.Errorf("%v: %v", out[0].State, out[0].Err)
	}
	if out = trigger.Run(t.Context(), h, ev); out[0].State != trigger.Done || !strings.Contains(string(out[0].Result), `"rows":50`) {
		t.Errorf("%v: %v: %s", out[0].State, out[0].Err, out[0].Result)
	}
}

// An event that comes again after the object was removed finds what is done;
// one for what was never scored fails for good.
func TestAnObjectThatIsGone(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(10))
	r := registry(t, true, doubles)
	h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 100)})
	item := object("in/a.jsonl")
	item.Object.Version = version([]byte(lines(10)))
	other := object("in/a.jsonl")
	other.Object.Version = "other"
	for _, want := range []trigger.State{trigger.Done, trigger.Permanent} {
		if out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: []trigger.Item{item}}); out[0].State != trigger.Done {
			t.Errorf("%v: %v", out[0].State, out[0].Err)
		}
		if out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: []trigger.Item{other}}); out[0].State != want {
			t.Errorf("another version: %v: %v, want %v", out[0].State, out[0].Err, want)
		}
		delete(m.objects, "in/a.jsonl")
	}
}

func TestObjectsWithoutRows(t *testing.T) {
	r := registry(t, true, doubles)
	for name, text := range map[string]string{"in/empty.jsonl": "", "in/empty.csv": "", "in/header.csv": "x_0,x_1,id\n", "in/blank.jsonl": "\n\n"} {
		m := newMemory()
		m.set(name, text)
		h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 100)})
		for _, to := range []string{"", "s3://bucket/one.jsonl"} {
			res, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/" + name, Output: to})
			if err != nil || res.Manifest == nil || res.Manifest.Rows != 0 || res.Manifest.Bad != 0 {
				t.Errorf("%s to %q: %+v, %v", name, to, res, err)
			}
		}
	}
}

// Shards share the parts out, and the last of them writes the manifest.
func TestShards(t *testing.T) {
	r := registry(t, true, doubles)
	clean := newMemory()
	clean.set("in/a.jsonl", lines(100, 5))
	if _, err := batch.New(ask(r), &batch.Options{Objects: objects(clean, r, 100)}).Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"}); err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	m.set("in/a.jsonl", lines(100, 5))
	h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 100)})
	order := []int{2, 0, 1}
	for k, shard := range order {
		res, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl", Shard: shard, Shards: 3})
		if err != nil {
			t.Fatal(err)
		}
		if last := k == len(order)-1; (res.Manifest != nil) != last || (res.Missing == 0) != last {
			t.Errorf("shard %d: %+v", shard, res)
		}
	}
	if diff := cmp.Diff(untimed(t, clean.all()), untimed(t, m.all())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl", Shard: 3, Shards: 3}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("shard 3 of 3: %v", err)
	}
}
