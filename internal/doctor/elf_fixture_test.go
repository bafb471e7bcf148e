package doctor_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/internal/doctor"
)

// binary64 describes an ELF file as small as a dynamic linker's view of one:
// headers, names and versions, and no code.
type binary64 struct {
	arch    elf.Machine // 0 is amd64
	program bool        // has an interpreter: glibc's, unless it is named
	interp  string
	soname  string
	needed  []string
	rpath   string
	runpath string
	needs   map[string][]string // versions by file
	defs    []string
}

// bytes writes the file: a header, program headers, the sections, their headers.
func (b binary64) bytes() []byte {
	if b.arch == 0 {
		b.arch = elf.EM_X86_64
	}
	if b.program && b.interp == "" {
		b.interp = "/lib64/ld-linux-x86-64.so.2"
	}
	strs := []byte{0}
	name := func(s string) uint32 {
		at := len(strs)
		strs = append(append(strs, s...), 0)
		return uint32(at)
	}
	le := binary.LittleEndian
	var dyn, verneed, verdef []byte
	tag := func(t elf.DynTag, v uint64) {
		dyn = le.AppendUint64(le.AppendUint64(dyn, uint64(t)), v)
	}
	for _, n := range b.needed {
		tag(elf.DT_NEEDED, uint64(name(n)))
	}
	if b.soname != "" {
		tag(elf.DT_SONAME, uint64(name(b.soname)))
	}
	if b.rpath != "" {
		tag(elf.DT_RPATH, uint64(name(b.rpath)))
	}
	if b.runpath != "" {
		tag(elf.DT_RUNPATH, uint64(name(b.runpath)))
	}
	tag(elf.DT_NULL, 0)
	left := len(b.needs)
	for _, file := range b.needed {
		versions, ok := b.needs[file]
		if !ok {
			continue
		}
		left--
		next := uint32(16 + 16*len(versions))
		if left == 0 {
			next = 0
		}
		verneed = le.AppendUint16(le.AppendUint16(verneed, 1), uint16(len(versions)))
		verneed = le.AppendUint32(le.AppendUint32(le.AppendUint32(verneed, name(file)), 16), next)
		for i, v := range versions {
			after := uint32(16)
			if i == len(versions)-1 {
				after = 0
			}
			verneed = le.AppendUint16(le.AppendUint16(le.AppendUint32(verneed, 0), 0), uint16(i+2))
			verneed = le.AppendUint32(le.AppendUint32(verneed, name(v)), after)
		}
	}
	for i, v := range b.defs {
		next := uint32(28)
		if i == len(b.defs)-1 {
			next = 0
		}
		for _, half := range []uint16{1, 0, uint16(i + 1), 1} {
			verdef = le.AppendUint16(verdef, half)
		}
		verdef = le.AppendUint32(le.AppendUint32(le.AppendUint32(verdef, 0), 20), next)
		verdef = le.AppendUint32(le.AppendUint32(verdef, name(v)), 0)
	}
	type section struct {
		typ        elf.SectionType
		data       []byte
		link, info uint32
		entsize    uint64
	}
	sections := []section{{}, {typ: elf.SHT_STRTAB, data: strs}, {typ: elf.SHT_DYNAMIC, data: dyn, link: 1, entsize: 16},
		{typ: elf.SHT_DYNSYM, data: make([]byte, 48), link: 1, info: 1, entsize: 24}, {typ: elf.SHT_GNU_VERSYM, data: make([]byte, 4), link: 3, entsize: 2}}
	if len(verneed) > 0 {
		sections = append(sections, section{typ: elf.SHT_GNU_VERNEED, data: verneed, link: 1, info: uint32(len(b.needs))})
	}
	if len(verdef) > 0 {
		sections = append(sections, section{typ: elf.SHT_GNU_VERDEF, data: verdef, link: 1, info: uint32(len(b.defs))})
	}
	const phnum = 3
	at := uint64(64 + 56*phnum)
	var body bytes.Buffer
	offsets := make([]uint64, len(sections))
	for i, s := range sections {
		offsets[i] = at + uint64(body.Len())
		body.Write(s.data)
		body.Write(make([]byte, (8-body.Len()%8)%8))
	}
	interpAt := at + uint64(body.Len())
	body.WriteString(b.interp)
	body.Write(make([]byte, 8-body.Len()%8))
	shoff := at + uint64(body.Len())

	var out bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), 1, 1}
	if err := binary.Write(&out, le, elf.Header64{Ident: ident, Type: uint16(elf.ET_DYN), Machine: uint16(b.arch), Version: 1, Phoff: 64, Shoff: shoff,
		Ehsize: 64, Phentsize: 56, Phnum: phnum, Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: 1}); err != nil {
		panic(err)
	}
	interp := elf.Prog64{Type: uint32(elf.PT_NULL)}
	if b.interp != "" {
		n := uint64(len(b.interp) + 1)
		interp = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: interpAt, Filesz: n, Memsz: n}
	}
	for _, p := range []elf.Prog64{{Type: uint32(elf.PT_LOAD), Filesz: shoff, Memsz: shoff, Align: 4096, Flags: 5},
		{Type: uint32(elf.PT_DYNAMIC), Off: offsets[2], Filesz: uint64(len(dyn)), Memsz: uint64(len(dyn)), Align: 8}, interp} {
		if err := binary.Write(&out, le, p); err != nil {
			panic(err)
		}
	}
	out.Write(body.Bytes())
	for i, s := range sections {
		if err := binary.Write(&out, le, elf.Section64{Type: uint32(s.typ), Off: offsets[i], Size: uint64(len(s.data)), Link: s.link, Info: s.info, Addralign: 1, Entsize: s.entsize}); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

// elf32 is the head of a program for 32 bits.
func elf32() []byte {
	var out bytes.Buffer
	h := elf.Header32{Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), 1, 1}, Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_386), Version: 1, Ehsize: 52, Phentsize: 32, Shentsize: 40}
	if err := binary.Write(&out, binary.LittleEndian, h); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// What the built files are, as far as a dynamic linker is concerned.
func program() binary64 {
	return binary64{program: true, needed: []string{"libc.so.6"}, needs: map[string][]string{"libc.so.6": {"GLIBC_2.2.5", "GLIBC_2.28"}}}
}

func runtimeLibrary(version string) binary64 {
	return binary64{soname: "libonnxruntime.so.1", runpath: "$ORIGIN",
		needed: []string{"libdl.so.2", "libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"},
		needs: map[string][]string{"libc.so.6": {"GLIBC_2.28"}, "libm.so.6": {"GLIBC_2.27"}, "libstdc++.so.6": {"GLIBCXX_3.4.22", "CXXABI_1.3"},
			"ld-linux-x86-64.so.2": {"GLIBC_2.3"}},
		defs: []string{"libonnxruntime.so.1", "VERS_" + version}}
}

func libstdcxx() binary64 {
	return binary64{soname: "libstdc++.so.6", needed: []string{"libm.so.6", "libc.so.6", "libgcc_s.so.1"}, needs: map[string][]string{"libc.so.6": {"GLIBC_2.25"}, "libgcc_s.so.1": {"GCC_3.0"}},
		defs: []string{"libstdc++.so.6", "GLIBCXX_3.4", "GLIBCXX_3.4.22", "GLIBCXX_3.4.29", "CXXABI_1.3"}}
}

func libgcc() binary64 {
	return binary64{soname: "libgcc_s.so.1", needed: []string{"libc.so.6"}, needs: map[string][]string{"libc.so.6": {"GLIBC_2.14"}}, defs: []string{"libgcc_s.so.1", "GCC_3.0"}}
}

// glibc is the files of a base, of a version of glibc.
func glibc(versions ...string) map[string][]byte {
	base := map[string][]byte{}
	for _, name := range []string{"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"} {
		base["usr/lib/x86_64-linux-gnu/"+name] = binary64{soname: name, defs: append([]string{name}, versions...)}.bytes()
	}
	base["usr/lib64/ld-linux-x86-64.so.2"] = binary64{soname: "ld-linux-x86-64.so.2", defs: []string{"ld-linux-x86-64.so.2", "GLIBC_2.3"}}.bytes()
	return base
}

// FuzzELF: whatever a file that says that it is ELF holds, it is read or it is
// an error, and never a panic.
func FuzzELF(f *testing.F) {
	for _, b := range []binary64{program(), runtimeLibrary("1.31.1"), libstdcxx(), libgcc()} {
		f.Add(b.bytes())
		if err := doctor.ParseELF(b.bytes()); err != nil {
			f.Errorf("want %q read, got %v", b.soname, err)
		}
	}
	f.Add(elf32())
	f.Fuzz(func(_ *testing.T, b []byte) { _ = doctor.ParseELF(b) })
}

func write(t testing.TB, dir, name string, content []byte, mode os.FileMode) {
	t.Helper()
	at := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(at, mode); err != nil {
		t.Fatal(err)
	}
}

func examine(t testing.TB, path, target string) *doctor.Report {
	t.Helper()
	a, err := doctor.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := doctor.Examine(t.Context(), a, &doctor.Options{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
