package httpserve

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// slowly gives its pieces one read after the other, and then fails with err.
type slowly struct {
	pieces []string
	err    error
}

func (s *slowly) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, s.err
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// How much a sniffer reads before it knows, and what of it the server behind it
// gets before its acknowledgement.
func TestHowFarSniffersLook(t *testing.T) {
	opts := (*Options)(nil).withDefaults()
	look := func(pieces ...string) (*conn, kind) {
		c := &conn{Conn: &fakeConn{Reader: &slowly{pieces: slices.Clone(pieces), err: io.EOF}}, onClose: func() {}}
		return c, sniff(c, &opts, true)
	}
	head := func(length int, kind, flags byte) string {
		return string([]byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags, 0, 0, 0, 1})
	}
	settings, window := "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	whole := string(open(grpcCall...)) // with settings and a window of its own
	call := whole[len(preface)+15+13:]
	for name, tt := range map[string]struct {
		pieces []string
		first  int // bytes that come before the acknowledgement; -1: it was not given
	}{
		"all at once":            {[]string{preface + settings + call}, -1},
		"settings, then a call":  {[]string{preface + settings, call}, len(preface) + 9},
		"and a window":           {[]string{preface + settings + window, call}, len(preface) + 9},
		"a window first":         {[]string{preface + window + settings, call}, len(preface) + 13 + 9},
		"no settings":            {[]string{preface, call}, -1},
		"half of them at a time": {[]string{preface + settings[:4], settings[4:], call}, len(preface) + 9},
	} {
		c, k := look(tt.pieces...)
		if k != toGRPC || (c.acked != nil) != (tt.first >= 0) || tt.first >= 0 && c.replay.first != tt.first || string(c.replay.pending) != strings.Join(tt.pieces, "") {
			t.Errorf("%s: given to %v, the first %d bytes, %v", name, k, c.replay.first, c.acked != nil)
		}
	}
	// The largest frame is looked at, and a larger one is not waited for.
	block := call[frameHeaderLen:]
	field := "\x00\x01a\x7f\x80\x01" + strings.Repeat("b", 255) // a: 255 times b
	for n, want := range map[int]kind{9000: toGRPC, maxFrame: toGRPC, maxFrame + 1: toHTTP} {
		rest := n - len(block)
		text := block + strings.Repeat(field, rest/len(field))
		for last := n - len(text); last > 0; last = n - len(text) { // fields without a value, of as many bytes as are left
			name := min(last-3, 100)
			if last-3-name > 0 && last-3-name < 4 {
				name -= 4
			}
			text += "\x00" + string(rune(name)) + strings.Repeat("n", name) + "\x00"
		}
		c, k := look(preface, head(n, frameHeaders, flagEndHeaders)+text)
		if k != want || len(text) != n || want == toHTTP && c.read.Load() > int64(len(preface)+4096) {
			t.Errorf("a frame of %d bytes: given to %v after %d bytes", n, k, c.read.Load())
		}
	}
	// A header without end is read up to what a header may have, and two frames.
	var pieces []string
	pieces = append(pieces, preface, head(0, frameHeaders, 0))
	for range 100 {
		pieces = append(pieces, head(4000-frameHeaderLen, frameContinuation, 0)+strings.Repeat("\x00", 4000-frameHeaderLen))
	}
	c, k := look(pieces...)
	if bound := int64(opts.MaxHeaderBytes + 2*maxFrame); k != toHTTP || c.read.Load() <= bound || c.read.Load() > bound+4000 {
		t.Errorf("a header without end: given to %v after %d bytes, want just over %d", k, c.read.Load(), bound)
	}
	// All of a header's names and values count.
	for more, want := range map[int]kind{0: toGRPC, 1: toHTTP} {
		var b bytes.Buffer
		enc := hpack.NewEncoder(&b)
		_ = enc.WriteField(hpack.HeaderField{Name: "content-type", Value: "application/grpc"})
		_ = enc.WriteField(hpack.HeaderField{Name: "ab", Value: strings.Repeat("c", 70+more)})
		if got := classify(b.Bytes(), len("content-typeapplication/grpcab")+70); got != want {
			t.Errorf("%d bytes more: given to %v", more, got)
		}
	}
	if k := classify([]byte{0x3f, 0xe1, 0x5f}, 1000); k != toHTTP { // a table larger than was said
		t.Errorf("a large table: given to %v", k)
	}
}
