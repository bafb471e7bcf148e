package fnserver_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/testmodels"
)

// unit is fn-server as a systemd unit runs it, with nothing said by variables
// that the spec says.
type unit struct {
	t          *testing.T
	dir, state string
	socket     *net.UnixConn
	cmd        *exec.Cmd
	out        bytes.Buffer
}

// newUnit is a function folder with these targets.
func newUnit(t *testing.T, targets string) *unit {
	t.Helper()
	u := &unit{t: t, dir: t.TempDir(), state: t.TempDir()}
	yaml := "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: scores/}\ntargets: " + targets + "\n"
	for name, data := range map[string][]byte{"godwit.yaml": []byte(yaml), "addsub.onnx": testmodels.AddSub().Bytes()} {
		if err := os.WriteFile(filepath.Join(u.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if u.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(u.state, "notify"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.socket.Close() })
	return u
}

// start starts the process, and returns what systemd is told first.
func (u *unit) start(env ...string) string {
	u.t.Helper()
	u.cmd = exec.Command(os.Args[0])
	u.cmd.Env = append(env, "EDGE_TEST_DEVICE=1", "GODWIT_FUNCTION="+u.dir, "GODWIT_STATE="+u.state,
		"NOTIFY_SOCKET="+filepath.Join(u.state, "notify"), "INVOCATION_ID=1", "WATCHDOG_USEC=20000")
	u.cmd.Stderr = &u.out
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = u.cmd.Wait() }()
	u.t.Cleanup(func() { _ = u.cmd.Process.Kill(); <-ended })
	go func() { <-ended; _ = u.socket.SetReadDeadline(time.Now()) }() // nobody is left to say anything
	return u.told("READY=1")
}

// told reads what systemd is told until it holds that.
func (u *unit) told(want string) string {
	u.t.Helper()
	b := make([]byte, 4096)
	for {
		n, err := u.socket.Read(b)
		if err != nil {
			u.t.Fatalf("systemd is not told %q: %v\n%s", want, err, &u.out)
		}
		if got := string(b[:n]); strings.Contains(got, want) {
			return got
		}
	}
}

func (u *unit) stop() {
	u.t.Helper()
	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		u.t.Fatal(err)
	}
	u.told("STOPPING=1")
}

// waits are the names of the answers in the queue, the oldest first.
func (u *unit) waits() []string {
	u.t.Helper()
	all, err := os.ReadDir(filepath.Join(u.state, "queue"))
	if err != nil {
		u.t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		if _, name, ok := strings.Cut(f.Name(), "-"); ok {
			names = append(names, name)
		}
	}
	return names
}

// keep leaves an answer in the queue as an earlier process would have.
func (u *unit) keep(place int, name string, size int, age time.Duration) {
	u.t.Helper()
	path := filepath.Join(u.state, "queue", fmt.Sprintf("%016x-%s", place, name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.t.Fatal(err)
	}
	answer := make([]byte, size)
	sum := sha256.Sum256(answer)
	if err := os.WriteFile(path, append(sum[:], answer...), 0o600); err != nil {
		u.t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		u.t.Fatal(err)
	}
}

// port is one that is free now.
func port(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// off: nothing is forwarded, whatever the spec says.
func TestForwardingIsTurnedOff(t *testing.T) {
	u := newUnit(t, "{edge: {listen: '"+port(t)+"', forward: {url: '"+nobody+"'}}}")
	if got := u.start("GODWIT_FORWARD_URL=off"); !strings.HasSuffix(got, "STATUS=serves addsub") {
		t.Errorf("systemd is told %q", got)
	}
	if _, err := os.Stat(filepath.Join(u.state, "queue")); !os.IsNotExist(err) {
		t.Errorf("a queue: %v", err)
	}
	u.stop()
}

// history is what the device knows of a function's versions.
func (u *unit) history() (h struct{ Version, Healthy string }) {
	data, err := os.ReadFile(filepath.Join(u.state, "versions.json"))
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		u.t.Fatal(err)
	}
	return h
}

// healthy waits until the installed version is what others give way to.
func (u *unit) healthy() {
	u.t.Helper()
	for h := u.history(); h.Healthy == "" || h.Healthy != h.Version; h = u.history() {
		u.told("WATCHDOG=1")
	}
}

// A version is kept when it has served for as long as the spec says, or a
// variable, and not before.
func TestSpecSaysWhenAVersionIsHealthy(t *testing.T) {
	for after, env := range map[string][]string{"100ms": nil, "0s": nil, "1d": {"GODWIT_HEALTHY_AFTER=100ms"}} {
		u := newUnit(t, "{edge: {listen: '"+port(t)+"', healthyAfter: "+after+"}}")
		u.start(env...)
		u.healthy()
		u.stop()
	}
	for _, after := range []string{"", ", healthyAfter: 1h"} {
		u := newUnit(t, "{edge: {listen: '"+port(t)+"'"+after+"}}")
		u.start()
		for range 10 { // 100 ms
			u.told("WATCHDOG=1")
		}
		if h := u.history(); h.Version == "" || h.Healthy != "" {
			t.Errorf("%+v, want it not kept yet", h)
		}
		u.stop()
	}
}

// nobody is where no answer is taken.
const nobody = "https://127.0.0.1:1/"

// The spec says where a device listens and where its answers go; they do, over TLS.
func TestSpecSaysWhereADeviceListensAndForwards(t *testing.T) {
	sent := make(chan string, 9)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.URL.Path + " " + r.Header.Get("Ce-Type") }))
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	own, other := port(t), port(t)
	for _, c := range []struct {
		name, listens string
		env           []string
		sent          string
	}{
		{"as the spec says", own, nil, "/in dev.godwit.answer"},
		{"as variables say", other, []string{"GODWIT_LISTEN=" + other, "GODWIT_FORWARD_URL=" + server.URL + "/there"}, "/there dev.godwit.answer"},
	} {
		u := newUnit(t, "{edge: {listen: '"+own+"', forward: {url: '"+server.URL+"/in'}}}")
		if got := u.start(append(c.env, "SSL_CERT_FILE="+roots)...); !strings.Contains(got, "STATUS=serves addsub; answers: 0 wait") {
			t.Errorf("%s: systemd is told %q", c.name, got)
		}
		resp, err := http.Post("http://"+c.listens+"/events", "application/cloudevents+json", strings.NewReader(rowEvent))
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, &u.out)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Errorf("%s: status %d\n%s", c.name, resp.StatusCode, &u.out)
		}
		if got := <-sent; got != c.sent {
			t.Errorf("%s: sent on to %q, want %q", c.name, got, c.sent)
		}
		u.stop()
	}
	http.DefaultClient.CloseIdleConnections()
}

// A function's folder may be read-only: scores go where a variable says.
func TestScoresOfADeviceGoWhereAVariableSays(t *testing.T) {
	at, output := port(t), t.TempDir()
	u := newUnit(t, "{edge: {listen: '"+at+"'}}")
	u.start("GODWIT_OUTPUT=" + output)
	resp, err := http.Post("http://"+at+"/events", "application/cloudevents+json", strings.NewReader(rowEvent))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	there, _ := filepath.Glob(filepath.Join(output, "scores", "*.json"))
	here, _ := filepath.Glob(filepath.Join(u.dir, "scores", "*"))
	if resp.StatusCode != http.StatusAccepted || len(there) != 1 || here != nil {
		t.Errorf("status %d, scores %v and in the function's folder %v", resp.StatusCode, there, here)
	}
	u.stop()
	http.DefaultClient.CloseIdleConnections()
}

// The spec bounds what waits for the network: what is too old or too much goes,
// and systemctl status says so.
func TestSpecBoundsWhatWaits(t *testing.T) {
	const half = 512<<10 - 32 // of 1 MiB, with its digest
	for _, c := range []struct {
		name    string
		env     []string
		want    []string
		told    string
		forward string // beside the URL
	}{
		{"by age", nil, []string{"young", "new"}, "2 wait, 1 dropped as too old", ", maxAge: 1m"},
		{"by disk", nil, []string{"young", "new"}, "2 wait, 1 dropped for room", ", queue: 1MiB"},
		{"as it is unless it says", nil, []string{"old", "young", "new"}, "3 wait", ""},
		{"a variable's age", []string{"GODWIT_FORWARD_MAX_AGE=1m"}, []string{"young", "new"}, "2 wait, 1 dropped as too old", ", maxAge: 1h"},
		{"a variable's disk", []string{"GODWIT_FORWARD_QUEUE=1MiB"}, []string{"young", "new"}, "2 wait, 1 dropped for room", ", queue: 9MiB"},
	} {
		u := newUnit(t, "{edge: {listen: '"+port(t)+"', forward: {url: '"+nobody+"'"+c.forward+"}}}")
		u.keep(1, "old", half, 2*time.Minute)
		u.keep(2, "young", half, 0)
		u.keep(3, "new", half, 0)
		got := u.start(c.env...)
		if !strings.HasSuffix(got, "answers: "+c.told) {
			t.Errorf("%s: systemd is told %q, want %q", c.name, got, c.told)
		}
		if diff := cmp.Diff(c.want, u.waits()); diff != "" {
			t.Errorf("%s: what waits (-want +got)\n%s", c.name, diff)
		}
		u.stop()
	}
}
