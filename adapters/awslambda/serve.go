package awslambda

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/runtime/fault"
)

// Of the 500 ms between SIGTERM and SIGKILL, how much invocations in progress
// get, and how much the last reply for its way to the platform, of which nobody
// tells. The rest is for models to close.
const (
	drainWait = 300 * time.Millisecond
	postWait  = 30 * time.Millisecond
)

// Serve takes invocations from the Runtime API, as many at a time as
// AWS_LAMBDA_MAX_CONCURRENCY says, until ctx ends; then it lets no more begin,
// waits shortly for those in progress, and returns. Call it when all models are
// loaded: the first invocation is taken at once. It registers an extension of
// its own, because Lambda sends SIGTERM, which is to end ctx, only to functions
// that have one.
//
// It may be called once in a process, which is to end when it returns: the loop
// of aws-lambda-go goes on, and ends the process itself, with exit code 1, when
// the Runtime API fails or a handler has panicked; the panic is reported first.
func (h *Handler) Serve(ctx context.Context) error {
	var handler any = h
	if h.opts.Stream {
		handler = h.stream
	}
	// Invocations do not end with ctx: they have deadlines of their own.
	base := context.WithoutCancel(ctx)
	go lambda.StartWithOptions(handler, lambda.WithContext(base), lambda.WithEnableSIGTERM())
	<-ctx.Done()
	wait, cancel := context.WithTimeout(base, drainWait)
	defer cancel()
	was := h.inProgress()
	err := h.Drain(wait)
	if was > 0 && err == nil {
		time.Sleep(postWait)
	}
	return err
}

func (h *Handler) inProgress() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.busy
}

// Fail tells the platform why the function cannot start. api is the Runtime
// API's address, as AWS_LAMBDA_RUNTIME_API has it. The process is to end with
// an exit code other than 0 after that.
func Fail(ctx context.Context, api string, err error) error {
	kind := "Runtime." + fault.CodeOf(err).String()
	body, jsonErr := json.Marshal(messages.InvokeResponse_Error{Type: kind, Message: err.Error()})
	if jsonErr != nil {
		return fault.New(fault.Internal, "awslambda.Fail", "", "%w", jsonErr)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, reqErr := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if reqErr != nil {
		return fault.New(fault.BadConfig, "awslambda.Fail", "AWS_LAMBDA_RUNTIME_API", "%w", reqErr)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	// The Runtime API is on this machine: no proxy is between.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, doErr := transport.RoundTrip(req)
	if doErr != nil {
		return fault.New(fault.Unavailable, "awslambda.Fail", api, "%w", doErr)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fault.New(fault.Unavailable, "awslambda.Fail", api, "want status 202, got %d", resp.StatusCode)
	}
	return nil
}
