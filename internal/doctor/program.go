package doctor

import (
	"bufio"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// program finds what the platform starts, and follows the dynamic linker from there.
func (e *exam) program(context.Context) error {
	if !e.packaged() {
		return nil
	}
	if e.a.Kind == Image {
		e.imageEntry()
	} else {
		e.fileEntry()
	}
	if e.entry != "" {
		e.executable()
	}
	l, err := e.newLoader()
	if err != nil {
		return fault.New(fault.Internal, "doctor.Examine", e.a.Path, "%w", err)
	}
	defer l.root.Close()
	first := process{}
	if o := e.objects[e.entry]; o != nil && e.rightArch(o) {
		l.load(first, l.place(e.entry), o)
	}
	// What is not linked is loaded later, beside what is there by then.
	e.findLibrary()
	main := maps.Clone(first)
	if o := e.objects[e.library]; o != nil && e.rightArch(o) {
		l.load(main, l.place(e.library), o)
	}
	for _, p := range e.sortedObjects() {
		o := e.objects[p]
		if p == e.entry || p == e.library || !o.dynamic || !e.rightArch(o) || e.unusedProvider(p) {
			continue
		}
		in := maps.Clone(main)
		if o.interp != "" && o.typ != elf.ET_DYN {
			in = process{} // a program of its own
		}
		l.load(in, l.place(p), o)
	}
	for _, name := range glibcNames {
		for _, dir := range []string{"", "lib/"} {
			if e.byPath[dir+name] != nil && e.a.Root == "" {
				e.add(Finding{Code: "libc-packaged", Level: Warning, Where: dir + name, What: fmt.Sprintf("The package brings its own %s.", name),
					Why: "The parts of glibc fit only each other and the base's dynamic linker.", Do: "Leave it out; every base has it."})
			}
		}
	}
	return nil
}

func (e *exam) rightArch(o *object) bool {
	return o.class == elf.ELFCLASS64 && o.machine == machines[e.arch]
}

// fileEntry is the program of an archive or a folder.
func (e *exam) fileEntry() {
	want := e.t.program
	if f := e.byPath[want]; f != nil {
		e.entry = want
		return
	}
	f := Finding{Code: "no-program", Level: Error, Where: want, What: fmt.Sprintf("There is no file %s at the package's root, which is what %s starts.", want, e.t.name),
		Why: "Nothing can be started (Runtime.InvalidEntrypoint on Lambda).", Do: fmt.Sprintf("Package with `godwit package --target %s`.", e.t.name)}
	for i := range e.files {
		switch p := e.files[i].path; {
		case strings.EqualFold(p, want):
			f.Do = fmt.Sprintf("Rename %s: case matters.", p)
		case path.Base(p) == want:
			f.Do = fmt.Sprintf("It is at %s: make the archive from inside of that folder.", p)
		case p == "fn-lambda" || p == "fn-server" || p == "bootstrap":
			f.Do = fmt.Sprintf("There is %s: the package was made for another target.", p)
			if e.t.name == "awslambda" && p == "fn-lambda" {
				f.Do = "Rename fn-lambda to bootstrap."
			}
		}
	}
	e.add(f)
}

// imageEntry is the program of an image.
func (e *exam) imageEntry() {
	c := e.a.Config
	argv := append(slices.Clone(c.Entrypoint), c.Cmd...)
	bad := func(what, do string) {
		e.add(Finding{Code: "entrypoint", Level: Error, Where: "ENTRYPOINT", What: what, Why: "The container does not start.", Do: do})
	}
	if len(argv) == 0 {
		bad("The image says neither ENTRYPOINT nor CMD.", `Set ENTRYPOINT ["/godwit/fn-server"].`)
		return
	}
	if len(c.Entrypoint) == 0 && e.t.name == "sagemaker" {
		bad("The image has a CMD and no ENTRYPOINT; SageMaker puts its own argument in the command's place.", `Set ENTRYPOINT ["/godwit/fn-server"].`)
		return
	}
	at := argv[0]
	if !path.IsAbs(at) {
		at = path.Join("/", c.WorkingDir, at)
	}
	root, err := os.OpenRoot(e.a.Root)
	if err != nil {
		return
	}
	defer root.Close()
	info, err := root.Stat(strings.TrimPrefix(at, "/"))
	if err != nil {
		bad(fmt.Sprintf("The image starts %q, which is not in it.", argv[0]), "Correct ENTRYPOINT, or package the image again.")
		return
	}
	base := path.Join("/", strings.TrimPrefix(e.a.Dir, e.a.Root))
	if rel, err := filepath.Rel(base, at); err == nil && filepath.IsLocal(rel) && e.byPath[filepath.ToSlash(rel)] != nil {
		e.entry = filepath.ToSlash(rel)
		return
	}
	if info.Mode().Perm()&0o111 == 0 {
		e.add(notExecutable(at, info.Mode().Perm()))
	}
	e.add(Finding{Code: "entrypoint", Level: Unknown, Where: "ENTRYPOINT", What: fmt.Sprintf("The image starts %s, which is outside of its working folder %s.", at, base),
		Why: "What it starts there was not examined.", Do: "Start the function's own program."})
}

func notExecutable(p string, mode os.FileMode) Finding {
	return Finding{Code: "not-executable", Level: Error, Where: p, What: fmt.Sprintf("%s may not be executed: its mode is %v.", p, mode),
		Why: "The platform's attempt to start it ends with permission denied.", Do: fmt.Sprintf("Run chmod 755 %s before you make the archive, on a system that keeps modes.", p)}
}

// executable looks at the program as the kernel does when it starts it.
func (e *exam) executable() {
	f := e.byPath[e.entry]
	if !f.mode.IsRegular() && f.link == "" {
		e.add(Finding{Code: "no-program", Level: Error, Where: f.path, What: f.path + " is no plain file.", Why: "It cannot be executed.", Do: "Put the program there."})
		return
	}
	if f.link == "" && f.mode.Perm()&0o111 == 0 {
		e.add(notExecutable(f.path, f.mode.Perm()))
	} else if e.a.Config != nil && !rootUser(e.a.Config.User) && f.mode.Perm()&0o001 == 0 {
		e.add(notExecutable(f.path, f.mode.Perm()))
	}
	at := filepath.Join(e.a.Dir, filepath.FromSlash(f.path))
	o := e.objects[f.path]
	if o == nil {
		e.script(f.path, at)
		return
	}
	if o.typ != elf.ET_EXEC && o.typ != elf.ET_DYN {
		e.add(Finding{Code: "exec-format", Level: Error, Where: f.path, What: fmt.Sprintf("%s is no program but of type %v.", f.path, o.typ), Why: "Starting it ends with exec format error.", Do: "Link it to a program."})
	}
	e.interpreter(f.path, o.interp)
}

// interpreter makes sure that the dynamic linker, or a script's, is there.
func (e *exam) interpreter(program, interp string) {
	if interp == "" {
		return
	}
	missing := Finding{Code: "interpreter", Level: Error, Where: program, What: fmt.Sprintf("%s is started by %s, which is not in %s.", program, interp, e.t.base()),
		Why: "Starting it ends with no such file or directory, although the file is there.", Do: "Link it against glibc; programs for musl (Alpine) run only where musl is."}
	if e.a.Root != "" {
		root, err := os.OpenRoot(e.a.Root)
		if err != nil {
			return
		}
		defer root.Close()
		if _, err := root.Stat(strings.TrimPrefix(path.Clean(interp), "/")); err != nil {
			e.add(missing)
		}
		return
	}
	if strings.HasPrefix(path.Base(interp), "ld-") && interp != interpreters[e.arch] && (e.objects[program] == nil || e.rightArch(e.objects[program])) {
		e.add(missing)
	}
}

// script looks at a program that is no ELF file.
func (e *exam) script(name, at string) {
	f, err := os.Open(at)
	if err != nil {
		return
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	interp, ok := strings.CutPrefix(line, "#!")
	if !ok {
		e.add(Finding{Code: "exec-format", Level: Error, Where: name, What: fmt.Sprintf("%s is neither a program nor a script: %s.", name, firstBytes(at)),
			Why: "Starting it ends with exec format error.", Do: "Put the program there, or begin the script with #!."})
		return
	}
	if strings.HasSuffix(line, "\r\n") {
		e.add(Finding{Code: "exec-format", Level: Error, Where: name, What: fmt.Sprintf("The first line of %s ends as on Windows.", name),
			Why: "The kernel looks for an interpreter whose name ends in a carriage return, and there is none.", Do: "Save it with line ends of Unix (dos2unix)."})
		return
	}
	if fields := strings.Fields(interp); len(fields) > 0 {
		e.interpreter(name, fields[0])
		if e.a.Root == "" {
			e.add(Finding{Code: "interpreter-unknown", Level: Unknown, Where: name, What: fmt.Sprintf("%s is a script for %s.", name, fields[0]),
				Why: fmt.Sprintf("Whether %s has it is not known here, and what it starts was not followed.", e.t.base()), Do: "Start the function's own program."})
		}
	}
}
