package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // deflate is httpserve's
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "godwit.dev/adapters/httpserve/oippb" // registers the messages
)

// call is what is compared of one gRPC call.
type call struct {
	Path     string
	Headers  map[string]string // the answer's, trailers included
	Messages []any
}

// stream is one call while its frames arrive.
type stream struct {
	headers map[string]string
	data    []byte
	ended   bool
}

// side follows one direction of a connection.
type side struct {
	framer  *http2.Framer
	streams map[uint32]*stream
	order   []uint32
}

// The client's frames are sent again as they are, so they are only measured.
const preface = http2.ClientPreface

func newSide(w io.Writer, r io.Reader) *side {
	s := &side{framer: http2.NewFramer(w, r), streams: map[uint32]*stream{}}
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.framer.SetMaxReadFrameSize(1 << 24)
	return s
}

// read takes one frame. ended is the stream that it ends, or 0.
func (s *side) read() (ended uint32, err error) {
	f, err := s.framer.ReadFrame()
	if err != nil {
		return 0, err
	}
	id := f.Header().StreamID
	if id == 0 {
		if g, ok := f.(*http2.GoAwayFrame); ok && g.ErrCode != http2.ErrCodeNo {
			return 0, errors.New("GOAWAY " + g.ErrCode.String() + " " + string(g.DebugData()))
		}
		return 0, nil
	}
	if s.streams[id] == nil {
		s.streams[id] = &stream{headers: map[string]string{}}
		s.order = append(s.order, id)
	}
	st := s.streams[id]
	end := false
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		for _, h := range f.Fields {
			st.headers[h.Name] = h.Value
		}
		end = f.StreamEnded()
	case *http2.DataFrame:
		st.data = append(st.data, f.Data()...)
		end = f.StreamEnded()
	case *http2.RSTStreamFrame:
		// A server that has answered before it saw the request's end may say so
		// (RFC 9113, 8.1); the answer is whole all the same.
		if !st.ended || f.ErrCode != http2.ErrCodeNo {
			return 0, fmt.Errorf("RST_STREAM %v of stream %d", f.ErrCode, id)
		}
	}
	if end {
		st.ended, ended = true, id
	}
	return ended, nil
}

// until reads frames up to the end of a stream, or of the bytes.
func (s *side) until(t *testing.T, whose string, id uint32) {
	t.Helper()
	for s.streams[id] == nil || !s.streams[id].ended {
		if _, err := s.read(); err != nil {
			t.Fatalf("%s: stream %d: %v", whose, id, err)
		}
	}
}

// replayGRPC sends the client's frames up to the end of a request, waits for
// the answer, and goes on: so that the answers to the client's pings come in
// between as they did then.
func replayGRPC(t *testing.T, conn net.Conn, talk talk) (n int) {
	if !bytes.HasPrefix(talk.client, []byte(preface)) {
		t.Fatalf("the recording begins with %q", talk.client[:min(len(talk.client), len(preface))])
	}
	frames := bytes.NewReader(talk.client[len(preface):])
	client := newSide(io.Discard, frames)
	then, live := newSide(io.Discard, bytes.NewReader(talk.server)), newSide(conn, conn)
	for sent := 0; frames.Len() > 0; {
		ended, err := client.read()
		if err != nil {
			t.Fatalf("the recording's client: %v", err)
		}
		if ended == 0 && frames.Len() > 0 {
			continue
		}
		to := len(talk.client) - frames.Len()
		if _, err := conn.Write(talk.client[sent:to]); err != nil {
			t.Fatal(err)
		}
		sent = to
		if ended == 0 {
			break
		}
		path := client.streams[ended].headers[":path"]
		then.until(t, "the recording", ended)
		live.until(t, "the server", ended)
		want, got := finished(t, path, then.streams[ended]), finished(t, path, live.streams[ended])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-recorded +got)\n%s\n%s", path, diff, again)
		}
		n++
	}
	return n
}

func finished(t *testing.T, path string, s *stream) (c call) {
	t.Helper()
	c = call{Path: path, Headers: s.headers}
	for _, name := range []string{"traceparent", "x-request-id"} {
		if c.Headers[name] != "" {
			c.Headers[name] = "*"
		}
	}
	for data := s.data; len(data) > 0; {
		if len(data) < 5 || len(data)-5 < int(binary.BigEndian.Uint32(data[1:])) {
			t.Fatalf("%s: a message is cut short", path)
		}
		n := 5 + int(binary.BigEndian.Uint32(data[1:]))
		message := data[5:n]
		if data[0] == 1 {
			message = decompress(t, c.Headers["grpc-encoding"], message)
		}
		c.Messages, data = append(c.Messages, decodeProto(t, path, message)), data[n:]
	}
	return c
}

func decompress(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	c := encoding.GetCompressor(name)
	if c == nil {
		t.Fatalf("unknown grpc-encoding %q", name)
	}
	r, err := c.Decompress(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// decodeProto is the answer to the method at path, as JSON has it.
func decodeProto(t *testing.T, path string, b []byte) any {
	t.Helper()
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	typ, err := protoregistry.GlobalTypes.FindMessageByName(found.(protoreflect.MethodDescriptor).Output().FullName())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m := typ.New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("%s: the answer has fields that the protocol has not: %x", path, unknown)
	}
	text, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(m)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return decode(t, text)
}
