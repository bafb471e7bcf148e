package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"godwit.dev/adapters/stores/s3"
)

const (
	bucket   = "kills"
	parallel = 3   // processes that score the same object at a time
	parts    = 400 // of the object, about
	partRows = 150
)

// killed has three processes score the same object at once, and kills all of
// them when so many parts are there, for moments spread over the whole object.
func (f *flags) killed(ctx context.Context, r *rand.Rand) error {
	if err := f.put(ctx, "rows/a.jsonl", rows(r, parts*partRows, 97)); err != nil {
		return err
	}
	if out, err := f.score(ctx, "undisturbed/").CombinedOutput(); err != nil {
		return fmt.Errorf("undisturbed: %w: %s", err, out)
	}
	want, err := f.tree("undisturbed")
	if err != nil {
		return err
	}
	all := 0
	for name := range want {
		if isPart(name) {
			all++
		}
	}
	if all < parts/2 {
		return fmt.Errorf("want about %d parts, got %d", parts, all)
	}

	begun := time.Now()
	made, late, rounds := 0, 0, (f.kills+parallel-1)/parallel
	for round := range rounds {
		// Some are killed as they begin, some before anything is there, and one
		// more with each further share of the parts.
		target := 0
		if early := rounds / 8; round >= early {
			target = 1 + (round-early)*(all-parts/8)/(rounds-early)
		}
		processes, err := f.begin(ctx)
		if err != nil {
			return err
		}
		n, err := f.await(ctx, processes, target)
		if err != nil {
			return errors.Join(err, f.end(processes))
		}
		pause := time.Duration(r.IntN(25)) * time.Millisecond
		if target == 0 {
			pause = time.Duration(r.IntN(300)) * time.Millisecond
		}
		time.Sleep(pause) // the moment is what is random here, not what is waited for
		if n > 0 {
			late += len(processes)
		}
		made += len(processes)
		if err := f.end(processes); err != nil {
			return fmt.Errorf("round %d, at %d parts of %d: %w", round, n, all, err)
		}
	}
	processes, err := f.begin(ctx)
	if err != nil {
		return err
	}
	for _, p := range processes {
		err = errors.Join(err, p.wait())
	}
	if err != nil {
		return err
	}
	got, err := f.tree("out")
	if err != nil {
		return err
	}
	if err := same(want, got); err != nil {
		return err
	}
	fmt.Printf("kills: %d processes killed in %v, %d of them after the first of %d parts: %d objects, byte by byte as undisturbed\n",
		made, time.Since(begun).Round(time.Second), late, all, len(got))
	if late*100 < made*80 {
		return fmt.Errorf("want at least 80 of 100 kills after the first part, got %d of %d", late, made)
	}
	return nil
}

// rows are lines of the digits example; of so many one is bad.
func rows(r *rand.Rand, n, bad int) []byte {
	var b bytes.Buffer
	for i := range n {
		if i%bad == bad-1 {
			fmt.Fprintf(&b, "{\"id\": %d, \"pixels\": \"none\"}\n", i)
			continue
		}
		fmt.Fprintf(&b, "{\"id\": %d, \"pixels\": [", i)
		for j := range 64 {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, r.IntN(17))
		}
		b.WriteString("]}\n")
	}
	return b.Bytes()
}

// put writes an object.
func (f *flags) put(ctx context.Context, key string, data []byte) error {
	env := map[string]string{}
	for _, v := range f.env() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	b, err := s3.Opener(&s3.Options{Getenv: func(name string) string { return env[name] }})(ctx, bucket)
	if err != nil {
		return err
	}
	defer b.Close()
	w, err := b.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		w.Abort()
		return err
	}
	return w.Commit(ctx)
}

func (f *flags) env() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_ENDPOINT_URL_S3=http://" + f.store, "AWS_REGION=" + os.Getenv("AWS_REGION"),
		"AWS_ACCESS_KEY_ID=" + os.Getenv("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY=" + os.Getenv("AWS_SECRET_ACCESS_KEY"),
	}
	if v := os.Getenv("GODWIT_ONNXRUNTIME"); v != "" {
		env = append(env, "GODWIT_ONNXRUNTIME="+v)
	}
	return env
}

func (f *flags) score(ctx context.Context, to string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, f.godwit, "score", f.folder, "s3://"+bucket+"/rows/a.jsonl", "s3://"+bucket+"/"+to, "--pass", "id", "--part-size", "24KiB", "--resume", "--quiet")
	cmd.Env = f.env()
	return cmd
}

// process is one that scores.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
	err  error // once done is closed
}

func (p *process) wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%w: %.2000s", p.err, p.log.Bytes())
	}
	return nil
}

func (f *flags) begin(ctx context.Context) ([]*process, error) {
	var all []*process
	for range parallel {
		p := &process{cmd: f.score(ctx, "out/"), done: make(chan struct{})}
		p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
		if err := p.cmd.Start(); err != nil {
			return nil, errors.Join(err, f.end(all))
		}
		go func() {
			defer close(p.done)
			p.err = p.cmd.Wait()
		}()
		all = append(all, p)
	}
	return all, nil
}

// end kills processes. It is an error if one has ended by itself before, as then
// it was none of the kills.
func (f *flags) end(all []*process) error {
	var errs []error
	for _, p := range all {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range all {
		<-p.done
		if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() {
			errs = append(errs, fmt.Errorf("a process ended before it was killed: %v %.1000s", p.err, p.log.Bytes()))
		}
	}
	return errors.Join(errs...)
}

// await waits until there are so many parts and returns how many there are.
func (f *flags) await(ctx context.Context, all []*process, parts int) (int, error) {
	for {
		n := 0
		err := filepath.WalkDir(filepath.Join(f.data, bucket, "out"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && isPart(d.Name()) {
				n++
			}
			return nil // what is not there yet, or not any more, is none
		})
		if err != nil || n >= parts {
			return n, err
		}
		for _, p := range all {
			select {
			case <-p.done:
				return n, fmt.Errorf("a process has ended at %d parts: %w", n, p.wait())
			case <-ctx.Done():
				return n, ctx.Err()
			default:
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// isPart tells whether a name is that of a part's scores.
func isPart(name string) bool {
	name = name[strings.LastIndex(name, "/")+1:]
	return strings.HasPrefix(name, "part-") && strings.HasSuffix(name, ".jsonl") && !strings.HasSuffix(name, ".bad.jsonl")
}

// tree is all objects below a prefix. Of a manifest what may differ is left out.
func (f *flags) tree(prefix string) (map[string]string, error) {
	all := map[string]string{}
	root := filepath.Join(f.data, bucket, prefix)
	return all, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.Name() == "manifest.json" {
			var doc map[string]any
			if err := json.Unmarshal(data, &doc); err != nil {
				return err
			}
			delete(doc, "timings")
			if data, err = json.Marshal(doc); err != nil {
				return err
			}
		}
		all[filepath.ToSlash(name)] = string(data)
		return nil
	})
}

func same(want, got map[string]string) error {
	names := slices.Sorted(maps.Keys(want))
	if !slices.Equal(names, slices.Sorted(maps.Keys(got))) {
		return fmt.Errorf("want the objects %q, got %q", names, slices.Sorted(maps.Keys(got)))
	}
	for _, name := range names {
		if want[name] != got[name] {
			return fmt.Errorf("%s: want %.300q, got %.300q", name, want[name], got[name])
		}
	}
	return nil
}
