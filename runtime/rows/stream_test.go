package rows_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// numbered is CSV of n rows with their number.
func numbered(from, n int) string {
	var b strings.Builder
	if from == 0 {
		b.WriteString("x,id\n")
	}
	for i := range n {
		fmt.Fprintf(&b, "%d,row %d\n", from+i, from+i)
	}
	return b.String()
}

// counted is a source that counts the ranges that were asked for and the bytes
// that were read, and may break connections.
type counted struct {
	memory
	ranges, read int
	broken       func(off int64) error // tells how a connection that was opened at off ends
	after        int                   // this many bytes
	ctx          context.Context       // of the last range
}

func (c *counted) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	c.ranges++
	c.ctx = ctx
	r, err := c.memory.Range(ctx, off, n)
	if err != nil || c.broken == nil {
		return &counting{r, c, nil, 1 << 30}, err
	}
	return &counting{r, c, c.broken(off), c.after}, nil
}

type counting struct {
	io.ReadCloser
	c     *counted
	err   error
	after int
}

func (r *counting) Read(p []byte) (int, error) {
	if err := r.c.ctx.Err(); err != nil {
		return 0, err
	}
	if r.err != nil {
		if r.after == 0 {
			return 0, r.err
		}
		p = p[:min(len(p), r.after)]
	}
	n, err := r.ReadCloser.Read(p)
	r.after -= n
	r.c.read += n
	return n, err
}

func TestCompressed(t *testing.T) {
	first, second := numbered(0, 3000), numbered(3000, 3000)
	tests := []struct {
		name string
		c    rows.Compression
		data string
	}{
		{"gzip", rows.Gzip, gzipped(t, first+second)},
		{"gzip of two members", rows.Gzip, gzipped(t, first) + gzipped(t, second)},
		{"zstd", rows.Zstd, zstandard(t, first+second)},
		{"zstd of two frames", rows.Zstd, zstandard(t, first) + zstandard(t, second)},
	}
	var want reading
	for i := range 6000 {
		want.Rows = append(want.Rows, fmt.Sprintf("%d id=row %d", i, i))
		want.At = append(want.At, int64(i+2))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &counted{memory: memory(tt.data)}
			f := &rows.File{Source: src, Format: rows.CSV, Compression: tt.c}
			defer f.Close()
			p := plan(t, f, &rows.PlanOptions{Pass: []string{"id"}}, in("x", tensor.FP32, -1))
			before := src.read
			got, parts := readAll(t, f, p, 10000, 100, nil)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(parts) < 5 {
				t.Errorf("got %d parts, want several", len(parts))
			}
			// Once to split, once to read all parts in order.
			if read := src.read - before; read > 2*len(tt.data) {
				t.Errorf("read %d bytes of %d for %d parts in order", read, len(tt.data), len(parts))
			}
			// Any part by itself, the last one first.
			for i := len(parts) - 1; i >= 0; i -= 2 {
				fresh := &rows.File{Source: memory(tt.data), Format: rows.CSV, Compression: tt.c}
				r, err := rows.Open(t.Context(), fresh, parts[i], p, nil)
				if err != nil {
					t.Fatal(err)
				}
				var b rows.Block
				if err := r.Next(t.Context(), &b, 1); err != nil {
					t.Fatal(err)
				}
				line := max(parts[i].Line, 2)
				if row := fmt.Sprintf("row %d", line-2); string(b.Pass[0].Raw[0]) != row || b.At[0] != line {
					t.Errorf("part %d begins with %q at line %d, want %q", i, b.Pass[0].Raw[0], b.At[0], row)
				}
				r.Close()
				fresh.Close()
			}
		})
	}
}

func TestWhatCannotBeDecompressed(t *testing.T) {
	long := numbered(0, 100000)
	zeros := "x,id\n" + strings.Repeat("0", 80<<20)
	cut := func(s string) string { return s[:len(s)-9] }
	tests := []struct {
		name string
		c    rows.Compression
		data string
		code fault.Code
	}{
		{"gzip cut short", rows.Gzip, cut(gzipped(t, long)), fault.Invalid},
		{"gzip with a wrong sum", rows.Gzip, cut(gzipped(t, long)) + "123456789", fault.Invalid},
		{"gzip with junk behind it", rows.Gzip, gzipped(t, long) + "junk", fault.Invalid},
		{"zstd cut short", rows.Zstd, cut(zstandard(t, long)), fault.Invalid},
		{"no gzip", rows.Gzip, long, fault.Invalid},
		{"no zstd", rows.Zstd, long, fault.Invalid},
		{"gzip of zeros", rows.Gzip, gzipped(t, zeros), fault.TooLarge},
		{"zstd of zeros", rows.Zstd, zstandard(t, zeros), fault.TooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &rows.File{Source: memory(tt.data), Name: "rows.csv", Format: rows.CSV, Compression: tt.c}
			defer f.Close()
			if _, err := rows.Split(t.Context(), f, nil); fault.CodeOf(err) != tt.code {
				t.Errorf("Split: got %v, want %v", err, tt.code)
			}
			p := plan(t, csvOf("x,id\n"), nil, in("x", tensor.FP32, -1))
			r, err := rows.Open(t.Context(), f, rows.Part{To: 1 << 40}, p, nil)
			var b rows.Block
			for err == nil {
				err = r.Next(t.Context(), &b, 1000)
			}
			if fault.CodeOf(err) != tt.code {
				t.Errorf("Next: got %v, want %v", err, tt.code)
			}
		})
	}
}

// A connection that breaks, or ends early, is told, after the rows before it.
func TestBrokenConnections(t *testing.T) {
	text := numbered(0, 50000)
	reset := errors.New("connection reset")
	gone := fault.New(fault.Mismatch, "store.Open", "k", "another version")
	for _, tt := range []struct {
		err, want error
		code      fault.Code
	}{{reset, reset, fault.Unavailable}, {io.EOF, io.ErrUnexpectedEOF, fault.Unavailable}, {gone, gone, fault.Mismatch}} {
		src := &counted{memory: memory(text), broken: func(int64) error { return tt.err }, after: 300000}
		f := &rows.File{Source: src, Name: "rows.csv", Format: rows.CSV}
		p := plan(t, csvOf("x,id\n"), nil, in("x", tensor.FP32, -1))
		r, err := rows.Open(t.Context(), f, rows.Part{To: src.Size()}, p, nil)
		n := 0
		var b rows.Block
		for err == nil {
			err = r.Next(t.Context(), &b, 1000)
			n += b.Rows
		}
		if fault.CodeOf(err) != tt.code || !errors.Is(err, tt.want) || n < 10000 {
			t.Errorf("%v: got %d rows, then %v", tt.err, n, err)
		}
		r.Close()
		if _, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: 1000}); fault.CodeOf(err) != tt.code || !errors.Is(err, tt.want) {
			t.Errorf("%v: Split: got %v", tt.err, err)
		}
	}
}

// The context of Open ends reading, of what is compressed too, whose stream goes
// on with the next part under its own.
func TestContextEndsReading(t *testing.T) {
	text := numbered(0, 200000)
	for _, c := range []rows.Compression{rows.None, rows.Gzip} {
		data := text
		if c == rows.Gzip {
			data = gzipped(t, text)
		}
		f := &rows.File{Source: &counted{memory: memory(data)}, Format: rows.CSV, Compression: c}
		p := plan(t, f, nil, in("x", tensor.FP32, -1))
		parts, err := rows.Split(t.Context(), f, &rows.SplitOptions{PartBytes: int64(len(text)) / 2})
		if err != nil || len(parts) != 2 {
			t.Fatalf("got %d parts, %v", len(parts), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		all := func(ctx context.Context, r rows.Reader) (n int, err error) {
			var b rows.Block
			for err == nil {
				err = r.Next(t.Context(), &b, 1000)
				n += b.Rows
			}
			return n, err
		}
		r, err := rows.Open(ctx, f, parts[0], p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := all(ctx, r); err != io.EOF || n < 90000 {
			t.Fatalf("%q: got %d rows, %v", c, n, err)
		}
		r.Close()
		cancel()
		if r, err = rows.Open(t.Context(), f, parts[1], p, nil); err != nil {
			t.Fatal(err)
		}
		if n, err := all(t.Context(), r); err != io.EOF || n < 90000 {
			t.Errorf("%q: the next part: got %d rows, %v", c, n, err)
		}
		r.Close()
		ctx, cancel = context.WithCancel(t.Context())
		if r, err = rows.Open(ctx, f, parts[0], p, nil); err != nil {
			t.Fatal(err)
		}
		cancel()
		if n, err := all(ctx, r); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("%q: after its end: got %d rows, %v", c, n, err)
		}
		r.Close()
		f.Close()
	}
}
