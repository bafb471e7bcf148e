package bake

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// Baked is what became of one version of a model of a function.
type Baked struct {
	Name, Version string
	Forms         []Form // the best first; none for a model that is packaged as it is
	Why           string // why it is packaged as it is; "" where there are forms
}

// Function bakes the models of the function in dir for a package for target and
// arch, each into a folder of its own below into, which must exist. What cannot
// be baked has the reason in its entry; an error of Model that is not
// Unsupported ends it. Models of one file have forms of the same paths and bytes.
func Function(ctx context.Context, eng driver.Engine, dir string, s *spec.Spec, into, target, arch string) ([]Baked, error) {
	requests, err := recorded.Load(dir)
	if err != nil {
		return nil, err
	}
	base := Options{Arch: arch, Requests: requests, Cold: target == "awslambda" && len(s.Triggers) == 0}
	if t := s.Targets.Common(target); t != nil {
		base.Provider = t.Provider
	}
	var all []Baked
	for i := range s.Models {
		m := &s.Models[i]
		one := Baked{Name: m.Name, Version: m.Version}
		if strings.Contains(m.Path, "://") {
			one.Why = "its file is behind a URL"
			all = append(all, one)
			continue
		}
		o := base
		o.Name, o.Path = m.Name, filepath.ToSlash(filepath.Clean(m.Path))
		folder := filepath.Join(into, fmt.Sprint(i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, fault.New(fault.Internal, "bake.Function", folder, "%w", err)
		}
		one.Forms, err = Model(ctx, eng, filepath.Join(dir, filepath.FromSlash(m.Path)), folder, &o)
		if fault.CodeOf(err) == fault.Unsupported {
			one.Why, err = fault.Of(err).Err.Error(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("model %q version %q: %w", m.Name, m.Version, err)
		}
		all = append(all, one)
	}
	return all, nil
}
