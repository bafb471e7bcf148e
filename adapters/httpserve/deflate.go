package httpserve

import (
	"compress/zlib"
	"io"
	"sync"

	"google.golang.org/grpc/encoding"
)

// init because grpc takes compressors at no other time, and for the whole
// process: its own gzip, imported beside this, is registered so too.
func init() { encoding.RegisterCompressor(&deflate{}) }

// deflate is gRPC's other compression, which grpc-go lacks and the C, C++ and
// Python clients offer. The name means zlib's format, as in HTTP. grpc bounds
// what is read of Decompress by the largest message.
type deflate struct {
	writers, readers sync.Pool
}

var _ encoding.Compressor = (*deflate)(nil)

func (*deflate) Name() string { return "deflate" }

func (d *deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	z, ok := d.writers.Get().(*deflateWriter)
	if !ok {
		return &deflateWriter{Writer: zlib.NewWriter(w), pool: &d.writers}, nil
	}
	z.Reset(w)
	return z, nil
}

func (d *deflate) Decompress(r io.Reader) (io.Reader, error) {
	z, ok := d.readers.Get().(*deflateReader)
	if !ok {
		fresh, err := zlib.NewReader(r)
		if err != nil {
			return nil, err
		}
		return &deflateReader{ReadCloser: fresh, pool: &d.readers}, nil
	}
	if err := z.ReadCloser.(zlib.Resetter).Reset(r, nil); err != nil {
		d.readers.Put(z)
		return nil, err
	}
	return z, nil
}

type deflateWriter struct {
	*zlib.Writer
	pool *sync.Pool
}

// Close ends the stream; grpc calls it once.
func (w *deflateWriter) Close() error {
	defer w.pool.Put(w)
	return w.Writer.Close()
}

type deflateReader struct {
	io.ReadCloser
	pool *sync.Pool
}

// Close checks nothing more: grpc has read to the end or to its limit.
func (r *deflateReader) Close() error {
	defer r.pool.Put(r)
	return r.ReadCloser.Close()
}
