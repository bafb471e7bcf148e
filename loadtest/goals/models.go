//go:build linux && cgo

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/internal/testmodels"
	"godwit.dev/loadtest/measure"
	"godwit.dev/runtime/infer"
)

// model is one test model, all with one input x and one output y of FP32.
type model struct {
	name     string
	make     func() testmodels.Model
	shape    []int64 // of one row
	answer   []int64 // the shape of its answer
	payloads int
	recorded bool // its requests fit a recorded file
	five     bool // one of the five that all goals speak of
}

var models = []model{
	{"tiny", testmodels.Tiny, []int64{1, 4}, []int64{1, 3}, 64, true, true},
	{"small", testmodels.Small, []int64{1, 64}, []int64{1, 16}, 64, true, true},
	{"medium", testmodels.Medium, []int64{1, 512}, []int64{1, 10}, 64, true, true},
	{"wide", testmodels.Wide, []int64{1, 1024}, []int64{1, 10}, 64, true, true},
	{"resnet50", testmodels.ResNet50, []int64{1, 3, 224, 224}, []int64{1, 1000}, 16, false, true},
	// A body of 600 KB and next to no work, for the cost of bytes.
	{"image", testmodels.Image, []int64{1, 3, 224, 224}, []int64{1, 3, 1, 1}, 16, false, false},
}

func modelNamed(name string) *model {
	for i := range models {
		if models[i].name == name {
			return &models[i]
		}
	}
	panic("no model " + name)
}

// file is where the model lies.
func (b *bench) file(name string) string { return filepath.Join(b.dir, "models", name+".onnx") }

// writeModels writes the models and records requests, once per folder.
func (b *bench) writeModels() error {
	if err := os.MkdirAll(filepath.Join(b.dir, "models"), 0o755); err != nil {
		return err
	}
	for _, m := range models {
		if _, err := os.Stat(b.file(m.name)); err != nil {
			tmp := b.file(m.name) + ".part"
			if err := os.WriteFile(tmp, m.make().Bytes(), 0o644); err != nil {
				return err
			}
			if err := os.Rename(tmp, b.file(m.name)); err != nil {
				return err
			}
		}
		one := filepath.Join(b.dir, "one", m.name)
		if !m.recorded {
			continue
		}
		if err := os.RemoveAll(one); err != nil {
			return err
		}
		// As a user does it: what is recorded here decides whether a model may be batched.
		if text, err := b.command(b.subject, "init", b.file(m.name), one).CombinedOutput(); err != nil {
			return fmt.Errorf("godwit init %s: %w: %s", m.name, err, text)
		}
	}
	return nil
}

// function makes a function folder of the models; each gets the lines of extra
// in its block of the spec.
func (b *bench) function(name string, extra string, names ...string) (string, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	spec := "apiVersion: godwit.dev/v1\nname: bench\nmodels:\n"
	for _, n := range names {
		spec += fmt.Sprintf("  - name: %s\n    path: %s.onnx\n", n, n)
		if extra != "" {
			spec += "    " + strings.TrimSpace(extra) + "\n"
		}
		if err := os.Link(b.file(n), filepath.Join(dir, n+".onnx")); err != nil {
			return "", err
		}
		if modelNamed(n).recorded {
			from := os.DirFS(filepath.Join(b.dir, "one", n, "requests"))
			if err := os.CopyFS(filepath.Join(dir, "requests"), from); err != nil {
				return "", err
			}
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte(spec), 0o644)
}

// requests are m's, each of one row of random numbers in [-1, 1).
func (m *model) requests() []*infer.Request {
	return measure.Requests(m.name, m.shape, m.payloads)
}
