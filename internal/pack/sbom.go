package pack

import (
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"maps"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// sbom is the bill of materials of what c has and m lists: everything in it was
// read from the bytes that are packaged, or is a fact about them. What an image
// stands on is added when that is known, by Tree.on.
func (c *contents) sbom(m *manifest.Manifest) ([]byte, error) {
	b := &bom{Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: bomMetadata{
			Lifecycles: []bomPhase{{"build"}},
			Tools:      bomTools{[]bomComponent{{Type: "application", Name: "godwit", Version: m.Godwit}}},
			Component: bomComponent{Type: "application", Ref: "function", Name: m.Function,
				Properties: []bomProperty{{"godwit:platform", m.Platform}}},
		}}
	function := &bomDependency{Ref: "function"}
	var cxx []string // the libraries that ONNX Runtime needs
	var runtime *bomDependency
	var texts []bomComponent
	for i := range c.tree.Files {
		if f := &c.tree.Files[i]; isNotice(f) {
			texts = append(texts, bomComponent{Type: "file", Name: f.Path, Hashes: sha256Of(m.Files[i].SHA256)})
		}
	}
	for i := range c.tree.Files {
		f, sum := &c.tree.Files[i], m.Files[i].SHA256
		switch {
		case isNotice(f): // ONNX Runtime's
		case f.Part == Binary:
			b.program(f, sum)
		case f.Path == c.library:
			ref := "pkg:github/microsoft/onnxruntime@v" + m.Runtime.Version
			runtime = &bomDependency{Ref: ref}
			b.Components = append(b.Components, bomComponent{Type: "library", Ref: ref, Name: "onnxruntime", Version: m.Runtime.Version,
				Hashes: sha256Of(sum), Licenses: license("MIT"), PURL: ref, Properties: []bomProperty{{"godwit:path", f.Path}}, Components: texts})
			function.DependsOn = append(function.DependsOn, ref)
		case f.Part == Runtime:
			lib := library(f, sum, m.Runtime.Version)
			b.Components = append(b.Components, lib)
			cxx = append(cxx, lib.Ref)
		}
	}
	function.DependsOn = append(function.DependsOn, programRef)
	for i := range m.Models {
		one := c.modelComponent(&m.Models[i], m)
		b.Components = append(b.Components, one)
		function.DependsOn = append(function.DependsOn, one.Ref)
	}
	if runtime != nil {
		runtime.DependsOn = cxx
		b.Dependencies = append(b.Dependencies, *runtime)
	}
	b.Dependencies = append(b.Dependencies, *function)
	slices.SortFunc(b.Dependencies, func(x, y bomDependency) int { return strings.Compare(x.Ref, y.Ref) })
	// What ONNX Runtime was itself built of, nobody can read from its library.
	b.Compositions = append(b.Compositions, bomComposition{Aggregate: "incomplete", Dependencies: []string{"function"}})
	return b.text()
}

const programRef = "program"

// program adds the function's program, and the modules that the linker wrote
// into it. Where it wrote none, what the program is made of is said to be unknown.
func (b *bom) program(f *File, sum string) {
	one := bomComponent{Type: "application", Ref: programRef, Name: path.Base(f.Path), Hashes: sha256Of(sum), Properties: []bomProperty{{"godwit:path", f.Path}}}
	depends := bomDependency{Ref: programRef}
	composition := bomComposition{Aggregate: "unknown", Dependencies: []string{programRef}}
	var modules []bomComponent
	if info, err := buildinfo.ReadFile(f.From); err == nil {
		composition.Aggregate = "incomplete" // the C library comes from the platform
		one.Name, one.Version = info.Path, info.Main.Version
		std := strings.TrimPrefix(info.GoVersion, "go")
		std, _, _ = strings.Cut(std, " ") // experiments follow
		modules = append(modules, module("std", std))
		for _, m := range info.Deps {
			modules = append(modules, moduleOf(m))
		}
	}
	slices.SortFunc(modules, func(x, y bomComponent) int { return strings.Compare(x.Ref, y.Ref) })
	modules = slices.CompactFunc(modules, func(x, y bomComponent) bool { return x.Ref == y.Ref })
	for _, m := range modules {
		depends.DependsOn = append(depends.DependsOn, m.Ref)
	}
	b.Components = append(append(b.Components, one), modules...)
	b.Dependencies = append(b.Dependencies, depends)
	b.Compositions = append(b.Compositions, composition)
}

// moduleOf is a module that a program contains: the one that was really
// compiled, if another took its place. One taken from a folder keeps its name.
func moduleOf(m *debug.Module) bomComponent {
	if m.Replace != nil && m.Replace.Version != "" {
		m = m.Replace
	}
	one := module(m.Path, m.Version)
	if m.Sum != "" {
		one.Properties = []bomProperty{{"godwit:go:sum", m.Sum}}
	}
	return one
}

func module(name, version string) bomComponent {
	purl := "pkg:golang/" + escaped(strings.ToLower(name))
	if version == "(devel)" {
		version = ""
	}
	if version != "" {
		purl += "@" + escaped(version)
	}
	return bomComponent{Type: "library", Ref: purl, Name: name, Version: version, PURL: purl}
}

// escaped is text as a package URL has it.
func escaped(text string) string {
	parts := strings.Split(text, "/")
	for i := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(parts[i]), "+", "%2B")
	}
	return strings.Join(parts, "/")
}

// library is a library beside ONNX Runtime. The C++ library does not carry its
// compiler's version, so the newest symbol version that it has stands for it.
func library(f *File, sum, onnxruntime string) bomComponent {
	name := path.Base(f.Path)
	one := bomComponent{Type: "library", Ref: f.Path, Name: name, Hashes: sha256Of(sum), Properties: []bomProperty{{"godwit:path", f.Path}}}
	switch {
	case strings.HasPrefix(name, "libonnxruntime"):
		one.Version, one.Licenses = onnxruntime, license("MIT")
	case strings.HasPrefix(name, "libstdc++."), strings.HasPrefix(name, "libgcc_s."):
		one.Licenses = []bomLicense{{Expression: "GPL-3.0-or-later WITH GCC-exception-3.1"}}
	}
	if v := newestSymbols(f.From); v != "" {
		one.Properties = append(one.Properties, bomProperty{"godwit:elf:symbols", v})
	}
	return one
}

// newestSymbols is the last symbol version that a library defines; "" for none.
func newestSymbols(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	versions, err := f.DynamicVersions()
	if err != nil {
		return ""
	}
	newest := ""
	for _, v := range versions {
		if !strings.HasPrefix(v.Name, "lib") && !strings.HasPrefix(v.Name, "CXXABI_") && natural(v.Name, newest) > 0 {
			newest = v.Name
		}
	}
	return newest
}

// natural compares names like "GLIBCXX_3.4.9" by their numbers.
func natural(a, b string) int {
	x, y := strings.FieldsFunc(a, split), strings.FieldsFunc(b, split)
	for i := range min(len(x), len(y)) {
		if c := cmp.Or(cmp.Compare(len(x[i]), len(y[i])), strings.Compare(x[i], y[i])); c != 0 && i > 0 {
			return c
		} else if i == 0 && x[i] != y[i] {
			return strings.Compare(x[i], y[i])
		}
	}
	return cmp.Compare(len(x), len(y))
}

func split(r rune) bool { return r == '.' || r == '_' }

// modelComponent is one version of a model, with a card of what its file says.
// Its files are in it: the model's own, or its baked forms.
func (c *contents) modelComponent(o *manifest.Model, m *manifest.Manifest) bomComponent {
	read := c.read[o.Name+"/"+o.Version]
	one := bomComponent{Type: "machine-learning-model", Ref: "model:" + o.Name + "/" + o.Version, Name: o.Name, Version: o.Version,
		Description: read.Doc, Licenses: modelLicense(read), ModelCard: card(read),
		Properties: []bomProperty{{"godwit:model:digest", o.Digest}, {"godwit:path", o.Path}}}
	file := func(name string, properties ...bomProperty) {
		if f := m.File(name); f != nil {
			one.Components = append(one.Components, bomComponent{Type: "file", Name: name, Hashes: sha256Of(f.SHA256), Properties: properties})
		}
	}
	for _, b := range o.Baked {
		form := []bomProperty{{"godwit:baked:format", b.Format}, {"godwit:baked:level", b.Level}}
		if b.CPU != "" {
			form = append(form, bomProperty{"godwit:baked:cpu", b.CPU})
		}
		file(b.Path, form...)
		for _, data := range b.Data {
			file(data)
		}
	}
	if len(o.Baked) == 0 {
		for _, name := range modelFiles(o.Path, read) {
			file(name)
		}
	}
	return one
}

// modelFiles are the paths of a model's file and of its external data, sorted.
func modelFiles(file string, m *onnx.Model) []string {
	files := map[string]bool{file: true}
	for _, e := range m.External {
		files[path.Join(path.Dir(file), e.Location)] = true
	}
	return slices.Sorted(maps.Keys(files))
}

// card is what a model's file says about the model.
func card(m *onnx.Model) *bomModelCard {
	k := &bomModelCard{Parameters: bomParameters{Architecture: m.GraphName, Inputs: tensors(m.Inputs), Outputs: tensors(m.Outputs)}}
	add := func(name, value string) {
		if value != "" {
			k.Properties = append(k.Properties, bomProperty{"godwit:onnx:" + name, value})
		}
	}
	add("format", m.Format)
	if m.Format != onnx.FormatONNX {
		return k // nothing else is known of it
	}
	add("ir_version", fmt.Sprint(m.IRVersion))
	for _, o := range m.Opsets {
		add("opset:"+cmp.Or(o.Domain, "ai.onnx"), fmt.Sprint(o.Version))
	}
	add("producer", strings.TrimSpace(m.Producer+" "+m.ProducerVersion))
	add("domain", m.Domain)
	if m.Version != 0 {
		add("model_version", fmt.Sprint(m.Version))
	}
	for _, o := range m.Ops {
		add("operator:"+o.Op.String(), fmt.Sprint(o.Count))
	}
	add("weights", fmt.Sprintf("%d tensors, %d bytes", m.Initializers.Count, m.Initializers.Bytes))
	return k
}

func tensors(values []onnx.Value) []bomTensor {
	var all []bomTensor
	for _, v := range values {
		all = append(all, bomTensor{v.Name + ": " + v.Type.String()})
	}
	return all
}

// modelLicense is what the model's metadata say of its licence, if they do.
func modelLicense(m *onnx.Model) []bomLicense {
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		value := strings.TrimSpace(m.Metadata[key])
		if k := strings.ToLower(key); (k != "license" && k != "licence") || value == "" {
			continue
		}
		// The names of SPDX that models come under; others are kept as their text.
		for _, id := range []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC0-1.0", "GPL-3.0-only", "MIT", "MPL-2.0"} {
			if strings.EqualFold(value, id) {
				return license(id)
			}
		}
		return []bomLicense{{License: &bomLicenseRef{Name: value}}}
	}
	return nil
}

func license(id string) []bomLicense { return []bomLicense{{License: &bomLicenseRef{ID: id}}} }

func sha256Of(sum string) []bomHash { return []bomHash{{"SHA-256", sum}} }
