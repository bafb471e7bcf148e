package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

// Each canary is in one place of what callers send. None of them may come out
// of the server anywhere but in the answer to who sent it.
var canaries = map[string]string{
	"key": "Canary0Key0of0enough0letters", "wrong key": "Canary1Key1of1enough1letters", "cookie": "Canary2Cookie", "header": "Canary3Header",
	"header name": "Canary4-Name", "query": "Canary5Query", "model": "Canary6Model", "path": "Canary7Path", "agent": "Canary8Agent",
	"tracestate": "canary9=state", "input name": "Canary10Input", "value": "Canary11Value", "parameter": "Canary12Param",
	"parameter value": "Canary13ParamValue", "output": "Canary14Output", "broken": "Canary15Broken", "version": "Canary16Version",
	"metadata": "canary17metadata", "method": "Canary18Method", "content type": "canary19/type", "encoding": "canary20",
}

// A server logs, counts and prints what it does, and nothing of what it is sent.
func TestNothingThatCallersSendComesOut(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text.onnx"), testmodels.Identity(onnx.String, "n").Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte("model: text.onnx\nauth: key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODWIT_API_KEYS", canaries["key"])
	log, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := start(t, dir, log)

	var answers bytes.Buffer // what may not be told to anybody: nothing of the credentials
	call := func(method, path, body string, header ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header[header[i]] = []string{header[i+1]}
		}
		if r.Header["X-Api-Key"] == nil {
			r.Header.Set("X-Api-Key", canaries["key"])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_ = resp.Header.Write(&answers)
		if _, err := io.Copy(&answers, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	const infer = "/v2/models/text/infer"
	text := func(input, value, more string) string {
		return fmt.Sprintf(`{"inputs":[{"name":%q,"shape":[1],"datatype":"BYTES","data":[%q]}]%s}`, input, value, more)
	}
	jsonType := []string{"Content-Type", "application/json"}
	good := text("x", canaries["value"], "")
	call("POST", infer, good, jsonType...)
	call("POST", infer, good, append(jsonType, "Cookie", canaries["cookie"], "X-Other", canaries["header"], canaries["header name"], "v",
		"User-Agent", canaries["agent"], "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", canaries["tracestate"])...)
	call("POST", infer+"?"+canaries["query"]+"=1", good, jsonType...)
	call("POST", infer, good, append(jsonType, "X-Api-Key", canaries["wrong key"])...)
	call("POST", infer, good, append(jsonType, "X-Api-Key", "", "Authorization", "Bearer "+canaries["wrong key"])...)
	call("POST", "/v2/models/"+canaries["model"]+"/infer", good, jsonType...)
	call("POST", "/v2/models/text/versions/"+canaries["version"]+"/infer", good, jsonType...)
	call("GET", "/"+canaries["path"], "")
	call(canaries["method"], infer, "")
	call("POST", infer, text(canaries["input name"], canaries["value"], ""), jsonType...)
	call("POST", infer, text("x", canaries["value"], `,"parameters":{"`+canaries["parameter"]+`":"`+canaries["parameter value"]+`"}`), jsonType...)
	call("POST", infer, text("x", canaries["value"], `,"outputs":[{"name":"`+canaries["output"]+`"}]`), jsonType...)
	call("POST", infer, `{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":[`+canaries["broken"], jsonType...)
	call("POST", infer, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":["`+canaries["broken"]+`"]}]}`, jsonType...)
	call("POST", infer, good, "Content-Type", canaries["content type"])
	call("POST", infer, good, append(jsonType, "Content-Encoding", canaries["encoding"])...)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, good)
	_ = z.Close()
	call("POST", infer, packed.String(), append(jsonType, "Content-Encoding", "gzip")...)
	call("POST", infer, packed.String()[:20], append(jsonType, "Content-Encoding", "gzip")...)

	cc, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for _, key := range []string{canaries["key"], canaries["wrong key"]} {
		for _, model := range []string{"text", canaries["model"]} {
			for _, input := range []string{"x", canaries["input name"]} {
				ctx := metadata.AppendToOutgoingContext(context.Background(), "x-api-key", key, "x-other", canaries["metadata"])
				_, err := oippb.NewGRPCInferenceServiceClient(cc).ModelInfer(ctx, &oippb.ModelInferRequest{ModelName: model, Inputs: []*oippb.ModelInferRequest_InferInputTensor{{
					Name: input, Datatype: "BYTES", Shape: []int64{1}, Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte(canaries["value"])}},
				}}})
				fmt.Fprintln(&answers, err)
			}
		}
	}
	before := answers.Len()
	call("GET", "/metrics", "")
	metrics := answers.String()[before:]

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stdout, _ := io.ReadAll(s.output)
	if code := s.stopped(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	stderr, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(stderr, []byte(`"text"`)) || !strings.Contains(metrics, "godwit_requests_total") {
		t.Fatalf("nothing was logged or counted:\n%s\n%s", stderr, metrics)
	}
	for place, canary := range canaries {
		for what, out := range map[string]string{"the log": string(stderr), "stdout": string(stdout), "the metrics": metrics} {
			if i := strings.Index(strings.ToLower(out), strings.ToLower(canary)); i >= 0 {
				t.Errorf("%s tells the %s: …%s…", what, place, out[max(0, i-200):min(len(out), i+100)])
			}
		}
	}
	for _, place := range []string{"key", "wrong key", "cookie", "header", "header name", "query", "agent", "metadata"} {
		if strings.Contains(answers.String(), canaries[place]) {
			t.Errorf("an answer tells the %s", place)
		}
	}
}
