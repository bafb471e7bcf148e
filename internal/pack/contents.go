package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// Options of Contents.
type Options struct {
	Target string // whose package it is
	Built  *Built // for one platform
	// Forms are the baked forms of models, by "NAME/VERSION"; a model with forms
	// is not in the package itself.
	Forms map[string][]Form
	// Fetched are the files of models behind URLs, by "NAME/VERSION".
	Fetched map[string]string
}

// ModelPath is where a model's file lies in a package: where the spec says, and
// one behind a URL below a name that its digest makes its own.
func ModelPath(m *spec.Model) string {
	if app.Remote(m) {
		return "models/" + m.SHA256 + ".onnx"
	}
	return path.Clean(m.Path)
}

// Form is a baked form of a model and its files.
type Form struct {
	Baked manifest.Baked
	Files []File
}

// Contents is what the function in dir, or the lone model file, becomes for a
// target: its program, libraries, models, spec, recorded requests, and what the
// platform wants beside them. Everything that a model names is read and checked
// first. Errors: BadConfig, BadModel, Unsupported, Invalid about the requests.
func Contents(ctx context.Context, function string, o *Options) (*Tree, error) {
	dir, s, err := app.ReadSpec(function)
	if err != nil {
		return nil, err
	}
	c := &contents{ctx: ctx, dir: dir, spec: s, o: o, tree: &Tree{}, read: map[string]*onnx.Model{}}
	m := &manifest.Manifest{Version: manifest.Version, Function: s.Name, Godwit: app.Version(), Platform: "linux/" + o.Built.Arch,
		Files: []manifest.File{}, Models: []manifest.Model{}}
	if err := errors.Join(c.program(&m.Runtime), c.models(m), c.description(function), c.requests(), c.platform()); err != nil {
		return nil, err
	}
	for i := range c.tree.Files {
		f, err := c.tree.Files[i].digest(ctx)
		if err != nil {
			return nil, err
		}
		if f.Path == c.library {
			m.Runtime.SHA256 = f.SHA256
		}
		m.Files = append(m.Files, f)
	}
	text, err := c.sbom(m)
	if err != nil {
		return nil, err
	}
	bill := File{Path: SBOMName, Part: Spec, Data: text}
	entry, err := bill.digest(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.tree.Add(bill); err != nil {
		return nil, err
	}
	m.Files = append(m.Files, entry)
	if text, err = m.Append(nil); err != nil {
		return nil, err
	}
	return c.tree, c.tree.Add(File{Path: manifest.Name, Part: Spec, Data: text})
}

type contents struct {
	ctx     context.Context
	dir     string
	spec    *spec.Spec
	o       *Options
	tree    *Tree
	library string                 // ONNX Runtime's path in the package
	read    map[string]*onnx.Model // by "NAME/VERSION"
}

// program adds the binary and its libraries.
func (c *contents) program(r *manifest.Runtime) error {
	name, from := "fn-server", c.o.Built.Server
	if c.o.Target == "awslambda" {
		name, from = "fn-lambda", c.o.Built.Lambda
		if l := c.spec.Targets.AWSLambda; l == nil || l.Package == "zip" {
			name = "bootstrap" // what provided.al2023 starts
		}
	}
	problems := []error{c.tree.Add(File{Path: name, Part: Binary, Exec: true, From: from})}
	r.Version = c.o.Built.Version
	c.library = "lib/libonnxruntime.so." + r.Version
	problems = append(problems, c.tree.Add(File{Path: c.library, Part: Runtime, From: c.o.Built.ONNXRuntime}))
	texts, err := noticeFiles()
	if err != nil {
		return fault.New(fault.Internal, "pack.Contents", "notices", "%w", err)
	}
	for _, f := range texts {
		problems = append(problems, c.tree.Add(f))
	}
	for _, lib := range c.o.Built.Libraries {
		problems = append(problems, c.tree.Add(File{Path: "lib/" + filepath.Base(lib), Part: Runtime, From: lib}))
	}
	return errors.Join(problems...)
}

// models adds each model with its data, or its baked forms.
func (c *contents) models(m *manifest.Manifest) error {
	for i := range c.spec.Models {
		one := &c.spec.Models[i]
		file := filepath.Join(c.dir, filepath.FromSlash(one.Path))
		if app.Remote(one) {
			if file = c.o.Fetched[one.Name+"/"+one.Version]; file == "" {
				return fault.New(fault.Internal, "pack.Contents", one.Name, "want the model fetched, got no file")
			}
		}
		read, err := onnx.Read(file, nil)
		if err != nil {
			return err
		}
		digest, err := read.DigestAll()
		if err != nil {
			return err
		}
		if one.SHA256 != "" && digest != "sha256:"+one.SHA256 {
			return fault.New(fault.BadModel, "pack.Contents", one.Path, "want sha256:%s as godwit.yaml says, got %s", one.SHA256, digest).
				WithHint("The files are not those that godwit.yaml names; restore them, or write the new digest there.")
		}
		entry := manifest.Model{Name: one.Name, Version: one.Version, Path: ModelPath(one), Digest: digest}
		c.read[one.Name+"/"+one.Version] = read
		forms := c.o.Forms[one.Name+"/"+one.Version]
		for _, form := range forms {
			entry.Baked = append(entry.Baked, form.Baked)
			for _, f := range form.Files {
				if c.has(f.Path) {
					continue // versions of one file have one form
				}
				if err := c.tree.Add(f); err != nil {
					return err
				}
			}
		}
		if len(forms) == 0 {
			if app.Remote(one) { // in one file, or its digest would be another
				if c.has(entry.Path) {
					err = nil
				} else {
					err = c.tree.Add(File{Path: entry.Path, Part: Weights, From: file})
				}
			} else {
				err = c.model(entry.Path, read)
			}
			if err != nil {
				return err
			}
		}
		m.Models = append(m.Models, entry)
	}
	return nil
}

// model adds a model's files, once where several versions share them.
func (c *contents) model(file string, m *onnx.Model) error {
	for _, f := range modelFiles(file, m) {
		if c.has(f) {
			continue
		}
		if err := c.tree.Add(File{Path: f, Part: Weights, From: filepath.Join(c.dir, filepath.FromSlash(f))}); err != nil {
			return err
		}
	}
	return nil
}

func (c *contents) has(file string) bool {
	for i := range c.tree.Files {
		if c.tree.Files[i].Path == file {
			return true
		}
	}
	return false
}

// description adds godwit.yaml as its user wrote it; a lone model gets the
// least that there can be.
func (c *contents) description(function string) error {
	if info, err := os.Stat(function); err == nil && info.IsDir() {
		return c.tree.Add(File{Path: spec.FileName, Part: Spec, From: filepath.Join(c.dir, spec.FileName)})
	}
	text, err := json.Marshal(c.spec.Models[0].Path) // a JSON string is a YAML string
	if err != nil {
		return fault.New(fault.Internal, "pack.Contents", function, "%w", err)
	}
	return c.tree.Add(File{Path: spec.FileName, Part: Spec, Data: fmt.Appendf(nil, "model: %s\n", text)})
}

// requests adds the recorded requests, by which a server finds out what it may
// batch, and a new version proves itself.
func (c *contents) requests() error {
	names := make([]string, 0, len(c.spec.Models))
	for i := range c.spec.Models {
		names = append(names, c.spec.Models[i].Name)
	}
	all, err := recorded.Load(c.dir, names...)
	if err != nil || len(all) == 0 {
		return err
	}
	root := os.DirFS(c.dir)
	return fs.WalkDir(root, "requests", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return fault.New(fault.Invalid, "pack.Contents", file, "%w", err)
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), ".") || path.Ext(file) != ".json" {
			return nil
		}
		return c.tree.Add(File{Path: file, Part: Spec, From: filepath.Join(c.dir, filepath.FromSlash(file))})
	})
}

// platform adds what the target wants beside the function.
func (c *contents) platform() error {
	switch c.o.Target {
	case "azurefunctions":
		if a := c.spec.Targets.AzureFunctions; a != nil && a.Plan == "containerapps" {
			return nil // an image, as all others
		}
		return c.azure()
	case "edge":
		return c.edge()
	}
	return nil
}
