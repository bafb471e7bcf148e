package pack

import (
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// Note puts what t is made of into the lock: the engine's library for the
// tree's platform, and the models. Errors: Internal for a tree that is not
// Contents'.
func (l *Lock) Note(t *Tree) error {
	for i := range t.Files {
		if t.Files[i].Path != manifest.Name {
			continue
		}
		m, err := manifest.Parse(manifest.Name, t.Files[i].Data)
		if err != nil {
			return err
		}
		if l.Runtime == nil {
			l.Runtime = map[string]LockedRuntime{}
		}
		l.Runtime[m.Platform] = LockedRuntime{Version: m.Runtime.Version, Digest: "sha256:" + m.Runtime.SHA256}
		l.Models = map[string]string{}
		for _, one := range m.Models {
			l.Models[one.Name+"/"+one.Version] = one.Digest
		}
		return nil
	}
	return fault.New(fault.Internal, "pack.Note", manifest.Name, "want a manifest in the tree, got none")
}

// Made puts a package into the lock that was made for a target and
// architectures, and pushed to a repository unless that is "".
func (l *Lock) Made(target string, a *Artifact, arch []string, pushed string) {
	if l.Packages == nil {
		l.Packages = map[string]LockedPackage{}
	}
	p := LockedPackage{Digest: a.Digest, Image: pushed}
	for _, one := range arch {
		p.Platforms = append(p.Platforms, "linux/"+one)
	}
	l.Packages[target] = p
}
