package fnserver_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// device is fn-server with models that do what a comment in their godwit.yaml says.
func device() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return fnserver.Main(ctx, app.Process{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr},
		fnserver.Parts{Engine: func(*driver.Setup) driver.Engine { return told{memengine.New(nil)} }})
}

type told struct{ *memengine.Engine }

func (told) Open(ctx context.Context, path string, o *driver.Options) (driver.Session, error) {
	yaml, err := os.ReadFile(filepath.Join(filepath.Dir(path), "godwit.yaml"))
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(yaml), "# crashes when it loads") {
		os.Exit(2)
	}
	m := memengine.AddSub()
	run := m.Run
	m.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		a, _ := tensor.View[float32](&in[0])
		if a[0] == 13 && strings.Contains(string(yaml), "# crashes at 13") {
			os.Exit(2)
		}
		out, err := run(ctx, in)
		later := false // one that is found out when the others would be kept
		if strings.Contains(string(yaml), "# answers wrongly once it serves") {
			resp, err := http.Get("http://" + os.Getenv("GODWIT_LISTEN") + "/v2/health/ready")
			if later = err == nil && resp.StatusCode == http.StatusOK; err == nil {
				resp.Body.Close()
			}
		} else {
			later = strings.Contains(string(yaml), "# answers wrongly")
		}
		if later {
			if _, rest, ok := strings.Cut(string(yaml), "# when nobody listens on "); ok {
				address, _, _ := strings.Cut(rest, "\n")
				if c, err := net.Dial("tcp", address); err == nil {
					_, _ = io.Copy(io.Discard, c)
					c.Close()
				}
			}
			sum, _ := tensor.View[float32](&out[0])
			sum[0]++
		}
		return out, err
	}
	return memengine.New(map[string]memengine.Model{path: m}).Open(ctx, path, o)
}

// machine is a device on which versions of a function are installed.
type machine struct {
	t          *testing.T
	dir, state string
}

const (
	row    = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	answer = `{"outputs":[{"name":"sum","shape":[1,4],"datatype":"FP32","data":[2,3,4,5]},{"name":"diff","shape":[1,4],"datatype":"FP32","data":[0,1,2,3]}]}`
)

func (m *machine) install(version, does string) {
	m.t.Helper()
	after := "0s"
	if strings.Contains(does, "for a while") {
		after = "100ms"
	}
	for name, data := range map[string][]byte{
		"godwit.yaml": []byte("models: [{name: addsub, version: \"" + version + "\", path: addsub.onnx}]\n" +
			"triggers: [queue]\nbatch: {input: rows/, output: scores/}\ntargets: {edge: {healthyAfter: " + after + "}}\n# " + does + "\n"),
		"addsub.onnx":                 testmodels.AddSub().Bytes(),
		"requests/addsub/1.json":      []byte(row),
		"requests/addsub/1.want.json": []byte(answer),
	} {
		path := filepath.Join(m.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
}

// start is the version that serves, or "" when the process ended instead.
func (m *machine) start() (*emulate.Instance, string) {
	m.t.Helper()
	launch := emulate.Command(os.Args[0], nil, []string{"EDGE_TEST_DEVICE=1", "GODWIT_FUNCTION=" + m.dir, "GODWIT_STATE=" + m.state}, nil, nil)
	i, err := emulate.Start(m.t.Context(), "edge", launch, nil)
	if err != nil {
		return nil, ""
	}
	m.t.Cleanup(i.Kill)
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://device/v2/models/addsub", http.NoBody)
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	var model struct{ Versions []string }
	if err := json.NewDecoder(resp.Body).Decode(&model); err != nil {
		m.t.Fatal(err)
	}
	return i, strings.Join(model.Versions, ",")
}

// starts are the versions that n starts serve, each ended as systemd does.
func (m *machine) starts(n int) []string {
	m.t.Helper()
	var all []string
	for range n {
		i, version := m.start()
		if all = append(all, version); i == nil {
			continue
		}
		if err := i.Stop(m.t.Context()); err != nil {
			m.t.Error(err)
		}
	}
	return all
}

func (m *machine) want(what string, got []string, want ...string) {
	m.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		m.t.Errorf("%s: the versions served (-want +got)\n%s", what, diff)
	}
}

// A version that does not work gives way to the last healthy one, in real
// processes that really end.
func TestVersionsThatDoNotWorkAreTakenBack(t *testing.T) {
	m := &machine{t, t.TempDir(), t.TempDir()}
	m.install("0", "answers wrongly")
	m.want("nothing is there to go back to", m.starts(1), "0")
	m.install("1", "works")
	m.want("a version that works", m.starts(5), "1", "1", "1", "1", "1")

	m.install("2", "answers wrongly")
	m.want("one that does not answer as recorded", m.starts(3), "", "1", "1")
	m.install("3", "crashes when it loads")
	m.want("one that does not start", m.starts(5), "", "", "", "1", "1")
	m.install("1", "works")
	m.want("the healthy one again", m.starts(1), "1")

	// This one answers well before it serves. It ends by itself, once it has been
	// asked for its version.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.install("3", "answers wrongly once it serves\n# and for a while\n# when nobody listens on "+ln.Addr().String())
	i, version := m.start()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	m.want("one that is found out later", []string{version}, "3")
	<-i.Done()
	m.want("one that was found out", m.starts(2), "1", "1")
	m.install("1", "works")
	m.want("the healthy one once more", m.starts(1), "1")

	// This one is healthy at first.
	m.install("4", "crashes at 13")
	for range 3 {
		i, version := m.start()
		m.want("one that crashes later", []string{version}, "4")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://device/v2/models/addsub/infer", strings.NewReader(strings.Replace(row, "[1,2,3,4]", "[13,2,3,4]", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := i.RoundTrip(req); err == nil {
			t.Errorf("status %d from a process that ends", resp.StatusCode)
		}
		<-i.Done()
	}
	i, version = m.start()
	m.want("one that has crashed three times", []string{version}, "1")
	// What it answers is where it would be, had nothing been taken back.
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Header: http.Header{"Content-Type": {"application/cloudevents+json"}}, Body: []byte(rowEvent)})
	if err != nil || reply.Status != http.StatusAccepted {
		t.Fatalf("%+v, %v", reply, err)
	}
	if files, err := filepath.Glob(filepath.Join(m.dir, "scores", "*.json")); err != nil || len(files) != 1 {
		t.Errorf("answers in the installed function's folder: %v, %v", files, err)
	}
	if copies, err := os.ReadDir(filepath.Join(m.state, "versions")); err != nil || len(copies) != 1 {
		t.Errorf("%v (%v) are kept, want one copy", copies, err)
	}

	// A godwit.yaml that cannot be read is a version as well.
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "godwit.yaml"), []byte("modle: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.want("a broken godwit.yaml", m.starts(4), "", "", "", "1")
}
