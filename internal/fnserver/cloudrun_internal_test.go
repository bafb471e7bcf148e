package fnserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/memengine"
)

// Work on a delivery ends before the subscription delivers it again.
func TestWorkEndsBeforeTheAckDeadline(t *testing.T) {
	for yaml, want := range map[string]time.Duration{
		"{}": 0, "{push: {}}": 0, "{push: {ackDeadline: 10s}}": 9 * time.Second, "{push: {ackDeadline: 60s}}": 55 * time.Second, "{push: {ackDeadline: 600s}}": 595 * time.Second,
	} {
		s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\ntargets: {cloudrun: "+yaml+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		o := &cloudrun.Options{}
		if err := pushed(&Function{Function: &app.Function{Spec: s}}, func(string) string { return "" }, o); err != nil || o.Timeout != want || o.Push != nil || o.Aside != nil {
			t.Errorf("%s: %v, timeout %v, want %v and no more", yaml, err, o.Timeout, want)
		}
	}
}

// A worker is sent no requests: a server there would wait for its time to be
// over, so it is refused; and so is a task of a function that has nothing to score.
func TestNoServerWhereNobodyCalls(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "addsub.onnx")
	for path, data := range map[string][]byte{model: testmodels.AddSub().Bytes(), filepath.Join(dir, "godwit.yaml"): []byte("model: addsub.onnx\n")} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		code fault.Code
		want string
	}{
		{"a task", map[string]string{"CLOUD_RUN_JOB": "scores", "CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "2"}, fault.BadConfig, "want a function that says what a job scores"},
		{"a task on Kubernetes", map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0", "GODWIT_SHARDS": "2"}, fault.BadConfig, "want a function that says what a job scores"},
		{"a task on Kubernetes without a number", map[string]string{"JOB_COMPLETION_INDEX": "0"}, fault.BadConfig, "GODWIT_SHARDS"},
		{"a shard of no number", map[string]string{"GODWIT_SHARD": "3"}, fault.BadConfig, "GODWIT_SHARD: want the number of shards"},
		{"no shards", map[string]string{"GODWIT_SHARD": "0/0"}, fault.BadConfig, "GODWIT_SHARD: want the number of shards"},
		{"a shard that is none", map[string]string{"GODWIT_SHARD": "3/3"}, fault.BadConfig, "want a shard from 0 to 2"},
		{"a shard and no such target", map[string]string{"GODWIT_SHARD": "0/3", "GODWIT_TARGET": "moon"}, fault.BadConfig, `got "moon"`},
		{"a task without a number", map[string]string{"CLOUD_RUN_JOB": "scores"}, fault.BadConfig, "CLOUD_RUN_TASK_COUNT"},
		{"a worker pool", map[string]string{"CLOUD_RUN_WORKER_POOL": "w"}, fault.Unsupported, "want a service or a job, got a worker pool"},
	} {
		c.env["GODWIT_FUNCTION"] = dir
		var said bytes.Buffer
		engine := func(*driver.Setup) driver.Engine {
			return memengine.New(map[string]memengine.Model{model: memengine.AddSub()})
		}
		code := Main(t.Context(), app.Process{Getenv: func(name string) string { return c.env[name] }, Stderr: &said}, Parts{Engine: engine})
		if code != c.code.Exit() || !strings.Contains(said.String(), c.want) {
			t.Errorf("%s: exit code %d, want %d and %q: %s", c.name, code, c.code.Exit(), c.want, &said)
		}
	}
}

// What a JobSink has started works on its event, in an indexed Job too.
func TestAnEventIsNoShard(t *testing.T) {
	for mode, want := range map[string]bool{"batch": false, "": true} {
		env := map[string]string{"K_EXECUTION_MODE": mode, "JOB_COMPLETION_INDEX": "1", "GODWIT_SHARDS": "2"}
		if got, err := taskOf(func(name string) string { return env[name] }); err != nil || (got != nil) != want {
			t.Errorf("mode %q: %+v, %v; want a task: %v", mode, got, err, want)
		}
	}
}
