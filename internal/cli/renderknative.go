package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/internal/recorded"
	"godwit.dev/knative"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

// renderKnative writes a kustomize base with an overlay, for the image that was
// pushed last.
func (p *program) renderKnative(_ context.Context, r *rendering) (*rendered, error) {
	d, err := deploymentOf(r)
	if err != nil {
		return nil, err
	}
	files, err := knative.Render(d)
	if err != nil {
		return nil, err
	}
	if err := writeFiles(r.into, files); err != nil {
		return nil, err
	}
	return &rendered{Package: d.Digest, Next: "kubectl apply -k " + knative.Overlay(d), Command: knative.KnLine(d)}, nil
}

// knativeRendered tells whether dir is what renderKnative wrote.
func knativeRendered(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "base", "kustomization.yaml"))
	return err == nil && strings.HasPrefix(string(text), knative.Mark)
}

// deploymentOf is what a pure renderer is told of a function that runs as an image.
func deploymentOf(r *rendering) (*render.Deployment, error) {
	image, digest, err := pushed(r, r.options.target)
	if err != nil {
		return nil, err
	}
	d := &render.Deployment{Spec: r.spec, Image: image, Digest: digest}
	for _, m := range r.spec.Models {
		if strings.Contains(m.Path, "://") {
			continue // fetched at start: how big it is nobody knows here
		}
		read, err := onnx.Read(filepath.Join(r.dir, filepath.FromSlash(m.Path)), nil)
		if fault.CodeOf(err) == fault.NotFound && r.spec.Targets.Knative != nil && r.spec.Targets.Knative.ModelClaim != "" {
			continue // it is in the claim alone
		}
		if err != nil {
			return nil, err
		}
		d.ModelBytes += max(read.Size, read.Initializers.Bytes+read.Constants)
	}
	requests, err := recorded.Load(r.dir)
	if err != nil {
		return nil, err
	}
	if len(requests) > 0 {
		path, err := filepath.Rel(r.dir, requests[0].Path)
		if err != nil {
			return nil, fault.New(fault.Internal, "", requests[0].Path, "%w", err)
		}
		d.Request = &render.Request{Model: requests[0].Model, Path: filepath.ToSlash(path)}
	}
	return d, nil
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
