package tune

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
)

// FileName is where the evidence lies, beside godwit.yaml.
const FileName = "tune.json"

func version() string { return app.Version() }

// Path is the function's godwit.yaml.
func (r *Report) Path() string { return filepath.Join(r.dir, spec.FileName) }

// Edited is godwit.yaml before and after; the same where nothing changes. Errors:
// as Edit's.
func (r *Report) Edited() (was, now []byte, err error) {
	if len(r.changes) == 0 {
		return r.text, r.text, nil
	}
	now, err = Edit(r.text, r.changes, r.comment())
	return r.text, now, err
}

// comment is the evidence in a line.
func (r *Report) comment() string {
	var keys []string
	for _, c := range r.changes {
		_, name, _ := cutLast(c.Path)
		keys = append(keys, name)
	}
	day, _, _ := strings.Cut(r.Time, "T")
	gained := "the default is out"
	if r.Gain != nil {
		gained = r.Gain.String() + " the default"
	}
	return oneLine(fmt.Sprintf("%s: %s for %s: %s; %s; %s, %d processors; %s", day, strings.Join(keys, " and "), r.Goal, gained,
		r.Candidates[r.Chosen].Size(), r.Machine.Processor, r.Machine.Processors, FileName))
}

// oneLine is s without what may not stand in a comment.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\ufeff' || c == '\ufffd' {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, " "))
}

// Write puts the changes into godwit.yaml and the evidence beside it, each at once
// or not at all. Errors: Unavailable where godwit.yaml is not what Run read any
// more, and as Edit's; then neither file is touched.
func (r *Report) Write() error {
	_, now, err := r.Edited()
	if err != nil {
		return err
	}
	evidence, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fault.New(fault.Internal, "tune.Write", r.dir, "%w", err)
	}
	// Through a link the file itself is replaced, not the link.
	path, err := filepath.EvalSymlinks(r.Path())
	if err != nil {
		return fault.New(fault.Internal, "tune.Write", r.Path(), "%w", err)
	}
	if !bytes.Equal(now, r.text) {
		if err := replace(path, r.text, now); err != nil {
			return err
		}
	}
	return replace(filepath.Join(r.dir, FileName), nil, append(evidence, '\n'))
}

// replace writes a file by renaming a new one, if it is still what was read; nil
// for was takes any.
func replace(path string, was, now []byte) error {
	fail := func(err error) error { return fault.New(fault.Internal, "tune.Write", path, "%w", err) }
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(now)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fail(err)
	}
	if was != nil {
		if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, was) {
			return fault.New(fault.Unavailable, "tune.Write", path, "want the file as it was when the measuring began, got another").
				WithHint("Run it again, or write the change by hand.")
		}
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fail(err)
	}
	return nil
}
