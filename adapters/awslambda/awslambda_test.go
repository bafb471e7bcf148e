package awslambda_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
)

// TestMain is the function as well: aws-lambda-go owns its process, so the
// tests start this binary again under the emulator.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := function(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// function serves the suite's subject.
func function(ctx context.Context) error {
	if os.Getenv("TEST_FAIL") != "" {
		cause := fault.New(fault.BadModel, "test", "x.onnx", "want a model, got none")
		if err := awslambda.Fail(ctx, os.Getenv("AWS_LAMBDA_RUNTIME_API"), cause); err != nil {
			return err
		}
		return cause
	}
	if os.Getenv("TEST_PANIC") != "" {
		return awslambda.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("outside of the api") }), nil, nil).Serve(ctx)
	}
	if gate := os.Getenv("TEST_STREAM"); gate != "" {
		return awslambda.New(gated(gate), nil, &awslambda.Options{Stream: true}).Serve(ctx)
	}
	s, err := adaptertest.New(adaptertest.SetupOf(os.Getenv))
	if err != nil {
		return err
	}
	defer s.Close()
	o := &awslambda.Options{SkipGroup: os.Getenv("TEST_SKIP_GROUP") != "", Metrics: awslambda.NewMetrics(os.Stdout, "function", "7")}
	o.Stream, _ = strconv.ParseBool(os.Getenv("GODWIT_RESPONSE_STREAM"))
	return awslambda.New(s.API, s.Events, o).Serve(ctx)
}

func launch(out *bytes.Buffer, env ...string) emulate.Launch {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// The race detector would sleep a second at the end, which Lambda does not wait for.
	env = append(env, "GORACE=atexit_sleep_ms=0")
	if out == nil {
		return emulate.Command(path, nil, env, nil, nil)
	}
	return emulate.Command(path, nil, env, out, out)
}

func start(t *testing.T, how *adaptertest.Setup, o *emulate.Options) *emulate.Instance {
	t.Helper()
	if how == nil {
		how = &adaptertest.Setup{}
	}
	var log bytes.Buffer
	o.Timeout = how.Timeout
	i, err := emulate.Start(t.Context(), "awslambda", launch(&log, how.Env()), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		i.Kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return i
}

func TestConformance(t *testing.T) {
	for _, variant := range emulate.Variants("awslambda") {
		caps := adaptertest.Caps{NoConcurrency: true, NoHangup: true, MaxBody: 4 << 20}
		switch {
		case variant == "direct":
			caps.NoBinary, caps.NoHeaders, caps.NoRoutes = true, true, true
		case strings.HasPrefix(variant, "alb"):
			caps.MaxBody = 1 << 20
		}
		t.Run(variant, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client {
				return start(t, how, &emulate.Options{Variant: variant})
			}, caps)
		})
	}
	t.Run("managed instance", func(t *testing.T) {
		adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client {
			return start(t, how, &emulate.Options{Concurrency: 16})
		}, adaptertest.Caps{NoHangup: true, MaxBody: 4 << 20})
	})
}
