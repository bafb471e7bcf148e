package rows

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// chunk is how much is handed on at once. Always as much: what a compressor
// makes may depend on it.
const chunk = 64 << 10

// A sink takes text in pieces of any size, and compresses it. The caller
// appends to buf and calls full.
type sink struct {
	buf []byte
	w   io.Writer
	z   io.Closer // of the compressor; nil without
}

func newSink(w io.Writer, c Compression) (*sink, error) {
	s := &sink{w: w}
	switch c {
	case None:
	case Gzip:
		z := gzip.NewWriter(w)
		s.w, s.z = z, z
	case Zstd:
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, err
		}
		s.w, s.z = z, z
	default:
		return nil, badCompression(c)
	}
	return s, nil
}

// full hands on whole chunks.
func (s *sink) full() error {
	done := 0
	for ; len(s.buf)-done >= chunk; done += chunk {
		if _, err := s.w.Write(s.buf[done : done+chunk]); err != nil {
			return err
		}
	}
	if done > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[done:])]
	}
	return nil
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.buf = append(s.buf, p...)
	return len(p), s.full()
}

// end hands on the rest and ends what is compressed.
func (s *sink) end() error {
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	s.buf = nil
	if s.z != nil {
		return s.z.Close()
	}
	return nil
}
