package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
)

func TestEveryCodeHasAWholeRow(t *testing.T) {
	names := map[string]fault.Code{}
	for _, c := range fault.Codes() {
		if c.String() == "" || strings.HasPrefix(c.String(), "code(") {
			t.Errorf("code %d has no name", c)
		}
		if other, dup := names[c.String()]; dup {
			t.Errorf("codes %d and %d share the name %q", other, c, c)
		}
		names[c.String()] = c
		if c.HTTP() < 400 || c.HTTP() > 599 {
			t.Errorf("%v: HTTP status %d is not an error", c, c.HTTP())
		}
		if c.GRPC() == 0 || c.GRPC() > 16 {
			t.Errorf("%v: gRPC status %d is not an error", c, c.GRPC())
		}
		if c.Exit() == 0 {
			t.Errorf("%v: exit code 0 would hide the failure", c)
		}
	}
	if got := fault.Code(200).HTTP(); got != 500 {
		t.Errorf("unknown code: HTTP %d, want 500", got)
	}
}

func TestCodeOf(t *testing.T) {
	base := fault.New(fault.NotFound, "infer.Registry", `model "x"`, "not found")
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, fault.OK},
		{"direct", base, fault.NotFound},
		{"wrapped", fmt.Errorf("outer: %w", base), fault.NotFound},
		{"joined", errors.Join(errors.New("a"), base), fault.NotFound},
		{"deadline", context.DeadlineExceeded, fault.DeadlineExceeded},
		{"canceled", fmt.Errorf("run: %w", context.Canceled), fault.Canceled},
		{"foreign", errors.New("boom"), fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.CodeOf(tt.err); got != tt.want {
				t.Errorf("CodeOf = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPublicHidesInternalCauses(t *testing.T) {
	for _, code := range []fault.Code{fault.Internal, fault.BadModel, fault.BadConfig, fault.Runtime, fault.Mismatch} {
		secret := fault.New(code, "ort.Run", "/srv/models/a.onnx", "mmap at 0x7f00 on host db-7").WithHint("Look at /srv.")
		if got := fault.Public(secret); strings.Contains(got, "/srv") || strings.Contains(got, "db-7") {
			t.Errorf("Public of %v = %q leaks the cause", code, got)
		}
	}
	shown := fault.New(fault.Invalid, "infer.Predict", `input "x"`, "want FP32 [-1 4], got FP32 [3 5]").WithHint("Send rows of %d numbers.", 4)
	want := `input "x": want FP32 [-1 4], got FP32 [3 5]. Send rows of 4 numbers.`
	if got := fault.Public(shown); got != want {
		t.Errorf("Public = %q, want %q", got, want)
	}
}

func TestOfHTTP(t *testing.T) {
	for status, want := range map[int]fault.Code{200: fault.OK, 204: fault.OK, 404: fault.NotFound, 413: fault.TooLarge,
		418: fault.Invalid, 500: fault.Internal, 502: fault.Internal, 503: fault.Unavailable, 504: fault.DeadlineExceeded} {
		if got := fault.OfHTTP(status); got != want {
			t.Errorf("OfHTTP(%d) = %v, want %v", status, got, want)
		}
	}
}

func TestRetryOfIsTheFirstInTheTree(t *testing.T) {
	inner := fault.New(fault.Unavailable, "infer.Infer", "", "full").WithRetry(2 * time.Second)
	tests := []struct {
		name string
		err  error
		want time.Duration
	}{
		{"none", nil, 0},
		{"not a fault", errors.New("x"), 0},
		{"fault without", fault.New(fault.Unavailable, "a", "", "b"), 0},
		{"itself", inner, 2 * time.Second},
		{"wrapped", fmt.Errorf("c: %w", inner), 2 * time.Second},
		{"in a fault", fault.New(fault.Unavailable, "a", "", "b: %w", inner), 2 * time.Second},
		{"outer wins", fault.New(fault.RateLimited, "a", "", "b: %w", inner).WithRetry(time.Second), time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.RetryOf(tt.err); got != tt.want {
				t.Errorf("RetryOf() = %v, want %v", got, tt.want)
			}
		})
	}
}
