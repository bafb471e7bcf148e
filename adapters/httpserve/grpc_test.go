package httpserve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

func TestGRPCCalls(t *testing.T) {
	s := start(t, nil, nil, nil)
	if err := s.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	c, ctx := s.grpc(), t.Context()
	call := func(name string, want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	live, err := c.ServerLive(ctx, &oippb.ServerLiveRequest{})
	call("ServerLive", &oippb.ServerLiveResponse{Live: true}, live, err)
	ready, err := c.ServerReady(ctx, &oippb.ServerReadyRequest{})
	call("ServerReady", &oippb.ServerReadyResponse{Ready: false}, ready, err)
	model, err := c.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "flat"})
	call("ModelReady", &oippb.ModelReadyResponse{Ready: true}, model, err)
	model, err = c.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "loading"})
	call("ModelReady", &oippb.ModelReadyResponse{}, model, err)
	server, err := c.ServerMetadata(ctx, &oippb.ServerMetadataRequest{})
	call("ServerMetadata", &oippb.ServerMetadataResponse{Name: "godwit", Version: "dev", Extensions: []string{
		"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics",
	}}, server, err)
	meta, err := c.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "text", Version: "1"})
	call("ModelMetadata", &oippb.ModelMetadataResponse{
		Name: "text", Versions: []string{"1"}, Platform: "go",
		Inputs:     []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: "BYTES", Shape: []int64{-1}}},
		Outputs:    []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "y", Datatype: "BYTES", Shape: []int64{-1}}},
		Properties: map[string]string{"digest": "sha256:00", "engine": "memengine", "provider": "cpu", "triton_platform": "memengine_onnx"},
	}, meta, err)
	config, err := c.ModelConfig(ctx, &oippb.ModelConfigRequest{Name: "text"})
	call("ModelConfig", &oippb.ModelConfigResponse{Config: &oippb.ModelConfig{
		Name: "text", Platform: "memengine_onnx", Backend: "memengine",
		Input:  []*oippb.ModelInput{{Name: "x", DataType: oippb.DataType_TYPE_STRING, Dims: []int64{-1}}},
		Output: []*oippb.ModelOutput{{Name: "y", DataType: oippb.DataType_TYPE_STRING, Dims: []int64{-1}}},
	}}, config, err)
	index, err := c.RepositoryIndex(ctx, &oippb.RepositoryIndexRequest{})
	entry := func(name, state string) *oippb.RepositoryIndexResponse_ModelIndex {
		return &oippb.RepositoryIndexResponse_ModelIndex{Name: name, Version: "1", State: state}
	}
	call("RepositoryIndex", &oippb.RepositoryIndexResponse{Models: []*oippb.RepositoryIndexResponse_ModelIndex{
		entry("addsub", "READY"), entry("flat", "READY"), entry("loading", "LOADING"), entry("text", "READY"),
	}}, index, err)
	index, err = c.RepositoryIndex(ctx, &oippb.RepositoryIndexRequest{Ready: true})
	if err != nil || len(index.Models) != 3 {
		t.Errorf("only ready ones: %v %v", index, err)
	}
	if _, err := c.ModelInfer(ctx, flatRequest(1, 2)); err != nil {
		t.Errorf("ModelInfer: %v", err)
	}
	stats, err := c.ModelStatistics(ctx, &oippb.ModelStatisticsRequest{Name: "flat"})
	if err != nil || len(stats.ModelStats) != 1 {
		t.Fatalf("ModelStatistics: %v %v", stats, err)
	}
	if st := stats.ModelStats[0]; st.InferenceCount != 2 || st.ExecutionCount != 1 || st.InferenceStats.Success.Count != 1 || st.LastInference == 0 ||
		len(st.BatchStats) != 1 || st.BatchStats[0].BatchSize != 2 || st.BatchStats[0].ComputeInfer.Count != 1 {
		t.Errorf("statistics: %v", st)
	}
	stats, err = c.ModelStatistics(ctx, &oippb.ModelStatisticsRequest{})
	if err != nil || len(stats.ModelStats) != 3 {
		t.Errorf("statistics of all: %v %v", stats, err)
	}
}

func TestGRPCErrors(t *testing.T) {
	s := start(t, &oip.Options{Limits: &codec.Limits{Body: 1 << 20}}, nil, nil)
	c, ctx := s.grpc(), t.Context()
	mixedUp := flatRequest(1)
	mixedUp.RawInputContents = [][]byte{{0, 0, 0, 0}}
	big := flatRequest(make([]float32, 1<<19)...)
	named := func(name, version string) *oippb.ModelInferRequest {
		r := flatRequest(1)
		r.ModelName, r.ModelVersion = name, version
		return r
	}
	infer := func(r *oippb.ModelInferRequest) func() error {
		return func() error { _, err := c.ModelInfer(ctx, r); return err }
	}
	tests := []struct {
		name string
		call func() error
		want codes.Code
		text string
	}{
		{"unknown model", infer(named("nosuch", "")), codes.NotFound, "nosuch"},
		{"unknown version", infer(named("flat", "9")), codes.NotFound, `"9"`},
		{"no model of several", infer(named("", "")), codes.InvalidArgument, "model name"},
		{"bad name", infer(named("../x", "")), codes.InvalidArgument, "want a name"},
		{"huge name", infer(named(strings.Repeat("x", 1<<19), "")), codes.InvalidArgument, "want a name"},
		{"raw and typed", infer(mixedUp), codes.InvalidArgument, "raw"},
		{"no inputs", infer(&oippb.ModelInferRequest{ModelName: "flat"}), codes.InvalidArgument, `"x"`},
		{"too large", infer(big), codes.ResourceExhausted, "larger than max"},
		{"metadata", func() error {
			_, err := c.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "nosuch"})
			return err
		}, codes.NotFound, "nosuch"},
		{"bad name of metadata", func() error {
			_, err := c.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "a/b"})
			return err
		}, codes.InvalidArgument, "want a name"},
		{"ready", func() error { _, err := c.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "nosuch"}); return err }, codes.NotFound, "nosuch"},
		{"config", func() error { _, err := c.ModelConfig(ctx, &oippb.ModelConfigRequest{Name: "nosuch"}); return err }, codes.NotFound, "nosuch"},
		{"statistics", func() error {
			_, err := c.ModelStatistics(ctx, &oippb.ModelStatisticsRequest{Name: "nosuch"})
			return err
		}, codes.NotFound, "nosuch"},
		{"load", func() error {
			_, err := c.RepositoryModelLoad(ctx, &oippb.RepositoryModelLoadRequest{ModelName: "flat"})
			return err
		}, codes.Unimplemented, "run time"},
		{"unload", func() error {
			_, err := c.RepositoryModelUnload(ctx, &oippb.RepositoryModelUnloadRequest{ModelName: "flat"})
			return err
		}, codes.Unimplemented, "run time"},
		{"unknown call", func() error {
			return s.dial().Invoke(ctx, "/inference.GRPCInferenceService/SystemSharedMemoryStatus", &oippb.ServerLiveRequest{}, &oippb.ServerLiveResponse{})
		}, codes.Unimplemented, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := status.Convert(tt.call())
			if st.Code() != tt.want || !strings.Contains(st.Message(), tt.text) || len(st.Message()) > 1000 {
				t.Errorf("got %v %q, want %v ... %s", st.Code(), st.Message(), tt.want, tt.text)
			}
		})
	}
}

// Every code has its status, its own name in a trailer, and only Internal
// keeps its cause; over both of the ways that calls come.
func TestGRPCHandlerErrors(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		s := start(t, nil, modeOf(mixed), nil)
		c := s.grpc()
		const secret = "/srv/models/x.onnx"
		for _, code := range fault.Codes() {
			s.use(func(context.Context, *infer.Request) (*infer.Response, error) {
				return nil, fault.New(code, "user.Op", "subject", "%s", secret)
			})
			var trailer metadata.MD
			_, err := c.ModelInfer(t.Context(), flatRequest(1), grpc.Trailer(&trailer))
			st := status.Convert(err)
			if uint32(st.Code()) != code.GRPC() || !slices.Equal(trailer.Get("godwit-code"), []string{code.String()}) {
				t.Errorf("%v: got %v, trailer %v", code, st.Code(), trailer)
			}
			if hidden := !strings.Contains(st.Message(), secret); hidden != (code.HTTP() == 500) {
				t.Errorf("%v: cause hidden: %v", code, hidden)
			}
		}
		s.use(func(context.Context, *infer.Request) (*infer.Response, error) { panic(secret) })
		st := status.Convert(func() error { _, err := c.ModelInfer(t.Context(), flatRequest(1)); return err }())
		if st.Code() != codes.Internal || strings.Contains(st.Message(), "srv") || strings.Contains(st.Message(), ".go") {
			t.Errorf("panic: %v", st)
		}
		s.use(nil)
		if _, err := c.ModelInfer(t.Context(), flatRequest(1)); err != nil {
			t.Errorf("after the panic: %v", err)
		}
		if !strings.Contains(s.log.String(), "grpc_test.go") {
			t.Error("the log lacks the stack of the panic")
		}
	}
}

func TestGRPCTensors(t *testing.T) {
	s := start(t, nil, nil, nil)
	values := make([]float32, 150_000) // several frames in both directions
	for i := range values {
		values[i] = float32(i)
	}
	raw, _ := binary.Append(nil, binary.LittleEndian, values)
	for _, compressed := range []bool{false, true} {
		c := s.grpc()
		var opts []grpc.CallOption
		if compressed {
			opts = append(opts, grpc.UseCompressor(gzip.Name))
		}
		got, err := c.ModelInfer(t.Context(), flatRequest(values...), opts...)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Outputs[0].Contents.Fp32Contents, values) || got.ModelVersion != "1" {
			t.Error("typed contents differ")
		}
		req := flatRequest()
		req.Id, req.Inputs[0].Shape, req.Inputs[0].Contents = "r-9", []int64{int64(len(values))}, nil
		req.RawInputContents = [][]byte{raw}
		got, err = c.ModelInfer(t.Context(), req, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.RawOutputContents) != 1 || !bytes.Equal(got.RawOutputContents[0], raw) || got.Id != "r-9" || got.Outputs[0].Contents != nil {
			t.Error("raw contents differ")
		}
	}
}

func TestGRPCStream(t *testing.T) {
	s := start(t, nil, nil, nil)
	stream, err := s.grpc().ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bad := flatRequest(3)
	bad.ModelName = "nosuch"
	go func() {
		for i := range 20 {
			_ = stream.Send(flatRequest(float32(i)))
		}
		_ = stream.Send(bad)
		_ = stream.Send(flatRequest(20))
		_ = stream.CloseSend()
	}()
	for i := range 22 {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if i == 20 {
			if !strings.Contains(got.ErrorMessage, "nosuch") || got.InferResponse != nil {
				t.Errorf("the failed one: %v", got)
			}
			continue
		}
		want := float32(i)
		if i == 21 {
			want = 20
		}
		if got.ErrorMessage != "" || got.InferResponse.Outputs[0].Contents.Fp32Contents[0] != want {
			t.Errorf("answer %d: %v", i, got)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v, want EOF", err)
	}
}

func TestGRPCMetadata(t *testing.T) {
	s := start(t, nil, nil, nil)
	var seen telemetry.Trace
	fails := func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		seen, _ = telemetry.TraceOf(ctx)
		return nil, fault.New(fault.Invalid, "", "", "no")
	}
	s.use(fails)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent, "tracestate", "a=1", "x-request-id", "req-7")
	var header metadata.MD
	_, _ = s.grpc().ModelInfer(ctx, flatRequest(1), grpc.Header(&header))
	if !slices.Equal(header.Get("x-request-id"), []string{"req-7"}) || seen.TraceID() != parent[3:35] || seen.State != "a=1" ||
		!slices.Equal(header.Get("traceparent"), []string{seen.Header()}) {
		t.Errorf("header %v, the handler saw %+v", header, seen)
	}

	// Answers have the ids that were sent, and failures all of them.
	for _, tt := range []struct {
		name string
		sent []string
		fail bool
		want []string
	}{
		{"nothing sent", nil, false, nil},
		{"an id", []string{"x-request-id", "a"}, false, []string{"x-request-id"}},
		{"a trace", []string{"traceparent", parent}, false, []string{"traceparent"}},
		{"both", []string{"traceparent", parent, "x-request-id", "a"}, false, []string{"traceparent", "x-request-id"}},
		{"a failure", nil, true, []string{"traceparent", "x-request-id"}},
	} {
		if !tt.fail {
			s.use(nil)
		} else {
			s.use(fails)
		}
		var header metadata.MD
		_, err := s.grpc().ModelInfer(metadata.AppendToOutgoingContext(t.Context(), tt.sent...), flatRequest(1), grpc.Header(&header))
		if (err != nil) != tt.fail {
			t.Errorf("%s: %v", tt.name, err)
		}
		delete(header, "content-type")
		if diff := cmp.Diff(tt.want, slices.Sorted(maps.Keys(header))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestGRPCHealth(t *testing.T) {
	s := start(t, nil, nil, nil)
	c := healthpb.NewHealthClient(s.dial())
	for service, want := range map[string]codes.Code{"": codes.OK, "inference.GRPCInferenceService": codes.OK, "other": codes.NotFound} {
		got, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if status.Code(err) != want || err == nil && got.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v %v", service, got, err)
		}
	}
	watch, err := c.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("watch: %v %v", got, err)
	}
	if err := s.registry.Declare("loading", "1"); err != nil { // which the watch tells later
		t.Fatal(err)
	}
	if got, err := c.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || got.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("check, a model loads: %v %v", got, err)
	}
}

func TestGRPCReflection(t *testing.T) {
	s := start(t, nil, nil, nil)
	stream, err := reflectpb.NewServerReflectionClient(s.dial()).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	got, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range got.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "inference.GRPCInferenceService"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
}
