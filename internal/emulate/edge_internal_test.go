package emulate

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
)

// service is a process that says what a test has it say.
type service struct {
	socket *net.UnixConn
	ended  chan os.Signal
}

func (s *service) Done() <-chan struct{} { return nil }
func (s *service) Err() error            { return nil }
func (s *service) PID() int              { return 0 }
func (s *service) Signal(sig os.Signal) error {
	s.ended <- sig
	return nil
}

func (s *service) say(t *testing.T, state string) {
	t.Helper()
	if _, err := s.socket.Write([]byte(state)); err != nil {
		t.Fatal(err)
	}
}

func TestSystemdGoesByWhatIsSaid(t *testing.T) {
	p, err := newEdge(&Options{}, "http1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	e := p.(*edge)
	e.watchdog = 50 * time.Millisecond
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: lookup(e.env(), "NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &service{conn, make(chan os.Signal, 9)}
	e.attach(s)
	s.say(t, "STATUS=loading")
	s.say(t, "WATCHDOG=1") // which makes nobody ready
	if fault.CodeOf(e.ready(ended(t))) == fault.OK {
		t.Error("ready before it said so")
	}
	s.say(t, "STATUS=done\nREADY=1")
	if err := e.ready(t.Context()); err != nil {
		t.Error(err)
	}
	s.say(t, "READY=1")               // once more
	if sig := <-s.ended; sig == nil { // no sign of life follows
		t.Error("want a signal")
	}
	s.say(t, "STOPPING=1")
	p.close()
	if e.timer != nil {
		t.Error("signs of life are waited for from one that stops")
	}
}

// ended is a context that has ended.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
