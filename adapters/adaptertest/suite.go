package adaptertest

import (
	"context"
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
	MaxBody       int  // bytes of a request that get through; 0: as many as the subject takes
}

// Start starts an adapter over a Subject of its own, and ends what is left of it
// with t.
type Start func(t *testing.T) Client

// Run runs every case.
func Run(t *testing.T, start Start, caps Caps) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why := c.unless(&caps); why != "" {
				t.Logf("left out: the platform has %s", why)
				return
			}
			c.run(t, start(t), &caps)
		})
	}
}

type testCase struct {
	name   string
	run    func(t *testing.T, c Client, caps *Caps)
	unless func(caps *Caps) string // why the platform cannot do this, or ""
}

var cases = []testCase{
	{"every type", everyType, always},
}

func always(*Caps) string { return "" }

// patience is more than any case takes.
const patience = time.Minute

// A gate is where a subject that was told to wait reports.
type gate struct {
	t  *testing.T
	ln net.Listener
}

func newGate(t *testing.T) *gate {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &gate{t, ln}
}

// address is the value of the parameter Gate.
func (g *gate) address() string { return g.ln.Addr().String() }

// begun waits until a subject has connected. Closing the connection lets it go
// on; reading from it gives the reason when its context ends first.
func (g *gate) begun() net.Conn {
	g.t.Helper()
	if err := g.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		g.t.Fatal(err)
	}
	c, err := g.ln.Accept()
	if err != nil {
		g.t.Fatalf("the subject has not begun: %v", err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}
