//go:build linux && cgo

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"godwit.dev/internal/bake"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// hundred are the models of 100 MB: the one of the goals, and one of dense layers.
var hundred = []string{"resnet50", "wide"}

// bakedGoal is goal 11: from exec to the whole first answer, `godwit predict
// DIR REQUEST` on a packaged function with its model baked for cold starts,
// against the C program with the plain .onnx file that it was baked from.
func bakedGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for _, name := range hundred {
		dir, request, raw, err := b.packaged(ctx, name)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		var ourAnswer, floorAnswer []byte
		ours := func() (float64, error) {
			var d time.Duration
			d, ourAnswer, err = first(b.command(b.subject, "predict", dir, request, "--model", name), '\n')
			return float64(d), err
		}
		floor := func() (float64, error) {
			var d time.Duration
			d, floorAnswer, err = first(b.command(b.floorPath, "-l", b.library, "-m", b.file(name), "-c", raw), -1)
			return float64(d), err
		}
		for _, side := range []func() (float64, error){ours, floor} { // into the page cache
			if _, err := side(); err != nil {
				return figures, err
			}
		}
		if err := sameAnswer(ourAnswer, floorAnswer); err != nil {
			return figures, err
		}
		pairs, err := paired(ctx, max(8, b.pairs(25)), ours, floor)
		if err != nil {
			return figures, err
		}
		figures = append(figures, &figure{Goal: 11, What: "cold start, baked " + name, How: "exec to the first answer: godwit predict on the packaged function over the C program on the plain .onnx",
			Got: each(pairs, ratio), Ship: most(0.40), Moonshot: most(0.27),
			Absolute: fmt.Sprintf("%s ms, C %s ms", number(each(pairs, oursOf).Median/1e6), number(each(pairs, floorOf).Median/1e6)),
			Note:     "godwit also compares every file that it reads with the manifest's SHA-256, and reads a JSON request."})
	}
	return figures, nil
}

// peakGoal is goal 13: the most memory that was resident until the first
// answer, the server of the packaged function against the C program on the
// plain .onnx file, both by VmHWM, which counts mapped files too.
func peakGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for _, name := range hundred {
		dir, _, _, err := b.packaged(ctx, name)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		ours := func() (float64, error) {
			p, err := b.serve(ctx, dir)
			if err != nil {
				return 0, err
			}
			defer p.stop()
			if _, err := b.load(ctx, p, name, loadtest.Options{Protocol: loadtest.Binary, Connections: 1, Count: 1, Duration: time.Minute}); err != nil {
				return 0, err
			}
			return peak(p.cmd.Process.Pid)
		}
		floor := func() (float64, error) {
			l, err := b.loop(b.file(name), settings(1)[0])
			if err != nil {
				return 0, err
			}
			defer l.close()
			if _, err := l.run(1, time.Millisecond); err != nil {
				return 0, err
			}
			return peak(l.cmd.Process.Pid)
		}
		pairs, err := paired(ctx, max(3, b.pairs(5)), ours, floor)
		if err != nil {
			return figures, err
		}
		f := &figure{Goal: 13, What: "peak memory, baked " + name, How: "VmHWM after the first answer: godwit serve on the packaged function over the C program on the plain .onnx",
			Got: each(pairs, ratio), Ship: most(0.60), Moonshot: most(0.48),
			Absolute: fmt.Sprintf("%s MB, C %s MB", number(each(pairs, oursOf).Median/1e6), number(each(pairs, floorOf).Median/1e6))}
		if name == "wide" {
			f.Note = "a run reads every weight, so the file alone is 0.54 of what the C program needs, which drops what it has packed; the goal is resnet50's."
			f.Ship, f.Moonshot = target{}, target{}
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// peak is VmHWM in bytes. What wait4 tells would count this process's own
// peak, from before the exec.
func peak(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmHWM", pid)
}

// packaged makes the folder that a package of the model unpacks to, with its
// model baked for cold starts, and a request in the forms of both sides.
func (b *bench) packaged(ctx context.Context, name string) (dir, request, raw string, err error) {
	if dir, err = b.function("baked-"+name, "", name); err != nil {
		return "", "", "", err
	}
	requests, err := recorded.Load(dir)
	if err != nil {
		return "", "", "", err
	}
	forms, err := bake.Model(ctx, b.engineHere(), filepath.Join(dir, name+".onnx"), dir, &bake.Options{Name: name, Requests: requests, Cold: true})
	if err != nil {
		return "", "", "", err
	}
	digest, err := onnx.Digest(b.file(name))
	if err != nil {
		return "", "", "", err
	}
	if err := os.Remove(filepath.Join(dir, name+".onnx")); err != nil {
		return "", "", "", err
	}
	library, err := onnx.Digest(b.library)
	if err != nil {
		return "", "", "", err
	}
	m := &manifest.Manifest{Version: manifest.Version, Function: "bench", Platform: "linux/" + runtime.GOARCH, Models: []manifest.Model{{Name: name, Version: "1", Path: name + ".onnx", Digest: digest}}}
	for _, f := range forms {
		m.Models[0].Baked = append(m.Models[0].Baked, f.Baked)
	}
	m.Runtime.SHA256 = strings.TrimPrefix(library, "sha256:")
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		var sum manifest.Sum
		if _, err := io.Copy(&sum, file); err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		m.Files = append(m.Files, sum.File(inside))
		return err
	})
	if err != nil {
		return "", "", "", err
	}
	text, err := m.Append(nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, manifest.Name), text, 0o644)
	}
	if err != nil {
		return "", "", "", err
	}
	req := modelNamed(name).requests()[0]
	body, _, err := codec.EncodeRequest(nil, req, false)
	if err != nil {
		return "", "", "", err
	}
	request, raw = filepath.Join(dir, "cold.json"), filepath.Join(dir, "cold.f32")
	if err := os.WriteFile(request, body, 0o644); err != nil {
		return "", "", "", err
	}
	return dir, request, raw, os.WriteFile(raw, req.Inputs[0].Data, 0o644)
}
