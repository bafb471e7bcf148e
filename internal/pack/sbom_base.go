package pack

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

const baseRef = "base"

// on is t with the base in its bill of materials: what it is called, its
// digest, and the packages of its system. A tree without a bill stays as it is,
// and t itself does in any case.
func (t *Tree) on(ctx context.Context, b *Base, below v1.Image) (*Tree, error) {
	bill := slices.IndexFunc(t.Files, func(f File) bool { return f.Path == SBOMName })
	listed := slices.IndexFunc(t.Files, func(f File) bool { return f.Path == manifest.Name })
	if bill < 0 || listed < 0 {
		return t, nil
	}
	has, err := inventoryOf(below)
	if err != nil {
		return nil, registryFault("pack.Image", b.Ref, "", err)
	}
	doc := &bom{}
	if err := json.Unmarshal(t.Files[bill].Data, doc); err != nil {
		return nil, fault.New(fault.Internal, "pack.Image", SBOMName, "%w", err)
	}
	doc.base(b, has)
	made := &Tree{Files: slices.Clone(t.Files)}
	if made.Files[bill].Data, err = doc.text(); err != nil {
		return nil, err
	}
	m, err := manifest.Parse(manifest.Name, t.Files[listed].Data)
	if err != nil {
		return nil, err
	}
	entry := m.File(SBOMName)
	if entry == nil {
		return nil, fault.New(fault.Internal, "pack.Image", manifest.Name, "want %s in it, got none", SBOMName)
	}
	if *entry, err = made.Files[bill].digest(ctx); err != nil {
		return nil, err
	}
	made.Files[listed].Data, err = m.Append(nil)
	return made, err
}

// base adds what an image stands on. Its packages are those that its databases
// name; what else lies in it nobody says.
func (b *bom) base(on *Base, has *inventory) {
	one := bomComponent{Type: "container", Ref: baseRef, Name: "base image", Version: on.Digest}
	if !strings.HasPrefix(on.Ref, layoutScheme) { // a folder's name differs between machines
		one.Name = on.Ref
	}
	if has.distro != "" {
		one.Properties = []bomProperty{{"godwit:distro", has.distro}}
	}
	composition := bomComposition{Aggregate: "unknown", Assemblies: []string{baseRef}}
	for _, p := range has.packages {
		composition.Aggregate = "incomplete"
		u := p.url(has.distro)
		one.Components = append(one.Components, bomComponent{Type: "library", Ref: u, Name: p.name, Version: p.version, PURL: u})
	}
	b.Components = append(b.Components, one)
	for i := range b.Dependencies {
		if d := &b.Dependencies[i]; d.Ref == "function" {
			d.DependsOn = append(d.DependsOn, baseRef)
		}
	}
	b.Compositions = append(b.Compositions, composition)
}
