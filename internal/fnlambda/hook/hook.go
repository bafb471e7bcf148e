// Package hook is the function that CodeDeploy asks before it lets traffic to a
// new version of a function: it invokes that version with each recorded request
// of its own package, compares the answers as godwit verify does, and tells
// CodeDeploy whether the deployment may go on.
package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
)

// What CodeDeploy is told.
const (
	succeeded = "Succeeded"
	failed    = "Failed"
)

// maxProblems is how many requests may fail until the rest is not asked.
const maxProblems = 10

// Options of New; nil means defaults.
type Options struct {
	// Requests are the recorded ones; nil: there are none. It is called in each
	// invocation, so that CodeDeploy is told when they cannot be read.
	Requests func() ([]recorded.Request, error)
	// Getenv reads AWS_REGION, what awsauth reads, and AWS_ENDPOINT_URL_LAMBDA,
	// AWS_ENDPOINT_URL_CODEDEPLOY or AWS_ENDPOINT_URL; nil: there is nothing.
	Getenv func(string) string
	// HTTP makes the requests; nil means a client of the handler's own.
	HTTP *http.Client
	Log  *slog.Logger // nil: no log
}

// Handler answers CodeDeploy's invocations. Its methods may be called
// concurrently.
type Handler struct {
	function, version string
	opts              Options
	aws               *services
}

var _ lambda.Handler = (*Handler)(nil)

// New returns the hook for target, which is a function's name and the number of
// one of its versions: "digits:7". Errors: BadConfig.
func New(target string, opts *Options) (*Handler, error) {
	h := &Handler{}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Requests == nil {
		h.opts.Requests = func() ([]recorded.Request, error) { return nil, nil }
	}
	if h.opts.Getenv == nil {
		h.opts.Getenv = func(string) string { return "" }
	}
	if h.opts.Log == nil {
		h.opts.Log = slog.New(slog.DiscardHandler)
	}
	h.function, h.version, _ = strings.Cut(target, ":")
	if _, err := strconv.ParseUint(h.version, 10, 63); err != nil || !validName(h.function) {
		return nil, fault.New(fault.BadConfig, "hook.New", "GODWIT_HOOK", "want a function's name and version such as digits:7, got %q", clip(target))
	}
	var err error
	h.aws, err = newServices(&h.opts)
	return h, err
}

// validName tells whether Lambda has functions of that name.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 64
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "") }

// Serve takes invocations from the Runtime API until ctx ends. It may be called
// once in a process, which is to end when it returns.
func (h *Handler) Serve(ctx context.Context) {
	go lambda.StartWithOptions(h, lambda.WithContext(context.WithoutCancel(ctx)), lambda.WithEnableSIGTERM())
	<-ctx.Done()
}

// event is what CodeDeploy invokes a hook with.
type event struct {
	Deployment string `json:"DeploymentId"`
	Execution  string `json:"LifecycleEventHookExecutionId"`
}

// Ids are short; an execution's is a token of a few hundred bytes.
const maxID = 8 << 10

func decode(payload []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fault.New(fault.Invalid, "hook.Invoke", "event", "want CodeDeploy's event, got %d bytes that are none", len(payload))
	}
	for _, id := range []struct{ name, value string }{{"DeploymentId", e.Deployment}, {"LifecycleEventHookExecutionId", e.Execution}} {
		if id.value == "" || len(id.value) > maxID {
			return nil, fault.New(fault.Invalid, "hook.Invoke", "event", "want CodeDeploy's event with a %s, got one of %d bytes", id.name, len(id.value))
		}
	}
	return &e, nil
}

// verdict is the reply, which only people read who invoke the hook by hand.
type verdict struct {
	Function string   `json:"function"`
	Version  string   `json:"version"`
	Status   string   `json:"status"`
	Asked    int      `json:"asked"`
	Problems []string `json:"problems,omitempty"` // each begins with MODEL/NAME of its request
}

// Invoke answers one invocation of CodeDeploy's. Whatever goes wrong, CodeDeploy
// is told Failed; it would wait for an hour otherwise. Errors: Invalid for what
// is no event of CodeDeploy's, and what keeps CodeDeploy from being told.
func (h *Handler) Invoke(ctx context.Context, payload []byte) (reply []byte, err error) {
	e, err := decode(payload)
	if err != nil {
		return nil, err
	}
	v := verdict{Function: h.function, Version: h.version, Status: failed}
	defer func() { // also when the check panics, of which Lambda tells then
		for _, p := range v.Problems {
			h.opts.Log.ErrorContext(ctx, "the new version does not answer as recorded", "function", h.function, "version", h.version, "problem", p)
		}
		h.opts.Log.InfoContext(ctx, "checked", "function", h.function, "version", h.version, "status", v.Status, "asked", v.Asked)
		if err = h.aws.tell(ctx, e, v.Status); err == nil {
			reply, err = json.Marshal(&v)
		}
	}()
	within, cancel := h.within(ctx)
	defer cancel()
	h.check(within, &v)
	if len(v.Problems) == 0 {
		v.Status = succeeded
	}
	return nil, nil
}

// within leaves a quarter of the time, at most 20 s, for CodeDeploy to be told.
func (h *Handler) within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/4, 20*time.Second)))
}

// check asks for all recorded answers.
func (h *Handler) check(ctx context.Context, v *verdict) {
	problem := func(what string, err error) { v.Problems = append(v.Problems, what+": "+err.Error()) }
	requests, err := h.opts.Requests()
	if err == nil && len(requests) == 0 {
		err = fault.New(fault.Invalid, "hook.Check", "", "want recorded requests to compare with, got none")
	}
	if err != nil {
		problem("requests", err)
		return
	}
	for i := range requests {
		r := &requests[i]
		if len(v.Problems) == maxProblems {
			return
		}
		v.Asked++
		if err := h.ask(ctx, r); err != nil {
			problem(r.Model+"/"+r.Name, err)
		}
		if err := ctx.Err(); err != nil {
			problem("time", fmt.Errorf("%w after %d of %d requests", err, v.Asked, len(requests)))
			return
		}
	}
}

// ask invokes the version with one request and compares the answer.
func (h *Handler) ask(ctx context.Context, r *recorded.Request) error {
	if r.Want == nil {
		return fault.New(fault.Invalid, "hook.Check", r.Path, "want a recorded answer beside it, got none")
	}
	req, err := r.Decode()
	if err != nil {
		return err
	}
	body, _, err := codec.EncodeRequest(nil, req, false)
	if err != nil {
		return err
	}
	// An invocation has no path that names the model.
	payload := append(strconv.AppendQuote([]byte(`{"model":`), r.Model), ',')
	answer, err := h.aws.invoke(ctx, h.function, h.version, append(payload, body[1:]...))
	if err != nil {
		return err
	}
	resp, err := codec.DecodeResponse(answer, -1, nil)
	if err != nil {
		return err
	}
	defer resp.Release()
	return r.Want.Check(resp)
}
