package fnserver

import (
	"context"
	"log/slog"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
)

// Life is what goes on beside a function where no platform sees to it.
type Life struct {
	// Answers gets the answers to deliveries; see app.Options. nil: nobody does.
	Answers batch.Sink
	// Serving runs from when the function serves until ctx ends, which is when
	// it begins to drain; Serve waits for it.
	Serving func(ctx context.Context, f *Function)
	// Close is called when the function has ended.
	Close func() error
}

// live is what makes a Life for the function at path.
type live func(p *app.Process, log *slog.Logger, path string) (*Life, error)
