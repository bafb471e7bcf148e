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

	"godwit.dev/runtime/fault"
)

const (
	firstBuffer = 64 << 10 // what a request gets before it has sent anything
	keptBuffer  = 4 << 20  // larger buffers go to the garbage collector, not back to the pool

	// A compressed body may grow without bound up to ratioFrom bytes, and
	// beyond them to Options.CompressionRatio times what was sent.
	ratioFrom = 1 << 20
)

// body holds a request's decompressed body in a pooled buffer. It counts
// against the server's memory until release.
type body struct {
	server *Server
	buf    *[]byte
	held   int64
}

// release gives the buffer back, once. It must not be called while anything
// may still read the body.
func (b *body) release() {
	if buf := b.buf; buf != nil {
		b.abandon()
		b.server.recycle(buf)
	}
}

// abandon leaves the buffer to the garbage collector: after a panic, a
// goroutine of the handler may still read it. After release it does nothing.
func (b *body) abandon() {
	b.server.held.Add(-b.held)
	b.buf, b.held = nil, 0
}

func (s *Server) recycle(buf *[]byte) {
	if cap(*buf) <= keptBuffer {
		*buf = (*buf)[:0]
		s.buffers.Put(buf)
	}
}

// reserve counts n more bytes, or says that the server is full.
func (b *body) reserve(n int) error {
	if b.server.held.Add(int64(n)) > b.server.opts.BodyMemory {
		b.server.held.Add(int64(-n))
		return fault.New(fault.Unavailable, "oip.Read", "body", "the bodies of the requests in progress fill the %d bytes set aside for them", b.server.opts.BodyMemory).
			WithHint("Retry in a moment.")
	}
	b.held += int64(n)
	return nil
}

// read reads and decompresses r's body. The limit is on what comes out, and
// memory grows with what has arrived, never with what a header promises.
func (s *Server) read(ctx context.Context, r *http.Request) (b *body, err error) {
	limit := s.opts.Limits.Body
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	src, closeSrc, compressed, err := s.coders.reader(r)
	if err != nil {
		return nil, readError(ctx, err)
	}
	defer closeSrc()

	b = &body{server: s, buf: s.buffers.Get().(*[]byte)}
	defer func() {
		if err != nil {
			b.release()
			b = nil
		}
	}()
	if err := b.reserve(cap(*b.buf)); err != nil {
		return b, err
	}
	for data := *b.buf; ; {
		if len(data) == cap(data) {
			// One byte beyond the limit, so that reading it proves the excess.
			size := min(max(2*cap(data), firstBuffer), int(limit)+1)
			// A small body gets what it needs; the read that finds its end needs room too.
			if small := int(r.ContentLength) + 1; compressed == nil && cap(data) < small && small < firstBuffer {
				size = max(small, 512)
			}
			if err := b.reserve(size - cap(data)); err != nil {
				return b, err
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := src.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		*b.buf = data
		if int64(len(data)) > limit {
			return b, tooLarge(limit)
		}
		if compressed != nil && len(data) > ratioFrom && int64(len(data)) > int64(s.opts.CompressionRatio)*compressed.n {
			return b, fault.New(fault.TooLarge, "oip.Read", "body", "want at most %d times the compressed bytes, got %d bytes from %d", s.opts.CompressionRatio, len(data), compressed.n)
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
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// reader returns r's body decompressed, and how much of it came over the wire,
// nil when it is not compressed. closeSrc gives the decompressor back.
func (c *coders) reader(r *http.Request) (src io.Reader, closeSrc func(), compressed *counted, err error) {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header["Content-Encoding"], ",")))
	switch coding {
	case "", "identity":
		return r.Body, func() {}, nil, nil
	case "gzip", "x-gzip", "deflate":
	default:
		return nil, nil, nil, fault.New(fault.UnsupportedMedia, "oip.Read", "Content-Encoding", "want gzip, deflate or identity, once, got %q", clip(coding))
	}
	compressed = &counted{Reader: r.Body}
	// With a ByteReader the decompressors read no byte too many, so that what
	// follows the stream can be found.
	in := bufio.NewReader(compressed)
	if coding == "deflate" {
		z, err := zlib.NewReader(in)
		if err != nil {
			return nil, nil, nil, corrupt(coding, err)
		}
		return &whole{zlib: true, in: in, Reader: z}, func() {}, compressed, nil
	}
	z, _ := c.gunzip.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	if err := z.Reset(in); err != nil {
		c.gunzip.Put(z)
		return nil, nil, nil, corrupt(coding, err)
	}
	return &whole{in: in, Reader: z}, func() { c.gunzip.Put(z) }, compressed, nil
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
