package codec

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// str reads the JSON string at d.i, whose opening quote is there. What it
// returns borrows the document where there is no escape, else d.arena.
func (d *decoder) str() ([]byte, error) {
	start := d.i + 1
	ascii := byte(0)
	for i := start; i < len(d.b); i++ {
		switch c := d.b[i]; {
		case c == '"':
			text := d.b[start:i:i]
			if ascii >= utf8.RuneSelf && !utf8.Valid(text) {
				return nil, d.badUTF8(start, text)
			}
			d.i = i + 1
			return text, nil
		case c == '\\':
			return d.escaped(start, i)
		case c < ' ':
			d.i = i
			return nil, d.syntax("control characters escaped in a string")
		default:
			ascii |= c
		}
	}
	d.i = len(d.b)
	return nil, d.syntax("the end of a string")
}

// escaped goes on with a string that began at start and has its first
// backslash at i.
func (d *decoder) escaped(start, i int) ([]byte, error) {
	end := i
	for end < len(d.b) && d.b[end] != '"' {
		if d.b[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(d.b) {
		d.i = len(d.b)
		return nil, d.syntax("the end of a string")
	}
	// No escape is shorter than what it stands for, so this room is enough.
	out := d.room(end - start)
	out = append(out, d.b[start:i]...)
	for i < end {
		c := d.b[i]
		switch {
		case c < ' ':
			d.i = i
			return nil, d.syntax("control characters escaped in a string")
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		d.i = i
		r, n := unescape(d.b[i:end])
		if n == 0 {
			return nil, d.syntax("a valid escape in a string")
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	if !utf8.Valid(out) {
		return nil, d.badUTF8(start, out)
	}
	d.i = end + 1
	d.arena = d.arena[:len(d.arena)+len(out)]
	return out[:len(out):len(out)], nil
}

// room is an empty slice of the arena that can take n bytes.
func (d *decoder) room(n int) []byte {
	if n > cap(d.arena)-len(d.arena) {
		// A chunk serves many strings but is never more than what is left to read.
		d.arena = make([]byte, 0, max(n, min(16<<10, len(d.b)-d.i)))
	}
	return d.arena[len(d.arena):len(d.arena)]
}

// unescape reads the escape that text begins with; n is its length, 0 when it
// is none. A surrogate must be one of a pair.
func unescape(text []byte) (r rune, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch text[1] {
	case '"', '\\', '/':
		return rune(text[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := unicodeEscape(text)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := unicodeEscape(text[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func unicodeEscape(text []byte) (r rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (d *decoder) badUTF8(start int, text []byte) *fault.Error {
	return d.fail(fault.Invalid, "byte %d: want a string in UTF-8, got %s", start, quote(text)).
		WithHint("Send bytes that are not text through the binary tensor extension.")
}

// quote shows text in an error: escaped, and short even if the text is not.
func quote(text []byte) string {
	const most = 48
	if len(text) <= most {
		return strconv.Quote(string(text))
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strconv.Quote(string(text[:cut])) + "… (" + strconv.Itoa(len(text)) + " bytes)"
}

// plural is "1 element" or "2 elements".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// nearestDType is the type that an unknown name most likely means, or "".
func nearestDType(name []byte) string {
	if len(name) > 16 {
		return ""
	}
	low := string(bytes.ToUpper(name))
	switch low {
	case "FLOAT", "FLOAT32", "SINGLE", "TYPE_FP32", "F4", "F32":
		return tensor.FP32.String()
	case "DOUBLE", "FLOAT64", "TYPE_FP64", "F8", "F64":
		return tensor.FP64.String()
	case "HALF", "FLOAT16", "TYPE_FP16", "F2", "F16":
		return tensor.FP16.String()
	case "BFLOAT16", "TYPE_BF16":
		return tensor.BF16.String()
	case "STRING", "STR", "TYPE_STRING", "TEXT", "OBJECT":
		return tensor.Bytes.String()
	case "INT", "INTEGER", "LONG", "I64":
		return tensor.Int64.String()
	case "BOOLEAN":
		return tensor.Bool.String()
	}
	best, least := "", 3
	for _, d := range tensor.DTypes() {
		if n := distance(low, d.String()); n < least {
			best, least = d.String(), n
		}
	}
	return best
}

// distance is the Levenshtein distance of two short strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			row[j+1] = min(above+1, row[j]+1, diagonal+1-boolInt(a[i] == b[j]))
			diagonal = above
		}
	}
	return row[len(b)]
}
