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
	"strings"

	"godwit.dev/runtime/fault"
)

// Options of a build.
type Options struct {
	Source string    // a checkout of Godwit, for a handler without a module of its own; "" if there is none
	Cache  string    // folder for the binaries, one for each handler folder
	Stderr io.Writer // what the compiler says
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
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", bad(dir, "%w", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", bad(dir, "want a folder with Go files of package handler, got none")
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", bad(dir, "want the go tool to compile the handler, got: %w", err).
			WithHint("Install Go, or leave handler out of godwit.yaml.")
	}
	sum := sha256.Sum256([]byte(dir))
	home := filepath.Join(opts.Cache, "handlers", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", bad(dir, "%w", err)
	}
	o := overlay{dir: dir, home: home, Replace: map[string]string{}}
	if err := o.module(ctx, opts.Source); err != nil {
		return "", err
	}
	if err := o.write(); err != nil {
		return "", bad(dir, "%w", err)
	}
	path, name, err := o.list(ctx)
	if err != nil {
		return "", err
	}
	if name != "handler" {
		return "", bad(dir, "want package handler, got package %s", name)
	}
	if err := o.add(filepath.Join(mainDir, "main.go"), fmt.Sprintf(mainSource, path)); err != nil {
		return "", bad(dir, "%w", err)
	}
	if err := o.write(); err != nil {
		return "", bad(dir, "%w", err)
	}
	binary := filepath.Join(home, "godwit")
	cmd := o.goTool(ctx, "build", "-overlay", o.file(), "-o", binary, "./"+mainDir)
	cmd.Stdout, cmd.Stderr = opts.Stderr, opts.Stderr
	if err := cmd.Run(); err != nil {
		return "", ended(ctx, bad(dir, "the handler does not compile: %w", err).
			WithHint("It must be package handler with func Wrap(infer.Handler) infer.Handler."))
	}
	return binary, nil
}

// overlay is what the go tool sees instead of, or besides, the files on disk.
type overlay struct {
	dir, home string
	Replace   map[string]string
}

func (o *overlay) file() string { return filepath.Join(o.home, "overlay.json") }

func (o *overlay) write() error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(o.file(), data, 0o644)
}

// add makes up the file with the name below the handler's folder.
func (o *overlay) add(name, text string) error {
	real := filepath.Join(o.home, filepath.Base(name))
	o.Replace[filepath.Join(o.dir, name)] = real
	return os.WriteFile(real, []byte(text), 0o644)
}

// module makes a module up where the folder is in none.
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
	// Godwit's own requirements, so that every version is the tested one and
	// nothing is resolved anew.
	text := strings.Replace(string(mod), "module godwit.dev", "module function.invalid/handler", 1) +
		fmt.Sprintf("\nrequire godwit.dev v0.0.0-00010101000000-000000000000\n\nreplace godwit.dev => %s\n", source)
	return errors.Join(o.add("go.mod", text), o.add("go.sum", string(sum)))
}

func (o *overlay) list(ctx context.Context) (path, name string, err error) {
	out, err := o.goTool(ctx, "list", "-overlay", o.file(), "-f", "{{.ImportPath}} {{.Name}}", ".").Output()
	if err != nil {
		return "", "", ended(ctx, bad(o.dir, "%w", explain(err)))
	}
	path, name, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return path, name, nil
}

func (o *overlay) goTool(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.dir
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
