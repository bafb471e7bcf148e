package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/testmodels"
)

// sqs plays a queue: what of SQS's JSON protocol a redrive needs.
type sqs struct {
	mu      sync.Mutex
	bodies  map[string]string // by message id, which is the receipt, too
	order   []string
	hidden  map[string]bool
	refused string // the action that is refused, if any
}

func (q *sqs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var in struct {
		QueueUrl            string
		MaxNumberOfMessages int
		Entries             []struct {
			Id, ReceiptHandle string
			VisibilityTimeout *int
		}
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/sqs/") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if err != nil || action == q.refused || !strings.HasSuffix(in.QueueUrl, "/123456789012/rows-dlq") {
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such queue"}`))
		return
	}
	var out any
	switch action {
	case "ReceiveMessage":
		messages := []map[string]any{}
		for _, id := range q.order {
			if q.hidden[id] || q.bodies[id] == "" || len(messages) == min(in.MaxNumberOfMessages, 2) {
				continue
			}
			q.hidden[id] = true
			messages = append(messages, map[string]any{"MessageId": id, "ReceiptHandle": id, "Body": q.bodies[id],
				"Attributes":        map[string]string{"ApproximateReceiveCount": "1", "SentTimestamp": "1", "DeadLetterQueueSourceArn": "arn:aws:sqs:eu-west-1:123456789012:rows"},
				"MessageAttributes": map[string]any{"model": map[string]string{"DataType": "String", "StringValue": "addsub"}}})
		}
		out = map[string]any{"Messages": messages}
	case "DeleteMessageBatch":
		for _, e := range in.Entries {
			delete(q.bodies, e.ReceiptHandle)
		}
		out = map[string]any{"Successful": in.Entries, "Failed": []string{}}
	case "ChangeMessageVisibilityBatch":
		for _, e := range in.Entries {
			if e.VisibilityTimeout != nil && *e.VisibilityTimeout == 0 {
				q.hidden[e.ReceiptHandle] = false
			}
		}
		out = map[string]any{"Successful": in.Entries}
	}
	json.NewEncoder(w).Encode(out)
}

func runScore(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	godwit, err := exec.LookPath("godwit")
	if err != nil {
		t.Fatal(err)
	}
	var out, errors strings.Builder
	cmd := exec.Command(godwit, append([]string{"score"}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-west-1")
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errors.String(), cmd.ProcessState.ExitCode()
}

// Messages that failed for good are answered under the names that they would have
// had, and removed; those that fail again stay, visible.
func TestRedriveOfADeadLetterQueue(t *testing.T) {
	const good = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	q := &sqs{bodies: map[string]string{}, hidden: map[string]bool{}}
	for _, m := range []struct{ id, body string }{{"m1", good}, {"m2", `{"inputs":[]}`}, {"m3", good}, {"m4", "no request"}, {"m5", good}} {
		q.order, q.bodies[m.id] = append(q.order, m.id), m.body
	}
	server := httptest.NewServer(q)
	defer server.Close()
	queue, dir := server.URL+"/123456789012/rows-dlq", t.TempDir()
	model, scores := testmodels.AddSub().File(t, "addsub"), filepath.Join(dir, "mended")
	stdout, stderr, code := runScore(t, model, queue, scores, "--redrive", "--json")
	var got struct {
		Done, Left int
		Failed     []struct{ Item, Code string }
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 6 {
		t.Fatalf("exit %d, want 6: %v\n%s%s", code, err, stdout, stderr)
	}
	slices.SortFunc(got.Failed, func(a, b struct{ Item, Code string }) int { return strings.Compare(a.Item, b.Item) })
	if want := []struct{ Item, Code string }{{"m2", "invalid"}, {"m4", "invalid"}}; got.Done != 3 || got.Left != 2 || !cmp.Equal(want, got.Failed) {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(map[string]string{"m2": `{"inputs":[]}`, "m4": "no request"}, q.bodies); diff != "" {
		t.Errorf("in the queue (-want +got):\n%s", diff)
	}
	if q.hidden["m2"] || q.hidden["m4"] {
		t.Error("what stays is hidden")
	}
	files, err := os.ReadDir(scores)
	if err != nil || len(files) != 3 {
		t.Fatalf("want 3 answers, got %v, %v", files, err)
	}
	for _, id := range []string{"m1", "m3", "m5"} {
		answer, err := os.ReadFile(filepath.Join(scores, batch.Name("arn:aws:sqs:eu-west-1:123456789012:rows/"+id, digestOf(t, files, scores))))
		if err != nil || !strings.Contains(string(answer), `"data":[2,3,4,5]`) {
			t.Errorf("%s: %s, %v", id, answer, err)
		}
	}

	// Nothing is removed that SQS would not hear of, and what it says is told.
	q.mu.Lock()
	q.refused = "ReceiveMessage"
	q.mu.Unlock()
	if _, stderr, code := runScore(t, model, queue, scores, "--redrive"); code != 4 || !strings.Contains(stderr, "QueueDoesNotExist no such queue") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if _, stderr, code := runScore(t, model, server.URL+"/", scores, "--redrive"); code != 2 || !strings.Contains(stderr, "want the URL of an SQS queue") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// digestOf is the model's digest, as an answer tells it.
func digestOf(t *testing.T, files []os.DirEntry, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Parameters map[string]any
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	digest, _ := answer.Parameters["model_digest"].(string)
	return digest
}
