package samples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"

	"godwit.dev/runtime/tensor"
)

const (
	npyMagic     = "\x93NUMPY"
	maxNPYHeader = 64 << 10
	maxNPYRank   = 32 // numpy's own limit was this until 2.0
	maxNPYString = 1 << 20
)

// array is a NumPy array whose elements have not been read yet.
type array struct {
	descr   string // its type as NumPy writes it, for messages
	kind    byte   // 'b', 'i', 'u', 'f', 'S' (bytes) or 'U' (UTF-32)
	size    int    // bytes of an element, at least 1
	order   binary.ByteOrder
	fortran bool // the first index runs fastest
	shape   []int64
	data    io.Reader // at the first element
}

// parseNPY reads the header of NPY formats 1.0 to 3.0. The errors have no
// subject yet.
func parseNPY(r io.Reader) (*array, error) {
	var start [8]byte
	if _, err := io.ReadFull(r, start[:]); err != nil || string(start[:6]) != npyMagic {
		return nil, fmt.Errorf("want a NumPy array, got %q", start[:6])
	}
	var length [4]byte
	width := 4
	switch start[6] {
	case 1:
		width = 2
	case 2, 3:
	default:
		return nil, fmt.Errorf("want NPY format 1.0 to 3.0, got %d.%d", start[6], start[7])
	}
	if _, err := io.ReadFull(r, length[:width]); err != nil {
		return nil, errors.New("want a header, got the end of the file")
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > maxNPYHeader {
		return nil, fmt.Errorf("want a header of at most %d bytes, got %d", maxNPYHeader, n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("want a header of %d bytes, got the end of the file", n)
	}
	a := &array{data: r}
	h := npyHeader{text: string(text)}
	if err := h.parse(a); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := a.parseDescr(); err != nil {
		return nil, err
	}
	elements, ok := tensor.Elements(a.shape)
	if hi, _ := bits.Mul64(uint64(elements), uint64(a.size)); !ok || hi != 0 {
		return nil, fmt.Errorf("want a shape that can be counted, got %s", tensor.FormatShape(a.shape))
	}
	return a, nil
}

// parseDescr takes a type such as "<f4" or "|S10" apart.
func (a *array) parseDescr() error {
	text := strings.TrimLeft(a.descr, "<>|=")
	a.order = binary.LittleEndian
	switch order := a.descr[:len(a.descr)-len(text)]; order {
	case ">":
		a.order = binary.BigEndian
	case "<", "|", "=", "":
	default:
		return fmt.Errorf("want a type such as %q, got %q", "<f4", a.descr)
	}
	if text == "" {
		return fmt.Errorf("want a type such as %q, got %q", "<f4", a.descr)
	}
	size, err := strconv.Atoi(text[1:])
	a.kind, a.size = text[0], size
	if a.kind == 'O' {
		return errors.New("want numbers or strings, got Python objects, which are programs and are not run")
	}
	ok := err == nil
	switch a.kind {
	case 'b':
		ok = ok && size == 1
	case 'i', 'u':
		ok = ok && (size == 1 || size == 2 || size == 4 || size == 8)
	case 'f':
		ok = ok && (size == 2 || size == 4 || size == 8)
	case 'S', 'U':
		if ok = ok && size > 0 && size <= maxNPYString; ok && a.kind == 'U' {
			a.size = 4 * size
		}
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("want elements of type bool, int, uint, float16 to float64 or str, got %q", a.descr)
	}
	return nil
}

// npyHeader parses the Python dictionary that describes an array:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
type npyHeader struct {
	text string
	i    int
}

func (h *npyHeader) parse(a *array) error {
	if !h.take("{") {
		return h.unexpected("{")
	}
	seen := map[string]bool{}
	for !h.take("}") {
		key, err := h.str()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %q occurs twice", key)
		}
		seen[key] = true
		if !h.take(":") {
			return h.unexpected(":")
		}
		switch key {
		case "descr":
			if h.take("[") || h.take("(") {
				return errors.New("want one type for all elements, got a record")
			}
			a.descr, err = h.str()
		case "fortran_order":
			a.fortran = h.take("True")
			if !a.fortran && !h.take("False") {
				err = h.unexpected("True or False")
			}
		case "shape":
			a.shape, err = h.tuple()
		default:
			err = fmt.Errorf("want the keys descr, fortran_order and shape, got %s", quote(key))
		}
		if err != nil {
			return err
		}
		if !h.take(",") && !h.peek("}") {
			return h.unexpected("}")
		}
	}
	if len(seen) != 3 {
		return errors.New("want the keys descr, fortran_order and shape, got fewer")
	}
	if h.space(); h.i < len(h.text) {
		return h.unexpected("nothing more")
	}
	return nil
}

func (h *npyHeader) space() {
	for h.i < len(h.text) && strings.IndexByte(" \t\r\n", h.text[h.i]) >= 0 {
		h.i++
	}
}

func (h *npyHeader) peek(token string) bool {
	h.space()
	return strings.HasPrefix(h.text[h.i:], token)
}

func (h *npyHeader) take(token string) bool {
	ok := h.peek(token)
	if ok {
		h.i += len(token)
	}
	return ok
}

func (h *npyHeader) unexpected(want string) error {
	got := "the end"
	if h.i < len(h.text) {
		got = strconv.Quote(h.text[h.i:min(h.i+8, len(h.text))])
	}
	return fmt.Errorf("byte %d: want %s, got %s", h.i, want, got)
}

func (h *npyHeader) str() (string, error) {
	for _, mark := range []string{"'", `"`} {
		if !h.take(mark) {
			continue
		}
		text, _, ok := strings.Cut(h.text[h.i:], mark)
		if !ok || strings.Contains(text, `\`) {
			break
		}
		h.i += len(text) + 1
		return text, nil
	}
	return "", h.unexpected("a string")
}

// tuple reads a shape; Python 2 wrote an L after large numbers.
func (h *npyHeader) tuple() ([]int64, error) {
	if !h.take("(") {
		return nil, h.unexpected("(")
	}
	shape := []int64{}
	for !h.take(")") {
		h.space()
		end := h.i
		for end < len(h.text) && h.text[end] >= '0' && h.text[end] <= '9' {
			end++
		}
		d, err := strconv.ParseInt(h.text[h.i:end], 10, 64)
		if err != nil || len(shape) == maxNPYRank {
			return nil, h.unexpected("at most 32 whole numbers")
		}
		shape = append(shape, d)
		h.i = end
		h.take("L")
		if !h.take(",") && !h.peek(")") {
			return nil, h.unexpected(")")
		}
	}
	return shape, nil
}
