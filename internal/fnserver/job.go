package fnserver

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/knative"
	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

// The variables that make a process a task of a job where the platform has none of
// its own that say enough.
const (
	shardOne = "GODWIT_SHARD"  // I/N: the share of this process
	shardAll = "GODWIT_SHARDS" // N, beside the index that Kubernetes sets
	inputIn  = "GODWIT_INPUT"  // where a relative batch.input is
)

// kubernetesIndex is set in each pod of an indexed Job.
const kubernetesIndex = "JOB_COMPLETION_INDEX"

// maxShards bounds the number of tasks, by the largest that a platform has.
const maxShards = 100_000

// task is a share of a job: it scores what of batch.input is its own, and ends.
type task struct {
	shard, shards int
	attempt       int // 0 is the first, or not known
}

// taskOf reads what the platform says of a task; nil is none. Errors: BadConfig.
func taskOf(getenv func(string) string) (*task, error) {
	t, ok, err := cloudrun.TaskOf(getenv)
	if ok || err != nil {
		return &task{t.Index, t.Count, t.Attempt}, err
	}
	if share := getenv(shardOne); share != "" {
		i, n, _ := strings.Cut(share, "/")
		return shardOf(shardOne, i, shardOne, n)
	}
	if index := getenv(kubernetesIndex); index != "" && !knative.IsJob(getenv) {
		return shardOf(kubernetesIndex, index, shardAll, getenv(shardAll))
	}
	return nil, nil
}

func shardOf(indexName, index, countName, count string) (*task, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxShards {
		return nil, fault.New(fault.BadConfig, "fnserver.Main", countName, "want the number of shards, from 1 to %d, got %.32q", maxShards, count).
			WithHint("%s is what completions: of the Job says; %s is I/N, such as 3/16.", shardAll, shardOne)
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= n {
		return nil, fault.New(fault.BadConfig, "fnserver.Main", indexName, "want a shard from 0 to %d, got %.32q", n-1, index)
	}
	return &task{shard: i, shards: n}, nil
}

// jobTarget is what a task runs as where no platform says which one it is.
func jobTarget() *target { return &target{name: "job", folders: nowhere, log: jsonLog} }

// tellEvery is how often a task's log says how far it is.
const tellEvery = 30 * time.Second

// score scores the share. What fails for good and is not kept aside fails the
// task, when all else is done.
func (t *task) score(ctx context.Context, f *app.Function, base string, log *slog.Logger) error {
	begun := time.Now()
	log.InfoContext(ctx, "job begins", "function", f.Spec.Name, "version", app.Version(), "shard", t.shard, "shards", t.shards, "attempt", t.attempt)
	said := begun
	r, err := f.ScoreInput(ctx, base, &batch.Prefix{Shard: t.shard, Shards: t.shards, Progress: func(p batch.PrefixProgress) {
		if now := time.Now(); !p.Ended && now.Sub(said) >= tellEvery {
			said = now
			log.InfoContext(ctx, "job goes on", "objects", p.Objects, "done", p.Done, "rows", p.Rows, "bad", p.Bad, "bytes", p.Bytes, "settled", p.Settled)
		}
	}})
	if r == nil {
		return err
	}
	for _, one := range r.Failures {
		log.WarnContext(ctx, "object failed for good", "object", one.URL, "code", fault.CodeOf(one.Err).String(), "error", one.Err)
	}
	log.InfoContext(ctx, "job ends", "objects", r.Objects, "mine", r.Mine, "scored", r.Scored, "already", r.Already, "waiting", r.Waiting,
		"failed", r.Failed, "kept", r.Kept, "rows", r.Rows, "bad", r.Bad, "seconds", time.Since(begun).Seconds(), "code", fault.CodeOf(err).String())
	switch {
	case err != nil && ctx.Err() != nil:
		return fault.New(fault.CodeOf(ctx.Err()), "fnserver.Main", "job", "it was told to stop after %v: %w", r, err).
			WithHint("What is scored stays; the next attempt goes on from there.")
	case err != nil:
		return err
	case r.Failed > 0:
		return fault.New(fault.Unprocessable, "fnserver.Main", "job", "want every object scored, got %s of %d that failed for good, the first with: %w", objects(r.Failed), r.Mine, r.Failures[0].Err).
			WithHint("With batch.deadLetter: true what fails for good is kept below batch.output, and the job goes on without.")
	}
	return nil
}

func objects(n int) string {
	if n == 1 {
		return "one object"
	}
	return fmt.Sprintf("%d objects", n)
}
