package rows

import "bytes"

// span is one field of a record: where its text is, without quotes. escaped
// says that a quote in it is written twice.
type span struct {
	from, to int
	escaped  bool
}

// ending says how the search for a record's end ended.
type ending uint8

const (
	whole    ending = iota // the record is whole, and well-formed
	more                   // more bytes are needed to tell
	bare                   // a quote within a field that has none around it
	junk                   // something between a closing quote and the comma
	unclosed               // no closing quote until the end of the file
	long                   // no end within what a row may have
)

var endings = [...]string{
	bare:     "want quotes around the whole field, and each one in it twice, or none, got one within",
	junk:     "want a comma after a closing quote, got something else (a quote within quotes is written twice)",
	unclosed: "want a closing quote, got none",
	long:     "want the row to end within the most bytes of one, got quotes that go on",
}

// record finds the fields of the record of CSV that b begins with, and its
// length with the line's end. eof says that nothing follows b. As in RFC 4180, a
// field in quotes may have commas, ends of lines and doubled quotes within.
//
// Where it is not well-formed n is 0, and the fields are those before the one
// that is not.
func record(b []byte, eof bool, fields []span) (n int, _ []span, _ ending) {
	fields = fields[:0]
	for i := 0; ; {
		if i < len(b) && b[i] == '"' {
			j, escaped := i+1, false
			for {
				k := bytes.IndexByte(b[j:], '"')
				if k < 0 || !eof && j+k+1 == len(b) {
					if eof {
						return 0, fields, unclosed
					}
					return 0, fields, more
				}
				j += k + 1
				if j == len(b) || b[j] != '"' {
					break
				}
				escaped = true
				j++
			}
			fields = append(fields, span{i + 1, j - 1, escaped})
			switch rest := b[j:]; {
			case len(rest) == 0:
				return j, fields, whole
			case rest[0] == ',':
				i = j + 1
				continue
			case rest[0] == '\n':
				return j + 1, fields, whole
			case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
				return j + 2, fields, whole
			case rest[0] == '\r' && len(rest) == 1 && eof:
				return j + 1, fields, whole
			case rest[0] == '\r' && len(rest) == 1:
				return 0, fields, more
			}
			return 0, fields[:len(fields)-1], junk
		}
		j := i
		for j < len(b) && b[j] != ',' && b[j] != '\n' && b[j] != '"' {
			j++
		}
		switch {
		case j == len(b) && !eof:
			return 0, fields, more
		case j < len(b) && b[j] == '"':
			return 0, fields, bare
		case j < len(b) && b[j] == ',':
			fields = append(fields, span{i, j, false})
			i = j + 1
			continue
		}
		end := j
		if end > i && b[end-1] == '\r' {
			end--
		}
		return min(j+1, len(b)), append(fields, span{i, end, false}), whole
	}
}

// quotedMost is how long a row of more than one line may be: what a lost quote
// costs at most in memory and time.
const quotedMost = 4 << 20

// quotedRecord finds the record at the window's beginning, whose first line is
// whole there, first bytes long, and has quotes. Where none ends well within most
// bytes, how is not whole, and the first line alone is bad: a lost quote costs
// its own line, not all that follow it.
func (s *stream) quotedRecord(first, most int, fields []span) (n int, _ []span, how ending, err error) {
	most = min(most, max(first, quotedMost))
	for {
		// What is beyond most must not matter: how much of it is there is chance.
		b := s.buf[s.lo:s.hi]
		over := len(b) > most
		if over {
			b = b[:most]
		}
		n, fields, how = record(b, s.eof && !over, fields)
		switch {
		case how != more:
			return n, fields, how, nil
		case over:
			return 0, fields, long, nil
		}
		if !s.fill() && s.err != nil {
			return 0, fields, how, s.err
		}
	}
}

// text is a field's value. What has escapes is unescaped into arena, which
// grows by it.
func (f span) text(b []byte, arena *[]byte) []byte {
	if !f.escaped {
		return b[f.from:f.to]
	}
	from := len(*arena)
	for raw := b[f.from:f.to]; ; {
		i := bytes.IndexByte(raw, '"')
		if i < 0 {
			*arena = append(*arena, raw...)
			break
		}
		*arena = append(*arena, raw[:i+1]...)
		raw = raw[i+2:]
	}
	return (*arena)[from:len(*arena):len(*arena)]
}
