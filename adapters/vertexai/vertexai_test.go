package vertexai_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/vertexai"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/emulatetest"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var adapter = emulatetest.Adapter{
	Target: "vertexai", Address: vertexai.Address, Limits: vertexai.Limits,
	New: func(s *adaptertest.Subject, getenv func(string) string) http.Handler {
		return vertexai.New(s.API, vertexai.Routes(getenv))
	},
}

func TestConformance(t *testing.T) {
	adapter.Conform(t, map[string]adaptertest.Caps{
		"predict": {NoRoutes: true, NoHeaders: true, NoBinary: true, NoTypes: true, MaxBody: vertexai.SharedBody},
		"raw":     {NoRoutes: true, NoHeaders: true, NoBinary: true, MaxBody: vertexai.SharedBody},
		"binary":  {NoRoutes: true, NoHeaders: true, MaxBody: vertexai.SharedBody},
	}, nil)
}

// What Vertex AI does in the function's stead.
func TestFront(t *testing.T) {
	i := adapter.Start(t, nil, &emulate.Options{Variant: "raw"})
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, vertexai.SharedBody+1)); err != nil || code != fault.TooLarge {
		t.Errorf("1.5 MB and a byte: want too_large, got %v, %v", code, err)
	}
}

// An endpoint whose container names grpcPorts sends gRPC to the first of them,
// which may be the port of the routes.
func TestGRPC(t *testing.T) {
	s := adaptertest.For(t, nil)
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		var o httpserve.Options
		vertexai.Limits(&o)
		served <- httpserve.Serve(ctx, ln, vertexai.New(s.API, nil), s.API, &o)
	}()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := oippb.NewGRPCInferenceServiceClient(conn).ModelInfer(ctx, &oippb.ModelInferRequest{
		ModelName: "echo-FP32",
		Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 3},
			Contents: &oippb.InferTensorContents{Fp32Contents: []float32{1, 2, 3}}}},
	})
	if err != nil || resp.GetModelName() != "echo-FP32" || len(resp.GetOutputs()) != 1 {
		t.Errorf("got %v, %v", resp, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Every instance of a batch prediction comes back with its prediction, in order,
// or with the error of those it was asked with.
func TestBatchPrediction(t *testing.T) {
	a := adapter
	a.New = func(s *adaptertest.Subject, getenv func(string) string) http.Handler {
		o := vertexai.Routes(getenv)
		o.Model = "echo-FP32"
		return vertexai.New(s.API, o)
	}
	i := a.Start(t, nil, nil)
	var file, want strings.Builder
	for n := range 150 {
		fmt.Fprintf(&file, "[%d,2,3]\n", n)
		fmt.Fprintf(&want, "{\"instance\":[%d,2,3],\"prediction\":[%d,2,3]}\n", n, n)
	}
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(file.String())})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(reply.Body)); diff != "" {
		t.Errorf("150 instances (-want +got):\n%s", diff)
	}
	reply, err = i.Deliver(t.Context(), &emulate.Delivery{Body: []byte("[1,2,3]\n[1,2]")})
	if err != nil || strings.Count(string(reply.Body), `"code":"invalid"`) != 2 || strings.Contains(string(reply.Body), "prediction") {
		t.Errorf("a bad instance: got %+v, %v", reply, err)
	}
}
