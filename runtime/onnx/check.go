package onnx

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// A Policy says what a model may be before an engine gets to see it. nil and
// zero fields mean the defaults.
type Policy struct {
	// Domains are operator domains that the engine has besides ONNX Runtime's
	// own. Operators of others need a library of native code, which Godwit
	// never loads by itself; so the default is none.
	Domains []string
	// ORTFormat lets ONNX Runtime's own file format pass, of which nothing can
	// be checked here.
	ORTFormat bool
	// Produced bounds, in bytes, the largest value that operators make of
	// constants alone; 0 means 1 GiB. All of them together may have four times
	// as much.
	Produced int64
	// Memory is how many bytes there are for the model; 0 means that nobody knows.
	Memory int64
}

// defaultProduced is far above what exporters leave to a runtime's constant
// folding (masks, position tables) and far below what harms a server.
const defaultProduced = 1 << 30

// Required estimates the bytes that a process needs to load the model, besides
// what it uses already: the weights wherever they are, the largest value made
// of constants, an eighth for copies in another layout, and 8 MiB for the rest.
func (m *Model) Required() int64 {
	weights := addSat(addSat(m.Initializers.Bytes, m.Constants), m.Produced.Largest)
	return addSat(addSat(weights, weights/8), 8<<20)
}

// Check refuses what no engine should be asked to load: a format that cannot
// be looked into, IR and operator versions that ONNX Runtime does not read,
// operators that nobody here defines, constants that grow beyond measure, a
// signature that cannot be served, and a model that does not fit into memory.
// Read has refused what is damaged, and CheckExternal looks at other files.
//
// The error is a BadModel that joins all reasons and names both what was
// wanted and what was found.
func (m *Model) Check(pol *Policy) error {
	var p Policy
	if pol != nil {
		p = *pol
	}
	if p.Produced == 0 {
		p.Produced = defaultProduced
	}
	if m.Format == FormatORT {
		if p.ORTFormat {
			return nil
		}
		return fault.New(fault.BadModel, "onnx.Check", m.Path, "want an ONNX model, got ONNX Runtime's own format, which cannot be checked before it is loaded").
			WithHint("Serve the .onnx file that it was made from.")
	}
	var problems, hints []string
	add := func(hint, format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...))
		hints = append(hints, hint)
	}
	for _, f := range m.versions() {
		if f.Level == Problem {
			add(f.Do, "%s", strings.ToLower(f.What[:1])+strings.TrimSuffix(f.What[1:], "."))
		}
	}
	custom := slices.DeleteFunc(m.Custom(), func(o Op) bool { return slices.Contains(p.Domains, o.Domain) })
	if len(custom) > 0 {
		add("Export the model without custom operators: libraries of native code are not loaded.",
			"want operators of ONNX and ONNX Runtime, got %s", join(custom))
	}
	switch made := m.Produced; {
	case made.Largest > p.Produced:
		add("Export the model again with constant shapes that it needs.",
			"its constants make a value of %d bytes, by %s; the limit is %d", made.Largest, made.Op, p.Produced)
	case made.Total > mulSat(4, p.Produced):
		add("Export the model again with its constants folded.",
			"its constants make values of %d bytes together; the limit is %d", made.Total, mulSat(4, p.Produced))
	case p.Memory > 0 && m.Required() > p.Memory:
		add("Give the function more memory, or quantise the model.",
			"want %d bytes of memory for %d bytes of weights, got %d", m.Required(), addSat(m.Initializers.Bytes, m.Constants), p.Memory)
	}
	if _, err := m.Signature(); err != nil {
		e := fault.Of(err)
		add(e.Hint, "%v", e.Err)
	}
	if len(problems) == 0 {
		return nil
	}
	return fault.New(fault.BadModel, "onnx.Check", m.Path, "%s", strings.Join(problems, "; ")).
		WithHint("%s", strings.Join(slices.Compact(hints), " "))
}

// Stamp tells the files of the model apart from others of the same names:
// which files they are, their sizes and when they last changed. It is "" for a
// model that is no file. Whoever opens the files again after Read and
// CheckExternal compares the stamps of before and after; equal ones mean that
// nothing was replaced in between.
//
// Errors: BadModel when the model's file is not the one that was read, or one
// of the files is gone.
func (m *Model) Stamp() (string, error) {
	if m.own == "" {
		return "", nil
	}
	info, err := os.Stat(m.Path)
	if err != nil {
		return "", replaced(m.Path, m.Path)
	}
	if identity(info) != m.own {
		return "", replaced(m.Path, m.Path)
	}
	if len(m.External) == 0 {
		return m.own, nil
	}
	root, err := os.OpenRoot(filepath.Dir(m.Path))
	if err != nil {
		return "", replaced(m.Path, m.Path)
	}
	defer root.Close()
	parts, seen := []string{m.own}, map[string]bool{}
	for i := range m.External {
		name := path.Clean(m.External[i].Location)
		if seen[name] {
			continue
		}
		seen[name] = true
		info, err := root.Lstat(name)
		if err != nil {
			return "", replaced(m.Path, name)
		}
		parts = append(parts, identity(info))
	}
	return strings.Join(parts, " "), nil
}

func replaced(subject, name string) error {
	return fault.New(fault.BadModel, "onnx.Stamp", subject, "%s was replaced while it was being loaded", short(name)).WithHint(placeAgain)
}

const placeAgain = "Write a new file beside it, rename it into place, then load it again."
