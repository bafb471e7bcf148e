package rows

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"sync/atomic"

	"godwit.dev/runtime/fault"
)

// Compression is how a file is compressed as a whole. Parquet compresses
// within, and has None.
type Compression string

// The compressions.
const (
	None Compression = ""
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// A File is a source and how its rows are written. It may be used concurrently.
type File struct {
	Source      Source
	Name        string // for errors: a URL or a path
	Format      Format
	Compression Compression

	header atomic.Pointer[Schema] // of CSV, when it has been read
	parked parked                 // a stream that a reader left where it ended
	footer atomic.Pointer[pqFile] // of Parquet, when it has been read
	spare  pqSpare                // memory that readers of Parquet use again
}

// Detect tells how a file is written by its name (scores.csv.gz) and its first
// bytes, 512 or all. The bytes win where they say something, because names lie;
// without a known name, rows that begin with a brace are JSON Lines. The format
// is "" where neither tells, or where what is compressed has no telling name.
func Detect(name string, first []byte) (Format, Compression) {
	base := strings.ToLower(path.Base(name))
	ext := path.Ext(base)
	c := None
	switch ext {
	case ".gz", ".gzip":
		c = Gzip
	case ".zst", ".zstd":
		c = Zstd
	}
	if c != None {
		ext = path.Ext(strings.TrimSuffix(base, ext))
	}
	if len(first) > 0 {
		c = None
	}
	switch {
	case bytes.HasPrefix(first, []byte("PAR1")):
		return Parquet, None
	case bytes.HasPrefix(first, []byte("\x1f\x8b")):
		c = Gzip
	case bytes.HasPrefix(first, []byte("\x28\xb5\x2f\xfd")), len(first) > 3 && first[0]&0xf0 == 0x50 && bytes.HasPrefix(first[1:], []byte("\x2a\x4d\x18")):
		c = Zstd
	}
	switch ext {
	case ".csv":
		return CSV, c
	case ".jsonl", ".ndjson", ".jsonlines":
		return JSONL, c
	case ".parquet", ".pq":
		return Parquet, None
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(first, []byte(bom)), " \t\r\n")
	if c == None && len(text) > 0 && text[0] == '{' {
		return JSONL, c
	}
	return "", c
}

// Identify makes a File of a source with a name, whose first bytes it reads.
// Errors: UnsupportedMedia where Detect does not tell the format, and the source's.
func Identify(ctx context.Context, name string, src Source) (*File, error) {
	first := make([]byte, min(512, src.Size()))
	if len(first) > 0 {
		r, err := src.Range(ctx, 0, int64(len(first)))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		if _, err := io.ReadFull(r, first); err != nil {
			return nil, readError(ctx, name, err)
		}
	}
	f := &File{Source: src, Name: name}
	if f.Format, f.Compression = Detect(name, first); f.Format == "" {
		return nil, fault.New(fault.UnsupportedMedia, "rows.Identify", name, "want a name that ends in .csv, .jsonl or .parquet, perhaps with .gz or .zst, got %s", quote(path.Base(name)))
	}
	return f, nil
}

// ReadSchema reads the columns of a file: the header of CSV, what the first
// thousand rows of JSON Lines have, or what Parquet says. A file without rows
// and header has none.
//
// Errors: Invalid where the file is not what it says, and the source's.
func ReadSchema(ctx context.Context, f *File) (*Schema, error) {
	switch f.Format {
	case CSV:
		return csvSchema(ctx, f)
	case JSONL:
		return jsonlSchema(ctx, f)
	case Parquet:
		return parquetSchema(ctx, f)
	}
	return nil, badFormat("rows.ReadSchema", f.Format)
}

// SplitOptions of Split; nil means defaults.
type SplitOptions struct {
	// PartBytes is about how long a part is, in bytes as they are uncompressed;
	// default 64 MiB.
	PartBytes int64
	// MaxRow is as in ReadOptions, and has to be the same.
	MaxRow int
	// MaxExpansion is as in ReadOptions.
	MaxExpansion int
}

func (o *SplitOptions) withDefaults() SplitOptions {
	var d SplitOptions
	if o != nil {
		d = *o
	}
	if d.PartBytes <= 0 {
		d.PartBytes = 64 << 20
	}
	r := (&ReadOptions{MaxRow: d.MaxRow, MaxExpansion: d.MaxExpansion}).withDefaults()
	d.MaxRow, d.MaxExpansion = r.MaxRow, r.MaxExpansion
	return d
}

// Split finds the parts of a file. What is no longer than a part is not read,
// unless it is compressed; else the whole file is, because only that tells which
// line a part begins with, and whether a line's end is within quotes. Of
// Parquet the footer is. A file without rows may have no part.
//
// Errors: Invalid, TooLarge where it expands too much, and the source's.
func Split(ctx context.Context, f *File, opts *SplitOptions) ([]Part, error) {
	o := opts.withDefaults()
	switch f.Format {
	case CSV, JSONL:
		return splitText(ctx, f, &o)
	case Parquet:
		return splitParquet(ctx, f, &o)
	}
	return nil, badFormat("rows.Split", f.Format)
}

// ReadOptions of Open; nil means defaults.
type ReadOptions struct {
	// NoMissing makes a row bad if a value for an input is missing (an empty
	// field, null) also where it could be told to the model: as NaN to inputs
	// of floating point, as "" to those of BYTES.
	NoMissing bool
	// MaxRow is the longest line of text, in bytes; default 64 MiB. A longer one
	// is a bad row, and so is a row of CSV over several lines that is longer than
	// that or 4 MiB.
	MaxRow int
	// MaxExpansion is how many bytes one compressed byte may become, over the
	// file as far as it has been read and beyond the first 64 MiB; default 400.
	MaxExpansion int
}

func (o *ReadOptions) withDefaults() ReadOptions {
	var d ReadOptions
	if o != nil {
		d = *o
	}
	if d.MaxRow <= 0 {
		d.MaxRow = 64 << 20
	}
	if d.MaxExpansion <= 0 {
		d.MaxExpansion = 400
	}
	return d
}

// Open reads the rows of a part. p is a Plan for the schema of f; it is not
// changed. Whoever reads a compressed file's parts in order, each after the one
// before has been closed, has it decompressed once.
//
// Errors: Invalid where the file is not what it says, TooLarge where it expands
// too much, and the source's.
func Open(ctx context.Context, f *File, part Part, p *Plan, opts *ReadOptions) (Reader, error) {
	o := opts.withDefaults()
	switch f.Format {
	case CSV:
		return openCSV(ctx, f, part, p, &o)
	case JSONL:
		return openJSONL(ctx, f, part, p, &o)
	case Parquet:
		return openParquet(ctx, f, part, p, &o)
	}
	return nil, badFormat("rows.Open", f.Format)
}

func badFormat(op string, f Format) error {
	return fault.New(fault.Unsupported, op, "", "want csv, jsonl or parquet, got %s", quote(string(f)))
}

func badCompression(c Compression) error {
	return fault.New(fault.Unsupported, "rows", "", "want gzip, zstd or no compression, got %s", quote(string(c)))
}

// readError gives what a source's reader returned a code: bytes that end early
// may come whole the next time.
func readError(ctx context.Context, name string, err error) error {
	if fault.Of(err) != nil {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
			ended = context.DeadlineExceeded
		}
		return fault.New(fault.CodeOf(ended), "rows.Read", name, "%w", ended)
	}
	return fault.New(fault.Unavailable, "rows.Read", name, "%w", err)
}
