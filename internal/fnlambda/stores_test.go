package fnlambda_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"godwit.dev/adapters/stores/s3"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/store"
)

// keep writes an object.
func keep(t *testing.T, b store.Bucket, key, text string) {
	t.Helper()
	w, err := b.Create(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// objects are all of a bucket's, by their keys.
func objects(t *testing.T, b store.Bucket) map[string]string {
	t.Helper()
	all := map[string]string{}
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Open(t.Context(), o.Key, o.Version, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		all[o.Key] = string(text)
	}
	return all
}

// A notification of S3 has its object scored, and a message its request
// answered, into the bucket, once however often they come; scores are not
// scored again.
func TestObjectsAndMessagesAreScoredIntoS3(t *testing.T) {
	const rows = "id,a_0,a_1,a_2,a_3,b0,b1,b2,b3\n7,11,22,33,44,9,18,27,36\n8,none,0,0,0,0,0,0,0\n"
	const request = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	fake := storefake.S3(t, "lake")
	env := fake.S3Env()
	bucket, err := s3.Opener(&s3.Options{Getenv: func(name string) string { return env[name] }})(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	keep(t, bucket, "rows/day one.csv", rows)
	keep(t, bucket, "elsewhere/x.csv", rows)

	dir := t.TempDir()
	yaml := "model: addsub.onnx\ntriggers: [objects, queue]\nbatch: {input: rows/, output: scores/, passThrough: [id]}\n"
	for name, data := range map[string][]byte{"godwit.yaml": []byte(yaml), "addsub.onnx": testmodels.AddSub().Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	launched := []string{"GODWIT_FUNCTION=" + dir, "GODWIT_OUTPUT=s3://lake/answers"}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		launched = append(launched, name+"="+env[name])
	}
	var out output
	i, err := emulate.Start(t.Context(), "awslambda", launch(&out, launched...), &emulate.Options{Variant: "direct"})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Cleanup(i.Kill)
	notice := func(key string) string {
		return fmt.Sprintf(`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-01-02T03:04:05.000Z","eventName":"ObjectCreated:Put",
			"s3":{"s3SchemaVersion":"1.0","bucket":{"name":"lake","arn":"arn:aws:s3:::lake"},"object":{"key":%q,"size":1,"eTag":"0","sequencer":"1"}}}]}`, key)
	}
	body, _ := json.Marshal(request)
	message := `{"Records":[{"messageId":"m1","receiptHandle":"r","body":` + string(body) + `,"attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1"},
		"messageAttributes":{},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:123456789012:rows","awsRegion":"us-east-1"}]}`
	var before map[string]string
	for range 2 { // the second time nothing changes
		for _, d := range []string{notice("rows/day+one.csv"), message} {
			reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(d)})
			if err != nil || reply.Retry || len(reply.Failed) > 0 || reply.Status != 200 {
				t.Fatalf("%+v, %v\n%s", reply, err, out.String())
			}
		}
		now := objects(t, bucket)
		if before != nil && !maps.Equal(before, now) {
			t.Errorf("a second delivery changed something: %v", now)
		}
		before = now
	}
	found := map[string]int{}
	for key, text := range before {
		switch {
		case strings.HasSuffix(key, "/part-00000.csv"):
			found["scores"]++
			if want := "id,sum_0,sum_1,sum_2,sum_3,diff_0,diff_1,diff_2,diff_3\n7,20,40,60,80,2,4,6,8\n"; text != want {
				t.Errorf("%s: got %s", key, text)
			}
		case strings.HasSuffix(key, "/part-00000.bad.jsonl"):
			found["bad"]++
		case strings.HasSuffix(key, "/manifest.json"):
			found["manifest"]++
			scored, _, _ := strings.Cut(key, "/day one.csv.")
			if scored != "answers/scores" || !strings.Contains(text, `"url": "s3://lake/rows/day one.csv"`) {
				t.Errorf("%s: %s", key, text)
			}
		case strings.HasPrefix(key, "answers/scores/") && strings.Count(key, "/") == 2:
			found["answer"]++
			if !strings.Contains(text, `"data":[2,3,4,5]`) {
				t.Errorf("%s: %s", key, text)
			}
		}
	}
	if want := (map[string]int{"scores": 1, "bad": 1, "manifest": 1, "answer": 1}); !maps.Equal(found, want) {
		t.Errorf("found %v of %v, want %v", found, slices.Sorted(maps.Keys(before)), want)
	}
	for _, key := range []string{"elsewhere/x.csv", "answers/scores/x.csv"} {
		if _, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(notice(key))}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := len(objects(t, bucket)) - len(before); diff != 0 {
		t.Errorf("%d more objects for what is not below batch.input", diff)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
