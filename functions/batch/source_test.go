package batch_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
)

// shaky is a bucket whose connections break after some bytes of rows, and
// refuses the first of them.
type shaky struct {
	*memory
	after   int // bytes; negative: nothing ever comes
	refuses int64
	opened  atomic.Int64
}

func (s *shaky) Open(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.memory.Open(ctx, key, version, offset, length)
	if err != nil || !strings.HasPrefix(key, "in/") {
		return r, err
	}
	if s.opened.Add(1) <= s.refuses {
		return nil, fault.New(fault.Unavailable, "shaky", key, "no route")
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(r, int64(max(s.after, 0))), snapped{})), nil
}

type snapped struct{}

func (snapped) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

type inShaky struct{ s *shaky }

func (s inShaky) Open(_ context.Context, url string) (store.Bucket, string, error) {
	at, err := store.Parse(url)
	return s.s, at.Key, err
}

// Connections that break while rows are read change nothing; where none gives a
// byte, the object comes again.
func TestConnectionsThatBreak(t *testing.T) {
	for _, size := range []int{500, 120_000} { // one that is asked for once, and one that is not
		synctest.Test(t, func(t *testing.T) {
			r := registry(t, true, doubles)
			rows := lines(size)
			score := func(s *shaky) (*batch.Result, error) {
				s.set("in/a.jsonl", rows)
				o := objects(s.memory, r, 1<<20)
				o.Stores, o.Rows = inShaky{s}, 128
				return batch.New(infer.HandlerFunc(twice), &batch.Options{Objects: o}).Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"})
			}
			whole := &shaky{memory: newMemory(), after: 1 << 30}
			if _, err := score(whole); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*shaky{{after: len(rows) / 9}, {after: len(rows) / 30, refuses: 3}} {
				s.memory = newMemory()
				if _, err := score(s); err != nil {
					t.Fatal(err)
				}
				if s.opened.Load() < 9 {
					t.Errorf("only %d connections", s.opened.Load())
				}
				if diff := cmp.Diff(untimed(t, whole.all()), untimed(t, s.all())); diff != "" {
					t.Errorf("%d bytes at a time (-want +got):\n%s", s.after, diff)
				}
			}
			dead := &shaky{memory: newMemory(), after: -1}
			if _, err := score(dead); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("nothing ever comes: %v", err)
			}
			if dead.opened.Load() > 30 {
				t.Errorf("%d connections for nothing", dead.opened.Load())
			}
		})
	}
}
