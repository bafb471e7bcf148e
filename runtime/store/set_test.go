package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
)

// counted counts what is opened and closed.
type counted struct {
	store.Bucket
	closed *int
}

func (c counted) Close() error { *c.closed++; return nil }

func TestSetOpensEachBucketOnce(t *testing.T) {
	var mu sync.Mutex
	opened, closed := map[string]int{}, 0
	fail := true
	s := store.NewSet(map[string]store.Opener{
		"file": folder.Open,
		"s3": func(_ context.Context, bucket string) (store.Bucket, error) {
			mu.Lock()
			defer mu.Unlock()
			if bucket == "bad" && fail {
				fail = false
				return nil, errors.New("not yet")
			}
			opened[bucket]++
			return counted{closed: &closed}, nil
		},
	})
	var all sync.WaitGroup
	for range 8 {
		for _, url := range []string{"s3://one/a", "s3://one/b/c", "s3://two/"} {
			all.Go(func() {
				if _, _, err := s.Open(t.Context(), url); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if opened["one"] != 1 || opened["two"] != 1 {
		t.Errorf("opened %v, want each once", opened)
	}
	if _, key, err := s.Open(t.Context(), "s3://one/b/c"); err != nil || key != "b/c" {
		t.Errorf("got key %q, %v", key, err)
	}
	if _, _, err := s.Open(t.Context(), "s3://bad/a"); err == nil {
		t.Error("a bucket that does not open was opened")
	}
	if _, _, err := s.Open(t.Context(), "s3://bad/a"); err != nil {
		t.Errorf("the failure stayed: %v", err)
	}
	if b, key, err := s.Open(t.Context(), t.TempDir()+"/x"); err != nil || b == nil || key == "" {
		t.Errorf("a path: %v, %q, %v", b, key, err)
	}
	_, _, err := s.Open(t.Context(), "gs://one/a")
	if fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("a store that is not there: got %v, want Unsupported", err)
	}
	if _, _, err := s.Open(t.Context(), "gs://"); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("a bad URL: got %v, want BadConfig", err)
	}
	if err := s.Close(); err != nil || closed != 3 {
		t.Errorf("closed %d, %v; want 3", closed, err)
	}
	if err := s.Close(); err != nil || closed != 3 {
		t.Errorf("a second Close: closed %d, %v", closed, err)
	}
	if _, _, err := s.Open(t.Context(), "s3://one/a"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("after Close: got %v, want Unavailable", err)
	}
}

// Who waits for another's opening leaves when its context ends.
func TestSetWaitsNoLongerThanAsked(t *testing.T) {
	begun, free := make(chan struct{}), make(chan struct{})
	s := store.NewSet(map[string]store.Opener{"s3": func(context.Context, string) (store.Bucket, error) {
		close(begun)
		<-free
		return counted{closed: new(int)}, nil
	}})
	done := make(chan error)
	go func() {
		_, _, err := s.Open(t.Context(), "s3://slow/a")
		done <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Open(ctx, "s3://slow/a"); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
	close(free)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
