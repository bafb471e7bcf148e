package samples

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// headerPeek is how much of a file may be looked at to find its separator.
const headerPeek = 64 << 10

func readTable(s *source) ([]*infer.Request, *Mapping, error) {
	r, err := s.openTable()
	if err != nil {
		return nil, nil, err
	}
	header, err := r.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = s.fail(fault.Invalid, "", "want a line with the names of the columns and rows below it, got an empty file")
		} else {
			err = s.rowError(r, err)
		}
		return nil, nil, err
	}
	header = slices.Clone(header)
	for i, name := range header {
		if !utf8.ValidString(name) {
			return nil, nil, s.notUTF8("line 1", name)
		}
		header[i] = strings.TrimSpace(name)
	}
	if headerless(header) {
		return nil, nil, s.fail(fault.Invalid, "line 1", "want the names of the columns, got numbers: %s", list(header)).
			WithHint("Add a first line with a name for each column, such as p0,p1,p2.")
	}
	columns, ignored, err := s.assign(header)
	if err != nil {
		return nil, nil, err
	}
	m := s.mapping()
	m.Ignored = ignored
	for _, c := range columns {
		m.Inputs = append(m.Inputs, Source{Input: c.info.Name, Type: c.info.Type, Shape: c.shape, From: pick(header, c.columns)})
	}
	requests, err := s.rows(r, header, columns)
	if err != nil {
		return nil, nil, err
	}
	if m.Requests = len(requests); m.Requests == s.most {
		_, err := r.Read()
		m.More = !errors.Is(err, io.EOF)
	}
	return requests, m, nil
}

func (s *source) rows(r *csv.Reader, header []string, columns []assigned) ([]*infer.Request, error) {
	var requests []*infer.Request
	for len(requests) < s.most {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, s.rowError(r, err)
		}
		req := &infer.Request{Inputs: make([]tensor.Tensor, 0, len(columns))}
		for _, c := range columns {
			t := newTensor(c.info.Name, c.info.Type, c.shape)
			for k, column := range c.columns {
				if err := setCell(&t, k, row[column]); err != nil {
					line, _ := r.FieldPos(column)
					return nil, s.cellError(line, column, header[column], row[column], err)
				}
			}
			req.Inputs = append(req.Inputs, t)
		}
		requests = append(requests, req)
	}
	if len(requests) == 0 {
		return nil, s.fail(fault.Invalid, "", "want at least one row below the names of the columns, got none")
	}
	return requests, nil
}

// openTable finds out how the file separates its columns.
func (s *source) openTable() (*csv.Reader, error) {
	var data io.Reader = s.reader()
	if s.size > s.limit {
		data = &bounded{r: data, limit: s.limit}
	}
	buffered := bufio.NewReaderSize(data, headerPeek)
	start, err := buffered.Peek(headerPeek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.fail(fault.Invalid, "", "%w", err)
	}
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) || bytes.IndexByte(start, 0) >= 0 {
		return nil, s.notUTF8("", string(start[:min(len(start), 8)]))
	}
	if bom := []byte("\xef\xbb\xbf"); bytes.HasPrefix(start, bom) {
		start = start[len(bom):]
		if _, err := buffered.Discard(len(bom)); err != nil {
			return nil, s.fail(fault.Invalid, "", "%w", err)
		}
	}
	r := csv.NewReader(buffered)
	r.ReuseRecord = true
	if strings.EqualFold(filepath.Ext(s.path), ".tsv") {
		r.Comma, r.LazyQuotes = '\t', true
	} else {
		r.Comma = separator(start)
	}
	return r, nil
}

// separator is the one that the first line has most of.
func separator(start []byte) rune {
	counts, quoted := map[byte]int{}, false
	for _, c := range start {
		if c == '\n' && !quoted {
			break
		}
		if c == '"' {
			quoted = !quoted
		} else if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return rune(best)
}

// headerless reports whether a first line is a row of numbers. Tables without
// names of their own are often written with the columns' numbers, from 0 or 1,
// as names: those are names.
func headerless(header []string) bool {
	var cells []string
	for _, cell := range header {
		if cell != "" {
			cells = append(cells, cell)
		}
	}
	counting := len(cells) > 2
	for i, cell := range cells {
		if _, err := strconv.ParseFloat(cell, 64); err != nil {
			return false
		}
		first, _ := strconv.Atoi(cells[0])
		n, err := strconv.Atoi(cell)
		counting = counting && err == nil && n == first+i && first <= 1 && first >= 0
	}
	return len(cells) > 0 && !counting
}

// rowError turns what the CSV reader reports into our words.
func (s *source) rowError(r *csv.Reader, err error) error {
	var parse *csv.ParseError
	if e := fault.Of(err); e != nil {
		return s.fail(e.Code, "", "%w", e.Err)
	}
	if !errors.As(err, &parse) {
		return s.fail(fault.Invalid, "", "%w", err)
	}
	if errors.Is(parse.Err, csv.ErrFieldCount) {
		return s.fail(fault.Invalid, fmt.Sprintf("line %d", parse.Line), "want %s as in the first line, got another number", plural(r.FieldsPerRecord, "column"))
	}
	return s.fail(fault.Invalid, fmt.Sprintf("line %d, character %d", parse.Line, parse.Column), "%w", parse.Err).
		WithHint("Put text that has quotes, separators or line ends in double quotes, and double the quotes in it.")
}

func (s *source) cellError(line, column int, name, cell string, err error) error {
	at := fmt.Sprintf("line %d, column %d %s", line, column+1, quote(name))
	if !utf8.ValidString(cell) {
		return s.notUTF8(at, cell)
	}
	e := s.fail(fault.Invalid, at, "want %w, got %s", err, quote(cell))
	if strings.Contains(cell, ",") {
		e.WithHint("Write numbers with a point, and without separators between thousands.")
	}
	return e
}

func (s *source) notUTF8(at, got string) error {
	return s.fail(fault.Invalid, at, "want text in UTF-8, got %s", quote(got)).WithHint("Save the file as CSV in UTF-8.")
}

// bounded fails once limit bytes have been read.
type bounded struct {
	r           io.Reader
	read, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	left := b.limit - b.read
	if left <= 0 {
		return 0, fault.New(fault.TooLarge, op, "", "want the rows within the first %d bytes, got a longer way to them", b.limit)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), left)])
	b.read += int64(n)
	return n, err
}

func pick(names []string, at []int) []string {
	picked := make([]string, len(at))
	for i, k := range at {
		picked[i] = names[k]
	}
	return picked
}
