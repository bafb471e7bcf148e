package cli_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
)

// server is a `godwit serve` of its own process.
type server struct {
	cmd    *exec.Cmd
	addr   string
	output *bufio.Reader
}

// start runs serve on a model and returns once the server has said where it is.
func start(t *testing.T, model string, stderr *os.File) *server {
	t.Helper()
	godwit, err := exec.LookPath("godwit")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: exec.Command(godwit, "serve", model, "--listen", "127.0.0.1:0", "--json")}
	s.cmd.Stderr = stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	s.output = bufio.NewReader(out)
	for {
		line, err := s.output.ReadString('\n')
		if err != nil {
			t.Fatalf("serve said nothing of its address: %v", err)
		}
		if _, rest, ok := strings.Cut(line, `"url": "http://`); ok {
			s.addr, _, _ = strings.Cut(rest, `"`)
			return s
		}
	}
}

// stopped waits for the process and returns its exit code, or the signal that
// ended it as 128 and its number, as a shell reports it.
func (s *server) stopped() int {
	var exit *exec.ExitError
	if err := s.cmd.Wait(); errors.As(err, &exit) {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	} else if err != nil {
		return -1
	}
	return 0
}

const slowRequest = `{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}`

// post asks on a connection of its own: on one that is reused, a request may
// cross the server's closing of it, which no server can see.
func post(ctx context.Context, addr, model string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v2/models/"+model+"/infer", strings.NewReader(slowRequest))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// SIGTERM under load: every request that was taken is answered, exit code 0.
func TestTermUnderLoadDropsNothing(t *testing.T) {
	s := start(t, testmodels.Slow(20).File(t, "slow"), nil)
	const callers = 6
	var wg sync.WaitGroup
	first := make(chan struct{}, callers)
	dropped := make(chan error, callers)
	for range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				status, err := post(t.Context(), s.addr, "slow")
				if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
					return // the door is closed: nothing was taken
				}
				if err != nil || status != http.StatusOK {
					dropped <- errors.Join(err, errors.New(http.StatusText(status)))
					return
				}
				if n == 0 {
					first <- struct{}{}
				}
			}
		})
	}
	for range callers {
		<-first
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.stopped(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wg.Wait()
	close(dropped)
	for err := range dropped {
		t.Errorf("a request was dropped: %v", err)
	}
}

// A second SIGTERM ends the process at once, whatever runs.
func TestSecondTermEndsAtOnce(t *testing.T) {
	s := start(t, testmodels.Slow(3000).File(t, "slow"), nil)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		post(t.Context(), s.addr, "slow")
	}()
	waitFor(t, "the request to run", func() bool { return strings.Contains(metric(t, s.addr), "godwit_") && inFlight(s) })
	// A signal that comes before the first has done its work merges with it, so
	// they come until the process has gone.
	code := make(chan int, 1)
	go func() { code <- s.stopped() }()
	waitFor(t, "the process to end", func() bool {
		s.cmd.Process.Signal(syscall.SIGTERM)
		return len(code) > 0
	})
	if got := <-code; got != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want 143", got)
	}
	<-answered
}

// SIGTERM while a model loads ends the process without waiting for it.
func TestTermWhileLoading(t *testing.T) {
	godwit, err := exec.LookPath("godwit")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	// Thousands of operators keep ONNX Runtime's optimiser busy for seconds.
	s := &server{cmd: exec.Command(godwit, "serve", testmodels.Slow(20000).File(t, "slow"), "--listen", addr), addr: addr}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	status := func(path string) int {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	waitFor(t, "the server to be live", func() bool { return status("/v2/health/live") == http.StatusOK })
	if got := status("/v2/health/ready"); got != http.StatusServiceUnavailable {
		t.Fatalf("ready answers %d while the model loads, want 503", got)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.stopped(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// Closed stdout and stderr, as when a supervisor dies, do not end a server.
func TestClosedOutputsDoNotEndTheServer(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, testmodels.Slow(1).File(t, "slow"), write)
	write.Close()
	read.Close() // every log line meets a broken pipe from here on
	for range 3 {
		if status, err := post(t.Context(), s.addr, "slow"); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.stopped(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func metric(t *testing.T, addr string) string {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// inFlight reports whether the server computes: its CPU time grows.
func inFlight(s *server) bool {
	stat := func() string {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "stat"))
		if err != nil {
			return ""
		}
		fields := strings.Fields(string(data))
		return fields[13]
	}
	before := stat()
	for range 1000 {
		if stat() != before {
			return true
		}
	}
	return false
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if done() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
