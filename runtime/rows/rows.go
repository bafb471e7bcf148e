// Package rows turns files of rows into tensors and tensors into files of rows:
// CSV, JSON Lines and Parquet, compressed too. It knows no store, no model and
// no platform: bytes come from a Source, what a model takes from a Plan.
//
// A file is read in parts that do not depend on each other: runs of lines, or of
// Parquet's row groups. Parts depend on the file and on PartBytes alone, so that
// whoever scores a file again, in another process or on another machine, finds
// the same ones.
package rows

import (
	"context"
	"io"

	"godwit.dev/runtime/tensor"
)

// Format is how rows are written.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	JSONL   Format = "jsonl"
	Parquet Format = "parquet"
)

// A Source is an object that is read in ranges. Its methods may be called
// concurrently.
type Source interface {
	// Size is the object's, in bytes.
	Size() int64
	// Range reads length bytes from offset on. The caller closes the reader. An
	// end before that many is an error; nobody asks again for what broke.
	Range(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// A Schema is the columns of a file, in its order. JSON Lines have none before
// they are read; there it is what the first rows have.
type Schema struct {
	Columns []Column
}

// Kind is what the values of a column are.
type Kind uint8

// The kinds. Text is what CSV has and nothing else is known of; JSON is a value
// of a JSON Lines file as it was written.
const (
	Text Kind = iota
	JSON
	Bool
	Int    // 64 bits with sign
	Uint   // 64 bits
	Float  // 32 bits
	Double // 64 bits
	Bytes
)

// A Column is one column of a file.
type Column struct {
	Name string
	Kind Kind // of the elements, where the column is a list
	// List says that each value is a list, of Length elements if that is not 0.
	List   bool
	Length int
}

// A Block is some rows as tensors. A Reader fills it, and it is used again.
type Block struct {
	// Inputs are the Plan's, with Rows in front of the shape of a row, row-major.
	Inputs []tensor.Tensor
	Pass   []Values // the Plan's
	Rows   int
	// At is where each row is: Row's number.
	At []int64
	// Bad are the rows among them that are left out.
	Bad []Bad

	text []byte // what Strings and Raw lie in
}

// Values are the values of one column that go to the output as they are. The
// slice of Kind's holds them, one for each row of the block.
type Values struct {
	Name   string
	Kind   Kind
	Null   []bool   // nil if none is missing
	Raw    [][]byte // Text, JSON and Bytes
	Ints   []int64  // Int and Bool
	Uints  []uint64
	Floats []float64 // Float and Double
}

// Bad is a row that cannot be scored.
type Bad struct {
	// Row is the line in the file that the row begins at, and in Parquet the
	// row: the first is 1. Offset is where that line begins in the file as it is
	// uncompressed, in bytes; -1 in Parquet.
	Row, Offset int64
	Column      string // "" if the whole row is bad
	Code        string // a fault code's name
	Reason      string // what was wanted and what was got
}

// A Part is one of the parts of a file.
type Part struct {
	Index int
	// Line is the number of the line, or row, at From: the first is 1.
	Line int64
	// From and To are bytes of the file as it is uncompressed, or row groups: those
	// from From on, before To. Lines belong to the part that they begin in.
	From, To int64
}

// A Reader reads the rows of one part. It belongs to one goroutine.
type Reader interface {
	// Next fills b with the next rows, at most n of them, bad ones included.
	// After the last it returns io.EOF, and b is empty. What a later call
	// overwrites is b's alone. An error other than io.EOF means that the rest of
	// the part cannot be read: Invalid where the bytes are at fault.
	Next(ctx context.Context, b *Block, n int) error
	// Lines is how many lines (in Parquet: rows) have been read.
	Lines() int64
	Close() error
}

// A Writer writes rows of one part.
type Writer interface {
	// Write appends the rows of b with the outputs of the model for them, whose
	// first dimension is b.Rows.
	Write(b *Block, outputs []tensor.Tensor) error
	// Close writes what ends the file; it does not close what is written to.
	Close() error
}
