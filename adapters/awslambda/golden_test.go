package awslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/trigger"
)

// Every sample event of aws-lambda-go: which are requests, which are scored and
// as what, which are acknowledged though there is nothing to do, and which are
// refused.
func TestSamplesOfAWS(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-lambda-go")
	list.Env = append(os.Environ(), "GOPROXY=off")
	dir, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(string(bytes.TrimSpace(dir)), "events", "testdata", "*.json"))
	if err != nil || len(files) < 90 {
		t.Fatalf("want the samples in %s, got %d, %v", dir, len(files), err)
	}
	var table bytes.Buffer
	for _, file := range files {
		event, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&table, "%s: %s\n", strings.TrimSuffix(filepath.Base(file), ".json"), verdict(t.Context(), event))
	}
	golden.Check(t, "events.golden", table.Bytes())
}

// verdict is what becomes of an event, in a line.
func verdict(ctx context.Context, event []byte) string {
	said := "acknowledged"
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		said = fmt.Sprintf("request %s %s, %d bytes", r.Method, r.URL.RequestURI(), r.ContentLength)
	})
	h := awslambda.New(api, trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		said = fmt.Sprintf("scored, %s, order %d", ev.Kind, ev.Order)
		out := make([]trigger.Outcome, len(ev.Items))
		for i, item := range ev.Items {
			out[i] = trigger.Outcome{State: trigger.Done}
			if item.Object != nil {
				said += fmt.Sprintf(", %s at %s", item.Object.URL(), item.Object.Version)
			} else {
				said += fmt.Sprintf(", %d bytes", len(item.Data))
			}
		}
		return out
	}), &awslambda.Options{Model: "m"})
	reply, err := h.Invoke(ctx, event)
	var told messages.InvokeResponse_Error
	if errors.As(err, &told) {
		return "refused as " + told.Type + ": " + told.Message
	}
	if !strings.HasPrefix(said, "request") {
		said += "; " + string(reply)
	}
	return said
}
