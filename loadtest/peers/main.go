//go:build linux

// Command peers measures Godwit beside other servers of models: each installed
// by its package's name at a pinned version, in the best of its settings, with
// the same model and the same bytes, and only if it gives the right answers.
// `make bench-peers` runs it; README.md here says how a peer is added.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit.dev/loadtest/measure"
)

// bench is one run of this program.
type bench struct {
	subject, floorPath, library    string
	dir, models, function, sources string
	cache                          string // where peers are installed
	scratch                        string // what they write while they run
	durations                      *durations

	loads   []*load
	running []*server
	count   int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

type flags struct {
	only, docs, results, plots string
	quick, fresh               bool
	install, check             bool
	most                       time.Duration
}

func run(ctx context.Context) error {
	b, f := &bench{durations: &full}, &flags{}
	flag.StringVar(&b.subject, "subject", "bin/godwit", "the binary to measure")
	flag.StringVar(&b.floorPath, "floor", "", "the C program of loadtest/floor")
	flag.StringVar(&b.library, "library", "", "ONNX Runtime's library")
	flag.StringVar(&b.dir, "dir", "", "a folder for models, logs and what was measured, kept for the next run")
	flag.StringVar(&b.sources, "sources", "loadtest/peers", "the peers' sources")
	flag.StringVar(&b.cache, "cache", "", "where peers are installed (default godwit/peers in the user's cache)")
	flag.StringVar(&f.only, "only", "", "names of peers, such as fastapi,rust; empty is all")
	flag.BoolVar(&f.quick, "quick", false, "few and short blocks")
	flag.BoolVar(&f.fresh, "fresh", false, "measure again what an earlier run of the same binary measured")
	flag.BoolVar(&f.install, "install", false, "only install")
	flag.BoolVar(&f.check, "check", false, "only install, start every setting and compare every answer")
	flag.DurationVar(&f.most, "most", 25*time.Minute, "begin no peer that would end later")
	flag.StringVar(&f.docs, "docs", "", "write the section between the marks of this file")
	flag.StringVar(&f.results, "results", "", "write all samples there, as JSON")
	flag.StringVar(&f.plots, "plots", "", "draw into this folder")
	flag.Parse()
	if f.quick {
		b.durations = &quick
	}
	chosen, err := choose(f.only)
	if err != nil {
		return err
	}
	if b.cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		b.cache = filepath.Join(user, "godwit", "peers")
	}
	for _, path := range []*string{&b.subject, &b.dir, &b.library, &b.floorPath, &b.sources, &b.cache} {
		if *path == "" {
			return errors.New("want -floor, -library and -dir, got none for one of them; `make bench-peers` gives them")
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	unlock, err := alone(b.dir)
	if err != nil {
		return err
	}
	defer unlock()
	b.models, b.function = filepath.Join(b.dir, "models"), filepath.Join(b.dir, "function")
	if f.install {
		return b.installAll(ctx, chosen)
	}
	// Not in b.dir: sockets lie in it, whose paths may have a hundred letters.
	if b.scratch, err = os.MkdirTemp("", "peers"); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	defer func() {
		for _, s := range b.running {
			s.stop(0)
		}
	}()
	if f.check {
		return b.check(ctx, chosen)
	}
	return b.all(ctx, chosen, f)
}

// alone keeps a second run of this program out of the folder: each would
// measure the other.
func alone(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("want to be the only run in %s, got %w; wait until the other has ended", dir, err)
	}
	return func() { f.Close() }, nil
}

func choose(only string) ([]*peer, error) {
	var chosen []*peer
	var names []string
	for i := range peers {
		names = append(names, peers[i].name)
	}
	for _, name := range strings.FieldsFunc(only, func(r rune) bool { return r == ',' || r == ' ' }) {
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("want peers among %s, got %q", strings.Join(names, ", "), name)
		}
		chosen = append(chosen, &peers[i])
	}
	if len(chosen) == 0 {
		for i := range peers {
			chosen = append(chosen, &peers[i])
		}
	}
	return chosen, nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *bench) installAll(ctx context.Context, chosen []*peer) error {
	for _, p := range chosen {
		if err := os.MkdirAll(filepath.Join(b.cache, p.name), 0o755); err != nil {
			return err
		}
		if _, versions, err := b.installed(ctx, p); err != nil {
			b.say("%s: not installed: %v", p.name, err)
		} else {
			b.say("%s: installed, %s", p.name, versionText(p.packages, versions))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// check starts every setting of the chosen peers and compares every answer.
func (b *bench) check(ctx context.Context, chosen []*peer) error {
	if err := b.installAll(ctx, chosen); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var problems []error
	for _, p := range chosen {
		for i := range p.settings {
			s := &p.settings[i]
			took, err := b.right(ctx, p, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("%s, %s: %w", p.name, s.Name, err))
				b.say("%s, %s: %v", p.name, s.Name, err)
				continue
			}
			b.say("%s, %s: every answer is right, the first after %v", p.name, s.Name, took.Round(time.Millisecond))
		}
	}
	return errors.Join(problems...)
}

// right starts the peer and compares all that it answers over all it speaks.
func (b *bench) right(ctx context.Context, p *peer, s *setting) (time.Duration, error) {
	server, took, err := b.started(ctx, b.theirs(p, filepath.Join(b.cache, p.name), s))
	if err != nil {
		return took, err
	}
	defer server.stop(polite)
	for _, l := range b.loads {
		if !slices.Contains(p.speaks, l.protocol) {
			continue
		}
		if err := server.verify(ctx, l); err != nil {
			return took, err
		}
	}
	return took, nil
}

// all measures the chosen peers, those already measured by the same binary
// excepted, and writes what is known of all.
func (b *bench) all(ctx context.Context, chosen []*peer, f *flags) error {
	if err := os.MkdirAll(filepath.Join(b.dir, "measured"), 0o755); err != nil {
		return err
	}
	key, err := b.key(f.quick)
	if err != nil {
		return err
	}
	rep := &report{Host: measure.ThisHost(), Quick: f.quick, Library: strings.TrimPrefix(filepath.Base(b.library), "libonnxruntime.so.")}
	if text, err := exec.CommandContext(ctx, b.subject, "--version").Output(); err == nil {
		rep.Subject = strings.TrimSpace(string(text))
	}
	// Installing waits for the network and compiles: all of it comes first, and
	// is no part of the time that measuring may take.
	if err := b.installAll(ctx, chosen); err != nil {
		return err
	}
	var todo []*peer
	var total time.Duration
	for _, p := range chosen {
		if !f.fresh && from(b.measured(p, f.quick), key) != nil {
			b.say("%s: measured before with this binary; FRESH=1 measures it again", p.name)
			continue
		}
		todo = append(todo, p)
		total += b.durations.estimate(p)
	}
	began := time.Now()
	b.say("%d peers to measure, about %v, until %s", len(todo), total.Round(time.Second), began.Add(total).Format("15:04"))
	for _, p := range todo {
		b.say("  %-9s about %v, %d settings", p.name, b.durations.estimate(p).Round(time.Second), len(p.settings))
	}
	if len(todo) > 0 {
		if err := b.prepare(ctx); err != nil {
			return err
		}
	}
	for i, p := range todo {
		if left := f.most - time.Since(began); b.durations.estimate(p) > left {
			b.say("%s: left out, it would take longer than the %v that are left; the next run goes on with it", p.name, left.Round(time.Second))
			continue
		}
		b.say("%d/%d %s …", i+1, len(todo), p.name)
		host := measure.ThisHost()
		r := b.compare(ctx, p)
		if ctx.Err() != nil {
			break
		}
		r.Key, r.When, r.Load = key, host.Time, host.Load
		b.say("%s", r.line())
		if r.Missing == "" {
			if err := r.keep(b.measured(p, f.quick)); err != nil {
				return err
			}
		} else if err := r.keep(b.measured(p, f.quick) + ".failed"); err != nil {
			return err
		}
	}
	for i := range peers {
		rep.Peers = append(rep.Peers, b.known(&peers[i], f.quick))
	}
	rep.text(os.Stdout)
	if err := ctx.Err(); err != nil {
		return err
	}
	return rep.publish(f)
}

// key names what figures hold for: this binary, this library, this kind of run.
func (b *bench) key(quick bool) (string, error) {
	text, err := os.ReadFile(b.subject)
	if err != nil {
		return "", fmt.Errorf("want the binary to measure: %w; `make build` builds it", err)
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("%s %s quick=%v", hex.EncodeToString(sum[:8]), filepath.Base(b.library), quick), nil
}

func (b *bench) measured(p *peer, quick bool) string {
	kind := map[bool]string{false: "full", true: "quick"}[quick]
	return filepath.Join(b.dir, "measured", p.name+"-"+kind+".json")
}

// known is the newest that was measured of p in this kind of run, by whatever binary.
func (b *bench) known(p *peer, quick bool) *peerResult {
	if r := from(b.measured(p, quick), ""); r != nil {
		return r
	}
	if r := from(b.measured(p, quick)+".failed", ""); r != nil {
		return r
	}
	return &peerResult{Name: p.name, Title: p.title, Language: p.language, Missing: "it was not run"}
}

// prepare writes the models, has the C program answer, and makes our function.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.makeLoads(ctx); err != nil {
		return err
	}
	// As a user does it: init records requests, which decide what may be batched.
	recorded := filepath.Join(b.dir, "recorded")
	for _, dir := range []string{recorded, b.function} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, b.subject, "init", filepath.Join(b.models, "small.onnx"), recorded)
	cmd.Env = append(os.Environ(), "GODWIT_ONNXRUNTIME="+b.library, "ORT_DISABLE_TELEMETRY=1")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("godwit init: %w: %s", err, tail(text))
	}
	if err := os.CopyFS(filepath.Join(b.function, "requests"), os.DirFS(filepath.Join(recorded, "requests"))); err != nil {
		return err
	}
	spec := "apiVersion: godwit.dev/v1\nname: peers\nmodels:\n"
	for _, m := range subjects {
		spec += fmt.Sprintf("  - name: %s\n    path: %s.onnx\n", m.name, m.name)
		if err := os.Link(filepath.Join(b.models, m.name+".onnx"), filepath.Join(b.function, m.name+".onnx")); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.function, "godwit.yaml"), []byte(spec), 0o644)
}
