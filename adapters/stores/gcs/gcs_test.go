package gcs_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/gcs"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opener(env map[string]string) store.Opener {
	return gcs.Opener(&gcs.Options{Getenv: func(name string) string { return env[name] }, PartSize: 1 << 20, Pause: time.Millisecond})
}

func TestBucket(t *testing.T) {
	srv := storefake.GCS(t, "rows")
	open := opener(srv.GCSEnv())
	storetest.Run(t, storetest.Subject{Open: func(ctx context.Context) (store.Bucket, error) { return open(ctx, "rows") }, Large: 4 << 20})
	if n := srv.Uploads(); n != 0 {
		t.Errorf("%d uploads were left behind", n)
	}
}
