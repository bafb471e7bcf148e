// Command fn-server serves a function on the container platform that it runs on.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/ort"
)

func main() {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	os.Exit(fnserver.Main(ctx, app.OS(), fnserver.Parts{Engine: ort.New}))
}
