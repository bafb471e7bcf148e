package doctor

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// A Kind is what an artifact is.
type Kind string

// The kinds.
const (
	ModelFile Kind = "model"           // a file that is served with every default
	Source    Kind = "function folder" // not packaged yet
	Folder    Kind = "folder"          // a package
	Zip       Kind = "zip"
	Tar       Kind = "tar"
	Image     Kind = "image"
)

// Config is what an image says of how it is run.
type Config struct {
	User, WorkingDir string
	Entrypoint, Cmd  []string
	Env              []string // "NAME=value"
	OS, Arch         string
}

// Artifact is what is examined: files in folders on disk, and what was known of
// them before they got there.
type Artifact struct {
	Path string
	Kind Kind
	// Dir has the function's files; "" if the artifact could not be opened.
	Dir string
	// Root is the whole file system of an image, "" for the rest.
	Root   string
	Config *Config // of an image
	// Manifest is nil where there is none, or it cannot be read.
	Manifest *manifest.Manifest
	Size     int64  // of the archive, 0 for a folder
	model    string // the file of a ModelFile, in Dir

	findings []Finding
	close    func() error
}

// Close removes what Open has unpacked.
func (a *Artifact) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

// Open makes what is at path ready to be examined: a model, a function folder,
// or a package of any kind; of an image for several architectures the part for
// arch, where "" means amd64 if there is one. What is wrong with an archive is
// left for the report, not an error. Errors: BadConfig where there is nothing,
// Internal.
func Open(path, arch string) (*Artifact, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "doctor.Open", path, "%w", errors.Unwrap(err)).
			WithHint("Give a package, a function folder or a model file.")
	}
	a := &Artifact{Path: path}
	if !pack.IsPackage(path) {
		switch {
		case !info.IsDir():
			a.Kind, a.Dir, a.model = ModelFile, filepath.Dir(path), filepath.Base(path)
		case looksPackaged(path):
			a.Kind, a.Dir = Folder, path
		default:
			a.Kind, a.Dir = Source, path
		}
		return a, nil
	}
	if !info.IsDir() {
		a.Size = info.Size()
		a.entries(path)
	}
	want := arch
	if want == "" {
		want = "amd64"
	}
	o, err := pack.Open(path, want, "")
	if err != nil && arch == "" {
		if other, err2 := pack.Open(path, "arm64", ""); err2 == nil {
			o, err = other, nil
		}
	}
	if err != nil {
		a.unopened(path, info, err)
		return a, nil
	}
	a.Kind, a.Dir, a.Root, a.Manifest, a.close = Kind(o.Kind), o.Dir, o.Root, o.Manifest, o.Close
	if o.Image != nil {
		c := &o.Image.Config
		a.Config = &Config{User: c.User, WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, OS: o.Image.OS, Arch: o.Image.Architecture}
		if _, err := os.Stat(a.Dir); err != nil { // the working folder may not be there
			a.Dir = a.Root
		}
	}
	return a, nil
}

// looksPackaged reports whether a folder without a manifest was meant to be a
// package all the same: it has a program or libraries.
func looksPackaged(dir string) bool {
	for _, name := range []string{"bootstrap", "fn-server", "fn-lambda", "host.json", "lib"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// unopened tells why a package cannot be opened. A folder is examined as it is.
func (a *Artifact) unopened(path string, info fs.FileInfo, err error) {
	a.Kind = Zip
	if info.IsDir() {
		a.Kind, a.Dir = Folder, path
		if _, err := os.Stat(filepath.Join(path, "oci-layout")); err == nil {
			a.Kind, a.Dir = Image, ""
		}
	} else if !strings.HasSuffix(strings.ToLower(path), ".zip") {
		a.Kind = Tar
	}
	f := Finding{Code: "archive", Level: Error, What: "The package cannot be opened: " + text(err) + ".",
		Why: "What cannot be unpacked here is refused, or unpacked otherwise, by the platform.", Do: "Make it again with `godwit package`."}
	if fault.CodeOf(err) == fault.BadConfig {
		f = Finding{Code: "manifest", Level: Error, Where: manifest.Name, What: "The manifest cannot be read: " + text(err) + ".",
			Why: "The function does not load a package whose manifest is damaged.", Do: "Make the package again with `godwit package`."}
	}
	for _, known := range a.findings {
		if known.Level == Error {
			return // the reason is there already, and better told
		}
	}
	a.findings = append(a.findings, f)
}

// text is an error without what names our own functions.
func text(err error) string {
	e := fault.Of(err)
	if e == nil || e.Err == nil {
		return strings.TrimSuffix(err.Error(), ".")
	}
	return strings.TrimSuffix(e.Err.Error(), ".")
}

// plain is an error's text without the lines of the file that it shows.
func plain(err error) string {
	lines := strings.Split(text(err), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, " | ") || strings.TrimSpace(l) == "" })
	return strings.TrimSuffix(strings.Join(lines, "; "), ".")
}

// entry is one entry of an archive, as it is written there.
type entry struct {
	name, link string
	mode       fs.FileMode
	unix       bool // whether the archive says the mode
}

// maxEntries bounds what is looked at.
const maxEntries = 100_000

// entries looks at the names and modes of an archive before they are unpacked,
// which evens some of them out.
func (a *Artifact) entries(file string) {
	all, err := list(file)
	if err != nil {
		return // opening tells why
	}
	seen, exact := map[string]string{}, map[string]bool{}
	for _, e := range all {
		name := strings.TrimSuffix(strings.TrimPrefix(e.name, "./"), "/")
		where := clip(name)
		switch {
		case name == "" || name == ".":
			continue
		case path.IsAbs(name) || !filepath.IsLocal(name) || strings.Contains(name, "\\"):
			a.findings = append(a.findings, Finding{Code: "link-escapes", Level: Error, Where: where,
				What: fmt.Sprintf("The archive has an entry %q, which is outside of the package.", where),
				Why:  "Unpackers refuse it, or write over files that are not the package's.", Do: "Make the archive from inside of the function's folder."})
		case exact[name] && !e.mode.IsDir():
			a.findings = append(a.findings, Finding{Code: "duplicate", Level: Error, Where: where,
				What: fmt.Sprintf("The archive has %q twice.", where), Why: "Which of the two is unpacked differs from one unpacker to the next.", Do: "Make the archive again."})
		case seen[strings.ToLower(name)] != "" && seen[strings.ToLower(name)] != name:
			a.findings = append(a.findings, caseCollision(seen[strings.ToLower(name)], where))
		}
		seen[strings.ToLower(name)], exact[name] = name, true
		if e.link != "" || e.mode&fs.ModeSymlink != 0 {
			a.findings = append(a.findings, linkFinding(name, e.link))
		} else if e.unix && e.mode.IsRegular() && e.mode.Perm()&0o002 != 0 {
			a.findings = append(a.findings, writable(where, e.mode))
		}
	}
}

// list reads an archive's names. An OCI layout has none that matter.
func list(file string) ([]entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var magic [2]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, err
	}
	var all []entry
	if string(magic[:]) == "PK" {
		z, err := zip.NewReader(f, info.Size())
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			return nil, err
		}
		for _, e := range z.File {
			one := entry{name: e.Name, mode: e.Mode(), unix: e.CreatorVersion>>8 == 3}
			if one.mode&fs.ModeSymlink != 0 && e.UncompressedSize64 < 4096 {
				if r, err := e.Open(); err == nil {
					b, _ := io.ReadAll(io.LimitReader(r, 4096))
					one.link = string(b)
					r.Close()
				}
			}
			if all = append(all, one); len(all) > maxEntries {
				break
			}
		}
		return all, nil
	}
	var r io.Reader = f
	if bytes.Equal(magic[:], []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	t := tar.NewReader(r)
	for len(all) < maxEntries {
		h, err := t.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return all, err
		}
		all = append(all, entry{name: h.Name, link: h.Linkname, mode: h.FileInfo().Mode(), unix: true})
	}
	return all, nil
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
