package httpserve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestFramesAreCounted cuts a stream into reads of every size: frames are
// found all the same, and a caller within the rate is never refused.
func TestFramesAreCounted(t *testing.T) {
	reset := []byte{0, 0, 4, frameReset, 0, 0, 0, 0, 1, 0, 0, 0, 8}
	data := append([]byte{0, 0, 13, 0, 0, 0, 0, 0, 1}, reset...) // looks like a reset inside
	ack := []byte{0, 0, 0, frameSettings, flagAck, 0, 0, 0, 0}
	for _, size := range []int{1, 5, 9, 1000} {
		for _, tt := range []struct {
			name string
			n    int
			unit []byte
			want bool // refused
		}{
			{"resets", idleFrames + 100, reset, true},
			{"resets within the burst", idleFrames - 1, reset, false},
			{"data", 3 * idleFrames, data, false},
			{"acknowledgements", 3 * idleFrames, ack, false},
		} {
			f := newFrames()
			stream := []byte(preface + strings.Repeat(string(tt.unit), tt.n))
			refused := false
			for r := bytes.NewReader(stream); r.Len() > 0 && !refused; {
				p := make([]byte, size)
				n, _ := r.Read(p)
				refused = f.read(p[:n]) != nil
			}
			if refused != tt.want {
				t.Errorf("%s in reads of %d: refused %v", tt.name, size, refused)
			}
		}
	}
}

// FuzzLines holds what lines finds against the header as it was sent: nothing
// that has both ways to tell a body's end, or a folded line, gets through.
func FuzzLines(f *testing.F) {
	f.Add("X-A: b\r\n", "Content-Length: 5\r\n", "hello", uint8(7))
	f.Add("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", uint8(1))
	f.Add("X-A: b\r\n c\r\n", "", "", uint8(200))
	f.Fuzz(func(t *testing.T, one, two, body string, size uint8) {
		header := "POST /x HTTP/1.1\r\nHost: x\r\n" + one + two + "\r\n"
		l := &lines{}
		text := header + body
		r := bufio.NewReader(readerFunc(func(p []byte) (int, error) {
			n := copy(p[:min(len(p), int(size)+1)], text)
			if n == 0 {
				return 0, io.EOF
			}
			l.read(p[:n])
			text = text[n:]
			return n, nil
		}))
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		got := l.check(req)
		head, _, _ := strings.Cut(strings.ReplaceAll(header, "\r\n", "\n"), "\n\n")
		both := strings.Contains(strings.ToLower(head), "\ncontent-length:") && strings.Contains(strings.ToLower(head), "\ntransfer-encoding:")
		folded := strings.Contains(head, "\n ") || strings.Contains(head, "\n\t")
		if (both || folded) && got == nil {
			t.Errorf("accepted %q", header)
		}
		if got != nil && !folded && strings.Count(head, ":") < 2+strings.Count(head, "\n")/100 {
			t.Errorf("refused %q: %v", header, got)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// BenchmarkLines is what it costs to look at a request's header a second time.
func BenchmarkLines(b *testing.B) {
	header := "POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	text := []byte(header + strings.Repeat(" ", 100))
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		b.Fatal(err)
	}
	l := &lines{}
	b.ReportAllocs()
	for b.Loop() {
		l.read(text)
		if err := l.check(req); err != nil {
			b.Fatal(err)
		}
	}
	if len(l.buf) != 0 {
		b.Error(fmt.Sprint(len(l.buf), " bytes are kept"))
	}
}
