package cdk

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// checkPackage panics where the package is not one that Lambda takes, or not
// this function's, or where its models need more memory than the function has.
// A package that godwit did not make has no manifest; of it, and of an image,
// the models beside godwit.yaml are what is measured.
func checkPackage(f *Function) {
	t := f.Spec.Targets.AWSLambda
	least, how := modelsBeside(f), "1.58 times its models"
	if f.Zip != "" {
		size, m := readZip(f.Zip)
		if limit := data.Find("awslambda", data.Unpacked, "package=zip"); size > limit.Value {
			panic(fault.New(fault.TooLarge, "cdk.NewStack", f.Zip, "want at most %d MB unpacked, got %d MB", limit.Value>>20, size>>20).
				WithHint("Use package: image, whose limit is 10 GB."))
		}
		if m != nil {
			if m.Function != f.Spec.Name {
				panic(fault.New(fault.BadConfig, "cdk.NewStack", f.Zip, "want the package of %q, got that of %q", f.Spec.Name, m.Function).
					WithHint("Run godwit package %s --target awslambda.", f.Dir))
			}
			if want := "linux/" + t.Architecture; m.Platform != want {
				panic(fault.New(fault.BadConfig, "cdk.NewStack", f.Zip, "want a package for %s, got one for %s", want, m.Platform).
					WithHint("Make it again with godwit package, or change targets.awslambda.architecture."))
			}
			least, how = modelsOf(m), "its packaged models"
		}
	}
	// What the doctor calls an error: less than any model of its size took.
	if least += data.MemoryProcess; t.GPU == 0 && int64(t.Memory) < least {
		need := spec.Bytes((least + (1 << 20) - 1) >> 20 << 20)
		panic(fault.New(fault.BadConfig, "cdk.NewStack", "targets.awslambda.memory", "want at least %s, the process and %s, got %s", need, how, t.Memory).
			WithHint("Give memory: %s, or leave it out where that is enough.", need*3/2))
	}
}

// readZip is what a zip's files have unpacked, and its manifest, nil where it
// has none.
func readZip(path string) (size int64, m *manifest.Manifest) {
	fail := func(format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewStack", path, format, args...).WithHint("Make it with godwit package --target awslambda."))
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		fail("want a zip: %w", err)
	}
	defer z.Close()
	bootstrap := false
	for _, f := range z.File {
		size += int64(f.UncompressedSize64)
		bootstrap = bootstrap || f.Name == "bootstrap"
		if f.Name != manifest.Name {
			continue
		}
		r, err := f.Open()
		if err != nil {
			fail("want its manifest: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(r, manifest.MaxBytes+1))
		r.Close()
		if err != nil {
			fail("want its manifest: %w", err)
		}
		if m, err = manifest.Parse(path, text); err != nil {
			panic(err)
		}
	}
	if !bootstrap {
		fail("want a file bootstrap, which Lambda starts, got none")
	}
	return size, m
}

// modelsOf is the least bytes that loading a package's models takes: baked ones
// are used as they lie in the file.
func modelsOf(m *manifest.Manifest) (least int64) {
	size := map[string]int64{}
	for _, f := range m.Files {
		size[f.Path] = f.Size
	}
	for _, o := range m.Models {
		if len(o.Baked) == 0 {
			least += size[o.Path] / 100 * data.MemoryLeast
			continue
		}
		b := o.Baked[0]
		least += size[b.Path]
		for _, d := range b.Data {
			least += size[d]
		}
	}
	return least
}

// modelsBeside is the same of the models in the function's folder.
func modelsBeside(f *Function) (least int64) {
	for _, m := range f.Spec.Models {
		if strings.Contains(m.Path, "://") {
			continue
		}
		if info, err := os.Stat(filepath.Join(f.Dir, filepath.FromSlash(m.Path))); err == nil {
			least += info.Size() / 100 * data.MemoryLeast
		}
	}
	return least
}
