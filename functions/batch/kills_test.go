package batch_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
	"godwit.dev/runtime/trigger"
)

// What tells a process that it is a child of the test of kills: the folder that
// it works in, and the mode.
const (
	killed     = "GODWIT_KILLED"
	killedMode = "GODWIT_KILLED_MODE"
)

// telling is a folder that tells of what is written to it, before and after,
// so that a parent can choose the moment.
type telling struct{ store.Bucket }

func (b telling) Create(ctx context.Context, key string) (store.Writer, error) {
	w, err := b.Bucket.Create(ctx, key)
	return told{w, key}, err
}

type told struct {
	store.Writer
	key string
}

func (w told) Commit(ctx context.Context) error {
	os.Stdout.WriteString("commits " + w.key + "\n")
	err := w.Writer.Commit(ctx)
	os.Stdout.WriteString("has committed " + w.key + "\n")
	return err
}

type inFolder struct{ b telling }

func (s inFolder) Open(_ context.Context, url string) (store.Bucket, string, error) {
	at, err := store.Parse(url)
	return s.b, at.Key, err
}

// child takes one delivery of in/a.jsonl, tells of each request and each
// object, and in the end how the delivery ended.
func child(dir string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	b, err := folder.Open(ctx, dir)
	if err != nil {
		return fail(err)
	}
	defer b.Close()
	r, err := register(ctx, true, doubles)
	if err != nil {
		return fail(err)
	}
	defer r.Close(ctx)
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		os.Stdout.WriteString("asks\n")
		return twice(ctx, req)
	}), &batch.Options{Objects: killable(telling{b}, r)})
	var out trigger.Outcome
	if os.Getenv(killedMode) == "file" {
		_, err := h.Score(ctx, oneFile.job(0))
		out = trigger.Of(err)
	} else {
		out = trigger.Run(ctx, h, &trigger.Event{Kind: "s3", Items: []trigger.Item{object("in/a.jsonl")}})[0]
	}
	fmt.Println(out.State, out.Err)
	if out.State == trigger.Permanent {
		return fail(out.Err)
	}
	return 0
}

func killable(b telling, r *infer.Registry) *batch.Objects {
	return &batch.Objects{Models: r, Stores: inFolder{b}, Input: "in/", Output: "out/", Pass: []string{"id"}, PartBytes: 1000, Rows: 8}
}

// kills is how many are made: GODWIT_KILLS, a hundred in `make e2e`.
func kills(t *testing.T) (n int, seed uint64) {
	n, seed = 25, 1
	for _, v := range []struct {
		name string
		set  func(uint64)
	}{{"GODWIT_KILLS", func(v uint64) { n = int(v) }}, {"GODWIT_SEED", func(v uint64) { seed = v }}} {
		if text := os.Getenv(v.name); text != "" {
			x, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			v.set(x)
		}
	}
	return n, seed
}

// Processes that are killed, at moments spread over all that they do, while
// each event is delivered three times at once and again until it is done,
// leave what one undisturbed process does, byte by byte.
func TestKillsChangeNothing(t *testing.T) {
	want, seed := kills(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	made, late := 0, 0
	var tenths [10]int // of the rows that were scored at a kill
	for round := 0; made < want; round++ {
		mode, quota := "event", want-made
		if round%2 == 0 {
			quota = max(quota/2, 1)
		} else {
			mode = "file"
		}
		parts := 10 + 2*min(quota, 50)
		rows := lines(40*parts, 7, 39*parts) + "{\"id\":-1,\"x\":[-1,0]}\n"
		undisturbed, dir := t.TempDir(), t.TempDir()
		for _, d := range []string{undisturbed, dir} {
			if err := os.Mkdir(filepath.Join(d, "in"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(d, "in/a.jsonl"), []byte(rows), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		// The version of a file has its time in it.
		info, err := os.Stat(filepath.Join(dir, "in/a.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(undisturbed, "in/a.jsonl"), info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if ended, line := deliver(t, undisturbed, mode, 0); ended != "done" {
			t.Fatalf("undisturbed: %s", line)
		}
		var left atomic.Int64
		left.Store(int64(quota))
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for done := false; !done; {
					at := 0
					mu.Lock()
					if left.Add(-1) >= 0 {
						at = 1 + rnd.IntN(50) // a part is about twelve steps
						if len(marksIn(t, dir)) == 0 && rnd.IntN(5) > 0 {
							at += 30 // most are to meet something that is there to stay
						}
					}
					mu.Unlock()
					ended, line := deliver(t, dir, mode, at)
					switch {
					case ended == "killed":
						mu.Lock()
						made++
						there := len(marksIn(t, dir))
						if there > 0 {
							late++
						}
						tenths[min(10*there/parts, 9)]++
						mu.Unlock()
					case at > 0:
						left.Add(1) // it was faster
						fallthrough
					default:
						done = ended == "done"
						if ended == "failed" {
							t.Error(line)
							return
						}
					}
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		if diff := cmp.Diff(untimed(t, files(t, undisturbed)), untimed(t, files(t, dir))); diff != "" {
			t.Fatalf("round %d (-undisturbed +killed):\n%s", round, diff)
		}
	}
	t.Logf("%d processes killed, %d of them after the first part was there to stay; by tenths of what was: %v", made, late, tenths)
	if late*10 < made*8 {
		t.Errorf("only %d of %d kills came after the first part", late, made)
	}
}

// deliver runs a delivery in a process of its own, and kills it at the at-th
// thing that it tells; 0 is never.
func deliver(t *testing.T, dir, mode string, at int) (ended, line string) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killed+"="+dir, killedMode+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return "failed", err.Error()
	}
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line = lines.Text()
		if n++; n == at {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	switch {
	case strings.HasPrefix(line, "done"):
		return "done", line
	case cmd.ProcessState != nil && cmd.ProcessState.String() == "signal: killed":
		return "killed", line
	case err == nil:
		return "again", line
	}
	return "failed", line + ": " + err.Error()
}

func marksIn(t *testing.T, dir string) []string {
	marks, err := filepath.Glob(filepath.Join(dir, "out/*/part-?????.json")) // also of parts that wait
	if err != nil {
		t.Error(err)
	}
	return marks
}

// files is all that lies below dir.
func files(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all
}
