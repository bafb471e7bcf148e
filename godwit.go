// Package godwit is the facade for binaries that contain a user's handler. A
// Go team that wants only the library imports runtime/infer, runtime/ort and
// functions/predict instead: see the example of functions/predict.
package godwit

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/cli"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/ort"
)

// Main is the godwit command line with wrap around every model: what
// cmd/godwit does, for a binary that has the user's Go in it. It does not return.
func Main(wrap func(infer.Handler) infer.Handler) {
	// A closed pipe behind stdout or stderr must not end a server.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(cli.Main(ctx, cli.OS(), cli.Parts{Engine: ort.New, Wrap: wrap}))
}
