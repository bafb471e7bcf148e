package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"godwit.dev/runtime/fault"
)

const (
	bom = "\xef\xbb\xbf"
	// window is how much is read at once: enough that a read's price is small,
	// and little enough to stay in a processor's cache until it is decoded.
	window = 256 << 10
	// free is what a compressed file may expand to whatever its size.
	free = 64 << 20
	// zstdWindow is the most memory that a frame may ask for: as the zstd command.
	zstdWindow = 128 << 20
)

// ranges reads a source from off to its end, piece after piece.
type ranges struct {
	ctx   context.Context
	src   Source
	name  string
	off   int64
	piece int64 // how much to ask for next
	left  int64 // of the open piece
	r     io.ReadCloser
}

func (r *ranges) Read(p []byte) (int, error) {
	for {
		if r.r == nil {
			rest := r.src.Size() - r.off
			if rest <= 0 {
				return 0, io.EOF
			}
			n := min(rest, max(r.piece, 1))
			body, err := r.src.Range(r.ctx, r.off, n)
			if err != nil {
				return 0, readError(r.ctx, r.name, err)
			}
			// What is read beyond the part is rarely more than a line.
			r.r, r.left, r.piece = body, n, 1<<20
		}
		n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
		r.off += int64(n)
		r.left -= int64(n)
		if r.left == 0 {
			r.close()
			return n, nil
		}
		if n > 0 {
			return n, nil
		}
		if err != nil {
			r.close()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, readError(r.ctx, r.name, err)
		}
	}
}

func (r *ranges) close() {
	if r.r != nil {
		r.r.Close()
		r.r = nil
	}
}

// inflater is what a compressed file holds, within bounds.
type inflater struct {
	src   *ranges
	from  io.Reader // the decompressor
	close func()
	most  int64 // of expansion
	out   int64
}

func newInflater(src *ranges, f *File, most int) (*inflater, error) {
	z := &inflater{src: src, most: int64(most), close: func() {}}
	var err error
	switch f.Compression {
	case Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(src); err == nil {
			z.from = r
		}
	case Zstd:
		var r *zstd.Decoder
		r, err = zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err == nil {
			z.from, z.close = r, r.Close
		}
	default:
		err = fmt.Errorf("want gzip or zstd, got %s", quote(string(f.Compression)))
	}
	if err != nil {
		return nil, z.fail(err)
	}
	return z, nil
}

func (z *inflater) Read(p []byte) (int, error) {
	n, err := z.from.Read(p)
	z.out += int64(n)
	if z.out > free && z.out/z.most > z.src.off {
		return 0, fault.New(fault.TooLarge, "rows.Read", z.src.name, "want at most %d bytes for each compressed one, got %d bytes of the first %d", z.most, z.out, z.src.off).
			WithHint("Compress it less, or not at all.")
	}
	if err != nil && err != io.EOF {
		err = z.fail(err)
	}
	return n, err
}

// fail tells a source that cannot be read from bytes that are not compressed so.
func (z *inflater) fail(err error) error {
	if fault.Of(err) != nil || z.src.ctx.Err() != nil {
		return readError(z.src.ctx, z.src.name, err)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.Invalid, "rows.Read", z.src.name, "it cannot be decompressed: %w", err)
}

// stream is a window that moves over a file's text, line by line.
type stream struct {
	name string
	src  *ranges
	far  *ahead    // reads instead of src, or nil
	z    *inflater // nil: not compressed
	// What is compressed may outlive the part that it was opened for, and has a
	// context of its own, which ends with that of the part that reads it.
	cancel context.CancelCauseFunc
	stop   func() bool

	buf    []byte
	lo, hi int   // what is in the window
	off    int64 // where lo is in the file as it is uncompressed
	line   int64 // the number of the line that begins at lo
	eof    bool
	err    error // of a read; it is told when the window is empty
}

// openStream gives the text of f from off on, of which length bytes are wanted
// for sure. line is the number of the line there.
func openStream(ctx context.Context, f *File, off, length, line int64, most int) (*stream, error) {
	if f.Compression == None {
		s := &stream{name: f.Name, src: &ranges{ctx: ctx, src: f.Source, name: f.Name, off: off, piece: length}}
		s.off, s.line = off, line
		return s, nil
	}
	s := f.parked.take(off)
	if s == nil {
		own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		s = &stream{name: f.Name, cancel: cancel, src: &ranges{ctx: own, src: f.Source, name: f.Name, piece: f.Source.Size()}}
	}
	s.stop = context.AfterFunc(ctx, func() { s.cancel(ctx.Err()) })
	if err := s.seek(f, off, most); err != nil {
		s.close()
		if ctx.Err() != nil {
			err = readError(ctx, f.Name, ctx.Err())
		}
		return nil, err
	}
	s.line = line
	return s, nil
}

// seek reads what is compressed up to off.
func (s *stream) seek(f *File, off int64, most int) (err error) {
	if s.z == nil && f.Source.Size() > 0 {
		if s.z, err = newInflater(s.src, f, most); err != nil {
			return err
		}
	}
	for s.off < off {
		if s.lo == s.hi && !s.fill() {
			if s.err != nil {
				return s.err
			}
			return fault.New(fault.Invalid, "rows.Read", f.Name, "want a part at byte %d, got a file of %d", off, s.off)
		}
		s.advance(int(min(int64(s.hi-s.lo), off-s.off)), 0)
	}
	return nil
}

// leave gives the stream up at the end of a part of f.
func (s *stream) leave(f *File) {
	if s.cancel != nil && s.lo == s.hi {
		s.fill() // at the end of the file nothing is left to park
	}
	if s.cancel != nil && s.err == nil && !(s.eof && s.lo == s.hi) && s.stop() {
		f.parked.put(s)
		return
	}
	s.close()
}

func (s *stream) close() {
	s.src.close()
	if s.far != nil {
		s.far.close()
	}
	if s.z != nil {
		s.z.close()
	}
	if s.cancel != nil {
		s.stop()
		s.cancel(nil)
	}
}

// fill reads more behind the window, which grows if it is full, and reports
// whether anything came.
func (s *stream) fill() bool {
	if s.eof || s.err != nil {
		return false
	}
	if s.lo > 0 {
		s.hi = copy(s.buf, s.buf[s.lo:s.hi])
		s.lo = 0
	}
	if s.hi == len(s.buf) {
		size := window
		if s.z == nil {
			size = int(min(s.src.piece+1, window)) // all there is, and the end
		}
		size = max(size, 2*len(s.buf), 1<<10)
		if len(s.buf) < 64<<20 {
			size = min(size, 64<<20+window) // no more than the longest line needs
		}
		grown := make([]byte, size)
		copy(grown, s.buf)
		s.buf = grown
	}
	for tries := 0; ; tries++ {
		var n int
		var err error
		switch {
		case s.z != nil:
			n, err = s.z.Read(s.buf[s.hi:])
		case s.far != nil:
			n, err = s.far.Read(s.buf[s.hi:])
		default:
			n, err = s.src.Read(s.buf[s.hi:])
		}
		s.hi += n
		switch {
		case err == io.EOF:
			s.eof = true
		case err != nil:
			s.err = err
		case n == 0 && tries < 100:
			continue
		case n == 0:
			s.err = readError(s.src.ctx, s.name, io.ErrNoProgress)
		}
		return n > 0
	}
}

// whole makes the line at lo whole and returns its length with its end; 0 at
// the end of the file. over says that it is longer than most: then only its
// beginning is there.
func (s *stream) whole(most int) (n int, over bool, err error) {
	seen := 0
	for {
		if i := bytes.IndexByte(s.buf[s.lo+seen:s.hi], '\n'); i >= 0 {
			n = seen + i + 1
			return n, n > most, nil
		}
		if seen = s.hi - s.lo; seen > most {
			return seen, true, nil
		}
		if !s.fill() {
			if s.err != nil {
				return 0, false, s.err
			}
			return s.hi - s.lo, false, nil
		}
	}
}

// advance moves over n bytes of the window that hold lines ends of lines.
func (s *stream) advance(n int, lines int64) {
	s.lo += n
	s.off += int64(n)
	s.line += lines
}

// skipLine moves behind the end of the line at lo, however long it is.
func (s *stream) skipLine() error {
	for {
		if i := bytes.IndexByte(s.buf[s.lo:s.hi], '\n'); i >= 0 {
			s.advance(i+1, 1)
			return nil
		}
		s.advance(s.hi-s.lo, 0)
		if !s.fill() {
			return s.err
		}
	}
}

// skipBOM moves over what some programs write in front of UTF-8. It refuses
// the marks of other encodings.
func (s *stream) skipBOM() error {
	for s.hi-s.lo < len(bom) && s.fill() {
	}
	b := s.buf[s.lo:s.hi]
	if bytes.HasPrefix(b, []byte(bom)) {
		s.advance(len(bom), 0)
	} else if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return fault.New(fault.Invalid, "rows.Read", s.name, "want text in UTF-8, got UTF-16").WithHint("Convert it to UTF-8.")
	}
	return nil
}

// parked is a stream that a reader of a compressed file left at the end of its
// part, so that the reader of the next one need not begin anew.
type parked struct {
	mu sync.Mutex
	s  *stream
}

// take gives the stream if it is at off or before.
func (p *parked) take(off int64) *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.s
	if s == nil || s.off > off {
		return nil
	}
	p.s = nil
	return s
}

func (p *parked) put(s *stream) {
	p.mu.Lock()
	old := p.s
	p.s = s
	p.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// Close gives up what readers of f left open. Nothing reads f any more.
func (f *File) Close() error {
	f.parked.put(nil)
	return nil
}
