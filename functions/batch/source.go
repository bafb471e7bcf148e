package batch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// source is one version of an object. A connection that breaks while it is read
// is none of the reader's business: reading goes on where it ended. What is
// small is asked for once, since format, columns and rows each ask.
type source struct {
	bucket store.Bucket
	object *store.Object
	read   atomic.Int64 // bytes, for progress

	mu  sync.Mutex
	all []byte // of a small object; nil before it is read
}

// smallObject is how long an object may be that is held in memory.
const smallObject = 2 << 20

var _ rows.Source = (*source)(nil)

// How often, and after what times, reading begins again without a byte in between.
const (
	readTries = 4
	readWait  = 100 * time.Millisecond
)

func (s *source) Size() int64 { return s.object.Size }

func (s *source) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	if s.Size() > smallObject {
		return s.ranged(ctx, offset, length)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		r, err := s.ranged(ctx, 0, s.Size())
		if err != nil {
			return nil, err
		}
		defer r.Close()
		all := make([]byte, s.Size())
		if _, err := io.ReadFull(r, all); err != nil {
			return nil, err
		}
		s.all = all
	}
	from := min(max(offset, 0), s.Size())
	return io.NopCloser(bytes.NewReader(s.all[from:min(from+max(length, 0), s.Size())])), nil
}

func (s *source) ranged(ctx context.Context, offset, length int64) (*ranged, error) {
	r := &ranged{ctx: ctx, from: s, at: offset, left: length}
	if err := r.open(nil); err != nil {
		return nil, err
	}
	return r, nil
}

// ranged reads left bytes of an object from at on.
type ranged struct {
	ctx      context.Context
	from     *source
	body     io.ReadCloser
	at, left int64
	tries    int   // since the last byte
	err      error // for good
}

func (r *ranged) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.left <= 0:
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	for {
		n, err := r.body.Read(p)
		if n > 0 {
			r.tries = 0
			r.at += int64(n)
			r.left -= int64(n)
			r.from.read.Add(int64(n))
			return n, nil // the next call meets the error again
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if r.err = r.open(err); r.err != nil {
			return 0, r.err
		}
	}
}

// open begins to read at r.at, because of an error if there was one before.
func (r *ranged) open(err error) error {
	for {
		if err != nil {
			err = store.Fault("batch.Score", r.from.object.Key, err)
			if fault.CodeOf(err) != fault.Unavailable || r.tries >= readTries {
				return err
			}
			if err := pause(r.ctx, readWait<<r.tries); err != nil {
				return store.Fault("batch.Score", r.from.object.Key, err)
			}
			r.tries++
		}
		if r.body != nil {
			r.body.Close()
			r.body = nil
		}
		var body io.ReadCloser
		if body, err = r.from.bucket.Open(r.ctx, r.from.object.Key, r.from.object.Version, r.at, r.left); err == nil {
			r.body = body
			return nil
		}
	}
}

func (r *ranged) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// pause waits, and returns ctx's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
