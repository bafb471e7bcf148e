//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest/cold"
	"godwit.dev/runtime/codec"
)

// peersGoal is goal 12: from exec to the whole first answer, our packaged binary
// under its emulated platform over a Node or Python process that answers the
// same request and ends. All files are in the page cache.
func peersGoal(ctx context.Context, b *bench) ([]*figure, error) {
	out, err := exec.CommandContext(ctx, "loadtest/peers/fetch.sh").Output()
	if err != nil {
		var said *exec.ExitError
		if errors.As(err, &said) {
			err = fmt.Errorf("%w: %s", err, said.Stderr)
		}
		return nil, fmt.Errorf("loadtest/peers/fetch.sh: %w", err)
	}
	python, module, ok := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if !ok {
		return nil, fmt.Errorf("loadtest/peers/fetch.sh: want a Python and a module's folder, got %q", out)
	}
	var figures []*figure
	for _, name := range []string{"tiny", "wide"} {
		subject, dir, err := b.peerSubject(ctx, name)
		if err != nil {
			return figures, err
		}
		for _, p := range []peer{
			{"Node", "onnxruntime-node", 0.25, 0.166, []string{"node", "loadtest/peers/first.mjs", module}},
			{"Python", "onnxruntime", 0.125, 0.05, []string{python, "-I", "loadtest/peers/first.py"}},
		} {
			f, err := b.against(ctx, subject, dir, name, &p)
			if err != nil {
				return figures, fmt.Errorf("%s against %s: %w", name, p.name, err)
			}
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// peer is a process in another language; its arguments go on with the model, the
// request and how it sets its session up.
type peer struct {
	name, module   string
	ship, moonshot float64
	command        []string
}

// peerSubject makes the package for AWS Lambda of a function with one model.
func (b *bench) peerSubject(ctx context.Context, name string) (s *cold.Subject, function string, err error) {
	if function, err = b.function("peers-"+name, "", name); err != nil {
		return nil, "", err
	}
	dir := filepath.Join(b.dir, "peers-"+name+"-package")
	if err := os.RemoveAll(dir); err != nil {
		return nil, "", err
	}
	// A folder is no upload, which is what would be examined.
	if text, err := b.command(b.subject, "package", function, "--target", "awslambda", "--no-doctor", "-o", dir).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("godwit package: %w: %s", err, text)
	}
	requests, err := recorded.Load(dir)
	if err != nil {
		return nil, "", err
	}
	if len(requests) == 0 {
		return nil, "", fmt.Errorf("%s: want a recorded request, got none", dir)
	}
	log := &cold.Log{}
	launch := emulate.Command(filepath.Join(dir, "bootstrap"), nil, []string{"GODWIT_TARGET=awslambda"}, log, log)
	return &cold.Subject{Target: "awslambda", Launch: launch, Env: []string{"LAMBDA_TASK_ROOT=" + dir}, Log: log, Request: &requests[0], Dir: dir}, function, nil
}

// against is our cold start over the peer's, set up in the way that suits it best.
func (b *bench) against(ctx context.Context, s *cold.Subject, function, name string, p *peer) (*figure, error) {
	ours := func() (float64, error) {
		d, err := s.Start(ctx)
		return float64(d), err
	}
	side := func(how string) func() (float64, error) {
		args := append(append([]string(nil), p.command[1:]...), filepath.Join(function, name+".onnx"), s.Request.Path, how)
		return func() (float64, error) {
			cmd := b.command(p.command[0], args...)
			// What Node compiles of its modules is kept from one start to the next, as Python does it anyway.
			cmd.Env = append(cmd.Env, "NODE_COMPILE_CACHE="+filepath.Join(b.dir, "node"))
			d, answer, err := first(cmd, '\n')
			if err != nil {
				return 0, err
			}
			resp, err := codec.DecodeResponse(bytes.TrimSpace(answer), -1, nil)
			if err == nil {
				err = s.Request.Want.Check(resp)
			}
			return float64(d), err
		}
	}
	if _, err := ours(); err != nil { // into the page cache
		return nil, err
	}
	best, how := 0.0, ""
	for _, setting := range []string{"default", "lean"} {
		var took []float64
		for range 4 {
			d, err := side(setting)()
			if err != nil {
				return nil, err
			}
			took = append(took, d)
		}
		if median := spreadOf(took[1:]).Median; how == "" || median < best {
			best, how = median, setting
		}
	}
	pairs, err := paired(ctx, max(8, b.pairs(25)), ours, side(how))
	if err != nil {
		return nil, err
	}
	raw := filepath.Join(b.dir, "peers-"+name+".f32")
	if err := os.WriteFile(raw, modelNamed(name).requests()[0].Inputs[0].Data, 0o644); err != nil {
		return nil, err
	}
	bare, err := paired(ctx, max(4, b.pairs(8)), func() (float64, error) {
		d, _, err := first(b.command(b.floorPath, "-l", b.library, "-m", b.file(name), "-c", raw), -1)
		return float64(d), err
	}, side(how))
	if err != nil {
		return nil, err
	}
	return &figure{Goal: 12, What: fmt.Sprintf("cold start over %s's, %s", p.name, name),
		How: "exec to the first answer: the packaged binary on an emulated AWS Lambda over a process with " + p.module,
		Got: each(pairs, ratio), Ship: most(p.ship), Moonshot: most(p.moonshot),
		Absolute: fmt.Sprintf("%s ms, %s %s ms", number(each(pairs, oursOf).Median/float64(time.Millisecond)), p.name, number(each(pairs, floorOf).Median/float64(time.Millisecond))),
		Note: fmt.Sprintf("ours takes an event through the Runtime API and answers over the protocol; %s reads the plain .onnx and the request from files, with the session's %s settings, the faster of two. The C program of goal 10, with nothing of ours and the plain .onnx, takes %s of it, %s ms.", p.name, how,
			number(each(bare, ratio).Median), number(each(bare, oursOf).Median/1e6))}, nil
}
