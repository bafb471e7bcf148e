// Package dynamotest is a server of the three calls of DynamoDB that claims need,
// in memory, for tests. e2e/claims asks it and moto the same and compares.
package dynamotest

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server is one table. Its settings are set before it is asked.
type Server struct {
	*httptest.Server
	// Before is told the call, such as "PutItem", and how many came before it. A
	// status other than 0 is the answer, with a type of error; nothing is done.
	Before func(r *http.Request, call string, n int) (status int, kind string)
	// After is as Before, once the call is done: what is then lost is the answer alone.
	After func(r *http.Request, call string, n int) (status int, kind string)
	// Mute leaves out of refusals what is there, as old servers do.
	Mute bool

	table string
	mu    sync.Mutex
	calls int
	items map[string]map[string]value
}

// New starts a server of a table with the partition key "id". It ends with the test.
func New(t testing.TB, table string) *Server {
	s := &Server{table: table, items: map[string]map[string]value{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Getenv is the environment of somebody who may use the server.
func (s *Server) Getenv(name string) string {
	return map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
}

// Calls is how many calls came.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// value is an attribute: its type and what it is, "N": "1".
type value map[string]string

type request struct {
	TableName                           string
	Item, Key                           map[string]value
	ConditionExpression                 string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           map[string]value
	ReturnValuesOnConditionCheckFailure string
	ConsistentRead                      bool
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	call := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	s.mu.Lock()
	n := s.calls
	s.calls++
	s.mu.Unlock()
	if s.Before != nil {
		if status, kind := s.Before(r, call, n); status != 0 {
			refuse(w, status, kind, "as the test wants")
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	var q request
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.0":
		refuse(w, 404, "UnknownOperationException", "")
		return
	case err != nil:
		refuse(w, 400, "SerializationException", err.Error())
		return
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=key/") || !strings.Contains(r.Header.Get("Authorization"), "/dynamodb/aws4_request"):
		refuse(w, 400, "UnrecognizedClientException", "The security token included in the request is invalid.")
		return
	case q.TableName != s.table:
		refuse(w, 400, "ResourceNotFoundException", "Requested resource not found")
		return
	}
	status, answer := s.do(call, &q)
	if s.After != nil {
		if status, kind := s.After(r, call, n); status != 0 {
			refuse(w, status, kind, "as the test wants")
			return
		}
	}
	reply(w, status, answer)
}

func reply(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // of maps and strings
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, refusal(kind, message))
}

func refusal(kind, message string) map[string]any {
	return map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + kind, "message": message}
}

// maxItem is the most bytes of names and values in an item.
const maxItem = 400 << 10

func (s *Server) do(call string, q *request) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := q.Key
	if call == "PutItem" {
		from = q.Item
	}
	id, ok := from["id"]["S"]
	if !ok || id == "" || len(id) > 2048 {
		return 400, refusal("ValidationException", "One or more parameter values were invalid: Missing the key id in the item")
	}
	there := s.items[id]
	if q.ConditionExpression != "" {
		holds, err := holds(q, there)
		switch {
		case err != nil:
			return 400, refusal("ValidationException", err.Error())
		case !holds:
			no := refusal("ConditionalCheckFailedException", "The conditional request failed")
			if q.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && there != nil && !s.Mute {
				no["Item"] = there
			}
			return 400, no
		}
	}
	switch call {
	case "PutItem":
		size := 0
		for name, v := range q.Item {
			for kind, text := range v {
				if size += len(name) + len(text); kind == "B" {
					size -= len(text) / 4
				}
			}
		}
		if size > maxItem {
			return 400, refusal("ValidationException", "Item size has exceeded the maximum allowed size")
		}
		s.items[id] = q.Item
	case "DeleteItem":
		delete(s.items, id)
	case "GetItem":
		if there == nil {
			return 200, map[string]any{}
		}
		return 200, map[string]any{"Item": there}
	default:
		return 400, refusal("UnknownOperationException", fmt.Sprintf("no call %q here", call))
	}
	return 200, map[string]any{}
}
