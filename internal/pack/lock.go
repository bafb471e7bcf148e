package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// LockName is the file's name, in the function's folder beside godwit.yaml.
const LockName = "godwit.lock"

const (
	lockVersion  = 1
	maxLock      = 1 << 20
	maxLockWords = 20_000 // YAML's parser takes time in the square of the keys
)

// Lock is godwit.lock: what names meant when the function was packaged, by
// digest. Digests are "sha256:" and 64 hexadecimal digits. It belongs into
// version control: who packages the same commit gets the same bytes.
type Lock struct {
	Version int `yaml:"version"`
	// Bases is what the tags of base images mean, by reference.
	Bases map[string]string `yaml:"bases,omitempty"`
	// Runtime is the engine's library, by platform: "linux/amd64".
	Runtime map[string]LockedRuntime `yaml:"runtime,omitempty"`
	// Models are the digests of the models as they were given, by "NAME/VERSION".
	Models map[string]string `yaml:"models,omitempty"`
	// Packages is what was made last, by target. Rendered files point at it.
	Packages map[string]LockedPackage `yaml:"packages,omitempty"`
}

// LockedRuntime is a version of ONNX Runtime.
type LockedRuntime struct {
	Version string `yaml:"version"` // "1.31.1"
	Digest  string `yaml:"digest"`  // of the library
}

// LockedPackage is one artifact.
type LockedPackage struct {
	Digest string `yaml:"digest"` // of the file, or of the image's manifest or index
	// Image is the repository that the image was pushed to; "" for what was not pushed.
	Image     string   `yaml:"image,omitempty"`
	Platforms []string `yaml:"platforms"` // sorted: "linux/amd64"
}

const lockHead = "# What names meant when this function was packaged. Godwit writes this file; keep it in version control.\n"

// ReadLock reads godwit.lock in the folder dir; one without it has an empty
// lock. Errors: BadConfig.
func ReadLock(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Lock{Version: lockVersion}, nil
	}
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer for ever
		err = fmt.Errorf("want a regular file, got one of mode %s", info.Mode())
	}
	var data []byte
	if err == nil {
		data, err = readAtMost(path, maxLock+1)
	}
	if err != nil {
		return nil, fault.New(fault.BadConfig, "pack.ReadLock", path, "%w", err)
	}
	l, err := DecodeLock(data)
	if err != nil {
		f := fault.Of(err)
		f.Subject = path
		return nil, f
	}
	return l, nil
}

func readAtMost(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}

// DecodeLock reads a lock of at most 1 MiB, strictly: no unknown or repeated
// key, no anchors, aliases or tags, every digest of the right form. Errors: BadConfig.
func DecodeLock(data []byte) (l *Lock, err error) {
	hint := "Bring the file back from version control, or remove it and package again."
	bad := func(format string, args ...any) (*Lock, error) {
		return nil, fault.New(fault.BadConfig, "pack.ReadLock", LockName, format, args...).WithHint("%s", hint)
	}
	defer func() {
		if p := recover(); p != nil { // the parser has been seen to panic on hostile files
			l, err = bad("the YAML parser gave up on the file: %v", p)
		}
	}()
	if len(data) > maxLock || !utf8.Valid(data) {
		return bad("want at most 1 MiB of UTF-8, got %d bytes or something else", len(data))
	}
	if bytes.Contains(data, []byte("<<<<<<< ")) {
		hint = "Take either side, package again, and commit what that writes."
		return bad("want a lock, got a conflict of two")
	}
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > maxLockWords {
		return bad("want at most %d words, got %d", maxLockWords, len(tokens))
	}
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType, token.MappingKeyType, token.DocumentEndType, token.DocumentHeaderType:
			return bad("want plain keys and values, got %q in line %d", t.Value, t.Position.Line)
		}
	}
	l = &Lock{}
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(l); err != nil {
		if errors.Is(err, io.EOF) {
			return bad("want a lock, got an empty file")
		}
		return bad("%w", err)
	}
	if err := l.check(); err != nil {
		return bad("%w", err)
	}
	return l, nil
}

// Encode is the lock as text: what is equal gives the same text. It fails for
// what DecodeLock would not take. Errors: BadConfig.
func (l *Lock) Encode() ([]byte, error) {
	if l.Version == 0 {
		l.Version = lockVersion
	}
	if err := l.check(); err != nil {
		return nil, fault.New(fault.BadConfig, "pack.WriteLock", LockName, "%w", err)
	}
	var b strings.Builder
	b.WriteString(lockHead)
	fmt.Fprintf(&b, "version: %d\n", l.Version)
	table(&b, "bases", l.Bases, quoted)
	table(&b, "runtime", l.Runtime, func(r LockedRuntime) string {
		return fmt.Sprintf("{version: %s, digest: %s}", quoted(r.Version), quoted(r.Digest))
	})
	table(&b, "models", l.Models, quoted)
	table(&b, "packages", l.Packages, func(p LockedPackage) string {
		image := ""
		if p.Image != "" {
			image = ", image: " + quoted(p.Image)
		}
		list := make([]string, len(p.Platforms))
		for i, name := range p.Platforms {
			list[i] = quoted(name)
		}
		return fmt.Sprintf("{digest: %s%s, platforms: [%s]}", quoted(p.Digest), image, strings.Join(list, ", "))
	})
	return []byte(b.String()), nil
}

// Write puts the lock into the folder dir, as a whole or not at all; one that
// says the same is left alone. Errors: BadConfig, Internal about the file.
func (l *Lock) Write(dir string) error {
	data, err := l.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, LockName)
	if old, err := readAtMost(path, maxLock+1); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return replace(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

var (
	isDigest   = lazy.Regexp(`^sha256:[0-9a-f]{64}$`)
	isWord     = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,511}$`)
	isPlatform = lazy.Regexp(`^linux/(amd64|arm64)$`)
)

// check joins all that is wrong, in a fixed order.
func (l *Lock) check() error {
	var all []error
	want := func(ok bool, where, what, got string) {
		if !ok {
			all = append(all, fmt.Errorf("%s: want %s, got %.600q", where, what, got))
		}
	}
	const digest = "sha256: and 64 hexadecimal digits"
	want(l.Version == lockVersion, "version", "1, which this godwit knows", fmt.Sprint(l.Version))
	for _, k := range keys(l.Bases) {
		want(isWord().MatchString(k), "bases", "an image's reference", k)
		want(isDigest().MatchString(l.Bases[k]), "bases: "+k, digest, l.Bases[k])
	}
	for _, k := range keys(l.Runtime) {
		want(isPlatform().MatchString(k), "runtime", "linux/amd64 or linux/arm64", k)
		want(isWord().MatchString(l.Runtime[k].Version), "runtime: "+k, "a version", l.Runtime[k].Version)
		want(isDigest().MatchString(l.Runtime[k].Digest), "runtime: "+k, digest, l.Runtime[k].Digest)
	}
	for _, k := range keys(l.Models) {
		want(isWord().MatchString(k) && strings.Contains(k, "/"), "models", "NAME/VERSION", k)
		want(isDigest().MatchString(l.Models[k]), "models: "+k, digest, l.Models[k])
	}
	for _, k := range keys(l.Packages) {
		p := l.Packages[k]
		want(isWord().MatchString(k), "packages", "a target", k)
		want(isDigest().MatchString(p.Digest), "packages: "+k, digest, p.Digest)
		want(p.Image == "" || isWord().MatchString(p.Image), "packages: "+k, "an image repository", p.Image)
		want(len(p.Platforms) > 0 && slices.IsSorted(p.Platforms), "packages: "+k, "sorted platforms", strings.Join(p.Platforms, " "))
		for _, name := range p.Platforms {
			want(isPlatform().MatchString(name), "packages: "+k, "linux/amd64 or linux/arm64", name)
		}
	}
	return errors.Join(all...)
}

// table writes a mapping, sorted, a line for each entry.
func table[V any](b *strings.Builder, name string, m map[string]V, value func(V) string) {
	if len(m) == 0 {
		return
	}
	fmt.Fprintf(b, "%s:\n", name)
	for _, k := range keys(m) {
		fmt.Fprintf(b, "  %s: %s\n", quoted(k), value(m[k]))
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// quoted is s so that YAML reads it as that text: "1.30" is no number, and what
// check lets through has nothing to escape.
func quoted(s string) string { return `"` + s + `"` }
