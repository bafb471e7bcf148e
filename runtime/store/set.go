package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"godwit.dev/runtime/fault"
)

// An Opener opens the bucket of a Location. That a bucket is there may show only
// at the first use of an object.
type Opener func(ctx context.Context, bucket string) (Bucket, error)

// A Set opens URLs and keeps the buckets open. Its methods may be called
// concurrently.
type Set struct {
	openers map[string]Opener

	mu      sync.Mutex
	closed  bool
	buckets map[Location]*opened // by locations without a key
}

// opened is a bucket that is open, or that somebody is opening.
type opened struct {
	turn   chan struct{} // who has put something in opens
	bucket Bucket        // nil until it is open
}

// NewSet makes a Set of the stores that are linked, by scheme.
func NewSet(openers map[string]Opener) *Set {
	return &Set{openers: maps.Clone(openers), buckets: map[Location]*opened{}}
}

// Open gives the bucket and the key of a URL or path. The bucket is the Set's:
// callers do not close it. Errors: BadConfig of Parse, Unsupported for a store
// that is not linked, Unavailable after Close, and what the store says.
func (s *Set) Open(ctx context.Context, url string) (Bucket, string, error) {
	l, err := Parse(url)
	if err != nil {
		return nil, "", err
	}
	open := s.openers[l.Scheme]
	if open == nil {
		have := slices.Sorted(maps.Keys(s.openers))
		return nil, "", fault.New(fault.Unsupported, "store.Open", shown(url), "want a store of this program (%s), got %q", strings.Join(have, ", "), l.Scheme)
	}
	of := Location{Scheme: l.Scheme, Bucket: l.Bucket}
	s.mu.Lock()
	o := s.buckets[of]
	if o == nil {
		o = &opened{turn: make(chan struct{}, 1)}
		s.buckets[of] = o
	}
	s.mu.Unlock()

	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, "", Fault("store.Open", shown(url), ctx.Err())
	}
	if o.bucket == nil {
		b, err := open(ctx, l.Bucket)
		if err != nil {
			return nil, "", err
		}
		s.mu.Lock()
		closed := s.closed
		if !closed {
			o.bucket = b
		}
		s.mu.Unlock()
		if closed {
			b.Close()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, "", fault.New(fault.Unavailable, "store.Open", shown(url), "the stores are closed")
	}
	return o.bucket, l.Key, nil
}

// Close closes all buckets. No object of them is in use any more.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, o := range s.buckets {
		if o.bucket != nil && !s.closed {
			errs = append(errs, o.bucket.Close())
		}
	}
	s.closed = true
	return errors.Join(errs...)
}
