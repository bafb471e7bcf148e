package fnserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// jobs is a function, and a folder with rows that it scores.
type jobs struct {
	t         *testing.T
	dir, base string
	model     memengine.Model
}

func newJobs(t *testing.T, batch string) *jobs {
	j := &jobs{t: t, dir: t.TempDir(), base: t.TempDir(), model: memengine.AddSub()}
	j.write(j.dir, "addsub.onnx", testmodels.AddSub().Bytes())
	j.write(j.dir, "godwit.yaml", []byte("model: addsub.onnx\nbatch: {input: rows/, output: scores/"+batch+"}\n"))
	for i := range 9 {
		j.write(j.base, fmt.Sprintf("rows/day %d/%d.csv", i%2, i), table(3+i))
	}
	return j
}

func (j *jobs) write(dir, name string, data []byte) {
	j.t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		j.t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		j.t.Fatal(err)
	}
}

func table(n int) []byte {
	b := bytes.NewBufferString("a_0,a_1,a_2,a_3,b_0,b_1,b_2,b_3\n")
	for i := range n {
		fmt.Fprintf(b, "%d,1,2,3,4,5,6,7\n", i)
	}
	return b.Bytes()
}

// run is a process with these variables; output is where scores go, "" beside rows.
func (j *jobs) run(ctx context.Context, output string, env map[string]string) (code int, said string) {
	env = maps.Clone(env)
	env["GODWIT_FUNCTION"], env["GODWIT_INPUT"], env["GODWIT_OUTPUT"] = j.dir, j.base, output
	var log lockedBuffer
	engine := func(*driver.Setup) driver.Engine {
		return memengine.New(map[string]memengine.Model{filepath.Join(j.dir, "addsub.onnx"): j.model})
	}
	code = fnserver.Main(ctx, app.Process{Getenv: func(name string) string { return env[name] }, Stderr: &log}, fnserver.Parts{Engine: engine})
	return code, log.String()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// scores are the files below dir by name, manifests without what says when.
func (j *jobs) scores(dir string) map[string]string {
	j.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Base(path) == "manifest.json" {
			var m map[string]any
			if err := json.Unmarshal(text, &m); err != nil {
				return err
			}
			delete(m, "timings")
			if text, err = json.Marshal(m); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(dir, path)
		all[name] = string(text)
		return err
	})
	if err != nil {
		j.t.Fatal(err)
	}
	return all
}

// All shards of a job write together what one process does, on every platform
// that has such jobs; one that is run again finds what is done.
func TestShardsOfAJob(t *testing.T) {
	j := newJobs(t, "")
	if code, said := j.run(t.Context(), "", map[string]string{"GODWIT_SHARD": "0/1"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	want := j.scores(filepath.Join(j.base, "scores"))
	if len(want) != 27 { // part, mark and manifest of nine
		t.Fatalf("want the files of nine objects, got %d", len(want))
	}
	const shards = 3
	for name, env := range map[string]func(shard int) map[string]string{
		"Cloud Run": func(i int) map[string]string {
			return map[string]string{"CLOUD_RUN_JOB": "scores", "CLOUD_RUN_EXECUTION": "scores-x", "CLOUD_RUN_TASK_INDEX": fmt.Sprint(i), "CLOUD_RUN_TASK_COUNT": fmt.Sprint(shards), "CLOUD_RUN_TASK_ATTEMPT": "1"}
		},
		"Kubernetes": func(i int) map[string]string {
			return map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": fmt.Sprint(i), "GODWIT_SHARDS": fmt.Sprint(shards)}
		},
		"Container Apps": func(i int) map[string]string {
			return map[string]string{"CONTAINER_APP_JOB_NAME": "scores", "GODWIT_SHARD": fmt.Sprintf("%d/%d", i, shards)}
		},
	} {
		out := t.TempDir()
		var all sync.WaitGroup
		for i := range shards {
			all.Go(func() {
				for range 2 {
					if code, said := j.run(t.Context(), out, env(i)); code != 0 {
						t.Errorf("%s, shard %d: exit code %d: %s", name, i, code, said)
					}
				}
			})
		}
		all.Wait()
		if diff := cmp.Diff(want, j.scores(filepath.Join(out, "scores"))); diff != "" {
			t.Errorf("%s (-one +shards):\n%s", name, diff)
		}
	}
}

// A task that is told to stop ends with a failure, what it has scored stays, and
// the next attempt does the rest.
func TestATaskThatIsToldToStop(t *testing.T) {
	j := newJobs(t, "")
	if code, said := j.run(t.Context(), "", map[string]string{"GODWIT_SHARD": "0/1"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	want := j.scores(filepath.Join(j.base, "scores"))
	out := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	run := j.model.Run
	j.model.Run = func(rctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		marks, err := filepath.Glob(filepath.Join(out, "scores", "*", "*", "manifest.json"))
		if err != nil {
			return nil, err
		}
		if len(marks) > 2 {
			cancel() // as SIGTERM does
			<-rctx.Done()
			return nil, rctx.Err()
		}
		return run(rctx, in)
	}
	env := map[string]string{"CLOUD_RUN_JOB": "scores", "CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "1"}
	code, said := j.run(ctx, out, env)
	if code == 0 || !strings.Contains(said, "it was told to stop") || !strings.Contains(said, "Try: What is scored stays") {
		t.Errorf("exit code %d: %s", code, said)
	}
	before := j.scores(filepath.Join(out, "scores"))
	if len(before) < 9 || len(before) >= len(want) {
		t.Errorf("want some of %d files there, got %d", len(want), len(before))
	}
	j.model.Run = run
	env["CLOUD_RUN_TASK_ATTEMPT"] = "1"
	code, said = j.run(t.Context(), out, env)
	if code != 0 || !strings.Contains(said, `"attempt":1`) || strings.Contains(said, `"already":0,`) {
		t.Errorf("the next attempt: exit code %d: %s", code, said)
	}
	if diff := cmp.Diff(want, j.scores(filepath.Join(out, "scores"))); diff != "" {
		t.Errorf("(-undisturbed +stopped):\n%s", diff)
	}
}

// An object that fails for good fails the task when all else is done, and where
// it is kept aside it does not.
func TestATaskWithABadObject(t *testing.T) {
	for _, c := range []struct {
		batch string
		code  int
		dead  int
		want  string
	}{
		{"", 6, 0, "want every object scored, got one object of 10 that failed for good"},
		{", deadLetter: true", 0, 1, `"kept":1,`},
	} {
		j := newJobs(t, c.batch)
		j.write(j.base, "rows/bad.parquet", []byte("PAR1 and then nothing"))
		code, said := j.run(t.Context(), "", map[string]string{"GODWIT_SHARD": "0/1"})
		if code != c.code || !strings.Contains(said, c.want) || !strings.Contains(said, `"scored":9,`) {
			t.Errorf("%q: exit code %d, want %d and %q: %s", c.batch, code, c.code, c.want, said)
		}
		dead, err := filepath.Glob(filepath.Join(j.base, "scores", "dead", "bad.parquet.*.json"))
		if err != nil || len(dead) != c.dead {
			t.Errorf("%q: kept %v, %v", c.batch, dead, err)
		}
	}
	// A relative prefix is in no bucket.
	j := newJobs(t, "")
	j.base = ""
	if code, said := j.run(t.Context(), "", map[string]string{"GODWIT_SHARD": "0/1"}); code != 12 || !strings.Contains(said, "set GODWIT_INPUT") {
		t.Errorf("exit code %d: %s", code, said)
	}
}
