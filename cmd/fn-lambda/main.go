// Command fn-lambda serves a function on AWS Lambda.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/runtime/ort"
)

func main() {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(fnlambda.Main(ctx, app.OS(), fnlambda.Parts{Engine: ort.New}))
}
