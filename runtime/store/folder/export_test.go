package folder

import (
	"context"

	"godwit.dev/runtime/store"
)

// OpenNamed is Open for a system on which every file has a name.
func OpenNamed(ctx context.Context, root string) (store.Bucket, error) {
	b, err := Open(ctx, root)
	if err == nil {
		b.(*Bucket).named = true
	}
	return b, err
}
