package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// maxProblems bounds how many external tensors one error names.
const maxProblems = 20

const hintContain = "Put the model and its data files, as plain files without links, into one folder of their own (cp -L), or save the model again in one file."

// CheckExternal makes sure that every file which the model names is a plain
// file inside dir (the model's folder; "" means that of Path, and nothing at
// all for a model that came from ReadFrom) with enough
// bytes, before a runtime opens it. It refuses absolute paths, "..", symbolic
// links anywhere on the way, files with several hard links, folders, pipes and
// devices, offsets and lengths beyond the file or in contradiction to the
// tensor's shape, unknown keys, and markers of addresses in memory.
//
// It looks at the files as they are now: whoever may write in dir can change
// them before the runtime opens them, so dir must be the loader's own.
//
// The error is a BadModel that joins the problems, at most 20; without
// external data it is nil, whatever dir is.
func (m *Model) CheckExternal(dir string) error {
	if len(m.External) == 0 {
		return nil
	}
	files, err := m.openExternal(dir)
	if err != nil {
		return err
	}
	return files.close()
}

// externals are the files of one model's external data, contained and checked.
type externals struct {
	root  *os.Root
	files map[string]fs.FileInfo // by location, cleaned
}

func (x *externals) close() error { return x.root.Close() }

func (m *Model) openExternal(dir string) (*externals, error) {
	if dir == "" && m.own == "" {
		return nil, fault.New(fault.BadModel, "onnx.CheckExternal", m.Path, "want a model in one piece, got %d tensors in other files and no folder to look in", len(m.External)).
			WithHint("Save the model again in one file.")
	}
	if dir == "" {
		dir = filepath.Dir(m.Path)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.BadModel, "onnx.CheckExternal", m.Path, "open the folder of its external data: %w", err)
	}
	x := &externals{root: root, files: map[string]fs.FileInfo{}}
	refused := map[string]error{} // by location: thousands of tensors share a file
	var problems []error
	for _, e := range m.External {
		err := x.check(&e, refused)
		if err == nil {
			continue
		}
		if len(problems) == maxProblems {
			problems = append(problems, errors.New("and more"))
			break
		}
		problems = append(problems, fmt.Errorf("external data of tensor %s in %s: %w", short(e.Tensor), short(e.Location), err))
	}
	if len(problems) > 0 {
		root.Close()
		return nil, fault.New(fault.BadModel, "onnx.CheckExternal", m.Path, "%w", errors.Join(problems...)).WithHint(hintContain)
	}
	return x, nil
}

func (x *externals) check(e *External, refused map[string]error) error {
	if e.problem != "" {
		return errors.New(e.problem)
	}
	if err, known := refused[e.Location]; known {
		return err
	}
	info, ok := x.files[path.Clean(e.Location)]
	if !ok {
		var err error
		if info, err = x.contained(e.Location); err != nil {
			refused[e.Location] = err
			return err
		}
		x.files[path.Clean(e.Location)] = info
	}
	need := max(e.Length, e.Bytes)
	if e.Offset > info.Size() || need > info.Size()-e.Offset {
		return fmt.Errorf("want %d bytes at offset %d, the file has %d", need, e.Offset, info.Size())
	}
	return nil
}

// contained follows location one step at a time, so that no link on the way
// leads it elsewhere.
func (x *externals) contained(location string) (fs.FileInfo, error) {
	steps := strings.Split(location, "/")
	switch {
	case strings.ContainsAny(location, "\x00\\"):
		return nil, errors.New("the path has a NUL or a backslash")
	case path.IsAbs(location) || filepath.IsAbs(location) || filepath.VolumeName(location) != "" || drive(location):
		return nil, errors.New("want a path relative to the model's folder, got an absolute one")
	case slices.Contains(steps, ".."):
		return nil, errors.New(`the path leaves the model's folder with ".."`)
	case !filepath.IsLocal(location):
		return nil, errors.New("the path is not one inside the model's folder")
	}
	at := "."
	for i, step := range steps {
		if step == "" || step == "." {
			continue
		}
		at = path.Join(at, step)
		info, err := x.root.Lstat(at)
		if err != nil {
			if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
				err = pe.Err
			}
			return nil, fmt.Errorf("look at %s: %w", short(at), err)
		}
		last := i == len(steps)-1
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, fmt.Errorf("%q is a symbolic link", at)
		case !last && !info.IsDir():
			return nil, fmt.Errorf("%q is a %s, not a folder", at, describe(info.Mode()))
		case !last:
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("want a plain file, got a %s", kindOf(info.Mode()))
		case links(info) > 1:
			return nil, fmt.Errorf("the file has %d hard links: it is also somewhere else", links(info))
		default:
			return info, nil
		}
	}
	return nil, errors.New("want a plain file, got a folder")
}

// drive reports a Windows path such as C:\x or C:x on every system, because a
// model moves between them.
func drive(location string) bool {
	return len(location) >= 2 && location[1] == ':' && (location[0]|0x20 >= 'a' && location[0]|0x20 <= 'z')
}

func describe(mode fs.FileMode) string {
	if mode.IsRegular() {
		return "plain file"
	}
	return kindOf(mode)
}
