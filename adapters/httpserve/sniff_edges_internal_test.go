package httpserve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"godwit.dev/runtime/fault"
)

// Which frames may come before a request, once or always, and which may not.
func TestUsualFrames(t *testing.T) {
	word := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	of := func(kind, flags byte, stream uint32, payload []byte) (frameHeader, []byte) {
		return frameHeader{length: len(payload), kind: kind, flags: flags, stream: stream}, payload
	}
	for name, tt := range map[string]struct {
		kind, flags byte
		stream      uint32
		payload     []byte
		once, twice bool
	}{
		"settings":                  {frameSettings, 0, 0, make([]byte, 12), true, false},
		"no settings":               {frameSettings, 0, 0, nil, true, false},
		"half a setting":            {frameSettings, 0, 0, make([]byte, 7), false, false},
		"settings of a stream":      {frameSettings, 0, 1, nil, false, false},
		"an acknowledgement":        {frameSettings, flagAck, 0, nil, true, true},
		"one of a stream":           {frameSettings, flagAck, 1, nil, false, false},
		"one with settings":         {frameSettings, flagAck, 0, make([]byte, 6), false, false},
		"a window":                  {frameWindowUpdate, 0, 0, word(1), true, false},
		"a window of nothing":       {frameWindowUpdate, 0, 0, word(0), false, false},
		"the largest window":        {frameWindowUpdate, 0, 0, word(1<<31 - 1 - 65535), true, false},
		"a window too large":        {frameWindowUpdate, 0, 0, word(1<<31 - 65535), false, false},
		"a window with a spare bit": {frameWindowUpdate, 0, 0, word(1<<31 | 5), true, false},
		"a stream's window":         {frameWindowUpdate, 0, 1, word(1), false, false},
		"a window of three bytes":   {frameWindowUpdate, 0, 0, word(1)[:3], false, false},
		"a priority":                {framePriority, 0, 3, append(word(0), 9), true, true},
		"a priority of nothing":     {framePriority, 0, 0, append(word(1), 9), false, false},
		"a priority of itself":      {framePriority, 0, 3, append(word(3), 9), false, false},
		"of itself, and alone":      {framePriority, 0, 3, append(word(1<<31|3), 9), false, false},
		"a priority of four bytes":  {framePriority, 0, 3, word(0), false, false},
		"a ping":                    {6, 0, 0, make([]byte, 8), false, false},
		"a continuation of nothing": {frameContinuation, 0, 1, nil, false, false},
		"data":                      {0, 0, 1, nil, false, false},
		"a kind that nobody knows":  {200, 0, 0, nil, false, false},
		"a goodbye":                 {frameGoAway, 0, 0, make([]byte, 8), false, false},
		"a reset":                   {frameReset, 0, 1, word(0), false, false},
	} {
		s := &sniffer{opts: &Options{}}
		h, payload := of(tt.kind, tt.flags, tt.stream, tt.payload)
		if got := s.usual(h, payload); got != tt.once {
			t.Errorf("%s: %v, want %v", name, got, tt.once)
		}
		if got := s.usual(h, payload); got != tt.twice {
			t.Errorf("%s, again: %v, want %v", name, got, tt.twice)
		}
		s = &sniffer{opts: &Options{MaxHeaderBytes: 1000}}
		want := toHTTP
		if tt.once {
			want = nobody
		}
		if got := s.frame(h, payload); got != want {
			t.Errorf("%s: given to %v, want %v", name, got, want)
		}
	}
	for _, tt := range []struct {
		flags   byte
		payload string
		want    string
		ok      bool
	}{
		{0, "abc", "abc", true}, {0, "", "", true}, {flagPadded, "\x00abc", "abc", true}, {flagPadded, "\x02abc", "a", true}, {flagPadded, "\x03abc", "", true},
		{flagPadded, "\x04abc", "", false}, {flagPadded, "", "", false}, {flagPadded, "\x00", "", true}, {flagPriority, "12345abc", "abc", true}, {flagPriority, "12345", "", true},
		{flagPriority, "1234", "", false}, {flagPadded | flagPriority, "\x0112345ab", "a", true}, {flagPadded | flagPriority, "\x0112345", "", false},
	} {
		if got, ok := unpad(frameHeader{flags: tt.flags}, []byte(tt.payload)); ok != tt.ok || string(got) != tt.want {
			t.Errorf("flags %x, %q: %q, %v; want %q, %v", tt.flags, tt.payload, got, ok, tt.want, tt.ok)
		}
	}
	block := func(fields ...string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for i := 0; i < len(fields); i += 2 {
			_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return b.Bytes()
	}
	grpc := []string{":method", "POST", "content-type", "application/grpc"}
	for name, tt := range map[string]struct {
		block []byte
		want  kind
	}{
		"gRPC": {block(grpc...), toGRPC}, "JSON": {block("content-type", "application/json"), toHTTP}, "no type": {block(":method", "GET"), toHTTP},
		"forwarded": {block(append([]string{"forwarded", "x"}, grpc...)...), toHTTP}, "via": {block(append(grpc, "via", "x")...), toHTTP},
		"for": {block(append(grpc, "x-forwarded-for", "x")...), toHTTP}, "proto": {block(append(grpc, "x-forwarded-proto", "x")...), toHTTP},
		"cloud": {block(append(grpc, "x-cloud-trace-context", "x")...), toHTTP}, "envoy": {block(append(grpc, "x-envoy-anything", "x")...), toHTTP},
		"no proxy": {block(append(grpc, "x-envo", "x", "vi", "y")...), toGRPC},
		"long":     {block(append(grpc, "a", strings.Repeat("b", 950))...), toHTTP}, "nearly long": {block(append(grpc, "a", strings.Repeat("b", 900))...), toGRPC},
		"cut": {block(grpc...)[:10], toHTTP}, "nothing": {nil, toHTTP}, "no block": {[]byte{0xff, 0xff, 0xff, 0xff, 0xff}, toHTTP},
	} {
		if got := classify(tt.block, 1000-len(":methodPOSTcontent-typeapplication/grpc")+3); got != tt.want {
			t.Errorf("%s: given to %v, want %v", name, got, tt.want)
		}
		// The same in a header and what goes on from it.
		s := &sniffer{opts: &Options{MaxHeaderBytes: 1000 - len(":methodPOSTcontent-typeapplication/grpc") + 3}}
		half := len(tt.block) / 2
		if got := s.frame(frameHeader{kind: frameHeaders, stream: 1}, tt.block[:half]); got != nobody {
			t.Errorf("%s, half of it: given to %v", name, got)
		}
		if got := s.frame(frameHeader{kind: frameContinuation, stream: 1, flags: flagEndHeaders}, tt.block[half:]); got != tt.want {
			t.Errorf("%s, in two parts: given to %v, want %v", name, got, tt.want)
		}
		s = &sniffer{opts: &Options{}, inHeaderBlock: true}
		if got := s.frame(frameHeader{kind: frameSettings}, nil); got != toHTTP {
			t.Errorf("settings in a header: given to %v", got)
		}
	}
	if h := readFrameHeader([]byte{1, 2, 3, 4, 5, 0x80, 0, 0, 7}); h != (frameHeader{length: 0x010203, kind: 4, flags: 5, stream: 7}) {
		t.Errorf("got %+v", h)
	}
	frames := settingsFrames(&Options{MaxStreams: 100, MaxHeaderBytes: 1 << 16})
	want := []byte{0, 0, 24, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 4, 0, 16, 0, 0, 0, 5, 0, 0, 64, 0, 0, 6, 0, 1, 0, 0, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 63, 0, 1}
	if !bytes.Equal(frames, want) {
		t.Errorf("settings are\n%v, want\n%v", frames, want)
	}
}

// A sniffer waits for as long as what it waits for may take.
func TestWhatASnifferWaitsFor(t *testing.T) {
	opts := &Options{HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	begun := time.Now().Add(-time.Second)
	s := &sniffer{opts: opts, begun: begun}
	if s.waiting(true); s.partial.IsZero() {
		t.Error("a part is there since never")
	}
	was := s.partial
	if s.waiting(true); s.partial != was {
		t.Error("a part that waits begins again")
	}
	if s.waiting(false); !s.partial.IsZero() {
		t.Error("a part is still there")
	}
	for name, tt := range map[string]struct {
		buf     string
		partial time.Time
		want    time.Time
	}{
		"nothing": {"", time.Time{}, begun.Add(5 * time.Second)}, "half a preface": {preface[:5], time.Time{}, begun.Add(5 * time.Second)},
		"between frames": {preface, time.Time{}, begun.Add(time.Minute)}, "in a frame": {preface, begun.Add(time.Hour), begun.Add(time.Hour + 5*time.Second)},
	} {
		wire := &recorder{Conn: readOnly{strings.NewReader("x")}}
		s := &sniffer{c: &conn{Conn: wire}, opts: opts, begun: begun, buf: []byte(tt.buf), partial: tt.partial}
		if err := s.more(); err != nil || string(s.buf) != tt.buf+"x" || len(wire.read) != 1 || !wire.read[0].Equal(tt.want) {
			t.Errorf("%s: %v, %q, until %v; want %v", name, err, s.buf, wire.read, tt.want)
		}
		if err := s.more(); err == nil {
			t.Errorf("%s: more than all", name)
		}
	}
}

// What a server ends with is coded, and being closed is no failure.
func TestHowServersEnd(t *testing.T) {
	own := fault.New(fault.Invalid, "", "", "own")
	for _, tt := range []struct {
		err  error
		want fault.Code
	}{{nil, fault.OK}, {http.ErrServerClosed, fault.OK}, {errors.New("x"), fault.Internal}, {own, fault.Invalid}} {
		s := &server{failed: make(chan error, 1)}
		s.run(func() error { return tt.err })
		s.running.Wait()
		select {
		case err := <-s.failed:
			if fault.CodeOf(err) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%v: %v, want %v", tt.err, err, tt.want)
			}
		default:
			if tt.want != fault.OK {
				t.Errorf("%v: nothing, want %v", tt.err, tt.want)
			}
		}
	}
}

// Each version is a service of its own.
func TestVersionsOfReflection(t *testing.T) {
	for _, version := range []string{"v1", "v1alpha"} {
		d := reflectionDesc(version)
		if d.ServiceName != "grpc.reflection."+version+".ServerReflection" || d.Metadata != "grpc/reflection/"+version+"/reflection.proto" || len(d.Streams) != 1 || d.Streams[0].StreamName != "ServerReflectionInfo" || !d.Streams[0].ServerStreams || !d.Streams[0].ClientStreams {
			t.Errorf("%s: %+v", version, d)
		}
	}
}

// What reflection cannot answer says so.
func TestQuestionsOfReflection(t *testing.T) {
	ask := func(in *reflectpb.ServerReflectionRequest) (*reflectpb.ServerReflectionResponse, codes.Code) {
		out := &reflectpb.ServerReflectionResponse{}
		return out, status.Code(describe(in, out))
	}
	for name, tt := range map[string]struct {
		in   *reflectpb.ServerReflectionRequest
		want codes.Code
	}{
		"nothing":       {&reflectpb.ServerReflectionRequest{}, codes.InvalidArgument},
		"a symbol":      {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "inference.GRPCInferenceService"}}, codes.OK},
		"no symbol":     {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "x.Y"}}, codes.NotFound},
		"no file":       {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileByFilename{FileByFilename: "x.proto"}}, codes.NotFound},
		"an extension":  {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_FileContainingExtension{FileContainingExtension: &reflectpb.ExtensionRequest{}}}, codes.NotFound},
		"extensions":    {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: "inference.ModelInferRequest"}}, codes.OK},
		"no type":       {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: "x.Y"}}, codes.NotFound},
		"what there is": {&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}, codes.OK},
	} {
		if name == "nothing" {
			err := describe(tt.in, &reflectpb.ServerReflectionResponse{})
			if text := status.Convert(err).Message(); text != "want a question of reflection, got a message without any" {
				t.Errorf("told %q", text)
			}
		}
		if out, got := ask(tt.in); got != tt.want || (out.MessageResponse != nil) != (tt.want == codes.OK) {
			t.Errorf("%s: %v, %v, want %v", name, got, out, tt.want)
		}
	}
}
