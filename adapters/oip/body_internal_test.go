package oip

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func newServer(memory, limit int64) *Server {
	return New(&infer.Registry{}, infer.HandlerFunc(nil), &Options{BodyMemory: memory, Limits: &codec.Limits{Body: limit}})
}

// Wherever the JSON ends, the tensor behind it lies as engines like it, in the
// memory that the body was read into.
func TestTensorsBehindTheHeaderAreAligned(t *testing.T) {
	s := newServer(64<<20, 16<<20)
	for _, size := range []int{100, 3 << 10, 100 << 10, 5 << 20} {
		for front := range 150 {
			if size > 1<<20 && front > 3 {
				break
			}
			data := bytes.Repeat([]byte{1, 2, 3, 5, 7}, size/5)
			for _, known := range []bool{true, false} {
				r := &http.Request{Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data))}
				if !known {
					r.ContentLength = -1
					r.Body = io.NopCloser(iotest.OneByteReader(iotest.DataErrReader(r.Body)))
					if size > 100 {
						r.Body = io.NopCloser(bytes.NewReader(data))
					}
				}
				b, err := s.read(t.Context(), r, front)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b.data, data) {
					t.Fatalf("%d bytes, header %d: read %d other bytes", size, front, len(b.data))
				}
				if front < len(data) && tensor.ToAligned(b.data[front:]) != 0 {
					t.Errorf("%d bytes, header %d, known %v: not aligned", size, front, known)
				}
				if held := s.held.Load(); held < int64(len(data)) || held > int64(4*len(data)+2<<10) && held > 128<<10 {
					t.Errorf("%d bytes are counted as %d", size, held)
				}
				b.release()
				b.release()
			}
		}
	}
	if held := s.held.Load(); held != 0 {
		t.Errorf("%d bytes are still counted", held)
	}
}

// A large body is read into memory of an earlier one and moved no more.
func TestLargeBodiesAreNotMoved(t *testing.T) {
	s := newServer(64<<20, 16<<20)
	data := make([]byte, 600<<10)
	read := func(work func(b *body)) {
		b, err := s.read(t.Context(), &http.Request{Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data))}, 77)
		if err != nil {
			t.Fatal(err)
		}
		work(&b)
	}
	read(func(b *body) { b.release() })
	// The garbage collector may empty the pool at any time, but not each time.
	least := testing.AllocsPerRun(10, func() { read(func(b *body) { b.release() }) })
	for range 20 {
		least = min(least, testing.AllocsPerRun(1, func() { read(func(b *body) { b.release() }) }))
	}
	if least > 4 { // the request's own
		t.Errorf("%v allocations, want no new memory", least)
	}
}

// unread fails the test when anything is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestPromisesThatCannotBeKeptAreRefusedUnread(t *testing.T) {
	s := newServer(2<<20, 1<<20)
	b, err := s.read(t.Context(), &http.Request{Body: io.NopCloser(bytes.NewReader(make([]byte, 1<<20))), ContentLength: 1 << 20}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := s.held.Load()
	_, err = s.read(t.Context(), &http.Request{Body: io.NopCloser(unread{t}), ContentLength: 1 << 20}, 0)
	if fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	if held := s.held.Load(); held != before {
		t.Errorf("%d bytes are counted for what was refused", held-before)
	}
	b.release()
}

// What a header promises takes next to nothing before it comes.
func TestPromisesTakeNoMemory(t *testing.T) {
	s := newServer(2<<20, 1<<20)
	slow, w := io.Pipe()
	got := make(chan int64, 1)
	go func() {
		_, _ = w.Write([]byte("1"))
		got <- s.held.Load()
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if _, err := s.read(t.Context(), &http.Request{Body: slow, ContentLength: 1 << 20}, 0); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v, want Invalid", err)
	}
	if held := <-got; held > 2*firstBuffer {
		t.Errorf("%d bytes are counted for one that came", held)
	}
	if held := s.held.Load(); held != 0 {
		t.Errorf("%d bytes are still counted", held)
	}
}

// The largest body that is allowed fits even where no more memory is set aside.
func TestTheLargestBodyFits(t *testing.T) {
	for _, limit := range []int64{100, 1 << 20, 5<<20 + 1} {
		s := newServer(1, limit)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(bytes.Repeat([]byte("ab"), int(limit/2)))
		_ = z.Close()
		for _, r := range []*http.Request{
			{Body: io.NopCloser(bytes.NewReader(make([]byte, limit))), ContentLength: limit},
			{Body: io.NopCloser(bytes.NewReader(make([]byte, limit))), ContentLength: -1},
			{Body: io.NopCloser(&packed), ContentLength: int64(packed.Len()), Header: http.Header{"Content-Encoding": {"gzip"}}},
		} {
			s.opts.CompressionRatio = 1 << 20
			b, err := s.read(t.Context(), r, 1)
			if err != nil || int64(len(b.data)) != limit && r.Header == nil {
				t.Errorf("limit %d: read %d bytes, %v", limit, len(b.data), err)
			}
			b.release()
		}
	}
}
