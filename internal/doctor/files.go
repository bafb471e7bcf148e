package doctor

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/runtime/fault"
)

// file is one file of the function.
type file struct {
	path string
	size int64
	mode fs.FileMode
	link string // of a symbolic link, its target
}

// walk lists the function's files and notes what no platform takes. Hidden
// folders and the user's own sources are no part of a function folder's package.
func (e *exam) walk(ctx context.Context, root *os.Root) error {
	e.byPath, e.objects = map[string]*file{}, map[string]*object{}
	folded := map[string]string{}
	err := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		if e.a.Kind == ModelFile && p != e.a.model {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.a.Kind == Source && strings.HasPrefix(path.Base(p), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if other, ok := folded[strings.ToLower(p)]; ok && e.a.Root == "" {
			e.add(caseCollision(other, p))
		}
		folded[strings.ToLower(p)] = p
		f := file{path: p, size: info.Size(), mode: info.Mode()}
		switch {
		case f.mode.IsDir():
			if e.packaged() && f.mode.Perm()&0o002 != 0 && f.mode&fs.ModeSticky == 0 {
				e.add(writable(p, f.mode))
			}
			return nil
		case f.mode&fs.ModeSymlink != 0:
			f.link, _ = root.Readlink(p)
			if _, err := root.Stat(p); err != nil && e.packaged() && e.a.Root == "" {
				e.add(linkFinding(p, f.link))
			}
		case !f.mode.IsRegular():
			if e.a.Root == "" {
				e.add(Finding{Code: "special-file", Level: Error, Where: p, What: fmt.Sprintf("%s is no plain file: its mode is %v.", p, f.mode),
					Why: "Archives and images for functions hold files and folders only; whoever reads a pipe waits for ever.", Do: "Take it out of the folder."})
			}
		case e.packaged() && f.mode.Perm()&0o002 != 0:
			e.add(writable(p, f.mode))
		}
		e.files = append(e.files, f)
		return nil
	})
	if err != nil {
		return fault.New(fault.Internal, "doctor.Examine", e.a.Path, "%w", err)
	}
	slices.SortFunc(e.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for i := range e.files {
		e.byPath[e.files[i].path] = &e.files[i]
		e.r.Unpacked += e.files[i].size
	}
	bySize := slices.Clone(e.files)
	slices.SortStableFunc(bySize, func(a, b file) int { return cmp.Compare(b.size, a.size) })
	for _, f := range bySize[:min(len(bySize), 5)] {
		e.r.Largest = append(e.r.Largest, Size{f.path, f.size})
	}
	return nil
}

func caseCollision(a, b string) Finding {
	return Finding{Code: "case-collision", Level: Warning, Where: b, What: fmt.Sprintf("%q and %q differ in case alone.", clip(a), clip(b)),
		Why: "Where names are compared without case, as on macOS, Windows and some mounted shares, one takes the other's place.", Do: "Rename one of them."}
}

func writable(p string, mode fs.FileMode) Finding {
	return Finding{Code: "world-writable", Level: Warning, Where: p, What: fmt.Sprintf("%s can be written by everybody: its mode is %v.", p, mode),
		Why: "Another process in the sandbox, or a hostile input that found a way to write, can change what runs next.", Do: fmt.Sprintf("Run chmod o-w %s and package again.", p)}
}

func linkFinding(p, target string) Finding {
	f := Finding{Code: "link-escapes", Level: Error, Where: clip(p), What: fmt.Sprintf("%s is a link to %q.", clip(p), clip(target)),
		Why: "Nothing is there once the package is somewhere else.", Do: "Copy the file itself (cp -L)."}
	if !path.IsAbs(target) && !strings.HasPrefix(path.Join(path.Dir(p), target), "..") {
		f.Why = "Platforms unpack archives without links, and what it leads to is not in the package."
	}
	return f
}

// sizes compares what the package weighs with what the platform takes.
func (e *exam) sizes(context.Context) error {
	if !e.packaged() {
		return nil
	}
	largest := func() string {
		var all []string
		for _, s := range e.r.Largest[:min(len(e.r.Largest), 3)] {
			all = append(all, fmt.Sprintf("%s %s", s.Path, Bytes(s.Bytes)))
		}
		return strings.Join(all, ", ")
	}
	over := func(key data.Key, got int64, level Level, what, do string) {
		l := e.find(key)
		if l.State == data.Known && got > l.Value {
			e.add(Finding{Code: "size-" + string(key), Level: level,
				What: fmt.Sprintf("%s %s; %s takes %s (%s).", what, Bytes(got), e.t.name, Bytes(l.Value), l.Source),
				Why:  "The upload is refused. The largest files: " + largest() + ".", Do: do})
		}
	}
	switch e.a.Kind {
	case Image:
		over(data.Image, e.imageBytes(), Error, "The image's files have", "Take a smaller base, quantise the model, or load it from a store.")
	default:
		over(data.Unpacked, e.r.Unpacked, Error, "Unpacked, the files have", "Package an image instead (package: image), quantise the model, or keep it in a store.")
		over(data.Zip, e.a.Size, Warning, "The archive has", "Upload it through S3, as cdk and sam do, or package an image.")
	}
	if b := e.budget(); b > 0 && e.a.Size > b {
		e.add(Finding{Code: "budget", Level: Error, Where: "budget", What: fmt.Sprintf("The package has %s; the budget in godwit.yaml is %s.", Bytes(e.a.Size), Bytes(b)),
			Why: "The budget is there to fail. The largest files: " + largest() + ".", Do: "Make it smaller, or raise the budget on purpose."})
	}
	return nil
}

func (e *exam) budget() int64 {
	if e.spec == nil || e.spec.Budget == nil || e.a.Kind != Zip || e.t.name != "awslambda" {
		return 0
	}
	return int64(e.spec.Budget.Zip)
}

// imageBytes are all files of an image.
func (e *exam) imageBytes() (n int64) {
	root, err := os.OpenRoot(e.a.Root)
	if err != nil {
		return 0
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read weighs nothing that a limit of GBs would notice
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// Bytes prints bytes as people read them.
func Bytes(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}
