package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"

	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/fault"
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

// launch starts the function in dir for a target. What it logs goes to out.
func (p *program) launch(target, dir string, out io.Writer) (launch emulate.Launch, path string, err error) {
	path, args, err := p.artifact(target)
	if err != nil {
		return nil, "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, "", fault.New(fault.Usage, "", dir, "%w", err)
	}
	// The platform is this process: nobody else is to reach the function.
	env := append(p.Passed(), "GODWIT_FUNCTION="+dir, "GODWIT_TARGET="+target, "GODWIT_BIND=127.0.0.1")
	return emulate.Command(path, args, env, out, out), path, nil
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
