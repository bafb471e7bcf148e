package awslambda

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// Events are read by hand: an event of the HTTP kind is read for each request,
// its body stands in it as one long string, and encoding/json takes several
// times as long as a small model.

var (
	errJSON   = errors.New("want a JSON object")
	errString = errors.New("want a JSON string")
)

// members calls f with each member of the JSON object b, null being an empty
// one. Values are given as they stand; what is in them is not checked, but for
// strings and brackets that do not end.
func members(b []byte, f func(key, value []byte) error) error {
	i := space(b, 0)
	if isNull(b[i:]) {
		return nil
	}
	if i == len(b) || b[i] != '{' {
		return errJSON
	}
	for i, first := space(b, i+1), true; ; first = false {
		if i < len(b) && b[i] == '}' {
			return end(b, i+1)
		}
		if !first {
			if i == len(b) || b[i] != ',' {
				return errJSON
			}
			i = space(b, i+1)
		}
		after, err := skip(b, i)
		if err != nil || b[i] != '"' {
			return errJSON
		}
		key := b[i+1 : after-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			if key, err = appendText(nil, b[i:after]); err != nil {
				return err
			}
		}
		if i = space(b, after); i == len(b) || b[i] != ':' {
			return errJSON
		}
		i = space(b, i+1)
		if after, err = skip(b, i); err != nil {
			return err
		}
		if err := f(key, b[i:after]); err != nil {
			return err
		}
		i = space(b, after)
	}
}

// elements calls f with each element of the JSON array b, null being an empty one.
func elements(b []byte, f func(value []byte) error) error {
	i := space(b, 0)
	if isNull(b[i:]) {
		return nil
	}
	if i == len(b) || b[i] != '[' {
		return errJSON
	}
	for i, first := space(b, i+1), true; ; first = false {
		if i < len(b) && b[i] == ']' {
			return end(b, i+1)
		}
		if !first {
			if i == len(b) || b[i] != ',' {
				return errJSON
			}
			i = space(b, i+1)
		}
		after, err := skip(b, i)
		if err != nil {
			return err
		}
		if err := f(b[i:after]); err != nil {
			return err
		}
		i = space(b, after)
	}
}

func end(b []byte, i int) error {
	if space(b, i) != len(b) {
		return errJSON
	}
	return nil
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skip is where the value at i ends.
func skip(b []byte, i int) (int, error) {
	for depth := 0; i < len(b); {
		switch c := b[i]; c {
		case '"':
			n := closing(b[i+1:])
			if n < 0 {
				return 0, errJSON
			}
			i += n + 2
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth < 0 {
				return 0, errJSON
			}
			i++
		case ',', ':', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return 0, errJSON
			}
			i++
			continue
		default:
			from := i
			for i < len(b) && wordByte(b[i]) {
				i++
			}
			if i == from {
				return 0, errJSON
			}
		}
		if depth == 0 {
			return i, nil
		}
	}
	return 0, errJSON
}

func wordByte(c byte) bool {
	return c-'0' <= 9 || c|0x20-'a' <= 'z'-'a' || c == '-' || c == '+' || c == '.'
}

// closing is where in b the quote stands that ends a string, or -1.
func closing(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for escapes < i && b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
}

func isNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// text is the JSON string raw; null and nothing are "".
func text(raw []byte) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	if len(raw) >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	b, err := appendText(nil, raw)
	return string(b), err
}

// appendText appends what the JSON string raw says. What is not UTF-8 stays so:
// whoever reads the text decides on it.
func appendText(dst, raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return dst, errString
	}
	for s := raw[1 : len(raw)-1]; ; {
		n := bytes.IndexByte(s, '\\')
		if n < 0 {
			return append(dst, s...), nil
		}
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) < 2 {
			return dst, errString
		}
		if s[1] == 'u' {
			r, size := hex4(s)
			if size == 0 {
				return dst, errString
			}
			dst, s = utf8.AppendRune(dst, r), s[size:]
			continue
		}
		c := unescaped(s[1])
		if c == 0 {
			return dst, errString
		}
		dst, s = append(dst, c), s[2:]
	}
}

func unescaped(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// hex4 reads the escape \uXXXX that s begins with, or the two of a pair; half a
// pair is U+FFFD, as for encoding/json. The size is 0 if there is none.
func hex4(s []byte) (r rune, size int) {
	one := func(s []byte) (rune, bool) {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(s[2:6]), 16, 32)
		return rune(n), err == nil
	}
	r, ok := one(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := one(s[6:]); ok {
		if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
			return both, 12
		}
	}
	return utf8.RuneError, 6
}

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

func badEvent(subject string, err error) *fault.Error {
	return fault.New(fault.Invalid, "awslambda.Invoke", subject, "%w", err)
}
