// Command claims is the part claims of the end-to-end runs: see run.sh.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/dynamodb"
	"godwit.dev/adapters/stores/dynamodb/dynamotest"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/claimtest"
)

func main() {
	testing.Init()
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch flag.Arg(0) {
	case "suite":
		err = suite(ctx)
	case "alike":
		err = alike(ctx)
	case "processes":
		err = processes(ctx, flag.Arg(1))
	case "worker":
		err = worker(ctx, flag.Arg(1), flag.Arg(2))
	case "queues":
		err = queues(ctx)
	default:
		err = fmt.Errorf("want suite, alike, processes or queues, got %q", flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "claims:", err)
		os.Exit(1)
	}
}

// test runs fn as a test, outside of go test, and ends the program.
func test(name string, fn func(*testing.T)) error {
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "e2e", F: func(t *testing.T) {
		if fn(t); !t.Failed() {
			fmt.Println("ok:", name)
		}
	}}}, nil, nil)
	return nil
}

// suite is claimtest against the server of the environment.
func suite(ctx context.Context) error {
	n := 0
	return test("the suite for tables", func(t *testing.T) {
		claimtest.Run(t, func(t *testing.T) store.Table {
			n++
			name := fmt.Sprint("suite-", n)
			if err := create(ctx, name); err != nil {
				t.Fatal(err)
			}
			table, err := dynamodb.Open(name, &dynamodb.Options{Getenv: os.Getenv})
			if err != nil {
				t.Fatal(err)
			}
			return table
		})
	})
}

// create makes a table as the documents say.
func create(ctx context.Context, name string) error {
	status, answer, err := call(ctx, os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), "CreateTable", `{"TableName": "`+name+`", "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}`)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("CreateTable: %d %v", status, answer)
	}
	return err
}

// call makes one signed call and decodes the answer.
func call(ctx context.Context, at, name, body string) (status int, answer map[string]any, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.URL.Path = "/"
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+name)
	awsauth.Sign(req, &awsauth.Credentials{ID: "key", Secret: "secret"}, "dynamodb", "eu-west-1", awsauth.Sum([]byte(body)), time.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, answer, json.Unmarshal(text, &answer)
}

// alike asks the server of our tests and the one of the environment the same.
func alike(ctx context.Context) error {
	if err := create(ctx, "alike"); err != nil {
		return err
	}
	return test("our server is as that one", func(t *testing.T) {
		ours := dynamotest.New(t, "alike")
		for i, c := range questions {
			body := strings.ReplaceAll(c.body, "TABLE", `"TableName": "alike"`)
			status, want, err := call(ctx, os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"), c.call, body)
			if err != nil {
				t.Fatal(err)
			}
			got, answer, err := call(ctx, ours.URL, c.call, body)
			if err != nil {
				t.Fatal(err)
			}
			if got != status || kind(answer) != kind(want) || !reflect.DeepEqual(answer["Item"], want["Item"]) {
				t.Errorf("%d: %s %s: want %d %v, got %d %v", i, c.call, body, status, want, got, answer)
			}
		}
		t.Logf("%d questions", len(questions))
	})
}

// kind is the name of an error; servers differ in what is before it.
func kind(answer map[string]any) string {
	text, _ := answer["__type"].(string)
	return text[strings.LastIndexByte(text, '#')+1:]
}

const (
	condition = `"ExpressionAttributeNames": {"#k": "id", "#s": "status", "#o": "owner", "#u": "until"}, "ExpressionAttributeValues": {":o": {"S": "me"}, ":p": {"S": "P"}, ":m": {"N": "10"}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"`
	free      = `"ConditionExpression": "attribute_not_exists(#k) OR (#s = :p AND (#u <= :m OR #o = :o))", ` + condition
)

// moto lets values be unused, which DynamoDB and ours refuse: that is not asked.
var questions = []struct{ call, body string }{
	{"GetItem", `{TABLE, "Key": {"id": {"S": "a"}}, "ConsistentRead": true}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}, "owner": {"S": "other"}, "until": {"N": "11"}}, ` + free + `}`},
	{"GetItem", `{TABLE, "Key": {"id": {"S": "a"}}, "ConsistentRead": true}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}, "owner": {"S": "me"}, "until": {"N": "12"}}, ` + free + `}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}, "owner": {"S": "other"}, "until": {"N": "10"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}, "owner": {"S": "me"}, "until": {"N": "20"}}, ` + free + `}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}, "owner": {"S": "me"}, "until": {"N": "30"}, "data": {"B": "AAH/"}, "empty": {"B": ""}, "none": {"S": ""}}, ` + free + `}`},
	{"GetItem", `{TABLE, "Key": {"id": {"S": "a"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "C"}}, ` + free + `}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "a"}, "status": {"S": "P"}}, ` + free + `}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "b"}}, "ConditionExpression": "#o = :o", "ExpressionAttributeNames": {"#o": "owner"}, "ExpressionAttributeValues": {":o": {"S": "me"}}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}`},
	{"DeleteItem", `{TABLE, "Key": {"id": {"S": "b"}}, "ConditionExpression": "#o = :o AND #s = :p", "ExpressionAttributeNames": {"#o": "owner", "#s": "status"}, "ExpressionAttributeValues": {":o": {"S": "me"}, ":p": {"S": "P"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "b"}, "status": {"S": "P"}, "owner": {"S": "me"}}}`},
	{"DeleteItem", `{TABLE, "Key": {"id": {"S": "b"}}, "ConditionExpression": "#o = :o AND #s = :p", "ExpressionAttributeNames": {"#o": "owner", "#s": "status"}, "ExpressionAttributeValues": {":o": {"S": "you"}, ":p": {"S": "P"}}}`},
	{"DeleteItem", `{TABLE, "Key": {"id": {"S": "b"}}, "ConditionExpression": "#o = :o AND #s = :p", "ExpressionAttributeNames": {"#o": "owner", "#s": "status"}, "ExpressionAttributeValues": {":o": {"S": "me"}, ":p": {"S": "P"}}}`},
	{"GetItem", `{TABLE, "Key": {"id": {"S": "b"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "c"}}, "ConditionExpression": "#o = :o", "ExpressionAttributeNames": {"#o": "owner", "#s": "status"}, "ExpressionAttributeValues": {":o": {"S": "me"}}}`},
	{"PutItem", `{TABLE, "Item": {"other": {"S": "c"}}}`},
	{"PutItem", `{"TableName": "nobodys", "Item": {"id": {"S": "c"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "large"}, "data": {"B": "` + strings.Repeat("AAAA", 140<<10) + `"}}}`},
	{"PutItem", `{TABLE, "Item": {"id": {"S": "fits"}, "data": {"B": "` + strings.Repeat("AAAA", 90<<10) + `"}}}`},
}

const items = 60

// processes has three processes get every item, each until all are answered, and
// kills one every 150 ms. Each run of the work is a line in a file.
func processes(ctx context.Context, dir string) error {
	if err := create(ctx, "processes"); err != nil {
		return err
	}
	var all sync.WaitGroup
	answers := make([]map[string]string, 3)
	errs := make([]error, 3)
	kills := 0
	for i := range answers {
		all.Go(func() {
			for {
				cmd := exec.CommandContext(ctx, os.Args[0], "worker", dir, fmt.Sprint(i))
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, os.Stderr
				if err := cmd.Start(); err != nil {
					errs[i] = err
					return
				}
				if i == 0 && kills < 10 {
					kills++
					end := time.AfterFunc(150*time.Millisecond, func() { _ = cmd.Process.Kill() })
					_ = cmd.Wait()
					end.Stop()
					continue
				}
				if errs[i] = cmd.Wait(); errs[i] == nil {
					errs[i] = json.Unmarshal(out.Bytes(), &answers[i])
				}
				return
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("process %d: %w", i, err)
		}
		if len(answers[i]) != items || !reflect.DeepEqual(answers[i], answers[0]) {
			return fmt.Errorf("process %d: %d answers, that are not those of process 0", i, len(answers[i]))
		}
	}
	runs, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil {
		return err
	}
	// A run that was killed counts for nothing, and is done again.
	if len(runs) < items || len(runs) > items+kills {
		return fmt.Errorf("%d runs of %d items with %d kills", len(runs), items, kills)
	}
	for key, answer := range answers[0] {
		if _, err := os.Stat(filepath.Join(dir, "runs", answer)); err != nil {
			return fmt.Errorf("%s: its answer %q is of no run", key, answer)
		}
	}
	fmt.Printf("ok: 3 processes over one table: %d items, %d kills, %d runs, the same %d answers for each\n", items, kills, len(runs), items)
	return nil
}

// worker does all items, whoever else does, and says what came of them.
func worker(ctx context.Context, dir, who string) error {
	table, err := dynamodb.Open("processes", &dynamodb.Options{Getenv: os.Getenv})
	if err != nil {
		return err
	}
	defer table.Close()
	claims := store.NewClaims(table, &store.ClaimOptions{Lease: time.Second})
	runs := filepath.Join(dir, "runs")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return err
	}
	answers := map[string]string{}
	for len(answers) < items {
		for i := range items {
			key := fmt.Sprint("item-", i)
			if answers[key] != "" {
				continue
			}
			answer, err := claims.Do(ctx, key, "v", func(context.Context) ([]byte, error) {
				f, err := os.CreateTemp(runs, who+"-"+key+"-*")
				if err != nil {
					return nil, err
				}
				<-time.After(20 * time.Millisecond) // what a model takes
				return []byte(filepath.Base(f.Name())), f.Close()
			})
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				continue // somebody is at it: it comes again
			}
			answers[key] = string(answer)
		}
		<-time.After(20 * time.Millisecond)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}
