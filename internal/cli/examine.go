package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/doctor"
	"godwit.dev/runtime/fault"
)

// examine is doctor for a target.
func (p *program) examine(ctx context.Context, path, target, arch string) error {
	if !slices.Contains(spec.TargetNames(), target) {
		return fault.New(fault.Usage, "", "--target", "want one of %s, got %q", strings.Join(spec.TargetNames(), ", "), target)
	}
	if arch != "" && arch != "amd64" && arch != "arm64" {
		return fault.New(fault.Usage, "", "--arch", "want amd64 or arm64, got %q", arch)
	}
	r, err := examination(ctx, path, target, arch)
	if err != nil {
		return err
	}
	if p.json {
		writeJSON(p.Stdout, r)
	} else {
		printExamination(p.Stdout, r)
	}
	if n := r.Count(doctor.Error); n > 0 {
		return fault.New(fault.BadModel, "", path, "%s would fail on %s", plural(n, "thing"), target).
			WithHint("The findings above say what to do.")
	}
	return nil
}

// examination opens what is at path and examines it.
func examination(ctx context.Context, path, target, arch string) (_ *doctor.Report, err error) {
	a, err := doctor.Open(path, arch)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := a.Close(); err == nil && closed != nil {
			err = fault.New(fault.Internal, "", path, "%w", closed)
		}
	}()
	return doctor.Examine(ctx, a, &doctor.Options{Target: target})
}

func printExamination(w io.Writer, r *doctor.Report) {
	size := sizeText(r.Unpacked)
	if r.Packed > 0 {
		size = sizeText(r.Packed) + ", unpacked " + size
	}
	fmt.Fprintf(w, "%s: %s for %s on %s, %s\n", r.Artifact, r.Kind, r.Target, r.Platform, size)
	t := newTable("", "")
	t.rows = nil
	if r.Runtime != "" {
		t.add("ONNX Runtime", r.Runtime)
	}
	for _, m := range r.Models {
		what := fmt.Sprintf("%s version %s, %s, %s", m.Name, m.Version, m.Path, sizeText(m.Bytes))
		if m.Baked {
			what += ", baked"
		}
		t.add("model", what)
	}
	t.add("system", r.System)
	for i, s := range r.Largest[:min(len(r.Largest), 3)] {
		t.add(map[bool]string{true: "largest files"}[i == 0], s.Path+", "+sizeText(s.Bytes))
	}
	t.print(w, "  ")

	fmt.Fprintf(w, "\n  What %s allows\n", r.Target)
	t = newTable("", "", "")
	t.rows = nil
	for _, l := range r.Limits {
		t.add(l.Key, l.Text, strings.TrimPrefix(l.Note+"; ", "; ")+l.Source)
	}
	t.print(w, "    ")

	printFindings(w, r, doctor.Error, doctor.Warning, doctor.Unknown, doctor.Note)
	fmt.Fprintf(w, "\n  %s, %s, %d not known, %s.\n", plural(r.Count(doctor.Error), "error"), plural(r.Count(doctor.Warning), "warning"), r.Count(doctor.Unknown), plural(r.Count(doctor.Note), "note"))
}

// printFindings prints the findings of these levels.
func printFindings(w io.Writer, r *doctor.Report, levels ...doctor.Level) {
	for i := range r.Findings {
		f := &r.Findings[i]
		if !slices.Contains(levels, f.Level) {
			continue
		}
		where := ""
		if f.Where != "" {
			where = ", " + f.Where
		}
		fmt.Fprintf(w, "\n  %s: %s\n", f.Level, f.What)
		fmt.Fprintf(w, "    %s\n", f.Why)
		if f.Do != "" {
			fmt.Fprintf(w, "    %s\n", f.Do)
		}
		fmt.Fprintf(w, "    (%s%s)\n", f.Code, where)
	}
}
