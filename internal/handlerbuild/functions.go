package handlerbuild

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// GLibC is the version of glibc that function binaries run on, and on every
// newer one.
const GLibC = "2.28"

// ZigVersion is the one that scripts/zig.lock pins.
const ZigVersion = "0.17.1"

// machines are the architectures that functions are built for, as C calls them.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// programs are the function binaries. Each is the main function of a public
// package, because a user's module may import only those.
var programs = []string{"fn-lambda", "fn-server"}

const functionSource = `package main

import (
	program "godwit.dev/%s"

	handler %%q
)

func main() { program.Main(handler.Wrap) }
`

// Functions compiles the function binaries for Linux on arch, "amd64" or
// "arm64", into the folder out. The handler in dir is in them; dir "" means
// that there is none, and needs opts.Source. The same sources give the same
// bytes in every folder.
//
// Zig, where `make functions` has put it into opts.Cache, compiles what is C
// for every architecture and for glibc GLibC. Without it the machine's own
// compiler does, for this machine's architecture and its glibc. Errors:
// BadConfig, Canceled.
func Functions(ctx context.Context, dir, arch, out string, opts Options) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return bad(out, "%w", err)
	}
	wanted := opts.Programs
	if wanted == nil {
		wanted = programs
	}
	for _, name := range wanted {
		if !slices.Contains(programs, name) && (name != "godwit" || dir != "") {
			return bad(name, "want a program of %q, got %q", programs, name)
		}
	}
	env, err := opts.toolchain(arch)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return bad(out, "%w", err)
	}
	args := []string{"-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", opts.ldflags(), "-o", out + string(filepath.Separator)}
	if dir == "" {
		return opts.plain(ctx, env, append(args, below("./cmd/", wanted)...))
	}
	if dir, err = handlerDir(dir); err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "godwit-functions-")
	if err != nil {
		return bad(dir, "%w", err)
	}
	defer os.RemoveAll(home)
	o, err := open(ctx, dir, home, opts.Source, env)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		facade := strings.Replace(name, "-", "/", 1) // godwit.dev/fn/lambda is fn-lambda
		if err := o.program(filepath.Join(mainDir, name), fmt.Sprintf(functionSource, facade)); err != nil {
			return err
		}
	}
	return o.build(ctx, opts.Stderr, append(args, below("./"+mainDir+"/", wanted)...)...)
}

// plain builds the programs as they are in Godwit's sources.
func (o *Options) plain(ctx context.Context, env, args []string) error {
	if o.Source == "" {
		return bad("", "want a checkout of Godwit to build function binaries from, got none")
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
	cmd.Dir = o.Source
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	cmd.Stdout, cmd.Stderr = o.Stderr, o.Stderr
	if err := cmd.Run(); err != nil {
		return ended(ctx, bad(o.Source, "the function binaries do not compile: %w", err))
	}
	return nil
}

// toolchain is the environment in which the go tool builds for Linux on arch.
func (o *Options) toolchain(arch string) ([]string, error) {
	machine, ok := machines[arch]
	if !ok {
		return nil, bad(arch, `want architecture "amd64" or "arm64", got %q`, arch)
	}
	env := []string{
		"GOOS=linux", "GOARCH=" + arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "CGO_ENABLED=1",
		// Not the go tool's defaults: after a -g Zig's linker ignores -s.
		"CGO_CFLAGS=-O2 -g0", "CGO_CXXFLAGS=-O2 -g0", "CGO_CPPFLAGS=", "CGO_LDFLAGS=-O2 -s",
	}
	home := filepath.Join(o.Cache, "zig")
	zig := filepath.Join(home, ZigVersion, "zig")
	if _, err := os.Stat(zig); err == nil {
		target := fmt.Sprintf("-target %s-linux-gnu.%s", machine, GLibC)
		cache := filepath.Join(home, "cache")
		return append(env, fmt.Sprintf("CC='%s' cc %s", zig, target), fmt.Sprintf("CXX='%s' c++ %s", zig, target),
			"ZIG_GLOBAL_CACHE_DIR="+cache, "ZIG_LOCAL_CACHE_DIR="+cache), nil
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == arch {
		return env, nil
	}
	return nil, fault.New(fault.BadConfig, "handlerbuild.Functions", zig, "want a C compiler for linux/%s, got none", arch).
		WithHint("Run `make functions ARCH=%s` once in Godwit's sources: it fetches one.", arch)
}

func (o *Options) ldflags() string {
	flags := "-s -w -buildid="
	if o.Version != "" {
		flags += " -X godwit.dev/internal/app.version=" + o.Version
	}
	return flags
}

func below(folder string, names []string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = folder + name
	}
	return paths
}
