package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// parcel is the package that a function's folder is.
type parcel struct {
	*manifest.Manifest
	dir  string
	fsys fs.FS
	// own checks the files that this process reads beside models, once.
	own func() error
}

const packAgain = "Make the package again with `godwit package`."

// openParcel reads the manifest of dir; nil for a folder that was not packaged.
func openParcel(dir string) (*parcel, error) {
	m, err := manifest.Load(dir)
	if m == nil || err != nil {
		return nil, err
	}
	p := &parcel{Manifest: m, dir: dir, fsys: os.DirFS(dir)}
	p.own = sync.OnceValue(func() error {
		return m.CheckQuick(p.fsys, func(f *manifest.File) bool {
			return f.Path == spec.FileName || strings.HasPrefix(f.Path, "requests/")
		})
	})
	return p, nil
}

// model is the manifest's entry of m.
func (p *parcel) model(m *spec.Model) (*manifest.Model, error) {
	entry := p.Model(m.Name, m.Version)
	if entry == nil {
		return nil, fault.New(fault.BadConfig, "app.Load", filepath.Join(p.dir, manifest.Name), "want version %q of model %q, which godwit.yaml has, got no such model", m.Version, m.Name).
			WithHint(packAgain)
	}
	if m.SHA256 != "" && entry.Digest != "sha256:"+m.SHA256 {
		return nil, fault.New(fault.BadModel, "app.Load", m.Path, "want sha256:%s, got a package of %s", m.SHA256, entry.Digest).
			WithHint("godwit.yaml names another model than the package was made of. " + packAgain)
	}
	return entry, nil
}

// baked is a form of a model that is opened in its place.
type baked struct {
	*manifest.Baked
	entry  *manifest.Model
	parcel *parcel
}

// check compares the form's files, and those of which it is loaded for, with
// the manifest.
func (b *baked) check() error {
	return errors.Join(b.parcel.own(), b.parcel.CheckQuick(b.parcel.fsys, func(f *manifest.File) bool {
		return f.Path == b.Path || slices.Contains(b.Data, f.Path)
	}))
}

// digest checks the files, and gives the identity of the model that was baked.
func (b *baked) digest() (string, error) { return b.entry.Digest, b.check() }

// forms are those in which m is in the package and that this process can use,
// the best first; none for a model that is there, or only can be used, as its
// user gave it.
func (f *Function) forms(m *spec.Model) ([]*baked, error) {
	if f.parcel == nil {
		return nil, nil
	}
	entry, err := f.parcel.model(m)
	if err != nil || len(entry.Baked) == 0 {
		return nil, err
	}
	original := f.parcel.File(entry.Path) != nil
	if p := f.provider().Name; p != "" && p != "cpu" {
		if original {
			return nil, nil
		}
		return nil, fault.New(fault.BadConfig, "app.Load", m.Path, "want provider %q, but the package has the model baked for the CPU alone", p).
			WithHint("Make the package for a target with this provider, or with --no-bake.")
	}
	here := Processor()
	var usable []*baked
	for i := range entry.Baked {
		if b := &entry.Baked[i]; b.CPU == "" || b.CPU == here {
			usable = append(usable, &baked{b, entry, f.parcel})
		}
	}
	if len(usable) == 0 && !original {
		return nil, fault.New(fault.Runtime, "app.Load", m.Path, "want a form of the model for the processor %s, got %s only", here, entry.Baked[0].CPU).
			WithHint(packAgain)
	}
	return usable, nil
}

// openBaked loads the best of forms. One that is laid out for a class of
// processors must answer a recorded request as recorded, or else the next one
// is loaded: that the class is ours is no proof.
func (f *Function) openBaked(ctx context.Context, m *spec.Model, forms []*baked) (*infer.Model, error) {
	for k, b := range forms {
		i, err := f.inspectBaked(b, f.room())
		if err != nil {
			return nil, err
		}
		loaded, err := f.launch(ctx, m, i)
		if err != nil || b.CPU == "" {
			return loaded, err
		}
		if err = f.answers(ctx, loaded); err == nil {
			return loaded, nil
		}
		if err := loaded.Close(ctx); err != nil {
			return nil, err
		}
		if k+1 == len(forms) {
			return nil, err
		}
		f.opts.Logger.WarnContext(ctx, "a form for this class of processors is not used", "model", m.Name, "version", m.Version, "form", b.Path, "error", err)
	}
	return nil, fault.New(fault.Internal, "app.Load", m.Path, "want a form of the model, got none")
}

// inspectBaked reads a form's file before the engine does. It was made by the
// engine itself, of a model that was checked, and its bytes are compared with
// the manifest's digest before anything is answered; what is left to check is
// whether it fits here.
func (f *Function) inspectBaked(b *baked, room int64) (*inspected, error) {
	path := filepath.Join(b.parcel.dir, filepath.FromSlash(b.Path))
	model, err := onnx.Read(path, nil)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.New(fault.BadModel, "app.Load", b.Path, "want the file that %s lists, got none", manifest.Name).WithHint(packAgain)
	}
	if err != nil {
		return nil, err
	}
	i := &inspected{path: path, need: model.Required(), model: model, baked: b, digest: b.entry.Digest}
	if i.graph, err = graphOfForm(b); err != nil {
		return nil, err
	}
	if room > 0 && i.need > room {
		if err := model.Check(&onnx.Policy{Memory: room}); err != nil {
			return nil, err
		}
	}
	if err := model.CheckExternal(filepath.Dir(path)); err != nil {
		return nil, err
	}
	i.stamp, err = model.Stamp()
	return i, err
}

func graphOfForm(b *baked) (*Graph, error) {
	g := &Graph{}
	d := json.NewDecoder(bytes.NewReader(b.Graph))
	d.DisallowUnknownFields()
	if err := d.Decode(g); err != nil || g.Runtime == "" {
		return nil, fault.New(fault.BadConfig, "app.Load", b.Path, "want what %s says of the form's graph and of the ONNX Runtime that made it, got %.100q", manifest.Name, b.Graph).
			WithHint(packAgain)
	}
	return g, nil
}

// fitsEngine refuses an engine of another minor version than the form was made
// with: what it makes of a graph is its own, and differs from one to the next.
func (i *inspected) fitsEngine(eng driver.Info) error {
	if i.baked == nil || eng.Version == "" || minor(eng.Version) == minor(i.graph.Runtime) {
		return nil
	}
	return fault.New(fault.Runtime, "app.Load", i.baked.Path, "want ONNX Runtime %s, with which the form was baked, got %s", i.graph.Runtime, eng.Version).
		WithHint("Put the library of the package back into its lib folder, or make the package again with this one.")
}

// minor is "1.31" of "1.31.1".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// answers asks a recorded request that loaded itself, before it was baked, has
// answered, and compares.
func (f *Function) answers(ctx context.Context, loaded *infer.Model) error {
	requests, err := f.Requests()
	if err != nil {
		return err
	}
	for i := range requests {
		r := &requests[i]
		if r.Model != loaded.Name() || r.Want == nil || r.Want.ModelDigest != loaded.Digest() {
			continue
		}
		req, err := r.Decode()
		if err != nil {
			return err
		}
		resp, err := loaded.Infer(ctx, req)
		if err != nil {
			return err
		}
		defer resp.Release()
		return r.Want.Check(resp)
	}
	return fault.New(fault.Mismatch, "app.Load", loaded.Name(), "want a recorded request with its answer to compare with, got none")
}

// inspect is what Reload looks at of m: its files as they are, or the form of
// it that is right on every processor, with the digest of the model.
func (f *Function) inspect(ctx context.Context, m *spec.Model) (*inspected, error) {
	forms, err := f.forms(m)
	if err != nil {
		return nil, err
	}
	if len(forms) > 0 {
		b := forms[len(forms)-1]
		if err := b.check(); err != nil {
			return nil, err
		}
		return f.inspectBaked(b, 0)
	}
	path, err := f.ModelPath(ctx, m)
	if err != nil {
		return nil, err
	}
	i, err := inspect(path, m, 0)
	if err == nil {
		i.parcel = f.parcel
		err = i.listed(m, i.digest)
	}
	return i, err
}

// listed refuses another model than the package was made of.
func (i *inspected) listed(m *spec.Model, digest string) error {
	if i.parcel == nil {
		return nil
	}
	entry, err := i.parcel.model(m)
	if err != nil {
		return err
	}
	if digest != entry.Digest {
		return fault.New(fault.BadModel, "app.Load", i.path, "want %s as %s says, got %s", entry.Digest, manifest.Name, digest).
			WithHint("The package was changed after it was made. " + packAgain)
	}
	return i.parcel.own()
}

// sum gives the model's digest and checks everything that was packaged with it,
// while the engine opens the model.
func (i *inspected) sum(m *spec.Model) (string, error) {
	if i.baked != nil {
		return i.baked.digest()
	}
	digest, err := i.model.DigestAll()
	if err != nil {
		return "", err
	}
	return digest, i.listed(m, digest)
}
