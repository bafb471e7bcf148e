package fnserver

import (
	"godwit.dev/adapters/stores/azblob"
	"godwit.dev/adapters/stores/gcs"
	"godwit.dev/adapters/stores/s3"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/store"
)

// Stores are all that a URL of rows or scores can name. The caller closes them.
// Credentials and endpoints are those of the process's environment.
func Stores(p *app.Process) *store.Set {
	return p.Stores(map[string]store.Opener{
		"s3":     s3.Opener(&s3.Options{Getenv: p.Getenv}),
		"gs":     gcs.Opener(&gcs.Options{Getenv: p.Getenv}),
		"azblob": azblob.Opener(&azblob.Options{Getenv: p.Getenv}),
	})
}
