package rows

import (
	"context"
	"io"
	"sync"
)

const (
	// aheadPiece and aheadDepth bound the memory that reading ahead takes: as
	// many pieces are on the way or wait to be read.
	aheadPiece = 4 << 20
	aheadDepth = 4
)

// ahead reads a whole source by several ranges at once, which a store far away
// gives faster than one. Its goroutines end with close.
type ahead struct {
	ctx    context.Context
	cancel context.CancelFunc
	src    Source
	name   string
	all    sync.WaitGroup
	queue  chan chan piece // in the source's order
	free   chan []byte
	now    piece
	rest   []byte // of now
}

// A piece is one range's bytes, or why they are not there.
type piece struct {
	buf []byte
	err error
}

func newAhead(ctx context.Context, src Source, name string) *ahead {
	a := &ahead{src: src, name: name, queue: make(chan chan piece, aheadDepth), free: make(chan []byte, aheadDepth)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	for range aheadDepth {
		a.free <- nil // made when it is needed
	}
	a.all.Go(a.order)
	return a
}

// order begins a range for each buffer that is free.
func (a *ahead) order() {
	defer close(a.queue)
	for off := int64(0); off < a.src.Size(); off += aheadPiece {
		select {
		case buf := <-a.free:
			c := make(chan piece, 1)
			a.queue <- c // which has room for as many as there are buffers
			a.all.Go(func() { c <- a.fetch(buf, off) })
		case <-a.ctx.Done():
			return
		}
	}
}

func (a *ahead) fetch(buf []byte, off int64) piece {
	n := min(aheadPiece, a.src.Size()-off)
	if buf == nil {
		buf = make([]byte, n)
	}
	r, err := a.src.Range(a.ctx, off, n)
	if err != nil {
		return piece{buf, err}
	}
	defer r.Close()
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return piece{buf, err}
	}
	return piece{buf: buf[:n]}
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.now.buf != nil {
			a.free <- a.now.buf[:cap(a.now.buf)]
			a.now.buf = nil
		}
		c, ok := <-a.queue
		if !ok {
			if a.ctx.Err() != nil {
				return 0, readError(a.ctx, a.name, a.ctx.Err())
			}
			return 0, io.EOF
		}
		if a.now = <-c; a.now.err != nil {
			return 0, readError(a.ctx, a.name, a.now.err)
		}
		a.rest = a.now.buf
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *ahead) close() {
	a.cancel()
	a.all.Wait()
}
