// Package manifest is godwit.manifest.json: what a package holds, by digest.
// Packaging writes it, a deployed binary checks what it loads against it, and
// doctor and verify the rest. It is the one file of a package that is not in
// it.
package manifest

import (
	"bytes"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Name is the file's name, beside godwit.yaml.
const Name = "godwit.manifest.json"

// Version is the only one there is.
const Version = 1

// MaxBytes is how long a manifest may be.
const MaxBytes = 16 << 20

// Manifest is what a package holds.
type Manifest struct {
	Version  int    `json:"version"`
	Function string `json:"function"` // the spec's name
	// Godwit is the version of the program that made the package.
	Godwit   string  `json:"godwit"`
	Platform string  `json:"platform"` // "linux/amd64"
	Runtime  Runtime `json:"runtime"`
	// Files are all files of the package but the manifest, sorted by path.
	Files  []File  `json:"files"`
	Models []Model `json:"models"` // in the spec's order
}

// Runtime is the engine's library in the package.
type Runtime struct {
	Version string `json:"version"` // of ONNX Runtime: "1.31.1"
	SHA256  string `json:"sha256"`  // of the library, in hexadecimal
}

// File is one file of a package.
type File struct {
	Path   string `json:"path"` // below the package's root, with slashes
	Size   int64  `json:"size"` // in bytes
	SHA256 string `json:"sha256"`
	// Chunks are the SHA-256 of each ChunkBytes of a file that is longer than
	// that, the last of what is left. Without them the whole file's is compared.
	Chunks []string `json:"chunks,omitempty"`
}

// Model is one version of a model.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"` // what the spec says
	// Digest is the identity of the model as its user gave it, "sha256:…", also
	// where only baked forms of it are in the package: recorded answers and
	// caches go by it.
	Digest string `json:"digest"`
	// Baked are the forms that load faster, the best first; none means that the
	// model is in the package as it was given.
	Baked []Baked `json:"baked,omitempty"`
}

// Baked is a form of a model that was optimised when it was packaged.
type Baked struct {
	Path   string `json:"path"`
	Format string `json:"format"` // "ort" or "onnx"
	// Level is "extended", which is right on every processor of the platform, or
	// "all", which is right on the class of processors in CPU alone.
	Level string `json:"level"`
	CPU   string `json:"cpu,omitempty"`
	// Data are files that Path needs beside it.
	Data []string `json:"data,omitempty"`
	// Graph is what a server decides by that the form no longer tells.
	Graph json.RawMessage `json:"graph,omitempty"`
}

var (
	hexDigest = lazy.Regexp(`^[0-9a-f]{64}$`)
	digest    = lazy.Regexp(`^sha256:[0-9a-f]{64}$`)
)

// Parse reads a manifest strictly: no unknown member, no second value, no path
// out of the package, none twice, every file that a model needs listed. subject
// names it in errors. Errors: BadConfig.
func Parse(subject string, text []byte) (*Manifest, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadConfig, "manifest.Parse", subject, format, args...).
			WithHint("The package was changed after it was made; make it again with `godwit package`.")
	}
	if len(text) > MaxBytes {
		return nil, bad("want at most %d bytes, got %d", MaxBytes, len(text))
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, bad("want a manifest: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("want one value, got more behind it")
	}
	if m.Version != Version {
		return nil, bad("want version %d, got %d", Version, m.Version)
	}
	if !hexDigest().MatchString(m.Runtime.SHA256) {
		return nil, bad("want a SHA-256 of 64 hexadecimal digits at runtime.sha256, got %q", m.Runtime.SHA256)
	}
	for i, f := range m.Files {
		switch {
		case !ValidPath(f.Path) || f.Path == Name:
			return nil, bad("want a path inside the package at files[%d], got %q", i, f.Path)
		case i > 0 && m.Files[i-1].Path >= f.Path:
			return nil, bad("want files sorted by path and none twice, got %q after %q", f.Path, m.Files[i-1].Path)
		case f.Size < 0:
			return nil, bad("want a size of 0 or more for %q, got %d", f.Path, f.Size)
		case !hexDigest().MatchString(f.SHA256):
			return nil, bad("want a SHA-256 of 64 hexadecimal digits for %q, got %q", f.Path, f.SHA256)
		case f.Chunks != nil && len(f.Chunks) != chunksOf(f.Size):
			return nil, bad("want chunks of %d bytes for %q, %d for its %d bytes, got %d", ChunkBytes, f.Path, chunksOf(f.Size), f.Size, len(f.Chunks))
		}
		for _, chunk := range f.Chunks {
			if !hexDigest().MatchString(chunk) {
				return nil, bad("want chunks of %q with a SHA-256 of 64 hexadecimal digits, got %q", f.Path, chunk)
			}
		}
	}
	for i := range m.Models {
		if err := m.check(&m.Models[i], bad); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Manifest) check(o *Model, bad func(string, ...any) error) error {
	if !digest().MatchString(o.Digest) {
		return bad("want the digest of model %q as sha256:…, got %q", o.Name, o.Digest)
	}
	for _, b := range o.Baked {
		switch {
		case b.Format != "ort" && b.Format != "onnx":
			return bad("want format ort or onnx for %q, got %q", b.Path, b.Format)
		case b.Level != "extended" && b.Level != "all":
			return bad("want level extended or all for %q, got %q", b.Path, b.Level)
		case (b.Level == "all") != (b.CPU != ""):
			return bad("want a class of processors with level all and with no other, got level %q and %q for %q", b.Level, b.CPU, b.Path)
		}
		for _, file := range append([]string{b.Path}, b.Data...) {
			if m.File(file) == nil {
				return bad("want %q of model %q among the files, but it is not there", file, o.Name)
			}
		}
	}
	if len(o.Baked) == 0 && m.File(o.Path) == nil {
		return bad("want %q of model %q among the files, but it is not there", o.Path, o.Name)
	}
	return nil
}

// ValidPath reports whether p is a clean relative path with slashes that stays
// where it begins, and that every file system takes.
func ValidPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") &&
		!strings.ContainsAny(p, "\\\x00") && len(p) <= 1024
}

// File is the entry of path, nil if there is none.
func (m *Manifest) File(path string) *File {
	i, ok := slices.BinarySearchFunc(m.Files, path, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return nil
	}
	return &m.Files[i]
}

// Model is the entry of a version of a model, nil if there is none.
func (m *Manifest) Model(name, version string) *Model {
	for i := range m.Models {
		if m.Models[i].Name == name && m.Models[i].Version == version {
			return &m.Models[i]
		}
	}
	return nil
}

// Append appends m as text: equal for equal manifests. m must be one that
// Parse would take; its files are sorted here.
func (m *Manifest) Append(dst []byte) ([]byte, error) {
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return dst, fault.New(fault.Internal, "manifest.Append", Name, "%w", err)
	}
	return append(append(dst, text...), '\n'), nil
}
