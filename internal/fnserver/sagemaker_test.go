package fnserver_test

import (
	"net/http"
	"strings"
	"testing"

	"godwit.dev/internal/emulate"
)

// onSageMaker starts a function folder with this godwit.yaml in a container of SageMaker.
func onSageMaker(t *testing.T, yaml string) (*emulate.Instance, error) {
	t.Helper()
	i, _, err := on(t, "sagemaker", []string{"serve"}, yaml, "GODWIT_API_KEYS="+strings.Repeat("k", 32))
	return i, err
}

// A transform job's lines are scored and go back, also where the spec says that
// scores go elsewhere; a bad one costs only itself.
func TestLinesOfTransformJobs(t *testing.T) {
	i, err := onSageMaker(t, "triggers: [queue]\nbatch: {input: rows/, output: s3://bucket/scores/}\n")
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Header: http.Header{"Content-Type": {"application/jsonlines"}, "Split-Type": {"Line"}, "Batch-Strategy": {"MultiRecord"}},
		Body: []byte(line + "\nno JSON\n" + line + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(reply.Body), "\n")
	if reply.Status != http.StatusOK || len(lines) != 4 || !strings.Contains(lines[0], `"data":[2,3,4,5]`) || !strings.Contains(lines[1], `"code":"invalid"`) || !strings.Contains(lines[2], `"data":[2,3,4,5]`) {
		t.Errorf("%d: %s", reply.Status, reply.Body)
	}
}

// What lets nobody in is no way to serve.
func TestKeysOnSageMaker(t *testing.T) {
	for _, yaml := range []string{"auth: key\n", "auth: {jwt: {issuer: https://127.0.0.1:1, audience: [a]}}\n"} {
		if _, err := onSageMaker(t, yaml); err == nil || !strings.Contains(err.Error(), "exit code 12") || !strings.Contains(err.Error(), "Say auth: platform") {
			t.Errorf("%s: want a function that is refused with the choices, got %v", yaml, err)
		}
	}
	if _, err := onSageMaker(t, "auth: none\n"); err != nil {
		t.Error(err)
	}
}
