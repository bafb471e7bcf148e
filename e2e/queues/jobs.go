package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// jobs has the function binary score a prefix of a bucket as the tasks of jobs:
// Cloud Run's, an indexed Job of Kubernetes and jobs of Container Apps. Of the
// first one task is told to stop and another is killed; the platform starts both
// again. What all tasks write is what one writes. What is bad is kept aside, and
// scored once it is mended.
func jobs(ctx context.Context, a *addresses) error {
	b := &gcs{"http://" + a.gcs, "jobs-data"}
	if err := call(ctx, http.MethodPost, b.root+"/storage/v1/b?project=e2e", []byte(`{"name":"jobs-data"}`), nil, "Content-Type: application/json"); err != nil {
		return err
	}
	all := objects(12)
	for _, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
	}
	for key, data := range map[string][]byte{"large.jsonl": largeLines(4, 20_000), "_SUCCESS": []byte("no rows"), "mend.csv": []byte("id,nothing\n1,2\n")} {
		if err := b.put(ctx, "rows/"+key, data); err != nil {
			return err
		}
	}
	folder := func(output string) (string, error) {
		return function(a, "jobs-"+output, "batch: {input: gs://jobs-data/rows/, output: gs://jobs-data/"+output+"/, passThrough: [id], deadLetter: true}\ntargets: {cloudrun: {}}\n")
	}
	dir, err := folder("alone")
	if err != nil {
		return err
	}
	one := a.task(ctx, dir, "GODWIT_SHARD=0/1")
	if err := one.Run(); err != nil {
		return fmt.Errorf("one task: %w", err)
	}
	want, err := writtenBelow(ctx, b, "alone/")
	if err != nil {
		return err
	}
	const shards = 3
	for platform, env := range map[string]func(shard, attempt int) []string{
		"cloudrun": func(i, attempt int) []string {
			return []string{"CLOUD_RUN_JOB=scores", "CLOUD_RUN_EXECUTION=scores-1", fmt.Sprint("CLOUD_RUN_TASK_INDEX=", i), fmt.Sprint("CLOUD_RUN_TASK_COUNT=", shards), fmt.Sprint("CLOUD_RUN_TASK_ATTEMPT=", attempt)}
		},
		"kubernetes": func(i, _ int) []string {
			return []string{"KUBERNETES_SERVICE_HOST=10.0.0.1", fmt.Sprint("JOB_COMPLETION_INDEX=", i), fmt.Sprint("GODWIT_SHARDS=", shards)}
		},
		"containerapps": func(i, _ int) []string {
			return []string{"CONTAINER_APP_JOB_NAME=scores", fmt.Sprintf("GODWIT_SHARD=%d/%d", i, shards)}
		},
	} {
		dir, err := folder(platform)
		if err != nil {
			return err
		}
		attempts := make([]int, shards)
		errs := make([]error, shards)
		var group sync.WaitGroup
		for i := range shards {
			group.Go(func() {
				attempts[i], errs[i] = a.tries(ctx, b, platform, i, func(attempt int) *exec.Cmd { return a.task(ctx, dir, env(i, attempt)...) })
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		got, err := writtenBelow(ctx, b, platform+"/")
		if err == nil {
			err = equalFiles(want, got)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		fmt.Printf("jobs, %s: %d tasks, attempts %v: the same %d objects as by one\n", platform, shards, attempts, len(got))
	}

	// The bad objects are aside, with the reason; one is scored once it is mended.
	dead, err := b.list(ctx, "cloudrun/dead/")
	if err != nil || len(dead) != 2 || !strings.HasPrefix(dead[0], "cloudrun/dead/cut.parquet.") || !strings.HasPrefix(dead[1], "cloudrun/dead/mend.csv.") {
		return fmt.Errorf("want the bad objects aside, got %q, %w", dead, err)
	}
	for _, key := range dead {
		if text, err := b.get(ctx, key); err != nil || !strings.Contains(string(text), `"code":"invalid"`) {
			return fmt.Errorf("want a reason, got %s, %w", text, err)
		}
	}
	if dir, err = folder("cloudrun"); err != nil {
		return err
	}
	redrive := func() (string, int) {
		cmd := exec.CommandContext(ctx, a.godwit, "score", dir, "gs://jobs-data/cloudrun/dead/", "gs://jobs-data/cloudrun/", "--redrive")
		cmd.Env = append(os.Environ(), "STORAGE_EMULATOR_HOST="+a.gcs)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := redrive(); code != 6 || !strings.Contains(out, ": 0 done and removed, 2 stay") {
		return fmt.Errorf("want them to stay, got exit code %d: %s", code, out)
	}
	if err := b.put(ctx, "rows/mend.csv", table(digits(96, 30))); err != nil {
		return err
	}
	if out, code := redrive(); code != 6 || !strings.Contains(out, ": 1 done and removed, 1 stay") {
		return fmt.Errorf("want one done, got exit code %d: %s", code, out)
	}
	keys, err := b.list(ctx, "cloudrun/mend.csv.")
	if err != nil || !slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, "/manifest.json") }) {
		return fmt.Errorf("want the scores of what was mended, got %q, %w", keys, err)
	}
	left, err := b.list(ctx, "cloudrun/dead/")
	if err != nil || !slices.Equal(left, dead[:1]) {
		return fmt.Errorf("want only %q aside, got %q, %w", dead[0], left, err)
	}
	fmt.Println("jobs: bad objects kept aside by a job, and one redriven when it was mended")
	return nil
}

// task is a process as a platform starts it.
func (a *addresses) task(ctx context.Context, dir string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, a.fnServer)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "GODWIT_FUNCTION="+dir, "GODWIT_ONNXRUNTIME="+os.Getenv("GODWIT_ONNXRUNTIME"), "STORAGE_EMULATOR_HOST="+a.gcs)
	if log, err := os.OpenFile(filepath.Join(a.work, "jobs.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err == nil {
		cmd.Stdout, cmd.Stderr = log, log // open until this process ends
	}
	return cmd
}

// tries starts a task until it succeeds, as platforms do a few times. On Cloud
// Run the first attempt of two is cut short once there are scores: one is told to
// stop and has 10 s, the other is killed.
func (a *addresses) tries(ctx context.Context, b bucket, platform string, shard int, start func(attempt int) *exec.Cmd) (attempts int, err error) {
	for attempt := range 4 {
		cmd := start(attempt)
		if err := cmd.Start(); err != nil {
			return attempt, err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if platform == "cloudrun" && attempt == 0 && shard > 0 {
			if err := until(ctx, func() (bool, error) {
				keys, err := b.list(ctx, platform+"/")
				return len(keys) > 3, err
			}); err != nil {
				return attempt, errors.Join(err, cmd.Process.Kill(), <-ended)
			}
			if err := cmd.Process.Signal([]os.Signal{nil, syscall.SIGTERM, syscall.SIGKILL}[shard]); err != nil {
				return attempt, errors.Join(err, <-ended)
			}
			told := time.Now()
			if err = <-ended; err == nil {
				return attempt, fmt.Errorf("shard %d was cut short and says that it is done", shard)
			}
			if took := time.Since(told); took > 10*time.Second {
				return attempt, fmt.Errorf("shard %d was told to stop and took %v", shard, took)
			}
			continue
		}
		if err = <-ended; err == nil {
			return attempt + 1, nil
		}
	}
	return 4, fmt.Errorf("shard %d: %w", shard, err)
}
