package doctor

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// object is what a dynamic linker reads of an ELF file.
type object struct {
	class   elf.Class
	machine elf.Machine
	typ     elf.Type
	interp  string
	soname  string
	needed  []string
	rpath   []string // searched before LD_LIBRARY_PATH, unless there is a runpath
	runpath []string // searched after it
	needs   []version
	defs    map[string]bool // versions that it defines; empty if it has none
	dynamic bool
	unread  bool // it is dynamic, but has no sections to read that by
}

// version is a symbol version that must be found in a file.
type version struct {
	file, name string
	weak       bool
}

// machines are the architectures by their names in Go and in images.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

func archOf(o *object) string {
	for name, m := range machines {
		if o.machine == m && o.class == elf.ELFCLASS64 {
			return "linux/" + name
		}
	}
	bits := map[elf.Class]string{elf.ELFCLASS32: "32-bit ", elf.ELFCLASS64: ""}[o.class]
	return bits + strings.TrimPrefix(o.machine.String(), "EM_")
}

var magic = []byte("\x7fELF")

// isELF reports whether the file at path says that it is one.
func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [4]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && bytes.Equal(head[:], magic)
}

// readObject reads an ELF file. debug/elf is not made for hostile files, so what
// panics there is an error here.
func readObject(path string) (*object, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseObject(file)
}

func parseObject(file fs.File) (o *object, err error) {
	defer func() {
		if r := recover(); r != nil {
			o, err = nil, fmt.Errorf("its headers contradict each other: %v", r)
		}
	}()
	at, ok := file.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("want a file that can be read anywhere, got %T", file)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(at)
	if err != nil {
		return nil, err
	}
	o = &object{class: f.Class, machine: f.Machine, typ: f.Type, defs: map[string]bool{}}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 && (p.Off > uint64(info.Size()) || p.Filesz > uint64(info.Size())-p.Off) {
			return o, fmt.Errorf("want %d bytes as its headers say, got %d", p.Off+p.Filesz, info.Size())
		}
		switch p.Type {
		case elf.PT_DYNAMIC:
			o.dynamic = true
		case elf.PT_INTERP:
			if p.Filesz > 4096 {
				return o, fmt.Errorf("its interpreter's name has %d bytes", p.Filesz)
			}
			b := make([]byte, p.Filesz)
			if _, err := io.ReadFull(p.Open(), b); err != nil {
				return o, err
			}
			o.interp = string(bytes.TrimRight(b, "\x00"))
		}
	}
	if o.unread = o.dynamic && f.SectionByType(elf.SHT_DYNAMIC) == nil; !o.dynamic || o.unread {
		return o, nil
	}
	if err := o.links(f); err != nil {
		return o, err
	}
	return o, nil
}

func (o *object) links(f *elf.File) error {
	read := func(tag elf.DynTag) []string {
		all, err := f.DynString(tag)
		if err != nil {
			return nil
		}
		return all
	}
	o.needed = read(elf.DT_NEEDED)
	if s := read(elf.DT_SONAME); len(s) > 0 {
		o.soname = s[0]
	}
	for _, s := range read(elf.DT_RPATH) {
		o.rpath = append(o.rpath, strings.Split(s, ":")...)
	}
	for _, s := range read(elf.DT_RUNPATH) {
		o.runpath = append(o.runpath, strings.Split(s, ":")...)
	}
	if f.SectionByType(elf.SHT_GNU_VERNEED) != nil {
		needs, err := f.DynamicVersionNeeds()
		if err != nil {
			return fmt.Errorf("its symbol versions: %w", err)
		}
		for _, n := range needs {
			for _, d := range n.Needs {
				o.needs = append(o.needs, version{file: n.Name, name: d.Dep, weak: d.Flags&elf.VER_FLG_WEAK != 0})
			}
		}
	}
	if f.SectionByType(elf.SHT_GNU_VERDEF) != nil {
		defs, err := f.DynamicVersions()
		if err != nil {
			return fmt.Errorf("its symbol versions: %w", err)
		}
		for _, d := range defs {
			o.defs[d.Name] = true
		}
	}
	return nil
}

// binaries reads every ELF file, and names what is none although its name or
// place says so.
func (e *exam) binaries(context.Context) error {
	for i := range e.files {
		f := &e.files[i]
		if !f.mode.IsRegular() || !e.packaged() {
			continue
		}
		at := filepath.Join(e.a.Dir, filepath.FromSlash(f.path))
		library := strings.Contains(filepath.Base(f.path), ".so")
		if !isELF(at) {
			if library {
				e.add(Finding{Code: "elf-damaged", Level: Error, Where: f.path, What: fmt.Sprintf("%s is no library: %s.", f.path, firstBytes(at)),
					Why: "The dynamic linker refuses it (invalid ELF header).", Do: "Put the real file there; a pointer of Git LFS means that `git lfs pull` is missing."})
			}
			continue
		}
		o, err := readObject(at)
		if err != nil {
			e.add(Finding{Code: "elf-damaged", Level: Error, Where: f.path, What: fmt.Sprintf("%s is damaged: %s.", f.path, text(err)),
				Why: "The kernel or the dynamic linker refuses it (file too short).", Do: "Package it again from a whole file."})
			if o == nil {
				continue
			}
		}
		e.objects[f.path] = o
		if o.unread {
			e.add(Finding{Code: "elf-unread", Level: Unknown, Where: f.path, What: f.path + " has no section headers.",
				Why: "What it needs was not looked at.", Do: "Strip it with strip, which leaves them."})
		}
		if want := machines[e.arch]; o.class != elf.ELFCLASS64 || o.machine != want {
			e.add(Finding{Code: "architecture", Level: Error, Where: f.path,
				What: fmt.Sprintf("%s is for %s; the function runs on linux/%s.", f.path, archOf(o), e.arch),
				Why:  "It cannot be executed (exec format error) or loaded (wrong ELF class, no such file).",
				Do:   fmt.Sprintf("Package with --arch %s, or change the architecture in godwit.yaml.", e.arch)})
		}
	}
	return nil
}

// firstBytes says what a file is that is not what it should be.
func firstBytes(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return text(err)
	}
	defer f.Close()
	head := make([]byte, 48)
	n, _ := io.ReadFull(f, head)
	if n == 0 {
		return "it is empty"
	}
	if bytes.HasPrefix(head, []byte("version https://git-lfs")) {
		return "it is a pointer of Git LFS"
	}
	return fmt.Sprintf("it begins with %q", head[:min(n, 16)])
}

// sortedObjects are the paths of the ELF files.
func (e *exam) sortedObjects() []string {
	var all []string
	for p := range e.objects {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}
