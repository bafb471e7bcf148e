package cli

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/infra/azure"
	"godwit.dev/infra/edge"
	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/knative"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

// A pure renderer is a function of the deployment, and what belongs to it.
type pure struct {
	render func(d *render.Deployment) ([]render.File, error)
	// file holds mark where a folder is an earlier rendering.
	file, mark string
	// archive is the suffix of the package that lies in the folder, where the
	// platform runs no image.
	archive string
	// place is where in the folder the package lies; nil is at its root.
	place func(d *render.Deployment) string
	// optional are the names at the folder's root, as path.Match reads them, that
	// are rendered for some functions only. One that is there from an earlier time
	// goes when it is rendered no longer.
	optional []string
	line     func(d *render.Deployment) string // does the same without files; nil for none
	then     func(d *render.Deployment) string // comes after line, when what that makes is ready; "" and nil for none
	next     func(d *render.Deployment) string // what one runs then; nil for the one command that deploys
	commands func(d *render.Deployment) ([]render.Command, error)
	needs    []string // programs that the commands call themselves
}

// pureRenderers are the targets whose files are a pure function of godwit.yaml and
// the package.
func pureRenderers() map[string]pure {
	return map[string]pure{
		"knative": {
			render: knative.Render, file: "base/kustomization.yaml", mark: knative.Mark, optional: []string{"jobs"},
			line: knative.KnLine, then: knative.KnTraffic, commands: always(knative.Commands),
			next: func(d *render.Deployment) string { return "kubectl apply -k " + knative.Overlay(d) },
		},
		"cloudrun": {
			render: google.RenderCloudRun, file: google.MarkFile, mark: google.Mark, optional: []string{"job.yaml", "openapi.yaml"},
			line: google.CloudRunLine, commands: always(google.Commands), next: byScript, needs: []string{"gcloud"},
		},
		"vertexai": {
			render: google.RenderVertexAI, file: google.MarkFile, mark: google.Mark,
			commands: always(google.Commands), next: byScript, needs: []string{"gcloud"},
		},
		"azurefunctions": {
			render: azure.RenderFunctions, file: "infra/main.bicep", mark: azure.Mark, archive: ".zip", optional: []string{"deploy.sh"},
			commands: always(azure.Commands), next: func(*render.Deployment) string { return "azd up" }, needs: []string{"az"},
		},
		"azureml": {
			render: azure.RenderML, file: "endpoint.yml", mark: azure.MLMark, optional: []string{"compute.yml", "pipeline.yml", "score.yml"},
			commands: always(azure.MLCommands), next: seeREADME,
		},
		"edge": {
			render: edge.Render, file: "README.md", mark: edge.Mark, commands: edge.Commands,
			archive: ".tar.gz", place: edge.PackagePath, next: seeREADME,
			optional: []string{"deployment.json", "layer.json", "limits.json", "recipes", "godwit-*.service"},
		},
	}
}

func byScript(*render.Deployment) string { return "./" + google.MarkFile }

func seeREADME(*render.Deployment) string { return "cat README.md" }

// always is commands that are there for whatever can be rendered.
func always(commands func(*render.Deployment) []render.Command) func(*render.Deployment) ([]render.Command, error) {
	return func(d *render.Deployment) ([]render.Command, error) { return commands(d), nil }
}

func (p *program) pure(target string, t pure) renderer {
	return renderer{
		write: func(ctx context.Context, r *rendering) (*rendered, error) { return p.renderPure(ctx, r, &t) },
		ours: func(dir string) bool {
			text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(t.file)))
			return err == nil && strings.Contains(string(text), t.mark)
		},
		some: func(s *spec.Spec) *render.Deployment { return t.some(s, target) },
		refuses: func(s *spec.Spec) error {
			_, err := t.render(t.some(s, target))
			return err
		},
		commands: func(r *rendering) ([]render.Command, error) { return t.commands(r.deployment) },
		needs:    t.needs,
		optional: t.optional,
		images: func(s *spec.Spec) []string {
			if inImage(s, target) {
				return []string{target}
			}
			return nil
		},
	}
}

// some is a deployment of s whose package is anyone.
func (t *pure) some(s *spec.Spec, target string) *render.Deployment {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	d := &render.Deployment{Spec: s, Digest: digest}
	if inImage(s, target) {
		d.Image = cmp.Or(repository(s.Image), "docker.io/library/"+s.Name) + "@" + digest
	} else {
		d.Package = s.Name + t.archive
	}
	return d
}

// repository is an image's name without its tag.
func repository(image string) string {
	if at := strings.LastIndexByte(image, ':'); at > strings.LastIndexByte(image, '/') {
		return image[:at]
	}
	return image
}

func (p *program) renderPure(ctx context.Context, r *rendering, t *pure) (*rendered, error) {
	d, archive, err := p.deploymentOf(ctx, r, t)
	if err != nil {
		return nil, err
	}
	r.deployment = d
	files, err := t.render(d)
	if err != nil {
		return nil, err
	}
	if err := writeFiles(r.into, files); err != nil {
		return nil, err
	}
	if archive != "" {
		to := d.Package
		if t.place != nil {
			to = t.place(d)
		}
		if err := moveTo(archive, filepath.Join(r.into, filepath.FromSlash(to)), r.options.packed != ""); err != nil {
			return nil, err
		}
	}
	made := &rendered{Package: d.Digest}
	if t.next != nil {
		made.Next = t.next(d)
	}
	if t.line != nil {
		made.Command = t.line(d)
	}
	if t.then != nil {
		made.Then = t.then(d)
	}
	return made, nil
}

// deploymentOf is what a pure renderer is told, and the package's file where there
// is one: that of --package, or one within r.into.
func (p *program) deploymentOf(ctx context.Context, r *rendering, t *pure) (d *render.Deployment, archive string, err error) {
	d = &render.Deployment{Spec: r.spec}
	if inImage(r.spec, r.options.target) {
		if d.Image, d.Digest, err = pushed(r, r.options.target); err != nil {
			return nil, "", err
		}
	} else {
		d.Package = r.spec.Name + t.archive
		if archive, err = p.archive(ctx, r, r.options.target, filepath.Join(r.into, d.Package)); err != nil {
			return nil, "", err
		}
		if d.Digest, err = digestOf(archive); err != nil {
			return nil, "", fault.New(fault.Internal, "", archive, "%w", err)
		}
	}
	if d.ModelBytes, err = modelBytes(r); err != nil {
		return nil, "", err
	}
	requests, err := recorded.Load(r.dir)
	if err != nil {
		return nil, "", err
	}
	if len(requests) > 0 {
		path, err := filepath.Rel(r.dir, requests[0].Path)
		if err != nil {
			return nil, "", fault.New(fault.Internal, "", requests[0].Path, "%w", err)
		}
		d.Request = &render.Request{Model: requests[0].Model, Path: filepath.ToSlash(path)}
	}
	return d, archive, nil
}

// archive is the package to deploy: the one that --package names, or a new one at out.
func (p *program) archive(ctx context.Context, r *rendering, target, out string) (string, error) {
	if r.options.packed != "" {
		return r.options.packed, examined(ctx, r.options.packed, target)
	}
	quiet := *p
	quiet.Stdout, quiet.quiet, quiet.json = io.Discard, true, false
	return out, quiet.pack(ctx, r.path, &packageOptions{target: target, out: out})
}

// modelBytes is what the models are in files.
func modelBytes(r *rendering) (n int64, err error) {
	for _, m := range r.spec.Models {
		if strings.Contains(m.Path, "://") {
			continue // fetched: how big it is nobody knows here
		}
		read, err := onnx.Read(filepath.Join(r.dir, filepath.FromSlash(m.Path)), nil)
		if k := r.spec.Targets.Knative; fault.CodeOf(err) == fault.NotFound && r.options.target == "knative" && (k.ModelClaim != "" || k.ModelImage != "") {
			continue // it is in the claim or the volume alone
		}
		if err != nil {
			return 0, err
		}
		n += max(read.Size, read.Initializers.Bytes+read.Constants)
	}
	return n, nil
}

// moveTo puts the package at path, and leaves one that is not ours where it is.
func moveTo(archive, path string, theirs bool) error {
	if archive == path {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fault.New(fault.Internal, "", path, "%w", err)
	}
	if !theirs {
		if err := os.Rename(archive, path); err != nil {
			return fault.New(fault.Internal, "", path, "%w", err)
		}
		return nil
	}
	from, err := os.Open(archive)
	if err != nil {
		return fault.New(fault.NotFound, "", archive, "%w", err)
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return fault.New(fault.Internal, "", path, "%w", err)
	}
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close() // the copy's error says more
		return fault.New(fault.Internal, "", path, "%w", err)
	}
	if err := to.Close(); err != nil {
		return fault.New(fault.Internal, "", path, "%w", err)
	}
	return nil
}

func writeFiles(dir string, files []render.File) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fault.New(fault.Internal, "", f.Path, "%w", err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			return fault.New(fault.Internal, "", f.Path, "%w", err)
		}
	}
	return nil
}
