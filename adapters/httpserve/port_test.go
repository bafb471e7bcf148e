package httpserve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/runtime/fault"
)

func modeOf(mixed bool) *httpserve.Options { return &httpserve.Options{Mixed: mixed} }

// One port answers HTTP/1.1, HTTP/2 and gRPC alike, many at once.
func TestOnePort(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		s := start(t, nil, modeOf(mixed), nil)
		one, two, c := h1(t), h2(t), s.grpc()
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 25 {
					v := float32(g*100 + i)
					for _, client := range []*http.Client{one, two} {
						status, body, err := s.post(client, "flat", flatBody(v))
						if err != nil || status != 200 || !strings.Contains(body, `"data":[`+strings.TrimSuffix(strings.SplitAfter(flatBody(v), `"data":[`)[1], `]}]}`)+`]`) {
							t.Errorf("%g: %d %v %s", v, status, err, body)
						}
					}
					got, err := c.ModelInfer(t.Context(), flatRequest(v))
					if err != nil || got.Outputs[0].Contents.Fp32Contents[0] != v {
						t.Errorf("%g: %v %v", v, got, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestNoGRPC(t *testing.T) {
	s := start(t, nil, &httpserve.Options{NoGRPC: true}, nil)
	if status, _, err := s.post(h2(t), "flat", flatBody(1)); err != nil || status != 200 {
		t.Errorf("HTTP/2: %d %v", status, err)
	}
	if _, err := s.grpc().ServerLive(t.Context(), &oippb.ServerLiveRequest{}); err == nil {
		t.Error("a gRPC call was answered")
	}
}

// frame is a gRPC message as a request body has it.
func frame(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

// call makes a gRPC call with an HTTP client, as a proxy would pass it on.
func (s *running) call(t *testing.T, c *http.Client, method string, m proto.Message, header ...string) (grpcStatus string, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.url("/inference.GRPCInferenceService/"+method), bytes.NewReader(frame(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc+proto")
	r.Header.Set("Te", "trailers")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	grpcStatus = resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
	if len(body) >= 5 {
		answer = body[5:]
	}
	return grpcStatus, answer
}

// A proxy may put gRPC calls and other requests on one connection, whichever
// comes first.
func TestMixedTrafficOnOneConnection(t *testing.T) {
	tests := []struct {
		name      string
		opts      *httpserve.Options
		grpcFirst bool
		header    []string
	}{
		{"REST first", nil, false, nil},
		{"gRPC first, through a proxy", nil, true, []string{"X-Forwarded-For", "192.0.2.7"}},
		{"gRPC first, through Envoy", nil, true, []string{"X-Envoy-Expected-Rq-Timeout-Ms", "15000"}},
		{"gRPC first, said to be mixed", modeOf(true), true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, nil, tt.opts, nil)
			c := h2(t)
			rest := func() {
				t.Helper()
				if status, body, err := s.post(c, "flat", flatBody(7)); err != nil || status != 200 {
					t.Errorf("REST: %d %v %s", status, err, body)
				}
			}
			calls := func() {
				t.Helper()
				st, answer := s.call(t, c, "ModelInfer", flatRequest(7), tt.header...)
				var got oippb.ModelInferResponse
				if err := proto.Unmarshal(answer, &got); err != nil || st != "0" || got.Outputs[0].Contents.Fp32Contents[0] != 7 {
					t.Errorf("gRPC: status %q %v %v", st, err, &got)
				}
			}
			if !tt.grpcFirst {
				rest()
			}
			for range 3 {
				calls()
				rest()
			}
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(rest)
				wg.Go(calls)
			}
			wg.Wait()
		})
	}
}

// wireClient speaks HTTP/2 by hand.
type wireClient struct {
	t      *testing.T
	conn   *net.TCPConn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
}

func (s *running) wire(t *testing.T) *wireClient {
	t.Helper()
	w := s.frames(t)
	if _, err := io.WriteString(w.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w.must(w.framer.WriteSettings())
	return w
}

// frames is a connection on which nothing has been sent.
func (s *running) frames(t *testing.T) *wireClient {
	t.Helper()
	c := s.tcp()
	w := &wireClient{t: t, conn: c, framer: http2.NewFramer(c, c)}
	w.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	w.enc = hpack.NewEncoder(&w.block)
	return w
}

func (w *wireClient) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *wireClient) headers(fields ...string) []byte {
	w.block.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		w.must(w.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(w.block.Bytes())
}

// next is the next frame that is neither WINDOW_UPDATE nor PING; SETTINGS are
// acknowledged and returned.
func (w *wireClient) next() http2.Frame {
	w.t.Helper()
	for {
		f, err := w.framer.ReadFrame()
		w.must(err)
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			w.must(w.framer.WriteSettingsAck())
			return f
		case *http2.WindowUpdateFrame, *http2.PingFrame:
			continue
		}
		return f
	}
}

// status reads until the stream's headers came, acknowledging every SETTINGS.
func (w *wireClient) status(stream uint32) string {
	w.t.Helper()
	for {
		switch f := w.next().(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return f.PseudoValue("status")
			}
		case *http2.GoAwayFrame:
			w.t.Fatalf("GOAWAY %v %s", f.ErrCode, f.DebugData())
		case *http2.RSTStreamFrame:
			w.t.Fatalf("RST_STREAM %v", f.ErrCode)
		}
	}
}

// Clients may wait for the server's SETTINGS and its acknowledgement of theirs
// before they send a request, and acknowledge all of them: the first of them
// must not confuse who serves.
func TestClientsThatWaitForSettings(t *testing.T) {
	s := start(t, nil, nil, nil)
	get := []string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/v2/health/live"}
	live := []string{":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/inference.GRPCInferenceService/ServerLive", "content-type", "application/grpc", "te", "trailers"}
	tests := []struct {
		name   string
		fields []string
		body   []byte
	}{
		{"REST", get, nil},
		{"gRPC", live, []byte{0, 0, 0, 0, 0}},
	}
	for _, tt := range tests {
		for _, wait := range []bool{true, false} {
			for _, split := range []bool{true, false} {
				w := s.wire(t)
				if wait {
					var got []http2.FrameType
					for range 3 {
						f, err := w.framer.ReadFrame()
						w.must(err)
						got = append(got, f.Header().Type)
					}
					if diff := cmp.Diff([]http2.FrameType{http2.FrameSettings, http2.FrameWindowUpdate, http2.FrameSettings}, got); diff != "" {
						t.Fatalf("%s: frames before a request (-want +got):\n%s", tt.name, diff)
					}
					w.must(w.framer.WriteSettingsAck())
				}
				for i := range 3 { // the acknowledgements come between requests
					id := uint32(2*i + 1)
					block := w.headers(tt.fields...)
					n := len(block)
					if split {
						n /= 2
					}
					w.must(w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndHeaders: !split, EndStream: tt.body == nil, PadLength: 3, Priority: http2.PriorityParam{Weight: 7}}))
					if split {
						w.must(w.framer.WriteContinuation(id, true, block[n:]))
					}
					if tt.body != nil {
						w.must(w.framer.WriteData(id, true, tt.body))
					}
					if got := w.status(id); got != "200" {
						t.Errorf("%s, waits %v, split %v: status %s", tt.name, wait, split, got)
					}
				}
			}
		}
	}
}

// The sniffer declares what both servers declare: a client that is told so
// before its first request is not told otherwise after it.
func TestOneSettingsForBothServers(t *testing.T) {
	s := start(t, nil, &httpserve.Options{MaxStreams: 7, MaxHeaderBytes: 20 << 10}, nil)
	type values map[http2.SettingID]uint32
	declared := func(w *wireClient) values {
		got := values{}
		f, ok := w.next().(*http2.SettingsFrame)
		if !ok {
			t.Fatalf("%v, want SETTINGS", f)
		}
		w.must(f.ForeachSetting(func(s http2.Setting) error { got[s.ID] = s.Val; return nil }))
		return got
	}
	// The connection's window follows, and comes once.
	window := func(w *wireClient) uint32 {
		for {
			f, err := w.framer.ReadFrame()
			w.must(err)
			switch f := f.(type) {
			case *http2.WindowUpdateFrame:
				return f.Increment
			case *http2.SettingsFrame: // the acknowledgement of ours, before or after
			default:
				t.Fatalf("%v, want WINDOW_UPDATE", f)
			}
		}
	}
	early := s.wire(t)
	sniffed, sniffedWindow := declared(early), window(early)
	for _, contentType := range []string{"application/json", "application/grpc"} {
		w := s.frames(t)
		var first bytes.Buffer // in one write, so that the sniffer has nothing to wait for
		first.WriteString(http2.ClientPreface)
		f := http2.NewFramer(&first, nil)
		w.must(f.WriteSettings())
		w.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true,
			BlockFragment: w.headers(":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/x/Y", "content-type", contentType)}))
		if _, err := w.conn.Write(first.Bytes()); err != nil {
			t.Fatal(err)
		}
		got := declared(w)
		if by := window(w); by != sniffedWindow {
			t.Errorf("%s: the connection's window grows by %d, the sniffer says %d", contentType, by, sniffedWindow)
		}
		for id, v := range sniffed {
			slack := uint32(0)
			if id == http2.SettingMaxHeaderListSize {
				slack = 320 // net/http's, for the overhead of ten fields
			}
			if got[id] < v || got[id] > v+slack {
				t.Errorf("%s: %v = %d, the sniffer declares %d", contentType, id, got[id], v)
			}
		}
	}
}

func TestMetricsListener(t *testing.T) {
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	s := start(t, nil, &httpserve.Options{MetricsListener: ln, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "the metrics")
	})}, nil)
	resp, err := h1(t).Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "the metrics" {
		t.Errorf("%q %v", body, err)
	}
	if status, _ := s.get(h1(t), "/metrics"); status != 404 {
		t.Errorf("metrics on the main port: %d, want 404", status)
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ address, text, hint string }{
		{taken.Addr().String(), "is taken", "choose another port"},
		{"127.0.0.1", "missing port", "127.0.0.1:8080"},
		{"127.0.0.1:", `want a port from 0 to 65535, got ""`, ""},
		{"127.0.0.1:http", `got "http"`, ""},
		{"127.0.0.1:-1", `got "-1"`, ""},
		{":65536", `got "65536"`, ":8080"},
		{"::1:8080", "too many colons", "[::1]:8080"},
		{"[::1:8080", "missing ']'", "[::1]:8080"},
		{"192.0.2.1:0", `no address "192.0.2.1"`, "of this machine"},
		{"[2001:db8::1]:0", `no address "2001:db8::1"`, "of this machine"},
		{"", "missing port", ""},
	} {
		ln, err := httpserve.Listen(t.Context(), tt.address)
		if err == nil {
			_ = ln.Close()
			t.Errorf("%q: no error", tt.address)
			continue
		}
		if fault.CodeOf(err) != fault.Usage || fault.CodeOf(err).Exit() != 2 || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.HintOf(err), tt.hint) || fault.HintOf(err) == "" {
			t.Errorf("%q: %v (hint %q), want %s", tt.address, err, fault.HintOf(err), tt.text)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := httpserve.Listen(ended, "127.0.0.1:0"); err != nil && fault.CodeOf(err) != fault.Canceled {
		t.Errorf("ended context: %v", err)
	}
}
