//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"godwit.dev/internal/bake"
	"godwit.dev/internal/recorded"
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
