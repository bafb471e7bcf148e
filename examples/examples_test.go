package examples_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/tensor"
)

// served is an example behind the server that `godwit serve` starts.
type served struct {
	*app.Function
	addr string
	grpc oippb.GRPCInferenceServiceClient
}

func serve(t *testing.T, dir string) served {
	t.Helper()
	eng := drivertest.ONNXRuntime(t)
	f, err := app.Open(dir, eng, &app.Options{Quota: quota.Quota{CPUs: float64(runtime.NumCPU())}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	options := fnserver.ServerOptions(&f.Spec.Limits)
	done := make(chan error, 1)
	go func() { done <- httpserve.Serve(ctx, ln, nil, f.Server(oip.Options{}), &options) }()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := f.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return served{f, ln.Addr().String(), oippb.NewGRPCInferenceServiceClient(conn)}
}

// rest sends req as JSON or with binary tensors both ways.
func (s served) rest(t *testing.T, model string, req *infer.Request, binary bool) []tensor.Tensor {
	t.Helper()
	if binary {
		copied := *req
		copied.Params = infer.Params{"binary_data_output": true}
		req = &copied
	}
	body, header, err := codec.EncodeRequest(nil, req, binary)
	if err != nil {
		t.Fatal(err)
	}
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	post.Header.Set("Content-Type", "application/json")
	if header >= 0 {
		post.Header.Set("Content-Type", "application/octet-stream")
		post.Header.Set("Inference-Header-Content-Length", strconv.Itoa(header))
	}
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", answer.Status, got, err)
	}
	header = -1
	if h := answer.Header.Get("Inference-Header-Content-Length"); h != "" {
		if header, err = strconv.Atoi(h); err != nil {
			t.Fatal(err)
		}
	}
	if (header >= 0) != binary {
		t.Fatalf("asked for binary %v, got the header %d", binary, header)
	}
	resp, err := codec.DecodeResponse(got, header, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Outputs
}

// call sends req over gRPC with raw or typed contents.
func (s served) call(t *testing.T, model string, req *infer.Request, raw bool) []tensor.Tensor {
	t.Helper()
	copied := *req
	copied.Model = model
	wire, err := codec.AppendInferRequestGRPC(nil, &copied, raw)
	if err != nil {
		t.Fatal(err)
	}
	var msg oippb.ModelInferRequest
	unmarshal(t, wire, &msg)
	answer, err := s.grpc.ModelInfer(t.Context(), &msg)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := codec.DecodeInferResponseGRPC(marshal(t, answer), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Outputs
}

// everyWay asks for the same over every protocol and wants the same bits.
func (s served) everyWay(t *testing.T, model string, req *infer.Request) []tensor.Tensor {
	t.Helper()
	want := s.rest(t, model, req, false)
	for name, got := range map[string][]tensor.Tensor{
		"binary": s.rest(t, model, req, true), "gRPC raw": s.call(t, model, req, true), "gRPC typed": s.call(t, model, req, false),
	} {
		for i := range want {
			if d := tensor.Compare(&want[i], &got[i], tensor.Tolerance{}); !d.OK() {
				t.Errorf("%s differs from JSON in %q: %v", name, want[i].Name, d)
			}
		}
	}
	return want
}

// column reads the held-out rows of an example as columns.
func columns(t *testing.T, file string) (map[string][]string, int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for i, name := range rows[0] {
		for _, row := range rows[1:] {
			all[name] = append(all[name], row[i])
		}
	}
	return all, len(rows) - 1
}

func TestHeldOutDigitsAreRightOnEveryProtocol(t *testing.T) {
	s := serve(t, "digits")
	cols, rows := columns(t, "digits/heldout.csv")
	right := 0
	for i := range rows {
		pixels := make([]float32, 64)
		for j := range pixels {
			v, err := strconv.ParseFloat(cols[fmt.Sprintf("p%d", j)][i], 32)
			if err != nil {
				t.Fatal(err)
			}
			pixels[j] = float32(v)
		}
		out := s.everyWay(t, "digits", &infer.Request{Inputs: []tensor.Tensor{tensor.Of("pixels", []int64{1, 64}, pixels)}})
		label, ok := tensor.View[int64](&out[0])
		if !ok || len(label) != 1 {
			t.Fatalf("label = %v %v", out[0].Type, out[0].Shape)
		}
		if strconv.FormatInt(label[0], 10) == cols["label"][i] {
			right++
		}
	}
	t.Logf("%d of %d held-out digits are right", right, rows)
	if float64(right) < 0.97*float64(rows) {
		t.Errorf("%d of %d held-out digits are right, want at least 97%%", right, rows)
	}
}

func TestHeldOutPenguinsAreRightOnEveryProtocol(t *testing.T) {
	s := serve(t, "penguins")
	cols, rows := columns(t, "penguins/heldout.csv")
	right, asked := 0, 0
	for i := range rows {
		var in []tensor.Tensor
		missing := false
		for _, name := range []string{"island", "sex"} {
			in = append(in, tensor.OfStrings(name, []int64{1, 1}, cols[name][i]))
		}
		for _, name := range []string{"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"} {
			v, err := strconv.ParseFloat(cols[name][i], 32)
			missing = missing || err != nil // JSON has no number that says "not measured"
			in = append(in, tensor.Of(name, []int64{1, 1}, []float32{float32(v)}))
		}
		if missing {
			continue
		}
		asked++
		out := s.everyWay(t, "penguins", &infer.Request{Inputs: in})
		if len(out) != 3 || len(out[1].Shape) != 2 || out[1].Shape[1] != 3 || len(out[2].Strings) != 3 {
			t.Fatalf("want label, probabilities [1 3] and 3 keys, got %+v", out)
		}
		if string(out[0].Strings[0]) == cols["species"][i] {
			right++
		}
	}
	t.Logf("%d of %d held-out penguins are right", right, asked)
	if asked < 80 || float64(right) < 0.97*float64(asked) {
		t.Errorf("%d of %d held-out penguins are right, want at least 97%% of at least 80", right, asked)
	}
}

// The recorded requests are answered as recorded, by the models as committed.
func TestRecordedAnswers(t *testing.T) {
	for _, dir := range []string{"digits", "penguins"} {
		t.Run(dir, func(t *testing.T) {
			s := serve(t, dir)
			requests, err := s.Requests()
			if err != nil || len(requests) == 0 {
				t.Fatalf("%d recorded requests, %v", len(requests), err)
			}
			for _, r := range requests {
				req, err := r.Decode()
				if err != nil {
					t.Fatal(err)
				}
				req.Model = r.Model
				resp, err := s.Handler.Infer(t.Context(), req)
				if err != nil {
					t.Fatalf("%s: %v", r.Path, err)
				}
				if err := r.Want.Check(resp); err != nil {
					t.Errorf("%s: %v", r.Path, err)
				}
				if !r.Want.SameModel(resp.Digest) {
					t.Errorf("%s was recorded with the model %s, this is %s", r.Path, r.Want.ModelDigest, resp.Digest)
				}
				resp.Release()
			}
		})
	}
}
