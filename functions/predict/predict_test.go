package predict_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/predict"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func models(t testing.TB) *infer.Registry {
	t.Helper()
	eng := memengine.New(map[string]memengine.Model{"id": memengine.Identity(tensor.FP32, -1, 2)})
	m, err := infer.Load(t.Context(), eng, "id", &infer.Options{Name: "id", Digest: "sha256:abc"})
	if err != nil {
		t.Fatal(err)
	}
	r := &infer.Registry{}
	if err := r.Add(m); err != nil {
		t.Fatal(err)
	}
	return r
}

func request() *infer.Request {
	return &infer.Request{Model: "id", ID: "mine", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}}
}

func TestEveryAnswerHasAnIdentity(t *testing.T) {
	h := predict.New(models(t), nil)
	seen := map[string]bool{}
	for range 3 {
		resp, err := h.Infer(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Prediction) != 32 || seen[resp.Prediction] {
			t.Errorf("prediction id %q, want 32 new hex digits", resp.Prediction)
		}
		seen[resp.Prediction] = true
		if resp.Digest != "sha256:abc" {
			t.Errorf("digest %q, want the model's", resp.Digest)
		}
		if resp.ID != "mine" {
			t.Errorf("id = %q, want the caller's", resp.ID)
		}
	}
}

type observed struct{ lines []string }

func (o *observed) Observe(_ context.Context, req *infer.Request, resp *infer.Response, err error) {
	o.lines = append(o.lines, fmt.Sprintf("%s answered=%v code=%v", req.Model, resp != nil, fault.CodeOf(err)))
}

func TestObserversSeeAnswersAndErrors(t *testing.T) {
	o := &observed{}
	h := predict.New(models(t), &predict.Options{Observers: []predict.Observer{o}})
	if _, err := h.Infer(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Infer(t.Context(), &infer.Request{Model: "other"}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("unknown model: %v, want NotFound", err)
	}
	want := []string{"id answered=true code=ok", "other answered=false code=not_found"}
	if diff := cmp.Diff(want, o.lines); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		name string
		code infer.HandlerFunc
		want fault.Code
	}{
		{"panics", func(context.Context, *infer.Request) (*infer.Response, error) { panic("at /srv/secret.go:12") }, fault.Internal},
		{"gives nothing", func(context.Context, *infer.Request) (*infer.Response, error) { return nil, nil }, fault.Internal},
		{"refuses", func(context.Context, *infer.Request) (*infer.Response, error) {
			return nil, fault.New(fault.Denied, "handler", "", "not for you")
		}, fault.Denied},
		{"fails without a code", func(context.Context, *infer.Request) (*infer.Response, error) { return nil, errors.New("oops") }, fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := predict.New(models(t), &predict.Options{Wrap: func(next infer.Handler) infer.Handler {
				return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
					if req.ID == "good" {
						return next.Infer(ctx, req)
					}
					return tt.code(ctx, req)
				})
			}})
			_, err := h.Infer(t.Context(), request())
			if got := fault.CodeOf(err); got != tt.want {
				t.Errorf("code %v, want %v: %v", got, tt.want, err)
			}
			if text := fault.Public(err); strings.Contains(text, "secret") || strings.Contains(text, "goroutine") {
				t.Errorf("the caller is told %q", text)
			}
			good := request()
			good.ID = "good"
			if _, err := h.Infer(t.Context(), good); err != nil {
				t.Errorf("the next request failed: %v", err)
			}
		})
	}
}

func TestWrapChangesTheAnswer(t *testing.T) {
	double := func(next infer.Handler) infer.Handler {
		return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			resp, err := next.Infer(ctx, req)
			if err != nil {
				return nil, err
			}
			y, _ := tensor.View[float32](&resp.Outputs[0])
			for i := range y {
				y[i] *= 2
			}
			return resp, nil
		})
	}
	resp, err := predict.New(models(t), &predict.Options{Wrap: double}).Infer(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	y, _ := tensor.View[float32](&resp.Outputs[0])
	if diff := cmp.Diff([]float32{2, 4}, y); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}
