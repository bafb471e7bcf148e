package doctor

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"godwit.dev/infra/data"
)

// A loader does what glibc's dynamic linker does, on files that are not run: it
// looks every needed library up where the linker would, in its order, and
// compares the symbol versions. Where the base system is not at hand, what is
// known of it takes its place.
type loader struct {
	e     *exam
	root  *os.Root
	mount string   // where root is in the function's sandbox
	path  []string // LD_LIBRARY_PATH
	read  map[string]*object
	said  map[string]bool
}

// A process is what is loaded, by every name that the linker knows it by.
type process map[string]*loaded

type loaded struct {
	path string
	obj  *object // nil for what is known by its name only
	base bool    // the base system's glibc, not at hand
}

// glibc's own libraries: a base has all of them, of one version.
var glibcNames = []string{"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2",
	"libanl.so.1", "libmvec.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

// interpreters are glibc's dynamic linkers.
var interpreters = map[string]string{"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}

// systemDirs are where glibc looks last, whichever distribution built it.
var systemDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib",
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/usr/local/cuda/lib64", "/usr/local/nvidia/lib64"}

// cudaLibraries are what a CUDA base has; driverLibraries what the machine's
// driver brings when the function starts.
var (
	cudaLibraries   = []string{"libcudart.", "libcublas.", "libcublasLt.", "libcudnn", "libcufft.", "libcurand.", "libnvrtc", "libcusparse.", "libcusolver.", "libnvJitLink.", "libnvinfer", "libnvonnxparser"}
	driverLibraries = []string{"libcuda.so.", "libnvidia-"}
)

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func (e *exam) newLoader() (*loader, error) {
	l := &loader{e: e, mount: e.t.system.Root, path: e.t.system.Path, read: map[string]*object{}, said: map[string]bool{}}
	dir := e.a.Dir
	if e.a.Root != "" {
		dir, l.mount, l.path = e.a.Root, "/", nil
		for _, v := range e.a.Config.Env {
			if s, ok := strings.CutPrefix(v, "LD_LIBRARY_PATH="); ok {
				l.path = strings.Split(s, ":")
			}
		}
	}
	if l.mount == "" {
		l.mount = "/opt/function"
	}
	var err error
	l.root, err = os.OpenRoot(dir)
	return l, err
}

// place is the function's file in its sandbox.
func (l *loader) place(file string) string {
	if l.e.a.Root == "" {
		return path.Join(l.mount, file)
	}
	return path.Join("/", strings.TrimPrefix(l.e.a.Dir, l.e.a.Root), file)
}

// object reads the file at a path of the sandbox; nil where none is.
func (l *loader) object(at string) *object {
	if o, ok := l.read[at]; ok {
		return o
	}
	l.read[at] = nil
	rel, ok := strings.CutPrefix(at, strings.TrimSuffix(l.mount, "/")+"/")
	if !ok || rel == "" {
		return nil
	}
	f, err := l.root.Open(rel)
	if err != nil {
		return nil
	}
	defer f.Close()
	o, err := parseObject(f)
	if err != nil {
		return nil // told by binaries, if it is the package's
	}
	l.read[at] = o
	return o
}

// find looks name up for the library or program at from.
func (l *loader) find(name string, from string, o *object) *loaded {
	dir := path.Dir(from)
	try := func(dirs []string) *loaded {
		for _, d := range dirs {
			d = strings.NewReplacer("${ORIGIN}", dir, "$ORIGIN", dir, "${LIB}", "lib64", "$LIB", "lib64").Replace(d)
			if d == "" {
				continue
			}
			at := path.Join("/", d, name)
			// The linker passes over files for other processors.
			if found := l.object(at); found != nil && found.machine == o.machine && found.class == o.class {
				return &loaded{path: at, obj: found}
			}
		}
		return nil
	}
	if strings.Contains(name, "/") {
		if found := l.object(path.Join("/", name)); found != nil {
			return &loaded{path: name, obj: found}
		}
		return nil
	}
	if len(o.runpath) == 0 {
		if found := try(o.rpath); found != nil {
			return found
		}
	}
	// A base's own libc comes before a packaged one where the platform says so.
	known := l.e.a.Root == "" && slices.Contains(glibcNames, name)
	if known && len(l.path) > 0 {
		return &loaded{path: name, base: true}
	}
	if found := try(l.path); found != nil {
		return found
	}
	if found := try(o.runpath); found != nil {
		return found
	}
	if known {
		return &loaded{path: name, base: true}
	}
	return try(systemDirs)
}

// load adds the file and all that it needs to p, breadth first as the linker does.
func (l *loader) load(p process, at string, o *object) {
	type item struct {
		at string
		o  *object
	}
	queue := []item{{at, o}}
	p.put(at, &loaded{path: at, obj: o})
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		for _, name := range next.o.needed {
			if p[name] != nil {
				continue
			}
			found := l.find(name, next.at, next.o)
			if found == nil {
				l.missing(name, next.at)
				p[name] = &loaded{path: name} // said once
				continue
			}
			p.put(name, found)
			if found.obj != nil {
				queue = append(queue, item{found.path, found.obj})
			}
		}
		l.versions(p, next.at, next.o)
	}
}

func (p process) put(name string, l *loaded) {
	p[name] = l
	if l.obj != nil && l.obj.soname != "" && p[l.obj.soname] == nil {
		p[l.obj.soname] = l
	}
}

// once adds a finding about a file and a library the first time.
func (l *loader) once(f Finding, key string) {
	if !l.said[f.Code+key] {
		l.said[f.Code+key] = true
		l.e.add(f)
	}
}

// shown is a path of the sandbox as the package has it.
func (l *loader) shown(at string) string {
	if rel, ok := strings.CutPrefix(at, l.place("")+"/"); ok {
		return rel
	}
	return at
}

func (l *loader) missing(name, by string) {
	where := l.shown(by)
	f := Finding{Code: "library-missing", Level: Error, Where: where, What: fmt.Sprintf("%s needs %s, which is neither in the package nor in %s.", where, name, l.e.t.base()),
		Why: "The dynamic linker stops: cannot open shared object file.", Do: "Put the library into lib/, beside the one that needs it."}
	switch {
	case hasPrefix(name, driverLibraries):
		f.Level, f.Code = Unknown, "driver"
		f.What = fmt.Sprintf("%s needs %s, which the machine's driver brings.", where, name)
		f.Why = "Which version the platform's driver has is not documented."
		f.Do = "Leave it out of the package, and log nvidia-smi at the first start."
	case hasPrefix(name, cudaLibraries):
		f.Code = "gpu-libraries"
		f.Why = "ONNX Runtime cannot load its CUDA provider, and the function does not start."
		f.Do = "Package on a CUDA base with cuDNN (--base), of the major version that the provider was built for."
	case l.e.a.Root == "" && l.e.t.system.Glibc == "":
		f.Level, f.Code = Unknown, "library-unknown"
		f.Why = fmt.Sprintf("Whether %s has it is not known here.", l.e.t.base())
	case l.e.a.Root == "" && l.e.t.system.CXX == data.Unknown && (name == "libstdc++.so.6" || name == "libgcc_s.so.1"):
		f.Level, f.Code = Warning, "library-unknown"
		f.What = fmt.Sprintf("%s needs %s, which is not in the package; no document says that %s has it.", where, name, l.e.t.base())
		f.Why = "Where it is not there, the dynamic linker stops: cannot open shared object file."
	}
	l.once(f, where+" "+name)
}

// versions compares the symbol versions that o needs with those that are there.
func (l *loader) versions(p process, at string, o *object) {
	short := map[string][]string{} // by file, what is not there
	for _, n := range o.needs {
		have := p[n.file]
		if have == nil || n.weak || have.obj != nil && (len(have.obj.defs) == 0 || have.obj.defs[n.name]) || have.obj == nil && !have.base {
			continue
		}
		short[n.file] = append(short[n.file], n.name)
	}
	var base []string
	for _, file := range slices.Sorted(maps.Keys(short)) {
		names := short[file]
		if have := p[file]; have.base {
			base = append(base, names...)
		} else {
			l.version(at, file, have, slices.MaxFunc(names, func(a, b string) int { return data.Compare(number(a), number(b)) }))
		}
	}
	l.glibc(at, base)
}

func (l *loader) version(at, file string, have *loaded, name string) {
	where := l.shown(at)
	f := Finding{Code: "symbol-version", Level: Error, Where: where, What: fmt.Sprintf("%s needs %s of %s; %s has no such version.", where, name, file, l.shown(have.path)),
		Why: fmt.Sprintf("The dynamic linker stops: version `%s' not found.", name), Do: "Package the library that it was linked with."}
	switch {
	case slices.Contains(glibcNames, file):
		f.Code = "glibc"
		f.Do = "Build it against an older glibc (2.28 suits every target), or take a newer base."
	case strings.HasPrefix(name, "GLIBCXX_") || strings.HasPrefix(name, "CXXABI_") || strings.HasPrefix(name, "GCC_"):
		f.Code = "libstdcxx"
		f.Do = "Put the newer libstdc++.so.6 and libgcc_s.so.1 into lib/."
	}
	l.once(f, where+" "+file)
}

// glibc compares what is needed with what is known of the base's glibc.
func (l *loader) glibc(at string, names []string) {
	need := ""
	for _, n := range names {
		v := number(n)
		switch n {
		case "GLIBC_PRIVATE":
			v = "" // the linker's and libc's own affair
		case "GLIBC_ABI_DT_RELR":
			v = "2.36"
		}
		if data.Compare(v, need) > 0 {
			need = v
		}
	}
	least, most := l.e.t.system.Glibc, l.e.t.system.GlibcMost
	if need == "" || least != "" && data.Compare(need, least) <= 0 {
		return
	}
	where := l.shown(at)
	f := Finding{Code: "glibc", Level: Error, Where: where, What: fmt.Sprintf("%s needs glibc %s; %s has %s.", where, need, l.e.t.base(), most),
		Why: fmt.Sprintf("The dynamic linker stops: version `GLIBC_%s' not found (%s).", need, l.e.t.system.Source),
		Do:  "Build it against an older glibc (2.28 suits every target), or package an image with a newer base."}
	switch {
	case least == "":
		f.Code, f.Level = "glibc-unknown", Unknown
		f.What = fmt.Sprintf("%s needs glibc %s; which one %s has is not known.", where, need, l.e.t.base())
		f.Why = "On an older one the dynamic linker stops."
		f.Do = "Compare with ldd --version on the machine."
	case data.Compare(need, most) <= 0:
		f.Code, f.Level = "glibc-unknown", Unknown
		f.What = fmt.Sprintf("%s needs glibc %s; %s has %s to %s, depending on the machine.", where, need, l.e.t.base(), least, most)
	}
	l.once(f, where)
}

// number is the version in a symbol version's name: "2.34" of "GLIBC_2.34".
func number(name string) string {
	return name[strings.LastIndexByte(name, '_')+1:]
}
