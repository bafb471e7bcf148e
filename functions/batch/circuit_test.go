package batch_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// While answers cannot be kept nothing is scored for nobody, and everything
// comes again; soon after they can, everything is scored.
func TestNothingIsScoredWhileItCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		away := true
		r := registry(t, true, doubles)
		m := newMemory()
		m.set("in/a.jsonl", lines(10))
		m.before = func(context.Context, string, string) error {
			if away {
				return errors.New("no route")
			}
			return nil
		}
		h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			asked.Add(1)
			return double(ctx, req)
		}), &batch.Options{Parallel: 2, Objects: objects(m, r, 100), Sink: &kept{fail: func(string) error {
			if away {
				return errors.New("no route")
			}
			return nil
		}}})
		items := make([]trigger.Item, 100)
		for i := range items {
			items[i] = trigger.Item{ID: fmt.Sprint(i), Key: fmt.Sprint(i), Data: payload("1")}
		}
		deliver := func() (done int) {
			for _, out := range trigger.Run(t.Context(), h, &trigger.Event{Kind: "sqs", Items: items}) {
				switch {
				case out.State == trigger.Done:
					done++
				case out.State != trigger.Retry || fault.CodeOf(out.Err) != fault.Unavailable:
					t.Fatalf("%v: %v", out.State, out.Err)
				}
			}
			return done
		}
		// A platform that delivers at once what has failed, for two minutes.
		for range 1200 {
			if deliver() > 0 {
				t.Fatal("done, and nothing is kept")
			}
			<-time.After(100 * time.Millisecond)
		}
		if n := asked.Load(); n < 5 || n > 20 {
			t.Errorf("the model was asked %d times for nothing", n)
		}
		away = false
		<-time.After(31 * time.Second) // of the bubble
		deliver()                      // one tries
		if done := deliver(); done != 100 {
			t.Errorf("%d of 100 are done when answers can be kept", done)
		}
	})
}
