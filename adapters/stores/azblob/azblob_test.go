package azblob_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/azblob"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opener(env map[string]string) store.Opener {
	return azblob.Opener(&azblob.Options{Getenv: func(name string) string { return env[name] }, PartSize: 1 << 20, Pause: time.Millisecond})
}

func TestBucket(t *testing.T) {
	srv := storefake.Azure(t, "rows")
	open := opener(srv.AzureEnv())
	storetest.Run(t, storetest.Subject{Open: func(ctx context.Context) (store.Bucket, error) { return open(ctx, storefake.AzureAccount+"/rows") }, Refuses: []string{`back\slash`, "...", "trailing."}, Large: 4 << 20})
}
