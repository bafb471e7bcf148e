package adaptertest

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// A Client calls the adapter under test in its platform's own wire format, as
// internal/emulate's instances do. Calls may be concurrent.
type Client interface {
	// RoundTrip carries a request for one of the protocol's paths through the
	// platform's wire format and the answer back. What the platform itself
	// refuses is an answer too; an error is the harness's own.
	http.RoundTripper
	// Call asks for one inference, in JSON or with binary tensors. The error is
	// the harness's own; what the adapter refuses has a code.
	Call(ctx context.Context, req *infer.Request, binary bool) (*infer.Response, fault.Code, error)
	// Raw sends bytes that need not be a request, as the body of one for model.
	Raw(ctx context.Context, model string, header http.Header, body []byte) (fault.Code, error)
	// Stop ends the adapter as its platform does. The error says what of it was
	// cut off.
	Stop(ctx context.Context) error
}

// Caps is what a platform cannot do; each skips named cases, and says why.
type Caps struct {
	NoBinary      bool // no body but text gets through
	NoConcurrency bool // one request at a time
	NoHangup      bool // callers who leave are not noticed
	NoDeadline    bool // requests have no limit that a test can wait for
	NoDrain       bool // a stop is a kill
	NoHeaders     bool // headers are lost, of requests or of answers
	NoRoutes      bool // only inference requests get through
	NoTypes       bool // requests say neither their tensors' types nor which outputs they want
	CleansPaths   bool // the platform redirects paths with "..", "." or nothing between slashes itself
	MaxBody       int  // bytes of a request that get through; 0: as many as the subject takes
}

// Start starts an adapter over a Subject of its own, made with New(how), and
// ends what is left of it with t.
type Start func(t *testing.T, how *Setup) Client

// Run runs every case.
func Run(t *testing.T, start Start, caps Caps) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range c.needs {
				if why := n(&caps); why != "" {
					t.Logf("left out: the platform has %s", why)
					return
				}
			}
			c.run(t, start, &caps)
		})
	}
}

type testCase struct {
	name  string
	run   func(t *testing.T, start Start, caps *Caps)
	needs []need
}

// A need says why a platform cannot do something, or "".
type need func(caps *Caps) string

func unless(has func(*Caps) bool, why string) need {
	return func(caps *Caps) string {
		if has(caps) {
			return why
		}
		return ""
	}
}

var (
	concurrency = unless(func(c *Caps) bool { return c.NoConcurrency }, "one request at a time")
	hangup      = unless(func(c *Caps) bool { return c.NoHangup }, "callers who cannot be seen to leave")
	deadline    = unless(func(c *Caps) bool { return c.NoDeadline }, "no limit on a request that could be waited for")
	drain       = unless(func(c *Caps) bool { return c.NoDrain }, "a stop that is a kill")
	headers     = unless(func(c *Caps) bool { return c.NoHeaders }, "no headers")
	routes      = unless(func(c *Caps) bool { return c.NoRoutes }, "a route for inference only")
)

var cases = []testCase{
	{"every type", everyType, nil},
	{"empty and scalar tensors", shapes, nil},
	{"large tensors", largeTensors, nil},
	{"answers are those of the server itself", differential, nil},

	{"what is no request", malformed, nil},
	{"what contradicts the signature", contradictions, nil},
	{"names of models and versions", names, nil},
	{"too large", tooLarge, nil},

	{"failures of every code", failures, nil},
	{"a panic fails alone", panics, nil},

	{"requests in turn share nothing", inTurn, nil},
	{"concurrent requests do not mix", concurrent, []need{concurrency}},
	{"request ids and traces", ids, []need{headers}},

	{"the platform's time runs out", timeout, []need{deadline}},
	{"the caller's time runs out", callersTimeout, nil},
	{"the caller leaves", leaves, []need{hangup}},

	{"readiness", readiness, []need{routes}},
	{"work in progress finishes", finishes, []need{drain, concurrency}},
	{"a stop without work", stops, []need{drain}},
}

// patience is more than any case takes.
const patience = 20 * time.Second

// A gate is where a subject that was told to wait reports.
type gate struct {
	t  testing.TB
	ln net.Listener
}

func newGate(t testing.TB) *gate {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &gate{t, ln}
}

// address is the value of the parameter Gate.
func (g *gate) address() string { return g.ln.Addr().String() }

// begun waits until a subject has connected, or until one of ends is closed,
// when it returns nil. Closing the connection lets the subject go on.
func (g *gate) begun(ended <-chan struct{}) net.Conn {
	g.t.Helper()
	ln := g.ln.(*net.TCPListener)
	if err := ln.SetDeadline(time.Now().Add(patience)); err != nil {
		g.t.Fatal(err)
	}
	accepted := make(chan struct{})
	defer close(accepted)
	go func() {
		select {
		case <-ended:
			_ = ln.SetDeadline(time.Now())
		case <-accepted:
		}
	}()
	c, err := ln.Accept()
	if err != nil {
		select {
		case <-ended:
			return nil
		default:
			g.t.Fatalf("the subject has not begun: %v", err)
		}
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// reason waits until the context of the subject behind c has ended, and is what
// the subject says of that.
func reason(t testing.TB, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("the subject's context has not ended: %v", err)
	}
	return string(text)
}

// alive asks for something simple, and fails the test if the answer is wrong.
func alive(t *testing.T, c Client) {
	t.Helper()
	if err := ask(t.Context(), c, "BYTES", false, ""); err != nil {
		t.Fatalf("the next request: %v", err)
	}
}
