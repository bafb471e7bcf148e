//go:build e2e

// Package stores holds the drivers of stores to the suite over servers that are
// processes of their own. e2e/stores/run.sh starts them and names them in the
// environment.
package stores

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"godwit.dev/adapters/stores/azblob"
	"godwit.dev/adapters/stores/dynamodb"
	"godwit.dev/adapters/stores/gcs"
	"godwit.dev/adapters/stores/s3"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/claimtest"
	"godwit.dev/runtime/store/storetest"
)

// bucket is what all of them have.
const bucket = "godwit-e2e"

func run(t *testing.T, open store.Opener, name string, refuses ...string) {
	t.Helper()
	t.Parallel()
	storetest.Run(t, storetest.Subject{Refuses: refuses, Open: func(ctx context.Context) (store.Bucket, error) { return open(ctx, name) }})
}

// with is the environment with other values for some variables.
func with(pairs map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := pairs[name]; ok {
			return v
		}
		return os.Getenv(name)
	}
}

func TestVersityGW(t *testing.T) {
	run(t, s3.Opener(&s3.Options{Getenv: with(map[string]string{"AWS_ENDPOINT_URL_S3": "http://" + os.Getenv("VERSITYGW")})}), bucket, "a/b") // its objects are files, and none is another's folder
}

func TestMoto(t *testing.T) {
	run(t, s3.Opener(&s3.Options{Getenv: with(map[string]string{"AWS_ENDPOINT_URL_S3": "http://" + os.Getenv("MOTO")})}), bucket)
}

func TestFakeGCSServer(t *testing.T) {
	run(t, gcs.Opener(&gcs.Options{Getenv: with(map[string]string{"STORAGE_EMULATOR_HOST": os.Getenv("GCS")})}), bucket)
}

func TestAzurite(t *testing.T) {
	run(t, azblob.Opener(&azblob.Options{Getenv: os.Getenv}), "devstoreaccount1/"+bucket, `back\slash`, "...", "trailing.")
}

// Claims in DynamoDB, each time in a table that has just been made.
func TestMotoDynamoDB(t *testing.T) {
	t.Parallel()
	made := atomic.Int32{}
	claimtest.Run(t, func(t *testing.T) store.Table {
		name := fmt.Sprintf("claims-%d", made.Add(1))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+os.Getenv("MOTO"), strings.NewReader(fmt.Sprintf(
			`{"TableName":%q,"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`, name)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.0")
		req.Header.Set("X-Amz-Target", "DynamoDB_20120810.CreateTable")
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("a table: %v, %d %s", err, resp.StatusCode, text)
		}
		table, err := dynamodb.Open(name, &dynamodb.Options{Getenv: with(map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": "http://" + os.Getenv("MOTO")})})
		if err != nil {
			t.Fatal(err)
		}
		return table
	})
}
