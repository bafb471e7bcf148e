package cli

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/bake"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// bake makes the forms of the models that load fastest, into the folder tmp,
// with the ONNX Runtime that is packaged. A model that has none is packaged as
// it is, and the notes say why.
func (w *work) bake(ctx context.Context, dir, tmp string, built *pack.Built) (map[string][]pack.Form, error) {
	forms := map[string][]pack.Form{}
	if w.options.unbaked {
		return forms, nil
	}
	if built.Arch != runtime.GOARCH || runtime.GOOS != "linux" {
		w.notes = append(w.notes, fmt.Sprintf("Models are packaged as they are: they can be baked for linux/%s on such a machine only.", built.Arch))
		return forms, nil
	}
	names := make([]string, len(w.spec.Models))
	for i := range w.spec.Models {
		names[i] = w.spec.Models[i].Name
	}
	requests, err := recorded.Load(dir, names...)
	if err != nil {
		return nil, err
	}
	setup := w.p.Setup(slog.New(slog.DiscardHandler))
	setup.Library = built.ONNXRuntime
	eng := w.p.Engine(setup)
	app.Prepare(eng)
	for i := range w.spec.Models {
		m := &w.spec.Models[i]
		form, err := w.bakeModel(ctx, eng, dir, filepath.Join(tmp, fmt.Sprint(i)), m, requests)
		switch code := fault.CodeOf(err); {
		case err == nil:
			forms[m.Name+"/"+m.Version] = form
		case code == fault.Unsupported || code == fault.Mismatch:
			w.notes = append(w.notes, fmt.Sprintf("Model %q is packaged as it is: %v.", m.Name, err))
		default:
			return nil, err
		}
	}
	return forms, nil
}

func (w *work) bakeModel(ctx context.Context, eng driver.Engine, dir, out string, m *spec.Model, requests []recorded.Request) ([]pack.Form, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, fault.New(fault.Internal, "", m.Path, "%w", err)
	}
	stop := w.p.working("baking " + m.Name)
	defer stop()
	file := w.fetched[m.Name+"/"+m.Version]
	if file == "" {
		file = filepath.Join(dir, filepath.FromSlash(m.Path))
	}
	o := bake.Options{Name: m.Name, Path: pack.ModelPath(m), Provider: w.provider(), Requests: requests,
		Cold: w.options.target == "awslambda" && len(w.spec.Triggers) == 0} // deliveries bring many rows
	made, err := bake.Model(ctx, eng, file, out, &o)
	if w.spec.Handler != "" && fault.CodeOf(err) == fault.Invalid {
		// What is recorded suits the handler, and this model gets something else of it.
		again := filepath.Join(out, "again") // bake wants files that are not there
		if err := os.Mkdir(again, 0o755); err != nil {
			return nil, fault.New(fault.Internal, "", m.Path, "%w", err)
		}
		o.Requests = nil
		made, err = bake.Model(ctx, eng, file, again, &o)
	}
	if err != nil {
		return nil, err
	}
	var forms []pack.Form
	for _, one := range made {
		f := pack.Form{Baked: one.Baked}
		for _, file := range slices.Sorted(maps.Keys(one.Files)) {
			f.Files = append(f.Files, pack.File{Path: file, Part: pack.Weights, From: one.Files[file]})
		}
		forms = append(forms, f)
	}
	return forms, nil
}

// provider is where the package's models run; "" is the CPU. Targets that take an
// image and run on the same kind of processor share one.
func (w *work) provider() string {
	if c := w.spec.Targets.Common(w.options.target); c != nil && c.Provider != "cpu" {
		return c.Provider
	}
	return ""
}
