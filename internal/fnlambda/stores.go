package fnlambda

import (
	"godwit.dev/adapters/stores/s3"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
)

// stores are what a function on Lambda reads and writes: S3, and the file
// systems that are mounted. They live as long as the process.
func stores(p *app.Process) *store.Set {
	return store.NewSet(map[string]store.Opener{"file": folder.Open, "s3": s3.Opener(&s3.Options{Getenv: p.Getenv})})
}
