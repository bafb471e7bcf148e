package oip

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

// Options of a Server; nil means defaults. What they hold must be safe for
// concurrent use and must not change afterwards.
type Options struct {
	// Name and Version are what server metadata says; default "godwit", "dev".
	Name, Version string
	// Target is the platform's name in log lines; default "local".
	Target string

	// Limits bound requests and responses; nil means codec's defaults.
	Limits *codec.Limits
	// BodyMemory is how many bytes the bodies of all requests in progress may
	// hold together; one that would exceed it gets 503. Default 512 MiB.
	BodyMemory int64
	// CompressionRatio is how many bytes a compressed body may become for each
	// that was sent, once it is larger than 1 MiB. Default 100.
	CompressionRatio int
	// NaN says how JSON answers show NaN and infinities; the default refuses.
	NaN codec.NaNPolicy
	// Timeout bounds one request, from its arrival to its answer; 0 leaves it
	// to the caller, whose timeout parameter can only shorten it.
	Timeout time.Duration

	// MaxAge is how long caches on the way may keep an answer, in whole seconds.
	// It opens GET …/infer/{request}, where the request is in the path. 0: there
	// is no such route.
	MaxAge time.Duration

	// Auth checks the callers of every route but the probes, before anything of
	// a request's body is read; nil lets everybody in.
	Auth Authorizer

	// Admit says why no inference request is let in now, or nil: memory is full,
	// say. It comes after Auth, before anything of a body is read, and must
	// answer at once. nil lets all in. Errors: Unavailable.
	Admit func() error
	// Reload reads a model's files again and brings what changed into service.
	// It is called for callers with ScopeAdmin; nil: models are fixed.
	Reload func(ctx context.Context, model string) error

	// Ready says why the server is not ready although its models are, or nil.
	// It must answer at once.
	Ready func() error
	Log   *slog.Logger   // nil: no log
	Sink  telemetry.Sink // nil: no metrics

	Metrics http.Handler // GET /metrics; nil: not found
	Page    http.Handler // GET /; nil: not found

	// Examples are recorded requests, shown in the OpenAPI document.
	Examples []Example
}

// Example is a recorded request, which the server is able to answer.
type Example struct {
	Model, Name string
	Request     json.RawMessage // a protocol body, as curl would send it
	Response    json.RawMessage // its recorded answer; nil: not shown
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Name == "" {
		d.Name = "godwit"
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	if d.Target == "" {
		d.Target = "local"
	}
	limits := d.Limits.WithDefaults()
	d.Limits = &limits
	if d.BodyMemory <= 0 {
		d.BodyMemory = 512 << 20
	}
	d.BodyMemory = max(d.BodyMemory, limits.Body+1+tensor.Alignment)
	if d.CompressionRatio <= 0 {
		d.CompressionRatio = 100
	}
	if d.Ready == nil {
		d.Ready = func() error { return nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Sink == nil {
		d.Sink = telemetry.Discard{}
	}
	return d
}
