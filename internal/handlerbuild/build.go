// Package handlerbuild compiles a user's handler folder into a godwit binary.
// Nothing is written into the folder: the main package, and the module file
// where the folder has none, exist only in an overlay that the go tool is given.
package handlerbuild

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// Options of a build.
type Options struct {
	Source string    // a checkout of Godwit, for a handler without a module of its own; "" if there is none
	Cache  string    // folder for the binaries, one for each handler folder; Zig is in it where `make functions` ran
	Stderr io.Writer // what the compiler says

	// For Functions alone:
	Programs []string // "fn-lambda", "fn-server", without a handler also "godwit"; nil is the first two
	Version  string   // what the programs say that they are; "" is what Godwit says without one
}

// mainSource is the program around the handler. A user's module may import
// only what is public, so it uses the facade at the module's root.
const mainSource = `package main

import (
	"godwit.dev"

	handler %q
)

func main() { godwit.Main(handler.Wrap) }
`

// mainDir is the folder below the handler's that the overlay makes up.
const mainDir = "godwit_main"

// Build compiles the handler in dir and returns the path of the binary. The go
// tool's own cache makes a second build fast. Errors: BadConfig, Canceled.
func Build(ctx context.Context, dir string, opts Options) (string, error) {
	dir, err := handlerDir(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(dir))
	home := filepath.Join(opts.Cache, "handlers", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", bad(dir, "%w", err)
	}
	o, err := open(ctx, dir, home, opts.Source, nil)
	if err != nil {
		return "", err
	}
	if err := o.program(mainDir, mainSource); err != nil {
		return "", err
	}
	binary := filepath.Join(home, "godwit")
	if err := o.build(ctx, opts.Stderr, "-o", binary, "./"+mainDir); err != nil {
		return "", err
	}
	return binary, nil
}

// handlerDir is the handler's absolute folder, if it can be compiled at all.
func handlerDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", bad(dir, "%w", err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return "", bad(abs, "want a folder with Go files of package handler, got none")
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", bad(abs, "want the go tool to compile the handler, got: %w", err).
			WithHint("Install Go, or leave handler out of godwit.yaml.")
	}
	return abs, nil
}

// overlay is the module in which a handler is compiled: the user's, with our
// main package seen by the go tool alone, or one of our own in home.
type overlay struct {
	dir, home string
	root      string   // where the go tool runs: dir, or home
	env       []string // of the go tool, besides this process's
	path      string   // the handler's import path
	Replace   map[string]string
}

// open looks at the handler in dir. What is made up for it lies in home.
func open(ctx context.Context, dir, home, source string, env []string) (*overlay, error) {
	o := &overlay{dir: dir, home: home, root: dir, env: env, Replace: map[string]string{}}
	if err := o.module(ctx, source); err != nil {
		return nil, err
	}
	if err := o.write(); err != nil {
		return nil, bad(dir, "%w", err)
	}
	var name string
	var err error
	if o.path, name, err = o.list(ctx); err != nil {
		return nil, err
	}
	if name != "handler" {
		return nil, bad(dir, "want package handler, got package %s", name)
	}
	return o, nil
}

// program makes up a main package in the folder below the handler's.
func (o *overlay) program(folder, source string) error {
	if err := o.add(filepath.Join(folder, "main.go"), fmt.Sprintf(source, o.path)); err != nil {
		return bad(o.dir, "%w", err)
	}
	if err := o.write(); err != nil {
		return bad(o.dir, "%w", err)
	}
	return nil
}

func (o *overlay) build(ctx context.Context, stderr io.Writer, args ...string) error {
	cmd := o.goTool(ctx, append([]string{"build", "-overlay", o.file()}, args...)...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Run(); err != nil {
		return ended(ctx, bad(o.dir, "the handler does not compile: %w", err).
			WithHint("It must be package handler with func Wrap(infer.Handler) infer.Handler."))
	}
	return nil
}

func (o *overlay) file() string { return filepath.Join(o.home, "overlay.json") }

func (o *overlay) write() error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(), data, 0o644)
}

// add makes up the file with the name below the module's root.
func (o *overlay) add(name, text string) error {
	real := filepath.Join(o.home, name)
	if o.root != o.home {
		o.Replace[filepath.Join(o.root, name)] = real
	}
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		return err
	}
	return os.WriteFile(real, []byte(text), 0o644)
}

// module makes a module up in home where the handler's folder is in none. It
// has links to the folders, because what it calls them is in the binary, which
// has to be the same wherever they are.
func (o *overlay) module(ctx context.Context, source string) error {
	out, err := o.goTool(ctx, "env", "GOMOD").Output()
	if err != nil {
		return ended(ctx, bad(o.dir, "%w", explain(err)))
	}
	if mod := strings.TrimSpace(string(out)); mod != "" && mod != os.DevNull {
		return nil
	}
	if source == "" {
		return bad(o.dir, "want the handler in a Go module that requires godwit.dev, got no go.mod").
			WithHint("godwit.dev is not published yet: run `go mod init`, and `go mod edit -replace godwit.dev=` with the path of a checkout.")
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return bad(o.dir, "%w", err)
	}
	sum, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return bad(o.dir, "%w", err)
	}
	o.root = o.home
	o.env = append(slices.Clip(o.env), "GOWORK=off")
	// Godwit's own requirements, so that every version is the tested one and
	// nothing is resolved anew.
	text := strings.Replace(string(mod), "module godwit.dev", "module function.invalid", 1) +
		"\nrequire godwit.dev v0.0.0-00010101000000-000000000000\n\nreplace godwit.dev => ./source\n"
	return errors.Join(o.add("go.mod", text), o.add("go.sum", string(sum)), o.link("handler", o.dir), o.link("source", source))
}

func (o *overlay) link(name, to string) error {
	path := filepath.Join(o.home, name)
	if old, err := os.Readlink(path); err == nil && old == to {
		return nil
	}
	_ = os.Remove(path) // what is in the way, or nothing: Symlink says
	return os.Symlink(to, path)
}

func (o *overlay) list(ctx context.Context) (path, name string, err error) {
	folder := "."
	if o.root == o.home {
		folder = "./handler"
	}
	out, err := o.goTool(ctx, "list", "-overlay", o.file(), "-f", "{{.ImportPath}} {{.Name}}", folder).Output()
	if err != nil {
		return "", "", ended(ctx, bad(o.dir, "%w", explain(err)))
	}
	path, name, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return path, name, nil
}

func (o *overlay) goTool(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.root
	if len(o.env) > 0 {
		cmd.Env = append(os.Environ(), o.env...)
	}
	return cmd
}

// explain adds what the go tool printed to its exit status.
func explain(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func bad(dir, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "handlerbuild.Build", dir, format, args...)
}
