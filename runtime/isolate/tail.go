package isolate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"godwit.dev/runtime/lazy"
)

// tail is a writer that keeps the first bytes and the last: what a process says
// when it dies begins with the cause and ends with where that was.
type tail struct {
	mu          sync.Mutex
	first, last []byte
}

const tailSize = 4 << 10 // of each

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(tailSize-len(t.first), len(p))
	t.first = append(t.first, p[:n]...)
	rest := p[n:]
	t.last = append(t.last, rest[max(0, len(rest)-tailSize):]...)
	if over := len(t.last) - tailSize; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	between := ""
	if len(t.last) == tailSize {
		between = "\n…\n"
	}
	return strings.ToValidUTF8(string(t.first)+between+string(t.last), "�")
}

// cause matches the line in which Go's runtime says why it ends a process. A
// signal in C code is told there and not by the exit status, which is 2.
var cause = lazy.Regexp(`(?m)^(SIG[A-Z]+: .*|fatal error: .*|panic: .*|runtime: out of memory.*)$`)

// explain says in a few words how a process ended.
func explain(state *os.ProcessState, stderr string) string {
	if state == nil {
		return "it is gone"
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return "signal: killed, perhaps because memory ran out"
	case ok && status.Signaled():
		return fmt.Sprintf("signal: %v", status.Signal())
	}
	if all := cause().FindAllString(stderr, -1); state.ExitCode() == 2 && len(all) > 0 {
		return strings.TrimSpace(all[0])
	}
	return state.String()
}

// isGone recognises the errors of sockets whose other end is no more.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
