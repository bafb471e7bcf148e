package fnserver

import (
	"context"
	"log/slog"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
)

// Life is what goes on beside a function where no platform sees to it.
type Life struct {
	// Path is the function to serve; Output the folder that a relative
	// batch.output is in, as its own may be another.
	Path, Output string
	// Loaded is asked when the models are loaded; with an error nothing is served.
	// nil: nobody is asked.
	Loaded func(ctx context.Context, f *Function) error
	// Answers gets the answers to deliveries; see app.Options. nil: nobody does.
	Answers batch.Sink
	// Listen is where to listen, HOST:PORT; "" is as Options say.
	Listen string
	// Serving runs from when the function serves until ctx ends, which is when
	// it begins to drain; Serve waits for it. With an error the function ends.
	Serving func(ctx context.Context, f *Function) error
	// Close is called when the function has ended, with how.
	Close func(err error) error
}

// live is what makes a Life for the function at path.
type live func(p *app.Process, log *slog.Logger, path string) (*Life, error)
