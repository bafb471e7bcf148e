// Package samples turns what a user has, a table or an array in a file, into
// requests for a model, and makes requests up where there is no such file.
//
// CSV and TSV need a line with the names of the columns. Each input takes the
// column of its name, or, when it wants K values, K columns that are named
// alike and numbered (p0 … p63, pixel_1 … pixel_64). A file with exactly K
// columns fits a single input as it is. Of NPY and NPZ every numeric, bool and
// string type is read; numbers change their type only when no integer changes
// its value. JSON is protocol bodies: one, an array of them, or one after the
// other as in JSON Lines.
package samples

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

const (
	op = "samples.FromFile"

	defaultRows = 10
	maxRows     = 1 << 20
	maxRead     = 64 << 20 // bytes: what the documentation of FromFile says
	maxSkipped  = 1 << 30  // bytes of an array that are read past
)

// Mapping tells how a file became requests.
type Mapping struct {
	File     string   // its base name
	Inputs   []Source // empty for JSON, whose bodies name their inputs themselves
	Ignored  []string // columns or arrays that no input takes
	Requests int      // how many were made
	More     bool     // the file has more than that
}

// Source is where the values of one input come from.
type Source struct {
	Input string
	Type  tensor.DType
	Shape []int64  // of the input in each request
	From  []string // columns, or one array, in the order of the values
}

// String is a few lines for people, without a last line end.
func (m *Mapping) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", m.File, plural(m.Requests, "request"))
	if m.More {
		b.WriteString(" from the first rows")
	}
	for _, s := range m.Inputs {
		fmt.Fprintf(&b, "\n  input %q %v %s from %s", s.Input, s.Type, tensor.FormatShape(s.Shape), list(s.From))
	}
	if len(m.Ignored) > 0 {
		fmt.Fprintf(&b, "\n  ignored: %s", list(m.Ignored))
	}
	return b.String()
}

// FromFile makes requests for a model with the signature sig from the file's
// first rows, at most most of them; 0 means 10, and 2^20 is the limit. Each
// request has one row. The file's name must end in .csv, .tsv, .npy, .npz,
// .json, .jsonl or .ndjson.
//
// Requests from tables and arrays fit the signature. JSON bodies are decoded
// only; the model checks them. An empty cell is NaN for floating-point
// inputs, and so is NA; it is "" for BYTES and an error for the others.
//
// Errors, which name file, line and column: Invalid for what cannot be read or
// does not fit, NotFound without the file, TooLarge where the requests or the
// way to them exceed 64 MiB, Unsupported for other kinds of files.
func FromFile(path string, sig *driver.Signature, most int) ([]*infer.Request, *Mapping, error) {
	if most <= 0 {
		most = defaultRows
	}
	most = min(most, maxRows)
	read, ok := readers[strings.ToLower(filepath.Ext(path))]
	if !ok {
		return nil, nil, fault.New(fault.Unsupported, op, path, "want a file that ends in .csv, .tsv, .npy, .npz, .json or .jsonl, got %q", filepath.Ext(path))
	}
	info, err := os.Stat(path)
	if err != nil {
		code := fault.Invalid
		if os.IsNotExist(err) {
			code = fault.NotFound
		}
		return nil, nil, fault.New(code, op, path, "%w", err)
	}
	// Opening a named pipe would wait for its writer.
	if !info.Mode().IsRegular() {
		return nil, nil, fault.New(fault.Invalid, op, path, "want a file, got something else (%v)", info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fault.New(fault.Invalid, op, path, "%w", err)
	}
	defer f.Close()
	return read(&source{path: path, data: f, size: info.Size(), sig: sig, most: most, limit: maxRead})
}

var readers = map[string]func(*source) ([]*infer.Request, *Mapping, error){
	".csv": readTable, ".tsv": readTable,
	".npy": readNPY, ".npz": readNPZ,
	".json": readJSON, ".jsonl": readJSON, ".ndjson": readJSON,
}

// source is a file that is being read, and what for.
type source struct {
	path string
	data io.ReaderAt
	size int64
	sig  *driver.Signature
	most int // requests wanted, at least 1

	limit int64 // bytes read of a text file, and bytes of the requests of an array
}

func (s *source) reader() *io.SectionReader { return io.NewSectionReader(s.data, 0, s.size) }

func (s *source) mapping() *Mapping { return &Mapping{File: filepath.Base(s.path)} }

// fail is an error about a place in the file; at is "" for the file as a whole.
func (s *source) fail(code fault.Code, at, format string, args ...any) *fault.Error {
	subject := s.path
	if at != "" {
		subject += " " + at
	}
	return fault.New(code, op, subject, format, args...)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// maxListed is how many names a message lists in full.
const maxListed = 12

// list names things, of many only the ends.
func list(names []string) string {
	if len(names) <= maxListed {
		return strings.Join(quoteAll(names), ", ")
	}
	return fmt.Sprintf("%d: %s … %s", len(names), strings.Join(quoteAll(names[:3]), ", "), quote(names[len(names)-1]))
}

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return quoted
}

// quote shows text from a file, cut short where it would fill the message.
func quote(s string) string {
	const most = 48
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:cut], len(s))
}
