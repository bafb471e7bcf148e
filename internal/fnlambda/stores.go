package fnlambda

import (
	"godwit.dev/adapters/stores/s3"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/store"
)

// stores are what a function on Lambda reads and writes: S3, and the file
// systems that are mounted. They live as long as the process.
func stores(p *app.Process) *store.Set {
	return p.Stores(map[string]store.Opener{"s3": s3.Opener(&s3.Options{Getenv: p.Getenv})})
}
