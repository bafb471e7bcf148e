//go:build linux && cgo

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// sizesGoal is goal 19: what godwit package makes of examples/digits, in MB of
// a million bytes: the zip for AWS Lambda, and the image's layers above its base.
func sizesGoal(ctx context.Context, b *bench) ([]*figure, error) {
	work := filepath.Join(b.dir, "sizes")
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	function := filepath.Join(work, "digits")
	if err := os.CopyFS(function, os.DirFS("examples/digits")); err != nil {
		return nil, err
	}
	zip, err := b.packageSize(function, "awslambda", filepath.Join(work, "digits.zip"))
	if err != nil {
		return nil, err
	}
	image := filepath.Join(work, "image")
	base, err := emptyBase(filepath.Join(work, "base"))
	if err != nil {
		return nil, err
	}
	if _, err := b.packageSize(function, "cloudrun", image, "--base", "oci:"+base); err != nil {
		return nil, err
	}
	added, err := layersOf(image)
	if err != nil {
		return nil, err
	}
	one := func(what, how string, bytes int64, ship, moonshot float64) *figure {
		return &figure{Goal: 19, What: what, How: how, Unit: "MB", Got: spreadOf([]float64{float64(bytes) / 1e6}), Ship: most(ship), Moonshot: most(moonshot),
			Absolute: fmt.Sprintf("%d bytes", bytes)}
	}
	return []*figure{
		one("size, zip", "godwit package examples/digits for AWS Lambda", zip, 24, 12),
		one("size, image", "its layers above the base, compressed", added, 60, 30),
	}, nil
}

// packageSize packages a function, and returns the bytes of what that made.
func (b *bench) packageSize(function, target, out string, more ...string) (int64, error) {
	// What the goal is about is made either way, whatever the target's machines lack.
	args := append([]string{"package", function, "--target", target, "--no-doctor", "-o", out, "--json"}, more...)
	cmd := b.command(b.subject, args...)
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("godwit package --target %s: %w: %s", target, err, text)
	}
	var made struct{ Bytes int64 }
	if err := json.Unmarshal(text, &made); err != nil {
		return 0, fmt.Errorf("godwit package --target %s: %w", target, err)
	}
	if made.Bytes == 0 && filepath.Ext(out) != "" { // a folder's size is that of its files
		return 0, fmt.Errorf("godwit package --target %s: want the size of %s, got %s", target, out, text)
	}
	return made.Bytes, nil
}

// emptyBase writes an image without layers, so that all of an image put on it is above.
func emptyBase(dir string) (string, error) {
	config, err := empty.Image.ConfigFile()
	if err != nil {
		return "", err
	}
	config.OS, config.Architecture = "linux", "amd64"
	img, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return "", err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", err
	}
	return dir, l.AppendImage(img)
}

// layersOf is how many bytes the layers of the image in an OCI layout have.
func layersOf(dir string) (int64, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return 0, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return 0, err
	}
	if len(m.Manifests) != 1 {
		return 0, fmt.Errorf("%s: want one image, got %d", dir, len(m.Manifests))
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		return 0, err
	}
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	var all int64
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}
