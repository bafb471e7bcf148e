// Package server is the program fn-server, for binaries that have a user's
// handler in them. It links no command line, which is why it is not part of package godwit.
package server

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/ort"
	_ "godwit.dev/runtime/ort/monitor" // runs cost less
)

// Main serves the function of the binary's folder on the container platform
// that the process runs on, with wrap around every model; nil is none. It does
// not return.
func Main(wrap func(infer.Handler) infer.Handler) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(fnserver.Main(ctx, app.OS(), fnserver.Parts{Engine: ort.New, Wrap: wrap}))
}
