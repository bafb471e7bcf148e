package samples

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// readJSON reads protocol bodies: one, an array of them, or one after another.
func readJSON(s *source) ([]*infer.Request, *Mapping, error) {
	data, err := io.ReadAll(io.LimitReader(s.reader(), s.limit))
	if err != nil {
		return nil, nil, s.fail(fault.Invalid, "", "%w", err)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	b := bodies{source: s, data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && text[0] == '[' {
		b.array = true
		if _, err := b.decoder.Token(); err != nil {
			return nil, nil, b.syntax(err)
		}
	}
	m := s.mapping()
	var requests []*infer.Request
	for len(requests) < s.most {
		req, err := b.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		requests = append(requests, req)
	}
	if len(requests) == 0 {
		return nil, nil, s.fail(fault.Invalid, "", "want at least one request, got none")
	}
	m.Requests = len(requests)
	if m.Requests == s.most {
		m.More = b.decoder.More()
	}
	return requests, m, nil
}

// bodies goes through the requests of one file.
type bodies struct {
	*source
	data    []byte
	decoder *json.Decoder
	array   bool
}

// next returns the next request, or io.EOF after the last.
func (b *bodies) next() (*infer.Request, error) {
	if b.array && !b.decoder.More() {
		// The bracket that ends the array, or what is wrong instead.
		if _, err := b.decoder.Token(); err != nil {
			return nil, b.syntax(err)
		}
		if end := b.decoder.InputOffset(); len(bytes.TrimSpace(b.data[end:])) > 0 {
			return nil, b.fail(fault.Invalid, b.line(end), "want nothing after the array, got more")
		}
		return nil, io.EOF
	}
	var body json.RawMessage
	if err := b.decoder.Decode(&body); errors.Is(err, io.EOF) && !b.array {
		return nil, io.EOF
	} else if err != nil {
		return nil, b.syntax(err)
	}
	req, err := codec.DecodeRequest(body, -1, nil)
	if err != nil {
		e := b.fail(fault.CodeOf(err), b.line(b.decoder.InputOffset()-int64(len(body))), "%w", err)
		if len(body) > 0 && body[0] != '{' {
			e.WithHint(`Each request is a protocol body: {"inputs": [{"name": …, "shape": …, "datatype": …, "data": …}]}.`)
		}
		return nil, e
	}
	return req, nil
}

func (b *bodies) syntax(err error) error {
	// io.EOF would be next's way to say that all is well.
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if b.size > b.limit {
			return b.fail(fault.TooLarge, "", "want the requests within the first %d bytes, got longer ones", b.limit)
		}
		return b.fail(fault.Invalid, b.line(int64(len(bytes.TrimRight(b.data, " \t\r\n")))), "want the rest of a JSON value, got the end of the file")
	}
	at := b.decoder.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	}
	return b.fail(fault.Invalid, b.line(at), "%w", err)
}

func (b *bodies) line(at int64) string {
	at = max(0, min(at, int64(len(b.data))))
	return fmt.Sprintf("line %d", 1+bytes.Count(b.data[:at], []byte("\n")))
}
