// Command freeze stops processes for a while, with SIGSTOP as platforms do, and
// closes the sockets that they have meanwhile: the first request after that is
// answered, and so is what came while they were stopped.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type flags struct {
	still           time.Duration
	server          int
	address         string
	fn, folder      string
	path            string
	request, answer []byte
}

func main() {
	var f flags
	flag.DurationVar(&f.still, "for", 30*time.Second, "how long they are stopped")
	flag.IntVar(&f.server, "server", 0, "the server's process")
	flag.StringVar(&f.address, "address", "", "the server's HOST:PORT")
	flag.StringVar(&f.fn, "fn", "", "fn-lambda")
	flag.StringVar(&f.folder, "folder", "", "the function folder that both serve")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 2*f.still+time.Minute)
	defer cancel()
	if err := f.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "freeze:", err)
		os.Exit(1)
	}
}

// run stops all of them at the same time.
func (f *flags) run(ctx context.Context) error {
	name := filepath.Base(f.folder)
	f.path = "/v2/models/" + name + "/infer"
	var err error
	if f.request, err = os.ReadFile(filepath.Join(f.folder, "requests", name, "1.json")); err != nil {
		return err
	}
	if f.answer, err = f.ask(ctx, http.DefaultTransport); err != nil {
		return err
	}
	all := begin(ctx, f.serverStops)
	for _, variant := range []string{"http-v2", "stream", "direct"} {
		all.add(func(ctx context.Context) error {
			if err := f.functionStops(ctx, variant); err != nil {
				return fmt.Errorf("fn-lambda, %s: %w", variant, err)
			}
			return nil
		})
	}
	return all.wait()
}

// group is work that is done together: the first failure ends the rest.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func begin(ctx context.Context, fs ...func(context.Context) error) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	for _, f := range fs {
		g.add(f)
	}
	return g
}

func (g *group) add(f func(context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil {
			g.cancel(err)
		}
	})
}

func (g *group) wait() error {
	g.wg.Wait()
	defer g.cancel(nil)
	return context.Cause(g.ctx)
}

// ask sends the recorded request; what answers it must answer as before.
func (f *flags) ask(ctx context.Context, by http.RoundTripper) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.address+f.path, bytes.NewReader(f.request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := by.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("want status 200, got %d: %.200s", resp.StatusCode, body)
	}
	var answer struct{ Outputs json.RawMessage }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Outputs == nil {
		return nil, fmt.Errorf("want outputs, got %.200s", body)
	}
	if f.answer != nil && !bytes.Equal(f.answer, answer.Outputs) {
		return nil, fmt.Errorf("want the answer from before, %.200s, got %.200s", f.answer, answer.Outputs)
	}
	return answer.Outputs, nil
}

// caller is a client with one connection that is kept.
type caller struct {
	*http.Transport
	mu   sync.Mutex
	conn *net.TCPConn
}

func newCaller(h2c bool) *caller {
	c := &caller{}
	c.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conn = conn.(*net.TCPConn)
		return conn, nil
	}}
	if h2c {
		c.Transport.Protocols = new(http.Protocols)
		c.Transport.Protocols.SetUnencryptedHTTP2(true)
	}
	return c
}

// end closes the connection: in order, or with a reset.
func (c *caller) end(reset bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reset {
		if err := c.conn.SetLinger(0); err != nil {
			return err
		}
	}
	return c.conn.Close()
}

// serverStops stops the server between requests and in the middle of one.
func (f *flags) serverStops(ctx context.Context) error {
	var gone, kept []*caller
	for i := range 12 {
		c := newCaller(i%2 == 1) // HTTP/1.1 and HTTP/2 in turns
		if _, err := f.ask(ctx, c); err != nil {
			return fmt.Errorf("before: %w", err)
		}
		if i < 8 {
			gone = append(gone, c)
		} else {
			kept = append(kept, c)
		}
	}
	before, err := sockets(f.server)
	if err != nil {
		return err
	}
	half, err := net.Dial("tcp", f.address) // has sent half of a request
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(half, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", f.path, len(f.request), f.request[:len(f.request)/2]); err != nil {
		return err
	}
	if err := f.settle(func(n int) bool { return n > before }); err != nil { // it has been let in
		return err
	}
	if err := stop(f.server); err != nil {
		return err
	}
	// Whatever happens here, the server goes on: run.sh waits for its end.
	defer func() { _ = syscall.Kill(f.server, syscall.SIGCONT) }()
	for i, c := range gone {
		if err := c.end(i%4 < 2); err != nil {
			return err
		}
	}
	if err := half.Close(); err != nil {
		return err
	}
	waiting := begin(ctx)
	for _, c := range append(kept[:2:2], newCaller(false), newCaller(true)) { // over connections of before, and new ones
		waiting.add(func(ctx context.Context) error {
			if _, err := f.ask(ctx, c); err != nil {
				return fmt.Errorf("sent while the server was stopped: %w", err)
			}
			return nil
		})
	}
	select {
	case <-time.After(f.still):
	case <-waiting.ctx.Done():
		return waiting.wait()
	}
	if err := syscall.Kill(f.server, syscall.SIGCONT); err != nil {
		return err
	}
	thawed := time.Now()
	for _, c := range append(kept[2:], newCaller(false), newCaller(true)) {
		if _, err := f.ask(ctx, c); err != nil {
			return fmt.Errorf("after it went on: %w", err)
		}
	}
	took := time.Since(thawed)
	if err := waiting.wait(); err != nil {
		return err
	}
	// The one with half a request has gone too, and four have come.
	if err := f.settle(func(n int) bool { return n <= before-len(gone)+4 }); err != nil {
		return err
	}
	fmt.Printf("the server: stopped for %v, %d peers gone; 4 requests that waited and 4 new ones answered within %v\n", f.still, len(gone)+1, took.Round(time.Millisecond))
	return nil
}

// stop stops a process and waits until it is.
func stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	return stopped(pid)
}

// stopped waits until the kernel says that a process stands.
func stopped(pid int) error {
	state := ""
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if state, _, _ = strings.Cut(rest, " "); state == "T" {
			return nil
		}
	}
	return fmt.Errorf("want the process %d stopped, got state %s", pid, state)
}

// settle waits until the server has as many sockets as it should.
func (f *flags) settle(enough func(n int) bool) error {
	n := 0
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		var err error
		if n, err = sockets(f.server); err != nil || enough(n) {
			return err
		}
	}
	return fmt.Errorf("want the sockets of those who are there and no others, got %d", n)
}

// sockets is how many a process has.
func sockets(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n, nil
}
