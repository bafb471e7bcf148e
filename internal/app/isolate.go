package app

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/tensor"
)

// Isolation says how a worker process is started, and whether the engine runs
// in one all the time.
type Isolation struct {
	Command []string // of a worker: see isolate.New; nil where none can be started
	Env     []string // all of its environment
	Mode    string   // "on" or "off" wins over the spec; "" leaves it to that
	Info    driver.Info
}

// Isolate returns the engine in a worker process with which the function in dir
// is to be opened, or nil if it is to run in this one. It sets o.Canary, so
// that new versions of a model are tried in a process of their own either way.
func Isolate(dir string, o *Options, i *Isolation) (driver.Engine, error) {
	folder, s, err := ReadSpec(dir)
	if err != nil {
		return nil, err
	}
	if len(i.Command) > 0 {
		o.Canary = canary(folder, o, i)
	}
	mode := i.Mode
	if mode == "" {
		mode = s.Isolate
	}
	if !isolated(mode) {
		return nil, nil
	}
	if len(i.Command) == 0 {
		return nil, fault.New(fault.Runtime, "app.Isolate", dir, "want the engine in a process of its own, but this program's own path is not known")
	}
	options := &isolate.Options{Info: i.Info, Env: i.Env, Logger: o.Logger}
	if o.Sink != nil {
		options.Restarted = o.Sink.Restarted
	}
	return isolate.New(i.Command, options), nil
}

// isolated resolves auto, which is off on every target. A platform with one
// request at a time in a process starts another process after a crash, which
// costs that request alone. Elsewhere the price of each run was found too high
// to be paid unasked: docs/adr/003-isolation.md has the numbers.
func isolated(mode string) bool { return mode == "on" }

// canaryTime bounds what a model may take to load and to answer once.
const canaryTime = 2 * time.Minute

// canary tries a model under what is left of the memory, with its first
// recorded request where that fits.
func canary(dir string, o *Options, i *Isolation) func(context.Context, string, *driver.Options) error {
	return func(ctx context.Context, path string, d *driver.Options) error {
		lim := &isolate.Limits{Timeout: canaryTime, Inputs: sample(dir, path)}
		if o.Quota.Memory > 0 {
			lim.Memory = o.Quota.Memory
			if o.Memory != nil {
				lim.Memory = max(1, o.Quota.Memory-o.Memory.Read().Held)
			}
		}
		return isolate.Canary(ctx, i.Command, &isolate.Options{Env: i.Env, Logger: o.Logger}, path, d, lim)
	}
}

// files are those that m is opened as, in the folder dir.
func files(dir string, m *spec.Model, packed *manifest.Manifest) []string {
	names := []string{m.Path}
	if packed != nil {
		if entry := packed.Model(m.Name, m.Version); entry != nil {
			for i := range entry.Baked {
				names = append(names, entry.Baked[i].Path)
			}
		}
	}
	for i, name := range names {
		names[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return names
}

// sample is the first recorded request of the model at path, nil without one.
func sample(dir, path string) []tensor.Tensor {
	_, s, err := ReadSpec(dir)
	if err != nil {
		return nil
	}
	packed, err := manifest.Load(dir)
	if err != nil {
		return nil
	}
	for _, m := range s.Models {
		if !slices.Contains(files(dir, &m, packed), path) {
			continue
		}
		requests, err := recorded.Load(dir, m.Name)
		if err != nil || len(requests) == 0 {
			return nil // whoever reloads reads them as well, and says what is wrong
		}
		req, err := requests[0].Decode()
		if err != nil {
			return nil
		}
		return req.Inputs
	}
	return nil
}
