package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// ChunkBytes is how long the pieces of a file are that have digests of their
// own, where it is longer than one: SHA-256 of a whole file is work for one
// processor, that of its pieces for all there are.
const ChunkBytes = 8 << 20

// readBytes is how much of a file is read at once: less costs more calls, and
// more does not stay in the processor's own cache until it is hashed.
const readBytes = 256 << 10

// Sum works out a file's entry: what is written to it are the file's bytes, in
// order. Not for concurrent use. The zero value is of no bytes.
type Sum struct {
	whole, chunk hash.Hash
	size         int64
	chunks       []string
	wholeOnly    bool
}

// Write never fails.
func (s *Sum) Write(p []byte) (int, error) {
	if s.whole == nil {
		s.whole, s.chunk = sha256.New(), sha256.New()
	}
	if s.wholeOnly {
		s.size += int64(len(p))
		return s.whole.Write(p)
	}
	for rest := p; len(rest) > 0; {
		if s.size > 0 && s.size%ChunkBytes == 0 {
			s.cut()
		}
		n := min(int64(len(rest)), ChunkBytes-s.size%ChunkBytes)
		s.whole.Write(rest[:n])
		if s.size >= ChunkBytes {
			s.chunk.Write(rest[:n])
		}
		rest, s.size = rest[n:], s.size+n
	}
	return len(p), nil
}

// cut ends a chunk. The first one is what the whole file is until then, so it
// costs nothing, and a file of one chunk no more than its digest.
func (s *Sum) cut() {
	h := s.chunk
	if s.size <= ChunkBytes {
		h = s.whole
	}
	s.chunks = append(s.chunks, hex.EncodeToString(h.Sum(nil)))
	s.chunk.Reset()
}

// File is the entry of what was written, which is complete.
func (s *Sum) File(path string) File {
	_, _ = s.Write(nil)
	if s.size > ChunkBytes && !s.wholeOnly {
		s.cut()
	}
	return File{Path: path, Size: s.size, SHA256: hex.EncodeToString(s.whole.Sum(nil)), Chunks: s.chunks}
}

// chunksOf is how many digests of chunks a file of size bytes has, if any.
func chunksOf(size int64) int {
	if size <= ChunkBytes {
		return 0
	}
	return int((size-1)/ChunkBytes) + 1
}

// CheckQuick is Check for who cannot wait: of a file whose chunks have digests
// it compares those, several at once, and not that of the whole file. Other
// bytes are found as surely. What only Check finds is a manifest whose two
// kinds of digests are of different files. Errors: BadModel.
func (m *Manifest) CheckQuick(fsys fs.FS, which func(*File) bool) error {
	return m.compare(fsys, which, (*File).checkChunks)
}

// checkChunks compares the digests of f's chunks with as many goroutines as
// there are processors.
func (f *File) checkChunks(fsys fs.FS) error {
	if len(f.Chunks) == 0 {
		return f.checkWhole(fsys)
	}
	r, err := f.open(fsys)
	if err != nil {
		return err
	}
	defer r.Close()
	at, ok := r.(io.ReaderAt)
	if !ok {
		return f.checkWhole(fsys)
	}
	info, err := r.Stat()
	if err != nil {
		return f.bad("%w", err)
	}
	if info.Size() != f.Size {
		return f.badSize(info.Size())
	}
	var (
		next  atomic.Int64
		stop  atomic.Bool
		group sync.WaitGroup
		errs  = make([]error, min(runtime.GOMAXPROCS(0), len(f.Chunks)))
	)
	for i := range errs {
		group.Go(func() {
			buf := make([]byte, readBytes)
			for !stop.Load() {
				k := next.Add(1) - 1
				if k >= int64(len(f.Chunks)) {
					return
				}
				if errs[i] = f.checkChunk(at, k, buf); errs[i] != nil {
					stop.Store(true)
				}
			}
		})
	}
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

// checkChunk compares chunk k of the file in r.
func (f *File) checkChunk(r io.ReaderAt, k int64, buf []byte) error {
	begin := k * ChunkBytes
	want := min(ChunkBytes, f.Size-begin)
	h := sha256.New()
	n, err := readAll(h, io.NewSectionReader(r, begin, want), buf)
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case err != nil:
		return f.bad("%w", err)
	case n != want:
		return f.badSize(begin + n)
	case sum != f.Chunks[k]:
		return f.bad("want SHA-256 %s of the %d bytes from %d on as %s says, got %s", f.Chunks[k], want, begin, Name, sum)
	}
	return nil
}

// readAll is io.CopyBuffer that keeps to buf, whatever else its two ends can do.
func readAll(w io.Writer, r io.Reader, buf []byte) (n int64, err error) {
	for {
		k, err := r.Read(buf)
		_, _ = w.Write(buf[:k]) // a hash, which never fails
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
