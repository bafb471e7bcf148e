// Package fnlambda is the life of a function on AWS Lambda: opened, loaded and
// warmed before the first invocation, served, and ended when the platform says
// so. It links no server and no gRPC, which nobody could reach there.
package fnlambda

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/adapters/oip"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

// Parts are what a binary hands to Main.
type Parts struct {
	Engine driver.NewEngine
	// Wrap is the user's handler, when the binary contains one.
	Wrap func(infer.Handler) infer.Handler
}

// Main serves the function of this process's folder to the Runtime API, until
// ctx ends, and returns the exit code. Why a function cannot start is on stderr
// and told to the platform.
func Main(ctx context.Context, p app.Process, parts Parts) int {
	var err error
	if p.IsWorker() {
		err = p.Work(parts.Engine)
	} else {
		err = run(ctx, &p, parts)
	}
	return p.End(err)
}

// Of the 10 s that Lambda gives a start before it does it all again, and of the
// 500 ms before SIGKILL, what is for answering a request of each model, and for
// unloading them.
const (
	warmWait  = 5 * time.Second
	closeWait = 100 * time.Millisecond
)

func run(ctx context.Context, p *app.Process, parts Parts) error {
	api := p.Getenv("AWS_LAMBDA_RUNTIME_API")
	if api == "" {
		return fault.New(fault.BadConfig, "fnlambda.Main", "AWS_LAMBDA_RUNTIME_API", "want the address of Lambda's Runtime API, got none").
			WithHint("This program runs on AWS Lambda. On a laptop use godwit serve --as awslambda.")
	}
	if target := p.Getenv(hookVariable); target != "" {
		return check(ctx, p, api, target)
	}
	f, h, err := start(ctx, p, parts)
	if err != nil {
		if ctx.Err() != nil { // told to stop before it began
			return nil
		}
		// Without being told, Lambda reports no more than an exit code.
		_ = awslambda.Fail(context.WithoutCancel(ctx), api, err)
		return err
	}
	err = h.Serve(ctx)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	if closed := f.Close(end); err == nil {
		err = closed
	}
	return err
}

// start does all that is to be done before the first invocation.
func start(ctx context.Context, p *app.Process, parts Parts) (*app.Function, *awslambda.Handler, error) {
	begun := time.Now()
	path, err := folder(p)
	if err != nil {
		return nil, nil, err
	}
	log := telemetry.NewLogger(p.Stderr, false, level(p.Getenv("AWS_LAMBDA_LOG_LEVEL")))
	metrics := awslambda.NewMetrics(p.Stdout, p.Getenv("AWS_LAMBDA_FUNCTION_NAME"), p.Getenv("AWS_LAMBDA_FUNCTION_VERSION"))
	open := &app.Options{Target: "awslambda", Logger: log, Sink: metrics, Wrap: parts.Wrap, Quota: p.Quota(), Memory: p.Memory(), Output: p.Getenv("GODWIT_OUTPUT"), Stores: stores(p), Tables: tables(p), Queue: queueOf(p)}
	open.Concurrency, _ = strconv.Atoi(p.Getenv("AWS_LAMBDA_MAX_CONCURRENCY")) // as aws-lambda-go reads it
	eng, _, err := p.Isolate(path, "", parts.Engine, open)
	if err != nil {
		return nil, nil, err
	}
	f, err := app.Open(path, eng, open)
	if err != nil {
		return nil, nil, err
	}
	if err := f.Load(ctx); err != nil {
		return nil, nil, err
	}
	requests, err := f.Requests()
	if err != nil {
		return nil, nil, err
	}
	warming := time.Now()
	warm(ctx, f, requests, log)
	open.Sink.Start("warmup", time.Since(warming))
	callers, err := f.Authorizer(p.Getenv)
	if err != nil {
		return nil, nil, err
	}
	routes := oip.Options{Examples: examples(requests)}
	o := options(p.Getenv, f.Spec)
	o.Metrics, o.Log = metrics, log
	if callers != nil {
		// Who invokes the function directly has been checked by Lambda, and has
		// no header to put a token into.
		o.Direct = f.Server(routes)
		routes.Auth = callers
	}
	if names := f.ModelNames(); len(names) == 1 {
		o.Model = names[0]
	}
	open.Sink.Start("ready", time.Since(begun))
	return f, awslambda.New(browsers(f.Server(routes), f.Spec.Targets.AWSLambda), f.Events(), o), nil
}

// options are what the spec says of the platform's wire.
func options(getenv func(string) string, s *spec.Spec) *awslambda.Options {
	o := &awslambda.Options{SkipGroup: s.Batch != nil && s.Batch.Order == "skip-group"}
	if t := s.Targets.AWSLambda; t != nil {
		o.BasePath, o.Stream = t.BasePath, t.ResponseStreaming
	}
	// The stack that an emulator stands for has the last word.
	if on, err := strconv.ParseBool(getenv("GODWIT_RESPONSE_STREAM")); err == nil {
		o.Stream = on
	}
	return o
}

// warm has each model answer its first recorded request, so that the first
// caller does not wait for what engines do at a first run. What goes wrong will
// go wrong again, and be answered, when somebody asks.
func warm(ctx context.Context, f *app.Function, requests []recorded.Request, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, warmWait)
	defer cancel()
	asked := map[string]bool{}
	for i := range requests {
		r := &requests[i]
		if asked[r.Model] {
			continue
		}
		asked[r.Model] = true
		if err := ask(ctx, f, r); err != nil {
			log.WarnContext(ctx, "a recorded request is not answered", "model", r.Model, "request", r.Name, "error", err)
		}
	}
}

func ask(ctx context.Context, f *app.Function, r *recorded.Request) error {
	req, err := r.Decode()
	if err != nil {
		return err
	}
	m, lease, err := f.Models.Acquire(req.Model, req.Version)
	if err != nil {
		return err
	}
	defer lease.Release()
	resp, err := m.Infer(ctx, req)
	if err == nil {
		resp.Release()
	}
	return err
}

func examples(requests []recorded.Request) []oip.Example {
	var all []oip.Example
	for _, r := range requests {
		all = append(all, oip.Example{Model: r.Model, Name: r.Name, Request: r.Body})
	}
	return all
}

// level is Lambda's name of a log level as slog has it.
func level(name string) slog.Level {
	switch name {
	case "TRACE", "DEBUG":
		return slog.LevelDebug
	case "WARN":
		return slog.LevelWarn
	case "ERROR", "FATAL":
		return slog.LevelError
	}
	return slog.LevelInfo
}
