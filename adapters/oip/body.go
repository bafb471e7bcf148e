package oip

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

const (
	firstBuffer = 64 << 10 // what a request gets before it has sent anything
	growth      = 4        // what has arrived may take that many times its size

	// A compressed body may grow without bound up to ratioFrom bytes, and
	// beyond them to Options.CompressionRatio times what was sent.
	ratioFrom = 1 << 20
)

// body holds a request's decompressed body in a pooled buffer. It counts
// against the server's memory until release.
type body struct {
	server *Server
	data   []byte
	buf    *[]byte // data's memory
	held   int64
}

// release gives the buffer back, once. It must not be called while anything
// may still read the body.
func (b *body) release() {
	if buf := b.buf; buf != nil {
		b.abandon()
		b.server.buffers.Put(buf)
	}
}

// abandon leaves the buffer to the garbage collector: after a panic, a
// goroutine of the handler may still read it. After release it does nothing.
func (b *body) abandon() {
	b.server.held.Add(-b.held)
	b.data, b.buf, b.held = nil, nil, 0
}

// fits says that the server is full if it could not hold n bytes more now.
func (s *Server) fits(n int64) error {
	if s.held.Load()+n > s.opts.BodyMemory {
		return s.full()
	}
	return nil
}

func (s *Server) full() error {
	return fault.New(fault.Unavailable, "oip.Read", "body", "the bodies of the requests in progress fill the %d bytes set aside for them", s.opts.BodyMemory).
		WithHint("Retry in a moment.")
}

// reserve counts n more bytes, or says that the server is full.
func (b *body) reserve(n int) error {
	if b.server.held.Add(int64(n)) > b.server.opts.BodyMemory {
		b.server.held.Add(int64(-n))
		return b.server.full()
	}
	b.held += int64(n)
	return nil
}

// room moves the body into buf, or if that is nil into a buffer of at least n
// bytes, so that the byte number front is aligned as engines like tensors to be.
func (b *body) room(buf *[]byte, n, front int) error {
	buffers := &b.server.buffers
	n += tensor.Alignment
	if buf == nil {
		buf = buffers.kept(n)
	}
	// Reserved before it is made: the sum of all must never be more than there is.
	if buf != nil && b.reserve(cap(*buf)-int(b.held)) != nil {
		buffers.Put(buf) // one that is no larger than needed may do
		buf = nil
	}
	if buf == nil {
		size := roomFor(n)
		if int64(size) > b.server.opts.Limits.Body { // nearly all that there is, perhaps
			size = n
		}
		if err := b.reserve(size - int(b.held)); err != nil {
			return err
		}
		made := make([]byte, 0, size)
		buf = &made
	}
	whole := (*buf)[:cap(*buf)]
	pad := (tensor.ToAligned(whole) - front) & (tensor.Alignment - 1)
	data := whole[pad : pad+copy(whole[pad:], b.data)]
	if b.buf != nil {
		b.server.buffers.Put(b.buf)
	}
	b.buf, b.data = buf, data
	return nil
}

// read reads and decompresses r's body, with the byte number front aligned. The
// limit is on what comes out. Memory grows with what has arrived, never with
// what a header promises; but a promise that could not be kept now is refused
// before a byte is read.
func (s *Server) read(ctx context.Context, r *http.Request, front int) (b body, err error) {
	b.server = s
	limit := s.opts.Limits.Body
	if r.ContentLength > limit {
		return b, tooLarge(limit)
	}
	src, compressed, err := s.coders.reader(r)
	if err != nil {
		return b, readError(ctx, err)
	}
	if compressed != nil {
		defer compressed.close()
	}
	// One byte beyond the limit, so that reading it proves the excess; and the
	// read that finds the end needs room too.
	most := limit + 1
	if compressed == nil && r.ContentLength >= 0 {
		most = r.ContentLength + 1
		if err := s.fits(most); err != nil {
			return b, err
		}
	}
	defer func() {
		if err != nil {
			b.release()
		}
	}()
	// A buffer that is there costs nothing, however large.
	var first *[]byte
	if compressed == nil && most > firstBuffer {
		first = s.buffers.kept(int(most) + tensor.Alignment)
	}
	if err := b.room(first, int(min(most, firstBuffer)), front); err != nil {
		return b, err
	}
	for {
		if len(b.data) == cap(b.data) {
			if err := b.room(nil, int(min(most, growth*int64(cap(b.data)))), front); err != nil {
				return b, err
			}
		}
		n, err := src.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		if int64(len(b.data)) > limit {
			return b, tooLarge(limit)
		}
		if compressed != nil && len(b.data) > ratioFrom && int64(len(b.data)) > int64(s.opts.CompressionRatio)*compressed.n {
			return b, fault.New(fault.TooLarge, "oip.Read", "body", "want at most %d times the compressed bytes, got %d bytes from %d", s.opts.CompressionRatio, len(b.data), compressed.n)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, readError(ctx, err)
		}
	}
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "oip.Read", "body", "want at most %d bytes after decompression, got more", limit).
		WithHint("Send fewer rows in one request, or binary tensors instead of JSON.")
}

// readError gives what went wrong while a body was read its code. A server
// that counts more than bytes returns coded errors from Read.
func readError(ctx context.Context, err error) error {
	switch {
	case fault.Of(err) != nil:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.New(fault.Invalid, "oip.Read", "body", "it ended too early")
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, "oip.Read", "body", "the caller went away")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.DeadlineExceeded, "oip.Read", "body", "it arrived too slowly")
	}
	return fault.New(fault.Invalid, "oip.Read", "body", "%w", err)
}

// counted counts what was read from a compressed body.
type counted struct {
	io.Reader
	n    int64
	zip  *gzip.Reader // to give back
	pool *sync.Pool
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// close gives the decompressor back.
func (c *counted) close() {
	if c.zip != nil {
		c.pool.Put(c.zip)
	}
}

// reader returns r's body decompressed, and how much of it came over the wire,
// nil when it is not compressed.
func (c *coders) reader(r *http.Request) (src io.Reader, compressed *counted, err error) {
	codings := r.Header["Content-Encoding"]
	if len(codings) == 0 {
		return r.Body, nil, nil
	}
	coding := strings.ToLower(strings.TrimSpace(strings.Join(codings, ",")))
	switch coding {
	case "", "identity":
		return r.Body, nil, nil
	case "gzip", "x-gzip", "deflate":
	default:
		return nil, nil, fault.New(fault.UnsupportedMedia, "oip.Read", "Content-Encoding", "want gzip, deflate or identity, once, got %q", clip(coding))
	}
	compressed = &counted{Reader: r.Body, pool: &c.gunzip}
	// With a ByteReader the decompressors read no byte too many, so that what
	// follows the stream can be found.
	in := bufio.NewReader(compressed)
	if coding == "deflate" {
		z, err := zlib.NewReader(in)
		if err != nil {
			return nil, nil, corrupt(coding, err)
		}
		return &whole{zlib: true, in: in, Reader: z}, compressed, nil
	}
	z, _ := c.gunzip.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	if err := z.Reset(in); err != nil {
		c.gunzip.Put(z)
		return nil, nil, corrupt(coding, err)
	}
	compressed.zip = z
	return &whole{in: in, Reader: z}, compressed, nil
}

// whole is a decompressor whose stream must be all of the body, and whose
// errors are the caller's.
type whole struct {
	io.Reader
	in   *bufio.Reader
	zlib bool
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return n, corrupt("compressed", err)
	case w.zlib: // gzip looks for a further member itself
		if _, more := w.in.ReadByte(); more == nil {
			return n, fault.New(fault.Invalid, "oip.Read", "body", "want one deflate stream, got bytes after it")
		}
	}
	return n, err
}

func corrupt(coding string, err error) error {
	if fault.Of(err) != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err // of the connection, not of the data
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.Invalid, "oip.Read", "body", "want a whole %s stream: %w", coding, err)
}
