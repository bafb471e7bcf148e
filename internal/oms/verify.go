package oms

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"godwit.dev/runtime/fault"
)

// VerifyOptions is what varies in Verify. nil means defaults.
type VerifyOptions struct {
	// Ignore are paths in the model that may be there unsigned, beside those that
	// the signer names, .git and the like, and the signature itself.
	Ignore []string
	// Unsigned lets any other file be there unsigned. What is signed must be there all the same.
	Unsigned bool
	// Now is when certificates must be valid; zero means now.
	Now time.Time
}

// Verified is what a good signature says.
type Verified struct {
	Name   string `json:"name"`   // what the signer called the model; not to be relied on
	Signer string `json:"signer"` // "key FINGERPRINT" or "certificate SUBJECT"
	Files  int    `json:"files"`  // how many are signed
}

// Verify says that the model, a folder or a file, is what somebody in trust
// signed: the signature at the path given is theirs, every file in it has its
// digest, and no other file is there. All that differs is in the error. It says
// nothing of what is written to the model afterwards. Errors: Denied for a
// signature that is not trusted, BadModel for files that differ, Invalid,
// TooLarge and Unsupported for the bundle, NotFound.
func Verify(ctx context.Context, path, signature string, trust *Trust, opts *VerifyOptions) (*Verified, error) {
	var o VerifyOptions
	if opts != nil {
		o = *opts
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	b, err := ReadBundle(signature)
	if err != nil {
		return nil, err
	}
	signer, err := trust.check(b, o.Now)
	if err != nil {
		return nil, err
	}
	want, err := parseStatement(signature, b.payload)
	if err != nil {
		return nil, err
	}
	m, err := open(path)
	if err != nil {
		return nil, err
	}
	defer m.root.Close()
	if m.alone != "" && len(want.files) == 1 && want.files[m.alone] != nil {
		want.files = map[string][]part{".": want.files[m.alone]} // the specification's name of a single file
	}
	ignored := slices.Concat(gitPaths(), want.ignored, o.Ignore)
	if own := m.inside(signature); own != "" {
		ignored = append(ignored, own)
	}
	// What is signed is never ignored.
	there, err := m.files(want.links, func(path string) bool { return want.files[path] == nil && (o.Unsigned || under(path, ignored)) })
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, file := range there {
		parts := want.files[file]
		if parts == nil && want.shard > 0 && m.empty(file) {
			continue // has no shard to sign
		}
		if parts == nil {
			problems = append(problems, m.differs(file, "want only signed files, got one that is not"))
			continue
		}
		if err := want.compare(ctx, m, file, parts); err != nil {
			problems = append(problems, err)
		}
	}
	found := map[string]bool{}
	for _, file := range there {
		found[file] = true
	}
	for _, file := range slices.Sorted(maps.Keys(want.files)) {
		if !found[file] {
			problems = append(problems, m.differs(file, "want the file that is signed, got none"))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Verified{want.name, signer, len(want.files)}, nil
}

func (m *model) empty(file string) bool {
	info, err := m.root.Stat(filepath.FromSlash(file))
	return err == nil && info.Size() == 0
}

func (m *model) differs(file, format string, args ...any) error {
	return fault.New(fault.BadModel, "oms.Verify", filepath.Join(m.path, filepath.FromSlash(file)), format, args...).
		WithHint("The model is not what was signed; get it again, and do not use this one.")
}

// compare compares a file with its parts, which must cover it without a gap.
func (want *manifest) compare(ctx context.Context, m *model, file string, parts []part) error {
	f, err := m.open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.from, b.from) })
	var at int64
	for i, p := range parts {
		n := p.to - p.from
		if p.to < 0 {
			n = -1
		}
		last := i == len(parts)-1
		if p.from != at || !last && n != want.shard {
			return m.differs(file, "want all of it signed, got a gap at byte %d", at)
		}
		got, size, err := sum(ctx, f, n)
		if err != nil {
			return fault.New(fault.BadModel, "oms.Verify", file, "%w", err)
		}
		if got != p.sum || n >= 0 && size != n {
			return m.differs(file, "want SHA-256 %x as it was signed, got %x", p.sum, got)
		}
		at += size
	}
	if rest, err := f.Read(make([]byte, 1)); rest > 0 && err == nil {
		return m.differs(file, "want %d bytes as they were signed, got more", at)
	}
	return nil
}
