package app

import (
	"path/filepath"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

// inspected is a model whose files an engine may be given.
type inspected struct {
	path   string
	digest string  // of all files; "" leaves it to the load, which has time for it
	stamp  string  // which files they are
	need   int64   // estimated bytes that loading takes
	graph  *Graph  // of the model as its user gave it
	baked  *baked  // nil for a model as its user gave it
	parcel *parcel // that the model as its user gave it is in; nil for none
	model  *onnx.Model
}

// inspect is examine, and the digest of the files.
func inspect(path string, m *spec.Model, room int64) (*inspected, error) {
	i, err := examine(path, room)
	if err != nil {
		return nil, err
	}
	if i.digest, err = i.model.DigestAll(); err != nil {
		return nil, err
	}
	return i, checkDigest(i, m)
}

// examine reads the files before the engine does: what is no model, reaches
// outside its folder, or asks for more than there is, never gets that far.
// room is the memory left for it in bytes, 0 when nobody knows.
func examine(path string, room int64) (*inspected, error) {
	model, err := onnx.Read(path, nil)
	if err != nil {
		return nil, err
	}
	if err := model.Check(&onnx.Policy{Memory: room}); err != nil {
		return nil, err
	}
	if err := model.CheckExternal(filepath.Dir(path)); err != nil {
		return nil, err
	}
	i := &inspected{path: path, need: model.Required(), model: model, graph: GraphOf(model)}
	if i.stamp, err = model.Stamp(); err != nil {
		return nil, err
	}
	return i, nil
}

// checkDigest compares with the spec's digest, which covers every file of the
// model: a digest of the .onnx alone would let its weights be swapped.
func checkDigest(i *inspected, m *spec.Model) error {
	want := "sha256:" + m.SHA256
	if m.SHA256 == "" || i.digest == want {
		return nil
	}
	if len(i.model.External) > 0 {
		if own, err := onnx.Digest(i.path); err == nil && own == want {
			return fault.New(fault.BadModel, "app.Load", i.path, "want a sha256 of the model and its data files, got that of the .onnx alone, which says nothing of %d tensors", len(i.model.External)).
				WithHint("Write sha256: %s into godwit.yaml.", i.digest[len("sha256:"):])
		}
	}
	return fault.New(fault.BadModel, "app.Load", i.path, "want %s, got %s", want, i.digest).
		WithHint("The files are not those that godwit.yaml names; restore them, or write the new digest there.")
}

// unchanged fails when a file was replaced since it was inspected.
func (i *inspected) unchanged() error {
	now, err := i.model.Stamp()
	if err != nil {
		return err
	}
	if now != i.stamp {
		return fault.New(fault.BadModel, "app.Load", i.path, "its data files were replaced while it was being loaded").
			WithHint("Write new files beside them, rename them into place, then load the model again.")
	}
	return nil
}

// fits refuses a model for which there is not enough memory left.
func (i *inspected) fits(room int64) error { return i.model.Check(&onnx.Policy{Memory: room}) }

// driverOptions say how m's sessions run.
func (f *Function) driverOptions(m *spec.Model, i *inspected) *driver.Options {
	o := &driver.Options{Provider: f.provider(), Optimized: i.graph.Optimized, Unpacked: i.graph.Unpacked}
	o.IntraOp, o.Runs, _ = f.threads(m, i.graph)
	return o
}

// room is the memory that is left, 0 where there is no limit.
func (f *Function) room() int64 {
	limit := f.opts.Quota.Memory
	if limit == 0 || f.opts.Memory == nil {
		return limit
	}
	return max(limit-f.opts.Memory.Read().Held, 1)
}
