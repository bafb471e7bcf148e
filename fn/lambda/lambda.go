// Package lambda is the program fn-lambda, for binaries that have a user's
// handler in them. It links no server, which is why it is not part of package godwit.
package lambda

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/ort"
	_ "godwit.dev/runtime/ort/monitor" // runs cost less
)

// Main serves the function of the binary's folder on AWS Lambda, with wrap
// around every model; nil is none. It does not return.
func Main(wrap func(infer.Handler) infer.Handler) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(fnlambda.Main(ctx, app.OS(), fnlambda.Parts{Engine: ort.New, Wrap: wrap}))
}
