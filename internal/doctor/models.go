package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// Model is what is told of one model.
type Model struct {
	Name    string   `json:"model"`
	Version string   `json:"version"`
	Path    string   `json:"path"` // the file that is loaded first
	Format  string   `json:"format"`
	Baked   bool     `json:"baked"`
	Bytes   int64    `json:"bytes"` // of its files
	Weights int64    `json:"weight_bytes"`
	Inputs  []string `json:"inputs"`
	Outputs []string `json:"outputs"`

	read *onnx.Model // nil for what cannot be looked into
}

// models reads each model as the function will find it.
func (e *exam) models(context.Context) error {
	if e.spec == nil {
		return nil
	}
	for i := range e.spec.Models {
		m := &e.spec.Models[i]
		var entry *manifest.Model
		if e.a.Manifest != nil {
			entry = e.a.Manifest.Model(m.Name, m.Version)
		}
		if strings.Contains(m.Path, "://") && entry != nil { // fetched when it was packaged
			packed := *m
			packed.Path = entry.Path
			m = &packed
		}
		if strings.Contains(m.Path, "://") {
			if m.SHA256 == "" {
				e.add(Finding{Code: "model-unpinned", Level: Error, Where: m.Path, What: fmt.Sprintf("Model %s has no sha256.", m.Name), Why: "A file from elsewhere is not loaded without its digest.", Do: "Add sha256."})
			}
			e.add(Finding{Code: "model-remote", Level: Unknown, Where: m.Path, What: fmt.Sprintf("Model %s is loaded from elsewhere when the function starts.", m.Name),
				Why: "Whether it is there, readable and fits cannot be seen from here.", Do: "Examine the file itself, too."})
			continue
		}
		if entry != nil && len(entry.Baked) > 0 {
			e.baked(m, entry)
			continue
		}
		e.model(m)
	}
	return nil
}

// model is a model as its user gave it.
func (e *exam) model(m *spec.Model) {
	p := path.Clean(m.Path)
	at := filepath.Join(e.a.Dir, filepath.FromSlash(p))
	read, err := onnx.Read(at, nil)
	if err != nil {
		f := Finding{Code: "model-damaged", Level: Error, Where: p, What: fmt.Sprintf("Model %s cannot be read: %s.", m.Name, text(err)), Why: "The function refuses it and does not start.",
			Do: hint(err, "Export the model again.")}
		if _, statErr := os.Stat(at); errors.Is(statErr, fs.ErrNotExist) {
			f.Code, f.What, f.Do = "model-missing", fmt.Sprintf("Model %s is not there: godwit.yaml names %s.", m.Name, m.Path), "Put the file there, or correct its path; case matters."
		}
		e.add(f)
		return
	}
	one := Model{Name: m.Name, Version: m.Version, Path: p, Format: read.Format, Bytes: read.Size, Weights: read.Initializers.Bytes + read.Constants, Inputs: values(read.Inputs), Outputs: values(read.Outputs), read: read}
	for _, x := range read.Unusual() {
		if x.Code == "opset" || x.Code == "ir-version" {
			continue // below, by the packaged version
		}
		level := map[onnx.Level]Level{onnx.Problem: Error, onnx.Warning: Warning}[x.Level]
		if level == "" {
			level = Note
		}
		e.add(Finding{Code: x.Code, Level: level, Where: p, What: x.What, Why: x.Why, Do: x.Do})
	}
	e.versions(p, read)
	if err := read.CheckExternal(filepath.Dir(at)); err != nil {
		e.add(Finding{Code: "external-data", Level: Error, Where: p, What: text(err) + ".", Why: "ONNX Runtime cannot load the model without these bytes, and the function refuses files outside of its folder.",
			Do: hint(err, "Put the data files beside the model.")})
	} else {
		one.Bytes += externalBytes(read, filepath.Dir(at))
		if err := e.pinned(m, read); err != nil {
			e.add(Finding{Code: "model-digest", Level: Error, Where: p, What: text(err) + ".", Why: "The function refuses files that are not those that godwit.yaml names.", Do: "Restore the file, or write the new digest into godwit.yaml."})
		}
	}
	if read.Format == onnx.FormatORT {
		one.Weights = read.Size
		e.ortFormat(p)
	}
	e.r.Models = append(e.r.Models, one)
}

func (e *exam) pinned(m *spec.Model, read *onnx.Model) error {
	if m.SHA256 == "" {
		return nil
	}
	got, err := read.DigestAll()
	if err == nil && got != "sha256:"+m.SHA256 {
		err = fmt.Errorf("want sha256:%s of model %s, got %s", m.SHA256, m.Name, got)
	}
	return err
}

func externalBytes(m *onnx.Model, dir string) (n int64) {
	seen := map[string]bool{}
	for _, x := range m.External {
		if !seen[x.Location] {
			seen[x.Location] = true
			if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(x.Location))); err == nil {
				n += info.Size()
			}
		}
	}
	return n
}

// versions compares IR and opsets with those of the packaged ONNX Runtime; in a
// folder that is still to be packaged, with the one that packaging takes.
func (e *exam) versions(p string, m *onnx.Model) {
	max := data.Runtime{Version: "as measured", IR: onnx.MaxIRVersion, Opset: onnx.MaxOpset, ML: onnx.MaxOpsetML}
	if e.runtime != "" {
		r, ok := data.FindRuntime(e.runtime)
		if !ok {
			e.add(Finding{Code: "runtime-unknown", Level: Unknown, Where: e.library, What: fmt.Sprintf("What ONNX Runtime %s reads is not in the table.", e.runtime),
				Why: "IR version and opsets were compared with those of another version.", Do: "Load the model with it once: `godwit verify`."})
		} else {
			max = r
			max.Version = e.runtime
		}
	}
	over := func(code, what string, got, most int64, do string) {
		if got > most {
			e.add(Finding{Code: code, Level: Error, Where: p, What: fmt.Sprintf("The model has %s %d; ONNX Runtime %s reads up to %d.", what, got, max.Version, most), Why: "ONNX Runtime refuses to load it.", Do: do})
		}
	}
	over("ir-version", "IR version", m.IRVersion, max.IR, "Export it with an older onnx package, or package a newer ONNX Runtime.")
	over("opset", "opset", m.Opset(""), max.Opset, fmt.Sprintf("Export it with opset %d or older, or package a newer ONNX Runtime.", max.Opset))
	over("opset", "opset of ai.onnx.ml", m.Opset("ai.onnx.ml"), max.ML, fmt.Sprintf("Export it with ai.onnx.ml %d or older.", max.ML))
}

// baked are the forms that packaging made of a model; the best that fits the
// machine is loaded.
func (e *exam) baked(m *spec.Model, entry *manifest.Model) {
	one := Model{Name: m.Name, Version: m.Version, Path: entry.Baked[0].Path, Format: entry.Baked[0].Format, Baked: true, Inputs: []string{}, Outputs: []string{}}
	for i, b := range entry.Baked {
		var size int64
		for _, p := range append([]string{b.Path}, b.Data...) {
			f := e.byPath[p]
			if f == nil {
				e.add(Finding{Code: "model-missing", Level: Error, Where: p, What: fmt.Sprintf("Model %s is not there: the manifest names %s.", m.Name, p), Why: "The function does not start without it.", Do: "Make the package again."})
				continue
			}
			size += f.size
		}
		if e.byPath[b.Path] == nil {
			continue
		}
		if b.Format == onnx.FormatORT {
			e.ortFormat(b.Path)
		} else if read, err := onnx.Read(filepath.Join(e.a.Dir, filepath.FromSlash(b.Path)), nil); err != nil {
			e.add(Finding{Code: "model-damaged", Level: Error, Where: b.Path, What: fmt.Sprintf("The baked form of model %s cannot be read: %s.", m.Name, text(err)), Why: "The function does not start with it.", Do: "Make the package again."})
		} else {
			e.versions(b.Path, read)
			if err := read.CheckExternal(filepath.Dir(filepath.Join(e.a.Dir, filepath.FromSlash(b.Path)))); err != nil {
				e.add(Finding{Code: "external-data", Level: Error, Where: b.Path, What: text(err) + ".", Why: "ONNX Runtime cannot load the model without these bytes.", Do: "Make the package again."})
			}
			for _, x := range read.Unusual() {
				if x.Code == "cpu-specific" && b.Level == "extended" {
					e.add(Finding{Code: x.Code, Level: Error, Where: b.Path, What: x.What, Why: x.Why, Do: "Make the package again; a form of level extended must not have them."})
				}
			}
			if i == 0 {
				one.read, one.Inputs, one.Outputs = read, values(read.Inputs), values(read.Outputs)
			}
		}
		if i == 0 {
			one.Bytes, one.Weights = size, size
		}
	}
	e.r.Models = append(e.r.Models, one)
}

// ortFormat checks the version that a model in ONNX Runtime's own format begins
// with: the first field of a flatbuffer's root table.
func (e *exam) ortFormat(p string) {
	v, err := ortVersion(filepath.Join(e.a.Dir, filepath.FromSlash(p)))
	n, numErr := strconv.Atoi(v)
	switch {
	case err != nil:
		e.add(Finding{Code: "model-damaged", Level: Error, Where: p, What: fmt.Sprintf("%s is damaged: %s.", p, text(err)), Why: "ONNX Runtime refuses to load it.", Do: "Make it again."})
	case numErr != nil || n > data.ORTFormat:
		e.add(Finding{Code: "ort-version", Level: Error, Where: p, What: fmt.Sprintf("%s is of version %q of ONNX Runtime's own format; it reads up to %d.", p, v, data.ORTFormat),
			Why: "ONNX Runtime refuses to load it.", Do: "Make it again with the packaged version of ONNX Runtime."})
	}
}

func ortVersion(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	bad := errors.New("its first table is not one of ONNX Runtime's format")
	read := func(at int64, n int) ([]byte, error) {
		b := make([]byte, n)
		if at < 0 {
			return nil, bad
		}
		if _, err := f.ReadAt(b, at); err != nil {
			if err == io.EOF {
				return nil, errors.New("it ends too early")
			}
			return nil, err
		}
		return b, nil
	}
	head, err := read(0, 8)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(head[4:], []byte("ORTM")) {
		return "", bad
	}
	table := int64(binary.LittleEndian.Uint32(head))
	b, err := read(table, 4)
	if err != nil {
		return "", err
	}
	v, err := read(table-int64(int32(binary.LittleEndian.Uint32(b))), 6)
	if err != nil {
		return "", err
	}
	field := int64(binary.LittleEndian.Uint16(v[4:]))
	if binary.LittleEndian.Uint16(v) < 6 || field == 0 {
		return "", bad
	}
	if b, err = read(table+field, 4); err != nil {
		return "", err
	}
	at := table + field + int64(binary.LittleEndian.Uint32(b))
	if b, err = read(at, 4); err != nil {
		return "", err
	}
	n := binary.LittleEndian.Uint32(b)
	if n > 64 {
		return "", bad
	}
	b, err = read(at+4, int(n))
	return string(b), err
}

func hint(err error, otherwise string) string {
	if h := fault.HintOf(err); h != "" {
		return h
	}
	return otherwise
}

func values(vs []onnx.Value) []string {
	all := make([]string, 0, len(vs))
	for _, v := range vs {
		all = append(all, clip(v.Name)+" "+typeText(v.Type))
	}
	return all
}

// typeText is a type as the protocol calls it, or as ONNX does.
func typeText(t onnx.Type) string {
	d, ok := t.Elem.DType()
	if t.Kind != onnx.KindTensor || !ok {
		return t.String()
	}
	if !t.Ranked {
		return d.String() + " of any shape"
	}
	dims := make([]string, len(t.Shape))
	for i, dim := range t.Shape {
		dims[i] = dim.String()
	}
	return d.String() + " [" + strings.Join(dims, " ") + "]"
}
