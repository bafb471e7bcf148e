package fnlambda

import (
	"godwit.dev/adapters/stores/dynamodb"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/store"
)

// tables are all that batch.claims can name beside files.
func tables(p *app.Process) map[string]func(string) (store.Table, error) {
	return map[string]func(string) (store.Table, error){
		"dynamodb": func(name string) (store.Table, error) {
			return dynamodb.Open(name, &dynamodb.Options{Getenv: p.Getenv})
		},
	}
}
