package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"godwit.dev/adapters/auth"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
)

// One key for each scope; all have the canary.
const canary = "canary-55d0e7"

func keyFor(scope oip.Scope) string { return canary + "-" + string(scope) + "-key" }

func allKeys() string {
	var list []string
	for _, s := range scopes() {
		list = append(list, string(s)+":"+string(s)+":"+keyFor(s))
	}
	return strings.Join(append(list, "everybody:"+canary+"-usual-key"), ",")
}

func scopes() []oip.Scope {
	return []oip.Scope{oip.ScopeInfer, oip.ScopeMetadata, oip.ScopeMetrics, oip.ScopeAdmin}
}

// server answers for addsub to callers with keys, and remembers who asked.
type server struct {
	*oip.Server
	t        *testing.T
	registry *infer.Registry
	log      *lockedBuffer

	telemetry.Discard // but for Request

	mu      sync.Mutex
	asked   []string // caller and priority of each inference
	counted []telemetry.RequestEvent
}

func (s *server) Request(e telemetry.RequestEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Duration = 0
	s.counted = append(s.counted, e)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (s *server) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req.Caller+" "+map[infer.Priority]string{infer.Interactive: "interactive", infer.Batch: "batch"}[req.Priority])
	s.mu.Unlock()
	m, err := s.registry.Lookup(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	return m.Infer(ctx, req)
}

func newServer(t *testing.T, rate auth.Rate) *server {
	t.Helper()
	s := &server{t: t, registry: &infer.Registry{}, log: &lockedBuffer{}}
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"addsub": memengine.AddSub()}), "addsub", &infer.Options{Name: "addsub", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.registry.Add(m); err != nil {
		t.Fatal(err)
	}
	log := telemetry.NewLogger(s.log, false, slog.LevelDebug)
	callers, err := auth.Keys(&auth.KeyOptions{List: allKeys(), Rate: rate, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	s.Server = oip.New(s.registry, s, &oip.Options{Auth: callers, Metrics: page, Page: page, Log: log, Sink: s})
	t.Cleanup(func() {
		callers.Close()
		_ = s.registry.Close(context.Background())
	})
	return s
}

// untouched is a body that must not be read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func (s *server) rest(method, path, key string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	if key != "" {
		r.Header.Set("X-Api-Key", key)
	}
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const addsubBody = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`

func wantCode(t *testing.T, w *httptest.ResponseRecorder, want fault.Code) {
	t.Helper()
	var e struct{ Error, Code string }
	_ = json.Unmarshal(w.Body.Bytes(), &e)
	if w.Code != want.HTTP() || e.Code != want.String() {
		t.Errorf("%d %s, want %v", w.Code, w.Body, want)
	}
	if got := w.Header().Get("WWW-Authenticate") != ""; got != (want == fault.Unauthenticated) {
		t.Errorf("WWW-Authenticate: %q", w.Header().Get("WWW-Authenticate"))
	}
}

// Every route there is, and what is none: nothing but probes answers who has
// no credentials, or the wrong ones.
func TestRoutesAskWhoCalls(t *testing.T) {
	s := newServer(t, auth.Rate{})
	probes := 0
	for _, route := range s.Routes() {
		path := strings.NewReplacer("{$}", "", "{model}", "addsub", "{version}", "1").Replace(route.Pattern)
		t.Run(route.Method+" "+path, func(t *testing.T) {
			if route.Probe {
				probes++
				if w := s.rest(route.Method, path, "", http.NoBody); w.Code != 200 {
					t.Errorf("a probe: %d %s", w.Code, w.Body)
				}
				wantCode(t, s.rest("POST", path, "", untouched{t}), fault.Unauthenticated)
				return
			}
			wantCode(t, s.rest(route.Method, path, "", untouched{t}), fault.Unauthenticated)
			wantCode(t, s.rest(route.Method, path, canary+"-wrong", untouched{t}), fault.Unauthenticated)
			for _, scope := range scopes() {
				if scope != route.Scope {
					wantCode(t, s.rest(route.Method, path, keyFor(scope), untouched{t}), fault.Denied)
					continue
				}
				var body io.Reader = http.NoBody
				if scope == oip.ScopeInfer {
					body = strings.NewReader(addsubBody)
				}
				if w := s.rest(route.Method, path, keyFor(scope), body); w.Code != 200 && (w.Code != 501 || scope != oip.ScopeAdmin) {
					t.Errorf("with the scope %s: %d %s", scope, w.Code, w.Body)
				}
			}
		})
	}
	if probes != 4 { // live and ready, GET and HEAD
		t.Errorf("%d routes are open", probes)
	}
	for _, path := range []string{"/nowhere", "/v2/health", "/v2/health/live/", "/v2/models", "//v2", "/../etc/passwd", "/v2/models/%2e%2e/ready", "/v2/models/nosuch", "/v2/models/a%00b"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "TRACE", "DELETE"} {
			wantCode(t, s.rest(method, path, "", untouched{t}), fault.Unauthenticated)
		}
	}
	for _, method := range []string{"OPTIONS", "PUT", "TRACE"} {
		wantCode(t, s.rest(method, "/v2/models/addsub/infer", "", untouched{t}), fault.Unauthenticated)
	}
	wantCode(t, s.rest("GET", "/nowhere", keyFor(oip.ScopeMetadata), http.NoBody), fault.NotFound)
}

// serve serves s on a port, for gRPC.
func (s *server) serve(mixed bool) *grpc.ClientConn {
	s.t.Helper()
	ln, err := httpserve.Listen(s.t.Context(), "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- httpserve.Serve(ctx, ln, nil, s.Server, &httpserve.Options{Mixed: mixed}) }()
	cc, err := grpc.NewClient("passthrough:///"+ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cc.Close()
		cancel()
		if err := <-served; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
	})
	return cc
}

func with(ctx context.Context, key string) context.Context {
	if key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
}

// Every gRPC method of every service there is, on both of its ways in. Who is
// refused is refused before a message is sent.
func TestGRPCMethodsAskWhoCalls(t *testing.T) {
	services := []grpc.ServiceDesc{oippb.GRPCInferenceService_ServiceDesc, healthpb.Health_ServiceDesc,
		reflectionpb.ServerReflection_ServiceDesc, reflectionalphapb.ServerReflection_ServiceDesc}
	const api = "/inference.GRPCInferenceService/"
	open := []string{"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", api + "ServerLive", api + "ServerReady"}
	scopeOf := map[string]oip.Scope{api + "ModelInfer": oip.ScopeInfer, api + "ModelStreamInfer": oip.ScopeInfer,
		api + "RepositoryModelLoad": oip.ScopeAdmin, api + "RepositoryModelUnload": oip.ScopeAdmin}
	for _, mixed := range []bool{false, true} {
		s := newServer(t, auth.Rate{})
		cc := s.serve(mixed)
		try := func(t *testing.T, method, key string, say bool) codes.Code {
			t.Helper()
			ctx, cancel := context.WithCancel(with(t.Context(), key))
			defer cancel()
			stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			if say {
				// EOF means that the server has answered already; RecvMsg says what.
				if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
			}
			err = stream.RecvMsg(&emptypb.Empty{})
			if errors.Is(err, io.EOF) {
				return codes.OK
			}
			return status.Code(err)
		}
		var methods []string
		for _, d := range services {
			for _, m := range d.Methods {
				methods = append(methods, "/"+d.ServiceName+"/"+m.MethodName)
			}
			for _, m := range d.Streams {
				methods = append(methods, "/"+d.ServiceName+"/"+m.StreamName)
			}
		}
		for _, m := range append(methods, api+"NoSuchMethod", "/no.such.Service/Method") {
			t.Run(m, func(t *testing.T) {
				if slices.Contains(open, m) {
					if got := try(t, m, "", true); got != codes.OK {
						t.Errorf("without credentials: %v", got)
					}
					return
				}
				for _, key := range []string{"", canary + "-wrong"} {
					if got := try(t, m, key, false); got != codes.Unauthenticated {
						t.Errorf("with key %q: %v, want unauthenticated", key, got)
					}
				}
				want := scopeOf[m]
				if want == "" {
					want = oip.ScopeMetadata
				}
				for _, scope := range scopes() {
					got := try(t, m, keyFor(scope), scope == want)
					if allowed := got != codes.PermissionDenied && got != codes.Unauthenticated; allowed != (scope == want) {
						t.Errorf("with the scope %s: %v", scope, got)
					}
				}
			})
		}
		// The services are all there are.
		stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(with(t.Context(), keyFor(oip.ScopeMetadata)))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		list, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.CloseSend()
		var got, want []string
		for _, service := range list.GetListServicesResponse().GetService() {
			got = append(got, service.GetName())
		}
		for _, d := range services {
			want = append(want, d.ServiceName)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("services (-want +got):\n%s", diff)
		}
	}
}

func grpcRequest(params map[string]*oippb.InferParameter) *oippb.ModelInferRequest {
	four := &oippb.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4}}
	return &oippb.ModelInferRequest{ModelName: "addsub", Parameters: params, Inputs: []*oippb.ModelInferRequest_InferInputTensor{
		{Name: "a", Datatype: "FP32", Shape: []int64{1, 4}, Contents: four}, {Name: "b", Datatype: "FP32", Shape: []int64{1, 4}, Contents: four}}}
}

// What a stranger sends is not waited for, and takes nothing from the
// connection that others may share.
func TestRefusedMessagesDoNotBlockTheConnection(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		s := newServer(t, auth.Rate{})
		client := oippb.NewGRPCInferenceServiceClient(s.serve(mixed))
		large := grpcRequest(nil)
		large.RawInputContents = [][]byte{make([]byte, 8<<20)}
		for range 5 { // more than a connection's window
			if _, err := client.ModelInfer(t.Context(), large); status.Code(err) != codes.Unauthenticated {
				t.Fatalf("8 MiB without credentials: %v", err)
			}
			if _, err := client.ModelInfer(with(t.Context(), keyFor(oip.ScopeInfer)), grpcRequest(nil)); err != nil {
				t.Fatalf("a call after it: %v", err)
			}
		}
	}
}

// The handler learns who asks and how urgently, on every wire.
func TestCallerAndPriorityReachTheHandler(t *testing.T) {
	s := newServer(t, auth.Rate{})
	key := canary + "-usual-key"
	post := func(params string) *httptest.ResponseRecorder {
		return s.rest("POST", "/v2/models/addsub/infer", key, strings.NewReader(`{"parameters":{`+params+`},`+addsubBody[1:]))
	}
	for _, params := range []string{"", `"priority":0`, `"priority":1`, `"priority":2`, `"priority":18446744073709551615`} {
		if w := post(params); w.Code != 200 {
			t.Errorf("%s: %d %s", params, w.Code, w.Body)
		}
	}
	for _, params := range []string{`"priority":-1`, `"priority":"2"`, `"priority":1.5`, `"priority":true`, `"priority":18446744073709551616`} {
		wantCode(t, post(params), fault.Invalid)
	}
	client := oippb.NewGRPCInferenceServiceClient(s.serve(false))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+key)
	urgent := func(v uint64) map[string]*oippb.InferParameter {
		return map[string]*oippb.InferParameter{"priority": {ParameterChoice: &oippb.InferParameter_Uint64Param{Uint64Param: v}}}
	}
	if _, err := client.ModelInfer(ctx, grpcRequest(urgent(2))); err != nil {
		t.Error(err)
	}
	stream, err := client.ModelStreamInfer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []uint64{2, 1} {
		if err := stream.Send(grpcRequest(urgent(v))); err != nil {
			t.Fatal(err)
		}
		if resp, err := stream.Recv(); err != nil || resp.GetErrorMessage() != "" {
			t.Errorf("%v, %v", resp, err)
		}
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end of the stream: %v", err)
	}
	var want []string
	for _, p := range []string{"interactive", "interactive", "interactive", "batch", "batch", "batch", "batch", "interactive"} {
		want = append(want, "everybody "+p)
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A rate counts requests on every wire, the messages of a stream one by one,
// and tells when to come again.
func TestRateOnEveryWire(t *testing.T) {
	s := newServer(t, auth.Rate{PerSecond: 0.01, Burst: 3})
	client := oippb.NewGRPCInferenceServiceClient(s.serve(false))
	infers := with(t.Context(), keyFor(oip.ScopeInfer))
	stream, err := client.ModelStreamInfer(infers)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := stream.Send(grpcRequest(nil)); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if refused := strings.Contains(resp.GetErrorMessage(), "more requests than"); refused != (i >= 3) {
			t.Errorf("message %d: %q", i, resp.GetErrorMessage())
		}
	}
	_ = stream.CloseSend()
	_, _ = stream.Recv()
	var trailer metadata.MD
	if _, err := client.ModelInfer(infers, grpcRequest(nil), grpc.Trailer(&trailer)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a call: %v", err)
	}
	if got := trailer.Get("grpc-retry-pushback-ms"); len(got) != 1 || len(got[0]) != 5 {
		t.Errorf("told to wait %q ms, want about 100 s", got)
	}
	w := s.rest("POST", "/v2/models/addsub/infer", keyFor(oip.ScopeInfer), untouched{t})
	wantCode(t, w, fault.RateLimited)
	if got := w.Header().Get("Retry-After"); got != "100" {
		t.Errorf("Retry-After: %q, want 100", got)
	}
	if w := s.rest("GET", "/v2", keyFor(oip.ScopeMetadata), http.NoBody); w.Code != 200 {
		t.Errorf("another caller: %d %s", w.Code, w.Body)
	}
}

// Of credentials, good and bad, nothing is in a log or an answer.
func TestCredentialsAreNeverTold(t *testing.T) {
	s := newServer(t, auth.Rate{PerSecond: 0.001, Burst: 2})
	client := oippb.NewGRPCInferenceServiceClient(s.serve(false))
	var answers strings.Builder
	token := "eyJhbGciOiJub25lIn0." + canary + ".x"
	for _, header := range [][2]string{
		{"X-Api-Key", canary + "-usual-key"}, {"X-Api-Key", canary + "-usual-key"}, {"X-Api-Key", canary + "-usual-key"},
		{"X-Api-Key", canary}, {"X-Api-Key", strings.Repeat(canary, 1000)}, {"X-Api-Key", canary + "\n" + canary},
		{"Authorization", "Bearer " + token}, {"Authorization", canary}, {"Authorization", "Basic " + canary}, {"Authorization", "Bearer"},
		{"X-Api-Key", keyFor(oip.ScopeAdmin)},
	} {
		for _, path := range []string{"/v2/models/addsub/infer", "/v2/repository/index", "/nowhere", "//"} {
			r := httptest.NewRequest("POST", path, http.NoBody)
			r.Header[header[0]] = []string{header[1]}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			_ = w.Result().Header.Write(&answers)
			answers.Write(w.Body.Bytes())
		}
		if strings.ContainsAny(header[1], "\n") {
			continue
		}
		var h, tr metadata.MD
		_, err := client.ModelInfer(metadata.AppendToOutgoingContext(t.Context(), strings.ToLower(header[0]), header[1]), grpcRequest(nil), grpc.Header(&h), grpc.Trailer(&tr))
		answers.WriteString(status.Convert(err).String())
		for _, md := range []metadata.MD{h, tr} {
			for k, v := range md {
				answers.WriteString(k + strings.Join(v, " "))
			}
		}
	}
	for what, text := range map[string]string{"log": s.log.String(), "answers": answers.String()} {
		if len(text) < 1000 {
			t.Errorf("the %s is short: %s", what, text)
		}
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("the %s has a credential: …%s…", what, text[max(0, i-200):min(len(text), i+100)])
		}
	}
}

// Who is refused is counted, and under no name that a stranger chose.
func TestStrangersMakeNoSeries(t *testing.T) {
	s := newServer(t, auth.Rate{})
	client := oippb.NewGRPCInferenceServiceClient(s.serve(false))
	s.rest("POST", "/v2/models/"+canary+"/infer", "", untouched{t})
	s.rest("POST", "/v2/models/addsub/infer", keyFor(oip.ScopeAdmin), untouched{t})
	s.rest("GET", "/v2/models/addsub", "", untouched{t}) // as for everybody, only inference counts
	if _, err := client.ModelInfer(t.Context(), grpcRequest(nil)); status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	// Under the only model there is; with several it would be telemetry.Other.
	want := []telemetry.RequestEvent{
		{Model: "addsub", Version: "1", Protocol: telemetry.ProtocolREST, Code: fault.Unauthenticated},
		{Model: "addsub", Version: "1", Protocol: telemetry.ProtocolREST, Code: fault.Denied},
		{Model: "addsub", Version: "1", Protocol: telemetry.ProtocolGRPC, Code: fault.Unauthenticated},
	}
	if diff := cmp.Diff(want, s.counted); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if strings.Contains(s.log.String(), canary) || !strings.Contains(s.log.String(), `"code":"unauthenticated"`) {
		t.Errorf("the log: %s", s.log.String())
	}
}

// A checker that panics lets nobody in, and ends nothing but its request.
func TestAuthorizerThatPanics(t *testing.T) {
	s := oip.New(&infer.Registry{}, nil, &oip.Options{Auth: panics{}})
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/v2", untouched{t}))
	wantCode(t, w, fault.Internal)
}

type panics struct{}

func (panics) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	panic("no")
}
