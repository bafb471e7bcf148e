package fnserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
)

// onDevice starts a function folder with this godwit.yaml as systemd does.
func onDevice(t *testing.T, yaml string, env ...string) (*emulate.Instance, string, error) {
	t.Helper()
	return on(t, "edge", nil, yaml, env...)
}

// on starts a function folder with this godwit.yaml as a platform does.
func on(t *testing.T, target string, args []string, yaml string, env ...string) (*emulate.Instance, string, error) {
	t.Helper()
	dir := t.TempDir()
	model := filepath.Join(dir, "addsub.onnx")
	for path, data := range map[string][]byte{model: testmodels.AddSub().Bytes(), filepath.Join(dir, "godwit.yaml"): []byte("model: addsub.onnx\n" + yaml)} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	engine := memengine.New(map[string]memengine.Model{model: memengine.AddSub()})
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		var said bytes.Buffer
		p := app.Process{Args: args, Stdout: io.Discard, Stderr: &said, Getenv: func(name string) string {
			if name == "GODWIT_FUNCTION" {
				return dir
			}
			return getenv(name)
		}}
		if code := fnserver.Main(ctx, p, fnserver.Parts{Engine: func(*driver.Setup) driver.Engine { return engine }}); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, said.String())
		}
		return nil
	})
	i, err := emulate.Start(t.Context(), target, launch, &emulate.Options{Env: env})
	if err == nil {
		t.Cleanup(i.Kill)
	}
	return i, dir, err
}

const rowEvent = `{"specversion":"1.0","id":"7","source":"/camera","type":"row","data":{"inputs":[
	{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}}`

// An event of the device is answered in batch.output, and the answer is sent on.
func TestAnswersLeaveTheDevice(t *testing.T) {
	type answer struct{ id, source, body string }
	sent := make(chan answer, 9)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent <- answer{r.Header.Get("Ce-Id"), r.Header.Get("Ce-Source"), string(body)}
	}))
	defer server.Close()
	state := t.TempDir()
	i, dir, err := onDevice(t, "triggers: [queue]\nbatch: {input: rows/, output: scores/}\n", "GODWIT_FORWARD_URL="+server.URL, "GODWIT_STATE="+state)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Header: http.Header{"Content-Type": {"application/cloudevents+json"}}, Body: []byte(rowEvent)})
	if err != nil || reply.Status != http.StatusAccepted {
		t.Fatalf("%+v, %v", reply, err)
	}
	got := <-sent
	host, _ := os.Hostname()
	if got.source != "/godwit/"+host+"/addsub" || !strings.Contains(got.body, `"sum"`) && !strings.Contains(got.body, "[2,3,4,5]") {
		t.Errorf("sent on: %+v", got)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "scores", got.id+".json"))
	if err != nil || string(kept) != got.body {
		t.Errorf("in batch.output: %q, %v", kept, err)
	}
	// What was taken leaves the queue; its lock and what was refused stay.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for files := 0; files != 2; <-tick.C {
		all, err := os.ReadDir(filepath.Join(state, "queue"))
		if err != nil {
			t.Fatal(err)
		}
		files = len(all)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a device cannot do is said at the start.
func TestDevicesThatCannotStart(t *testing.T) {
	for _, c := range []struct{ name, env, want string }{
		{"nobody would check callers", "GODWIT_LISTEN=0.0.0.0:0", "exit code 12: Error: auth: platform"},
		{"no address", "GODWIT_LISTEN=8080", "exit code 2: "},
		{"no URL", "GODWIT_FORWARD_URL=host:80", "exit code 12: Error: GODWIT_FORWARD_URL"},
		{"no healthy time", "GODWIT_HEALTHY_AFTER=2d", "exit code 12: Error: GODWIT_HEALTHY_AFTER: want 0s to 1d, got 2d"},
		{"no size", "GODWIT_FORWARD_QUEUE=10", "exit code 12: Error: GODWIT_FORWARD_QUEUE: want a size"},
		{"no age", "GODWIT_FORWARD_MAX_AGE=1s", "exit code 12: Error: GODWIT_FORWARD_MAX_AGE: want 1m to 365d, got 1s"},
		{"nowhere to forward to", "GODWIT_FORWARD_QUEUE=1MiB", "exit code 12: Error: GODWIT_FORWARD_QUEUE: want it beside GODWIT_FORWARD_URL"},
		{"no watchdog", "WATCHDOG_USEC=soon", "exit code 12: Error: WATCHDOG_USEC"},
		{"no disk", "GODWIT_STATE=/dev/null", "exit code 9: "},
	} {
		name, value, _ := strings.Cut(c.env, "=")
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte("model: addsub.onnx\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "addsub.onnx"), testmodels.AddSub().Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"GODWIT_TARGET": "edge", "GODWIT_FUNCTION": dir, "NOTIFY_SOCKET": "", "GODWIT_FORWARD_URL": "", "GODWIT_STATE": t.TempDir()}
		if c.name == "no size" || c.name == "no age" || name == "GODWIT_STATE" {
			env["GODWIT_FORWARD_URL"] = "http://127.0.0.1:1"
		}
		if name == "WATCHDOG_USEC" {
			env["NOTIFY_SOCKET"] = filepath.Join(dir, "none")
		}
		env[name] = value
		var said bytes.Buffer
		code := fnserver.Main(t.Context(), app.Process{Stdout: io.Discard, Stderr: &said, Getenv: func(name string) string { return env[name] }},
			fnserver.Parts{Engine: func(*driver.Setup) driver.Engine { return memengine.New(nil) }})
		if got := fmt.Sprintf("exit code %d: %s", code, said.String()); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %q", c.name, got, c.want)
		}
	}
}
