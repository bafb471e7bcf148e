package doctor

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// manifest compares the files with the package's own list of them.
func (e *exam) manifest(context.Context) error {
	m := e.a.Manifest
	if m == nil {
		if e.packaged() && !e.said("manifest") {
			e.add(Finding{Code: "manifest", Level: Warning, Where: manifest.Name, What: "The package has no manifest.",
				Why: "Nothing says that its files are those that were packaged, so a damaged upload shows only when it fails.", Do: "Package with `godwit package`."})
		}
		return nil
	}
	const again = "Upload it again, or make it again with `godwit package`."
	root, err := os.OpenRoot(e.a.Dir)
	if err != nil {
		return fault.New(fault.Internal, "doctor.Examine", e.a.Path, "%w", err)
	}
	defer root.Close()
	for i := range m.Files {
		f := &m.Files[i]
		err := m.Check(root.FS(), func(o *manifest.File) bool { return o == f })
		switch {
		case err == nil:
		case e.byPath[f.Path] == nil:
			e.add(Finding{Code: "manifest-missing", Level: Error, Where: f.Path, What: fmt.Sprintf("%s, which the manifest lists, is not there.", f.Path), Why: "The function does not load a package that is not whole.", Do: again})
		default:
			e.add(Finding{Code: "manifest-changed", Level: Error, Where: f.Path, What: fmt.Sprintf("%s is not the file that was packaged: %s.", f.Path, text(err)), Why: "The function does not load files whose digests differ.", Do: again})
		}
	}
	var extra []string
	for i := range e.files {
		if p := e.files[i].path; m.File(p) == nil && p != manifest.Name && e.insidePackage(p) {
			extra = append(extra, p)
		}
	}
	if len(extra) > 0 {
		shown := extra[:min(len(extra), 5)]
		e.add(Finding{Code: "manifest-extra", Level: Warning, Where: extra[0], What: fmt.Sprintf("%d files are not in the manifest: %s.", len(extra), strings.Join(shown, ", ")),
			Why: "Nobody vouches for them: a library there may be loaded in the place of a packaged one.", Do: "Take them out, or package them."})
	}
	return nil
}

// insidePackage: in an image whose working folder is the root, the base's files
// are no part of the package.
func (e *exam) insidePackage(string) bool { return e.a.Root == "" || e.a.Root != e.a.Dir }

// said reports whether there is a finding with code already.
func (e *exam) said(code string) bool {
	return slices.ContainsFunc(e.r.Findings, func(f Finding) bool { return f.Code == code })
}

// requests makes sure that there is something to prove the package by.
func (e *exam) requests(context.Context) error {
	if e.spec == nil {
		return nil
	}
	names := make([]string, 0, len(e.spec.Models))
	for i := range e.spec.Models {
		names = append(names, e.spec.Models[i].Name)
	}
	all, err := recorded.Load(e.a.Dir, names...)
	if e.a.Kind == ModelFile {
		all, err = nil, nil
	}
	if err != nil {
		e.add(Finding{Code: "requests", Level: Error, Where: "requests/", What: "The recorded requests cannot be read: " + strings.ReplaceAll(text(err), "\n", "; ") + ".",
			Why: "A function that serves them as its examples does not start, and verify cannot compare.", Do: hint(err, "Record them again with `godwit init`.")})
		return nil
	}
	for i := range e.spec.Models {
		m := &e.spec.Models[i]
		mine := slices.DeleteFunc(slices.Clone(all), func(r recorded.Request) bool { return r.Model != m.Name })
		proven := slices.ContainsFunc(mine, func(r recorded.Request) bool { return r.Want != nil })
		if !proven && (i == 0 || e.spec.Models[i-1].Name != m.Name) {
			f := Finding{Code: "no-requests", Level: Warning, Where: path.Join("requests", m.Name), What: fmt.Sprintf("No request with its answer is recorded for model %s.", m.Name),
				Why: "Nothing proves that the package answers rightly: verify has nothing to compare, and a new version nothing to be tried with.", Do: "Record one: `godwit init`, or `godwit predict --record`."}
			if e.a.Kind == ModelFile {
				f.Level = Note
			}
			e.add(f)
		}
		e.stale(m.Name, mine)
	}
	return nil
}

// stale answers were recorded from another model.
func (e *exam) stale(model string, all []recorded.Request) {
	if !slices.ContainsFunc(all, func(r recorded.Request) bool { return r.Want != nil && r.Want.ModelDigest != "" }) {
		return
	}
	digests := map[string]bool{}
	for i := range e.r.Models {
		o := &e.r.Models[i]
		if o.Name != model {
			continue
		}
		digest := ""
		if e.a.Manifest != nil {
			if entry := e.a.Manifest.Model(o.Name, o.Version); entry != nil {
				digest = entry.Digest
			}
		}
		if digest == "" && o.read != nil && !o.Baked {
			d, err := o.read.DigestAll()
			if err != nil {
				return // told by models
			}
			digest = d
		}
		if digest == "" {
			return
		}
		digests[digest] = true
	}
	for i := range all {
		r := &all[i]
		if len(digests) > 0 && r.Want != nil && r.Want.ModelDigest != "" && !digests[r.Want.ModelDigest] {
			e.add(Finding{Code: "stale-answers", Level: Warning, Where: path.Join("requests", model, r.Name+".want.json"), What: fmt.Sprintf("The answer to request %s was recorded from another model than the one that is packaged.", r.Name),
				Why: "If the new one answers otherwise, verify and every replacement of the model are refused.", Do: "Record the answers again, or package the model that gave them."})
			return
		}
	}
}

// access looks for what lets in whom it should not.
func (e *exam) access(context.Context) error {
	if e.spec == nil {
		return nil
	}
	switch {
	case e.spec.Auth.Mode == "none" && e.t.public != "":
		e.add(Finding{Code: "public", Level: Warning, Where: "auth", What: fmt.Sprintf("auth: none with %s.", e.t.public), Why: "Everybody on the network may call the function, at your cost.",
			Do: "Use auth: platform, key or jwt; or keep it from the public network."})
	case e.spec.Auth.Mode == "platform" && e.t.name == "edge" && e.t.public != "":
		e.add(Finding{Code: "auth-platform", Level: Error, Where: "auth", What: fmt.Sprintf("auth: platform with %s: on a device there is no platform that checks callers.", e.t.public),
			Why: "The function refuses to start.", Do: "Listen on 127.0.0.1, use auth: key or jwt, or say auth: none if everybody may call."})
	case e.spec.Auth.Mode == "platform" && e.t.name == "knative" && (e.spec.Targets.Knative == nil || e.spec.Targets.Knative.Mesh == "none"):
		e.add(Finding{Code: "auth-platform", Level: Error, Where: "auth", What: "auth: platform without a mesh: Knative itself checks no callers.",
			Why: "The function refuses to start.", Do: spec.NoMeshHint})
	}
	if e.t.common != nil && len(e.t.common.Env) > 0 {
		for name, value := range e.t.common.Env {
			if secretName(name) && value != "" {
				e.add(Finding{Code: "secret-in-env", Level: Warning, Where: "targets." + e.t.name + ".env." + name, What: fmt.Sprintf("%s looks like a secret, and its value is in godwit.yaml.", name),
					Why: "Who can read the package, the repository or the platform's settings can read it.", Do: "Name it under secrets instead."})
			}
		}
	}
	return nil
}

func secretName(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc([]string{"PASSWORD", "SECRET", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "TOKEN"}, func(s string) bool {
		return strings.HasSuffix(name, s)
	})
}
