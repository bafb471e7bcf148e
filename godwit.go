// Package godwit is the facade for other people's binaries: Main for one that
// contains a user's handler, Engine for a program that uses the packages of
// runtime and functions as a library.
package godwit

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/app"
	"godwit.dev/internal/cli"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/ort"
	_ "godwit.dev/runtime/ort/monitor" // runs cost less
)

// Main is the godwit command line with wrap around every model: what
// cmd/godwit does, for a binary that has the user's Go in it. It does not return.
func Main(wrap func(infer.Handler) infer.Handler) {
	// A closed pipe behind stdout or stderr must not end a server.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(cli.Main(ctx, app.OS(), cli.Parts{Engine: ort.New, Wrap: wrap, Hangup: hangup}))
}

func hangup() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1) // another one that comes meanwhile says nothing more
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// Engine is ONNX Runtime, found as the command line finds it: the library that
// GODWIT_ONNXRUNTIME names, else lib/ beside the binary, else the one that
// `make onnxruntime` put into the user's cache. Nothing is loaded before the
// first model is.
func Engine() driver.Engine {
	env := app.OS()
	return ort.New(env.Setup(nil))
}
