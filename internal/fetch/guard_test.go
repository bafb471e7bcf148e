package fetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"godwit.dev/runtime/fault"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "172.15.255.255": true, "172.32.0.0": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true,
		"2606:4700::1111": true, "2a00:1450:4001::1": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		"127.0.0.1": false, "127.255.255.255": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false,
		"169.254.169.254": false, "169.254.170.2": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"192.0.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0:7f00:1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::808:808": false, "100::1": false, "2001::1": false, "2001:db8::1": false,
		"2002:7f00:1::": false, "3fff::1": false, "5f00::1": false, "fc00::1": false, "fd00:ec2::254": false, "fd12:3456::1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: want %v, got %v", text, want, got)
		}
	}
}

func TestGuardLists(t *testing.T) {
	for _, c := range []struct{ list, host, port, address, want string }{
		{"", "example.com", "443", "93.184.216.34", ""},
		{"", "example.com", "443", "10.0.0.1", "want a public address"},
		{"store.internal", "store.internal", "443", "10.0.0.1", ""},
		{" Store.Internal , x", "STORE.internal", "443", "10.0.0.1", ""},
		{"store.internal", "other.internal", "443", "10.0.0.1", "want a public address"},
		{"store.internal:9000", "store.internal", "9000", "10.0.0.1", ""},
		{"store.internal:9000", "store.internal", "9001", "10.0.0.1", "want a public address"},
		{"store.internal", "store.internal", "443", "169.254.169.254", "want a public address"}, // a name that was allowed and turned
		{"store.internal", "store.internal", "443", "fd00:ec2::254", "want a public address"},
		{"store.internal", "store.internal", "443", "fe80::1", "want a public address"},
		{"10.1.0.0/16", "any", "443", "10.1.2.3", ""},
		{"10.1.0.0/16", "any", "443", "::ffff:10.1.2.3", ""},
		{"10.1.0.0/16", "any", "443", "10.2.0.1", "want a public address"},
		{"127.0.0.1", "localhost", "443", "127.0.0.1", ""},
		{"[::1]", "localhost", "443", "::1", ""},
		{"fd00::/8", "any", "443", "fd12::1", ""},
		{"https://store.internal/", "", "", "8.8.8.8", "want host names"},
		{"*.internal", "", "", "8.8.8.8", "want host names"},
		{"store:99999", "", "", "8.8.8.8", "want host names"},
		{"10.0.0.0/33", "", "", "8.8.8.8", "want host names"},
	} {
		g, err := newGuard(c.list)
		if err == nil {
			err = g.allow(c.host, c.port, netip.MustParseAddr(c.address))
		}
		if c.want == "" && err != nil || c.want != "" && (fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q %s %s: want %q, got %v", c.list, c.host, c.address, c.want, err)
		}
	}
}

// dns is a name server on loopback that answers as it is told.
func dns(t *testing.T, answer func(name string, n int) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-ended })
	go func() {
		defer close(ended)
		var n int
		buf := make([]byte, 512)
		for {
			k, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:k]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Header.Response, m.Header.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				a := answer(strings.TrimSuffix(q.Name.String(), "."), n)
				n++
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: a.As4()}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// Whatever a URL says, and whatever names mean by the time of the connection,
// nothing is sent to an address that is not public.
func TestForged(t *testing.T) {
	var reached atomic.Int32
	s := server(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	turning := dns(t, func(_ string, n int) netip.Addr { return netip.MustParseAddr("127.0.0.1") })
	for _, to := range []string{
		"https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/x", "https://127.0.0.1:PORT/x", "https://localhost:PORT/x",
		"https://LOCALHOST.:PORT/x", "https://[::1]:PORT/x", "https://[::ffff:127.0.0.1]:PORT/x", "https://[::ffff:7f00:1]:PORT/x", "https://[64:ff9b::7f00:1]:PORT/x",
		"https://0.0.0.0:PORT/x", "https://[::]:PORT/x",
		"https://2130706433:PORT/x", "https://0x7f000001:PORT/x", "https://0x7f.1:PORT/x", "https://127.1:PORT/x", "https://0177.0.0.1:PORT/x", "https://017700000001:PORT/x",
		"https://127.0.0.1.:PORT/x", "https://127.0.0.01:PORT/x", "https://[fe80::1%25lo]:PORT/x", "https://①②⑦.0.0.1:PORT/x", "https://10.0.0.1/x", "https://192.168.0.1/x",
		"https://turned.example:PORT/x", // its name server says 127.0.0.1
		"https://a@127.0.0.1:PORT/x", "https://example.com\\@127.0.0.1:PORT/x",
		"http://127.0.0.1:PORT/x", "http://example.com/x", "file:///etc/passwd", "gopher://127.0.0.1:PORT/x", "ftp://example.com/x", "//example.com/x", "example.com/x",
		"HTTPS:127.0.0.1/x", "unix:///run/x", "data:,x", "oci://127.0.0.1:PORT/a/b:1",
		"s3://127.0.0.1:PORT/x", "s3://a/../../x@127.0.0.1", "gs://127.0.0.1:80/x", "azblob://127.0.0.1/c/x", "azblob://evil.com#/c/x",
	} {
		f := New(&Options{Dirs: []string{t.TempDir()}, TLS: trust(s), Resolver: turning})
		f.wait = func(context.Context, time.Duration) error { t.Error("tried again"); return nil }
		_, err := f.Get(t.Context(), strings.ReplaceAll(to, "PORT", port), strings.Repeat("0", 64))
		if c := fault.CodeOf(err); c != fault.BadConfig && c != fault.Unsupported {
			t.Errorf("%s: want bad_config, got %v", to, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("want no request, got %d", n)
	}
}

// A name that was public a moment ago and is not when it is connected to, and a
// redirect to any address that a URL may not have, get nowhere.
func TestForgedLater(t *testing.T) {
	var reached atomic.Int32
	inner := server(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	for _, to := range []string{
		"https://localhost:PORT/x", "https://[::1]:PORT/x", "https://127.0.0.2:PORT/x", "https://169.254.169.254/x", "https://2130706433:PORT/x", "https://0x7f.1:PORT/x",
		"http://127.0.0.1:PORT/x", "file:///etc/passwd", "gopher://127.0.0.1:PORT/", "https://a:b@example.com/x", "/again", "https://turned.example:PORT/x",
	} {
		s := server(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.ReplaceAll(to, "PORT", port), http.StatusFound)
		})
		host := s.Listener.Addr().String()
		f := New(&Options{Dirs: []string{t.TempDir()}, TLS: trust(s, inner), Getenv: env(PrivateHosts, host),
			Resolver: dns(t, func(string, int) netip.Addr { return netip.MustParseAddr("127.0.0.1") })})
		f.wait = func(context.Context, time.Duration) error { t.Error("tried again"); return nil }
		_, err := f.Get(t.Context(), "https://"+host+"/m.onnx", strings.Repeat("0", 64))
		if fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s: want bad_config, got %v", to, err)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("want no request, got %d", n)
	}

	// The first connection of the name is let through and cut, the second finds it
	// turned.
	outer := server(t, func(w http.ResponseWriter, r *http.Request) { cut(w, bytesOf(1000), `"a"`, 500) })
	_, port, _ = net.SplitHostPort(outer.Listener.Addr().String())
	var asked atomic.Int32
	f := New(&Options{Dirs: []string{t.TempDir()}, TLS: trust(outer), Getenv: env(PrivateHosts, "127.0.0.1"),
		Resolver: dns(t, func(_ string, n int) netip.Addr {
			asked.Add(1)
			return netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + min(n, 1))})
		})})
	f.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	_, err := f.Get(t.Context(), fmt.Sprintf("https://rebound.example:%s/m", port), sumOfBytes(bytesOf(1000)))
	if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "127.0.0.2") || asked.Load() != 2 {
		t.Errorf("want the second address refused, got %v after %d lookups", err, asked.Load())
	}
}

// The environment's proxies are not asked.
func TestNoProxy(t *testing.T) {
	if f := New(nil); f.base.Proxy != nil {
		t.Error("want no proxy")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"https://example.com/m.onnx?X-Amz-Signature=1", "s3://bucket/a/b c.onnx", "gs://b.c/x", "azblob://acct/c/d/e", "oci://ghcr.io/a/b:1", "https://[::1]/x",
		"https://0x7f.1/", "https://a%2eb/x", "s3://a/%2e%2e/x", "https://ex\x00/", "https://é.com/x", "azblob://a/c/", "https://1.2.3.4.:5/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parse(text)
		if err != nil {
			if fault.CodeOf(err) != fault.BadConfig || strings.ContainsAny(fault.Of(err).Subject, "\r\n\x00") {
				t.Fatalf("%q: want bad_config on one line, got %v", text, err)
			}
			return
		}
		if at.User != nil || at.Fragment != "" || at.Host == "" || strings.Contains(at.shown, "?") || strings.ContainsAny(at.Path, "\r\n\x00") {
			t.Fatalf("%q: let through as %+v", text, at.URL)
		}
		// What is asked for is what was checked, and a host that any reader takes for
		// an address is one that ours takes for the same.
		again, err := url.Parse(at.String())
		if err != nil || again.Host != at.Host || again.Path != at.Path {
			t.Fatalf("%q: read again as %v (%v)", text, again, err)
		}
		if h := strings.TrimSuffix(at.Hostname(), "."); at.Scheme == "https" && strings.Trim(h, "0123456789.") == "" {
			if a, err := netip.ParseAddr(h); err != nil || a.String() != h {
				t.Fatalf("%q: the host %q is an address to some", text, h)
			}
		}
		f := New(nil)
		if st, err := f.store(at, strings.Repeat("0", 64)); err == nil {
			if req, err := st.request(context.Background()); err == nil && (req.URL.Scheme != "https" || checkHost(req.URL) != nil || at.Scheme == "https" && req.URL.Host != at.Host) {
				t.Fatalf("%q: asks for %v", text, req.URL)
			}
		}
	})
}
