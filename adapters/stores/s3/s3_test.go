package s3_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/s3"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opener(env map[string]string) store.Opener {
	return s3.Opener(&s3.Options{Getenv: func(name string) string { return env[name] }, PartSize: 5 << 20, Pause: time.Millisecond})
}

func TestBucket(t *testing.T) {
	srv := storefake.S3(t, "rows")
	open := opener(srv.S3Env())
	storetest.Run(t, storetest.Subject{Open: func(ctx context.Context) (store.Bucket, error) { return open(ctx, "rows") }, Large: 12 << 20})
	if n := srv.Uploads(); n != 0 {
		t.Errorf("%d uploads were left behind", n)
	}
}
