package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/verify"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// functionCommand begins the command line of a process that is a function and
// nothing else: what fn-server and fn-lambda are, for people who have this
// binary only, and with the user's handler where this binary has one. It is no
// command for people.
const functionCommand = "function-process"

// kinds are the function binaries, by the name of the file.
var kinds = map[string]func(ctx context.Context, p *program) int{
	"fn-server": func(ctx context.Context, p *program) int {
		return fnserver.Main(ctx, p.Env, fnserver.Parts{Engine: p.Engine, Wrap: p.Wrap})
	},
	"fn-lambda": func(ctx context.Context, p *program) int {
		return fnlambda.Main(ctx, p.Env, fnlambda.Parts{Engine: p.Engine, Wrap: p.Wrap})
	},
}

// kindOf is the function binary that a target is served by.
func kindOf(target string) string {
	if target == "awslambda" {
		return "fn-lambda"
	}
	return "fn-server"
}

// artifact is what a target's process is started from: the function binary
// beside this one, else this one.
func (p *program) artifact(target string) (path string, args []string, err error) {
	kind := kindOf(target)
	if p.Executable == "" {
		return "", nil, fault.New(fault.Runtime, "", kind, "want a program to start, but this one's own path is not known")
	}
	if beside := filepath.Join(filepath.Dir(p.Executable), kind); p.Wrap == nil {
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil, nil
		}
	}
	return p.Executable, []string{functionCommand, kind}, nil
}

// source is what functions are started from: a folder, with the programs of
// this machine, or a package, with those in it.
type source struct {
	dir string       // the function's
	pkg *pack.Opened // nil for a folder
}

// openSource opens what is at path; the caller closes it.
func (p *program) openSource(path string) (*source, error) {
	if !pack.IsPackage(path) {
		return &source{dir: path}, nil
	}
	stop := p.working("opening " + path)
	pkg, err := pack.Open(path, runtime.GOARCH, p.Getenv("TMPDIR"))
	stop()
	if err != nil {
		return nil, err
	}
	if m := pkg.Manifest; m == nil || m.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		what := "no " + manifest.Name
		if m != nil {
			what = m.Platform
		}
		return nil, errors.Join(fault.New(fault.Unsupported, "", path, "want a package for %s/%s to run here, got %s", runtime.GOOS, runtime.GOARCH, what), pkg.Close())
	}
	if err := pkg.Manifest.Check(os.DirFS(pkg.Dir), nil); err != nil {
		return nil, errors.Join(err, pkg.Close())
	}
	return &source{dir: pkg.Dir, pkg: pkg}, nil
}

func (s *source) Close() error {
	if s.pkg == nil {
		return nil
	}
	return s.pkg.Close()
}

// program is the file of a package that serves a target; "" if none does.
func (s *source) program(target string) string {
	names := []string{"fn-server"}
	if target == "awslambda" {
		names = []string{"bootstrap", "fn-lambda"}
	}
	for _, name := range names {
		file := filepath.Join(s.dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// serves reports whether s is for a target. The image is for all that take one,
// what only one platform takes is for that one.
func (s *source) serves(target string) bool {
	switch {
	case s.pkg == nil:
		return true
	case s.program(target) == "":
		return false
	case s.pkg.Kind == pack.KindImage:
		return target != "azurefunctions" && target != "edge"
	case s.has("host.json"):
		return target == "azurefunctions"
	}
	return target == "awslambda" || target == "edge" // which have different programs
}

// served are those targets that s is for.
func (s *source) served(targets []string) []string {
	return slices.DeleteFunc(slices.Clone(targets), func(name string) bool { return !s.serves(name) })
}

func (s *source) has(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, name))
	return err == nil
}

// start says how the function is started for a target. What it logs goes to out.
func (p *program) start(target string, s *source, out io.Writer) (*verify.Target, error) {
	// The platform is this process: nobody else is to reach the function.
	env := append(p.Passed(), "GODWIT_TARGET="+target, "GODWIT_BIND=127.0.0.1")
	if s.pkg != nil {
		return p.startPackage(target, s, env, out)
	}
	path, args, err := p.artifact(target)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, fault.New(fault.Usage, "", s.dir, "%w", err)
	}
	t := &verify.Target{Name: target, Artifact: path, Launch: emulate.Command(path, args, append(env, "GODWIT_FUNCTION="+dir), out, out)}
	t.Digest, err = fileDigest(path)
	return t, err
}

// startPackage starts the program of a package, which finds the function and
// its libraries beside itself, as it will where it is deployed.
func (p *program) startPackage(target string, s *source, env []string, out io.Writer) (*verify.Target, error) {
	file := s.program(target)
	if file == "" {
		return nil, fault.New(fault.Usage, "", s.pkg.Path, "want a package for %s, got one without its program", target).
			WithHint("godwit package DIR --target %s", target)
	}
	env = slices.DeleteFunc(env, func(v string) bool {
		return strings.HasPrefix(v, "GODWIT_ONNXRUNTIME=") || strings.HasPrefix(v, "LD_LIBRARY_PATH=")
	})
	t := &verify.Target{Name: target, Artifact: s.pkg.Path, Digest: strings.TrimPrefix(s.pkg.Digest, "sha256:"), Launch: emulate.Command(file, nil, env, out, out)}
	switch target {
	case "awslambda":
		t.Env = []string{"LAMBDA_TASK_ROOT=" + s.dir}
	case "azurefunctions":
		if s.has("host.json") { // its own app, not one of ours
			t.Env, t.Forms = []string{"FUNCTIONS_APP_ROOT_PATH=" + s.dir}, []string{"proxied"}
		}
	}
	return t, nil
}

// fileDigest is the SHA-256 of a file.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fault.New(fault.Internal, "", path, "%w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fault.New(fault.Internal, "", path, "%w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
