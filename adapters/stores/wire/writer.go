package wire

import (
	"context"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// An Upload writes one object to a store. Its methods are called as Writer says.
type Upload interface {
	// Put makes an object of at most a part's size, if there is none.
	Put(ctx context.Context, data []byte) error
	// Begin begins an object of several parts. It is called before any of Part.
	Begin(ctx context.Context) error
	// Part keeps one part; from is where it begins. Several are kept at once
	// where Parts says so. data may be used until it returns.
	Part(ctx context.Context, index int, from int64, data []byte) error
	// Finish keeps the last part, which is not empty, and makes the object, if there is none.
	Finish(ctx context.Context, index int, from int64, last []byte) error
	// Drop removes what Begin began. It is called where Finish is not or has failed.
	Drop(ctx context.Context)
}

// Parts are how an object is cut.
type Parts struct {
	Size   int // of each but the last, in bytes; 0 means 8 MiB
	AtOnce int // how many are on their way at a time; 0 means 2
	Most   int // how many an object may have; 0 means 10,000
}

// dropTime is how long Drop may take, whose context has often ended already.
const dropTime = 10 * time.Second

// Writer is the store.Writer over an Upload. It holds at most AtOnce+1 parts in
// memory, and as much as was written while that is less.
type Writer struct {
	op, key string
	parts   Parts
	up      Upload
	ctx     context.Context // of Create, canceled when the writer ends
	cancel  context.CancelFunc

	buf   []byte
	from  int64 // where buf begins
	next  int   // part
	begun bool
	err   error // what ended it

	slots chan struct{} // one for each part on its way
	free  chan []byte   // memory to use again
	sent  sync.WaitGroup
	mu    sync.Mutex
	lost  error // of a part
}

// NewWriter begins an object. ctx is for Write.
func NewWriter(ctx context.Context, op, key string, up Upload, parts Parts) *Writer {
	if parts.Size == 0 {
		parts.Size = 8 << 20
	}
	if parts.AtOnce == 0 {
		parts.AtOnce = 2
	}
	if parts.Most == 0 {
		parts.Most = 10_000
	}
	w := &Writer{op: op, key: key, parts: parts, up: up, slots: make(chan struct{}, parts.AtOnce), free: make(chan []byte, parts.AtOnce+1)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

func (w *Writer) Write(p []byte) (int, error) {
	done := 0
	for {
		if w.err == nil {
			w.err = store.Fault(w.op, w.key, w.ctx.Err())
		}
		if w.err != nil {
			return done, w.err
		}
		if done == len(p) {
			return done, nil
		}
		if len(w.buf) == w.parts.Size { // only now: the last part is not empty
			w.err = w.send()
			continue
		}
		n := min(len(p)-done, w.parts.Size-len(w.buf))
		w.buf = append(w.buf, p[done:done+n]...)
		done += n
	}
}

// send has buf kept as a part while more is written.
func (w *Writer) send() error {
	if !w.begun {
		if err := w.up.Begin(w.ctx); err != nil {
			return store.Fault(w.op, w.key, err)
		}
		w.begun = true
	}
	if w.next+1 >= w.parts.Most {
		return fault.New(fault.TooLarge, w.op, w.key, "want an object of at most %d bytes, got more", int64(w.parts.Size)*int64(w.parts.Most))
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return w.failed()
	}
	if err := w.failed(); err != nil {
		<-w.slots
		return err
	}
	data, index, from := w.buf, w.next, w.from
	w.next++
	w.from += int64(len(data))
	select {
	case w.buf = <-w.free:
	default:
		w.buf = make([]byte, 0, w.parts.Size)
	}
	w.sent.Go(func() {
		if err := w.up.Part(w.ctx, index, from, data); err != nil {
			w.mu.Lock()
			if w.lost == nil {
				w.lost = store.Fault(w.op, w.key, err)
			}
			w.mu.Unlock()
		}
		w.free <- data[:0] // which has room for all that there are
		<-w.slots
	})
	return nil
}

// failed is what went wrong with a part, or with the context.
func (w *Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return w.lost
	}
	return store.Fault(w.op, w.key, w.ctx.Err())
}

// Commit makes the object.
func (w *Writer) Commit(ctx context.Context) error {
	if w.err == nil {
		w.err = store.Fault(w.op, w.key, ctx.Err())
	}
	if w.err != nil {
		w.end(ctx)
		return w.err
	}
	stop := context.AfterFunc(ctx, w.cancel) // parts on their way end with it
	w.sent.Wait()
	stop()
	switch {
	case ctx.Err() != nil:
		w.err = store.Fault(w.op, w.key, ctx.Err())
	case w.begun:
		if w.err = w.failed(); w.err == nil {
			w.err = w.up.Finish(ctx, w.next, w.from, w.buf)
		}
	default:
		w.err = w.up.Put(ctx, w.buf)
	}
	err := store.Fault(w.op, w.key, w.err)
	if w.err = err; err == nil {
		w.begun = false // nothing to drop
		w.err = fault.New(fault.Internal, w.op, w.key, "the writer has committed")
	}
	w.end(ctx)
	return err
}

// Abort drops what was written.
func (w *Writer) Abort() { w.end(w.ctx) }

// end waits for parts on their way and drops what is there of them.
func (w *Writer) end(ctx context.Context) {
	w.cancel()
	w.sent.Wait()
	if w.begun {
		w.begun = false
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTime)
		defer cancel()
		w.up.Drop(ctx)
	}
	w.buf = nil
}
