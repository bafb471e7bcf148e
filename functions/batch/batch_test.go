package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killed); dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

// double answers y = 2x for the model "double", which is the only one.
func double(_ context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Model != "" && req.Model != "double" {
		return nil, fault.New(fault.NotFound, "test", req.Model, "no such model")
	}
	x, ok := tensor.View[float32](&req.Inputs[0])
	if !ok {
		return nil, fault.New(fault.Invalid, "test", "x", "want FP32")
	}
	y := make([]float32, len(x))
	for i := range x {
		y[i] = 2 * x[i]
	}
	return &infer.Response{Model: "double", Version: "1", Digest: "sha256:00", Outputs: []tensor.Tensor{tensor.Of("y", req.Inputs[0].Shape, y)}}, nil
}

func payload(x ...string) []byte {
	return fmt.Appendf(nil, `{"inputs":[{"name":"x","shape":[%d],"datatype":"FP32","data":[%s]}]}`, len(x), strings.Join(x, ","))
}

// kept is a sink in memory.
type kept struct {
	mu   sync.Mutex
	all  map[string]string
	fail func(name string) error
}

func (k *kept) Put(_ context.Context, name string, answer []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		if err := k.fail(name); err != nil {
			return err
		}
	}
	if _, there := k.all[name]; !there {
		if k.all == nil {
			k.all = map[string]string{}
		}
		k.all[name] = string(answer)
	}
	return nil
}

func states(out []trigger.Outcome) []string {
	var all []string
	for _, o := range out {
		all = append(all, o.State.String())
	}
	return all
}

func TestItemsEndByThemselves(t *testing.T) {
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		switch req.ID {
		case "panics":
			panic("told to")
		case "full":
			return nil, fault.New(fault.Unavailable, "test", "", "full")
		}
		return double(ctx, req)
	}), nil)
	named := func(id string) []byte { return append([]byte(`{"id":"`+id+`",`), payload("1")[1:]...) }
	items := []trigger.Item{
		{ID: "good", Data: payload("1", "2.5")},
		{ID: "no request", Data: []byte(`{"inputs":`)},
		{ID: "panics", Data: named("panics")},
		{ID: "full", Data: named("full")},
		{ID: "other type", Data: []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[1]}]}`)},
		{ID: "no such model", Data: payload("1"), Attributes: map[string]string{"model": "other"}},
		{ID: "no name", Data: payload("1"), Attributes: map[string]string{"model": "../etc"}},
		{ID: "object", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "k"}},
		{ID: "last", Data: payload("3"), Attributes: map[string]string{"model": "double"}},
	}
	out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "test", Replies: true, Items: items})
	want := []string{"done", "permanent", "retry", "retry", "permanent", "permanent", "permanent", "permanent", "done"}
	if diff := cmp.Diff(want, states(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var answer struct {
		Outputs []struct {
			Name string
			Data []float32
		}
	}
	if err := json.Unmarshal(out[0].Result, &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Outputs) != 1 || answer.Outputs[0].Name != "y" || !cmp.Equal(answer.Outputs[0].Data, []float32{2, 5}) {
		t.Errorf("answered %s", out[0].Result)
	}
	for i, o := range out {
		if (o.Err == nil) != (o.State == trigger.Done) || (o.Result != nil) != (o.State == trigger.Done) {
			t.Errorf("item %q: state %v with error %v and result %s", items[i].ID, o.State, o.Err, o.Result)
		}
	}
}

// What is delivered twice has one effect, under one name; another model's answer
// has a name of its own.
func TestAnswersAreKeptOnce(t *testing.T) {
	sink := &kept{}
	h := batch.New(infer.HandlerFunc(double), &batch.Options{Sink: sink})
	ev := &trigger.Event{Kind: "test", Items: []trigger.Item{{ID: "1", Key: "a", Data: payload("1")}, {ID: "2", Key: "b", Data: payload("2")}}}
	for range 2 {
		if got := states(trigger.Run(t.Context(), h, ev)); !cmp.Equal(got, []string{"done", "done"}) {
			t.Fatalf("got %v", got)
		}
	}
	want := []string{batch.Name("a", "sha256:00"), batch.Name("b", "sha256:00")}
	for _, name := range want {
		if sink.all[name] == "" {
			t.Errorf("want an answer under %s, got %v", name, sink.all)
		}
	}
	if len(sink.all) != 2 {
		t.Errorf("want 2 answers, got %d", len(sink.all))
	}
	if batch.Name("a", "bc") == batch.Name("ab", "c") || batch.Name("a", "1") == batch.Name("a", "2") {
		t.Error("names do not tell keys and models apart")
	}
}

func TestAnswersAreNeverLost(t *testing.T) {
	ev := func(replies bool) *trigger.Event {
		return &trigger.Event{Kind: "queue", Replies: replies, Items: []trigger.Item{{ID: "1", Data: payload("1")}}}
	}
	nowhere := batch.New(infer.HandlerFunc(double), nil)
	if out := trigger.Run(t.Context(), nowhere, ev(false)); out[0].State != trigger.Permanent || fault.CodeOf(out[0].Err) != fault.Unsupported {
		t.Errorf("nowhere to go: %v, %v; want permanent, Unsupported", out[0].State, out[0].Err)
	}
	away := batch.New(infer.HandlerFunc(double), &batch.Options{Sink: &kept{fail: func(string) error { return errors.New("no route") }}})
	if out := trigger.Run(t.Context(), away, ev(false)); out[0].State != trigger.Retry || fault.CodeOf(out[0].Err) != fault.Unavailable {
		t.Errorf("the sink is away: %v, %v; want retry, Unavailable", out[0].State, out[0].Err)
	}
}

// In a sequence nothing overtakes what failed; other sequences go on.
func TestOrderIsKept(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		mu.Lock()
		seen = append(seen, req.ID)
		mu.Unlock()
		if req.ID == "a2" {
			return nil, fault.New(fault.Unavailable, "test", "", "full")
		}
		return double(ctx, req)
	}), nil)
	var items []trigger.Item
	for _, id := range []string{"a1", "b1", "a2", "a3", "b2"} {
		items = append(items, trigger.Item{ID: id, Group: id[:1], Data: append([]byte(`{"id":"`+id+`",`), payload("1")[1:]...)})
	}
	for _, c := range []struct {
		order trigger.Order
		want  []string
		never string
	}{
		{trigger.Grouped, []string{"done", "done", "retry", "retry", "done"}, "a3"},
		{trigger.Ordered, []string{"done", "done", "retry", "retry", "retry"}, "b2"},
	} {
		seen = nil
		out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "test", Replies: true, Order: c.order, Items: items})
		if diff := cmp.Diff(c.want, states(out)); diff != "" {
			t.Errorf("order %d (-want +got):\n%s", c.order, diff)
		}
		if strings.Contains(strings.Join(seen, " "), c.never) {
			t.Errorf("order %d: %s was scored behind what failed: %v", c.order, c.never, seen)
		}
	}
}

// What there is no time for is handed back and not begun.
func TestStopsBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			runs++
			<-time.After(time.Second)
			return double(ctx, req)
		}), &batch.Options{Parallel: 1, Spare: 100 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		items := make([]trigger.Item, 6)
		for i := range items {
			items[i] = trigger.Item{ID: fmt.Sprint(i), Data: payload("1")}
		}
		out := trigger.Run(ctx, h, &trigger.Event{Kind: "test", Replies: true, Items: items})
		if diff := cmp.Diff([]string{"done", "done", "done", "retry", "retry", "retry"}, states(out)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if runs != 3 || ctx.Err() != nil {
			t.Errorf("%d runs, context %v; want 3, and time left", runs, ctx.Err())
		}
		if code := fault.CodeOf(out[3].Err); code != fault.DeadlineExceeded {
			t.Errorf("code %v, want DeadlineExceeded", code)
		}
	})
}

// A delivery's items are in progress together, so that a model may run them as one.
func TestItemsAreScoredTogether(t *testing.T) {
	const n = 16
	var together sync.WaitGroup
	together.Add(n)
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		if req.Priority != infer.Batch {
			return nil, fault.New(fault.Internal, "test", "", "want the batch priority")
		}
		together.Done()
		together.Wait()
		return double(ctx, req)
	}), &batch.Options{Parallel: n})
	items := make([]trigger.Item, n)
	for i := range items {
		items[i] = trigger.Item{ID: fmt.Sprint(i), Data: payload(fmt.Sprint(i))}
	}
	for i, o := range trigger.Run(t.Context(), h, &trigger.Event{Kind: "test", Replies: true, Items: items}) {
		if want := fmt.Sprintf(`"data":[%d]`, 2*i); !strings.Contains(string(o.Result), want) {
			t.Errorf("item %d: %s, want %s", i, o.Result, want)
		}
	}
}
