package app

import (
	"context"
	"path/filepath"

	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
)

// PlayedStores is the variable that names a folder which plays all stores, where
// a platform is played: what s3://BUCKET/KEY names is its s3/BUCKET/KEY.
const PlayedStores = "GODWIT_STORES"

// Stores are the files of this machine and the stores of openers, by scheme. The
// caller closes them. Nothing is asked before the first object is.
func (p *Process) Stores(openers map[string]store.Opener) *store.Set {
	all := map[string]store.Opener{"file": folder.Open}
	for scheme, open := range openers {
		all[scheme] = open
		if dir := p.Getenv(PlayedStores); dir != "" {
			all[scheme] = func(ctx context.Context, bucket string) (store.Bucket, error) {
				return folder.Open(ctx, filepath.Join(dir, scheme, filepath.FromSlash(bucket)))
			}
		}
	}
	return store.NewSet(all)
}
