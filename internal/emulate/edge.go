package emulate

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// edge plays systemd to a service of Type=notify on a device, and the device's
// other programs to the service: requests come without anything between, and
// events as CloudEvents.
type edge struct {
	*container
	dir    string // of the socket
	socket *net.UnixConn
	// watchdog is the unit's WatchdogSec.
	watchdog time.Duration
	started  chan struct{} // closed at READY=1
	told     sync.WaitGroup
	once     sync.Once

	mu      sync.Mutex
	process Process     // nil until it has been started
	timer   *time.Timer // ends the process that gives no sign of life; nil: none is waited for
}

func newEdge(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, variant == "h2c")
	if err != nil {
		return nil, err
	}
	e := &edge{container: c, watchdog: 30 * time.Second, started: make(chan struct{})}
	// Nothing but the caller bounds a request; TimeoutStopSec is 90 s unless the
	// unit says otherwise.
	c.timeout, c.wait, c.events = time.Hour, 90*time.Second, "/events"
	c.acked = func(status int) bool { return status < 500 && status != http.StatusTooManyRequests }
	if e.dir, err = os.MkdirTemp("", "godwit-systemd-"); err != nil {
		return nil, fault.New(fault.Internal, "emulate.Start", "socket", "%w", err)
	}
	path := filepath.Join(e.dir, "notify")
	if e.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		os.RemoveAll(e.dir)
		return nil, fault.New(fault.Internal, "emulate.Start", "socket", "%w", err)
	}
	c.vars = []string{
		"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=" + strconv.FormatInt(e.watchdog.Microseconds(), 10),
		"INVOCATION_ID=0123456789abcdef0123456789abcdef", "STATE_DIRECTORY=" + filepath.Join(e.dir, "state"),
		"GODWIT_LISTEN=" + c.address(),
	}
	// A device that is played sends nothing to where real ones do, unless told to.
	if lookup(o.Env, "GODWIT_FORWARD_URL") == "" {
		c.vars = append(c.vars, "GODWIT_FORWARD_URL=off")
	}
	e.told.Go(e.listen)
	return e, nil
}

func (e *edge) env() []string { return e.vars }

func (e *edge) attach(p Process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.process = p
}

// listen takes what the service says until the socket is closed.
func (e *edge) listen() {
	message := make([]byte, 4096)
	for {
		n, err := e.socket.Read(message)
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(message[:n]), "\n") {
			e.heard(line)
		}
	}
}

func (e *edge) heard(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ready := false
	select {
	case <-e.started:
		ready = true
	default:
	}
	switch line {
	case "READY=1":
		if !ready {
			close(e.started)
			e.timer = time.AfterFunc(e.watchdog, e.dead)
		}
	case "WATCHDOG=1":
		if e.timer != nil {
			e.timer.Reset(e.watchdog)
		}
	case "STOPPING=1":
		e.unwatch()
	}
}

// unwatch waits for no more signs of life.
func (e *edge) unwatch() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// dead ends a service that has given no sign of life, with WatchdogSignal.
func (e *edge) dead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil && e.process != nil {
		_ = e.process.Signal(syscall.SIGABRT)
	}
}

// ready goes by what the service says, and by nothing else.
func (e *edge) ready(ctx context.Context) error {
	select {
	case <-e.started:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *edge) close() {
	e.once.Do(func() {
		e.socket.Close()
		e.told.Wait()
		e.mu.Lock()
		e.unwatch()
		e.mu.Unlock()
		os.RemoveAll(e.dir)
	})
	e.container.close()
}
