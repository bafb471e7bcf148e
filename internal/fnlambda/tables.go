package fnlambda

import (
	"godwit.dev/adapters/stores/dynamodb"
	"godwit.dev/adapters/stores/queue"
	"godwit.dev/functions/batch"
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

// queueOf opens what batch.split can name on Lambda, whose queue it is.
func queueOf(p *app.Process) func(string) (batch.Queue, error) {
	return func(url string) (batch.Queue, error) {
		q, err := queue.OpenSQS(url, &queue.Options{Getenv: p.Getenv})
		if err != nil {
			return nil, err
		}
		return q, nil
	}
}
