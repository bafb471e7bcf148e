//go:build e2e

// Package stores holds the drivers of stores to the suite over servers that are
// processes of their own. e2e/stores/run.sh starts them and names them in the
// environment.
package stores

import (
	"context"
	"os"
	"testing"

	"godwit.dev/adapters/stores/azblob"
	"godwit.dev/adapters/stores/gcs"
	"godwit.dev/adapters/stores/s3"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/storetest"
)

// bucket is what all of them have.
const bucket = "godwit-e2e"

func run(t *testing.T, open store.Opener, name string, refuses ...string) {
	t.Helper()
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
