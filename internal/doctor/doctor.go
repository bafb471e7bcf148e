// Package doctor finds before an upload what would fail after it: it reads a
// package, or a function folder that is still to be packaged, beside what is
// known of the platform that it is for, and loads and runs nothing of it.
//
// Every finding says what was found, why it would fail, and what to do. What
// cannot be known from here is a finding too, of the level unknown: silence
// means that something was looked at and is well.
package doctor

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// A Level says how much a Finding matters.
type Level string

// The levels, the gravest first.
const (
	Error   Level = "error"   // it fails
	Warning Level = "warning" // it may fail, or is not safe
	Unknown Level = "unknown" // nobody can say from here
	Note    Level = "note"    // good to know
)

var order = map[Level]int{Error: 0, Warning: 1, Unknown: 2, Note: 3}

// A Finding is one thing that was found. Texts are whole sentences.
type Finding struct {
	Code  string `json:"code"` // stable, one of Codes
	Level Level  `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why"`          // why it would fail, or what follows
	Do    string `json:"do,omitempty"` // "" when there is nothing to do
	// Where is the file in the package, or the key of godwit.yaml; "" for the
	// package as a whole.
	Where string `json:"where,omitempty"`
}

// Options say what an artifact is examined for.
type Options struct {
	Target string // one of spec.TargetNames; required
}

// A Report is what was found.
type Report struct {
	Artifact string `json:"artifact"`
	Kind     Kind   `json:"kind"`
	Target   string `json:"target"`
	Platform string `json:"platform"` // "linux/amd64"
	System   string `json:"system"`   // what it runs in
	Runtime  string `json:"onnxruntime,omitempty"`
	// Packed are the bytes of the archive, 0 for a folder; Unpacked those of its files.
	Packed   int64   `json:"packed_bytes,omitempty"`
	Unpacked int64   `json:"unpacked_bytes"`
	Largest  []Size  `json:"largest"`
	Models   []Model `json:"models"`
	Limits   []Limit `json:"limits"`
	// Findings are sorted by level, the gravest first, then in the order of the checks.
	Findings []Finding `json:"findings"`
}

// Size is a file and its bytes.
type Size struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Limit is a limit of the platform, and where it is from.
type Limit struct {
	Key    string `json:"key"`
	State  string `json:"state"`
	Value  int64  `json:"value,omitempty"` // bytes, milliseconds or a number
	Text   string `json:"text"`            // for people
	Note   string `json:"note,omitempty"`
	Source string `json:"source,omitempty"`
}

// Count is how many findings have level.
func (r *Report) Count(level Level) (n int) {
	for i := range r.Findings {
		if r.Findings[i].Level == level {
			n++
		}
	}
	return n
}

// exam is one examination.
type exam struct {
	a *Artifact
	r *Report
	t target
	// spec is nil where it cannot be read, which is a finding.
	spec    *spec.Spec
	files   []file // sorted by path
	byPath  map[string]*file
	objects map[string]*object // ELF files by path
	arch    string             // "amd64", "arm64"
	entry   string             // the program's path, "" if there is none
	library string             // ONNX Runtime's path, "" if there is none
	runtime string             // its version, "" if it does not say
}

// Examine looks at the artifact for a target. The report is there whenever the
// artifact can be read at all; what is wrong with it is in the report. Errors:
// Usage for a target that there is not, Internal when reading fails, ctx's own.
func Examine(ctx context.Context, a *Artifact, o *Options) (*Report, error) {
	if !slices.Contains(spec.TargetNames(), o.Target) {
		return nil, fault.New(fault.Usage, "doctor.Examine", o.Target, "want one of %s, got %q", strings.Join(spec.TargetNames(), ", "), o.Target)
	}
	e := &exam{a: a, r: &Report{Artifact: a.Path, Kind: a.Kind, Target: o.Target, Packed: a.Size,
		Findings: slices.Clone(a.findings), Models: []Model{}, Largest: []Size{}}}
	if a.Dir != "" {
		root, err := os.OpenRoot(a.Dir)
		if err != nil {
			return nil, fault.New(fault.Internal, "doctor.Examine", a.Path, "%w", err)
		}
		defer root.Close()
		if err := e.walk(ctx, root); err != nil {
			return nil, err
		}
	}
	e.describe(o.Target)
	e.facts()
	if a.Dir == "" { // it could not be opened
		return e.finish(), nil
	}
	for _, check := range []func(context.Context) error{
		e.shape, e.binaries, e.program, e.engine, e.models, e.manifest, e.image, e.access, e.memory, e.sizes, e.azure, e.requests,
	} {
		if err := check(ctx); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return e.finish(), nil
}

func (e *exam) finish() *Report {
	slices.SortStableFunc(e.r.Findings, func(a, b Finding) int { return cmp.Compare(order[a.Level], order[b.Level]) })
	e.r.Platform = "linux/" + e.arch
	return e.r
}

func (e *exam) add(f Finding) { e.r.Findings = append(e.r.Findings, f) }

// packaged reports whether there are programs and libraries to judge.
func (e *exam) packaged() bool { return e.a.Kind != Source && e.a.Kind != ModelFile }

// find is the platform's limit under what the spec chose.
func (e *exam) find(key data.Key) data.Limit { return data.Find(e.t.name, key, e.t.choices...) }
