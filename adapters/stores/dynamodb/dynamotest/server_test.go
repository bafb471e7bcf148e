package dynamotest_test

import (
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/dynamodb/dynamotest"
)

type doc = map[string]any

// ask makes a call as somebody who may, but for what change does.
func ask(t *testing.T, s *dynamotest.Server, call string, q any, change func(r *http.Request)) (int, doc) {
	t.Helper()
	text, ok := q.(string)
	if !ok {
		b, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	r, err := http.NewRequest(http.MethodPost, s.URL+"/", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"DynamoDB_20120810." + call}, "Authorization": {"AWS4-HMAC-SHA256 Credential=key/20260101/eu-west-1/dynamodb/aws4_request, Signature=any"}}
	if change != nil {
		change(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer doc
	if err := json.Unmarshal(body, &answer); err != nil || resp.Header.Get("X-Amz-Crc32") != strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10) || resp.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
		t.Errorf("answered %q by %v, %v", body, resp.Header, err)
	}
	return resp.StatusCode, answer
}

func put(item doc, more ...any) doc {
	q := doc{"TableName": "claims", "Item": item}
	for i := 0; i < len(more); i += 2 {
		q[more[i].(string)] = more[i+1]
	}
	return q
}

func s(v string) doc { return doc{"S": v} }
func n(v string) doc { return doc{"N": v} }

// says is what an error is called, and its words.
func says(kind, message string) doc {
	return doc{"__type": "com.amazonaws.dynamodb.v20120810#" + kind, "message": message}
}

func TestCalls(t *testing.T) {
	srv := dynamotest.New(t, "claims")
	key := doc{"TableName": "claims", "Key": doc{"id": s("k")}}
	missing := says("ValidationException", "One or more parameter values were invalid: Missing the key id in the item")
	k := doc{"id": s("k"), "a": n("1")}
	for i, tt := range []struct {
		call   string
		q      any
		change func(r *http.Request)
		status int
		want   doc
	}{
		{"GetItem", key, nil, 200, doc{}},
		{"PutItem", put(k), nil, 200, doc{}},
		{"GetItem", key, nil, 200, doc{"Item": k}},
		{"PutItem", put(doc{"id": s("k")}), nil, 200, doc{}},
		{"GetItem", key, nil, 200, doc{"Item": doc{"id": s("k")}}},
		{"DeleteItem", key, nil, 200, doc{}},
		{"GetItem", key, nil, 200, doc{}},
		{"DeleteItem", key, nil, 200, doc{}},
		{"PutItem", put(doc{"a": s("k")}), nil, 400, missing},
		{"PutItem", put(doc{"id": s("")}), nil, 400, missing},
		{"PutItem", put(doc{"id": n("1")}), nil, 400, missing},
		{"GetItem", doc{"TableName": "claims", "Key": doc{"id": s(strings.Repeat("k", 2049))}}, nil, 400, missing},
		{"GetItem", doc{"TableName": "claims", "Key": doc{"id": s(strings.Repeat("k", 2048))}}, nil, 200, doc{}},
		{"PutItem", put(doc{"id": s("k"), "a": s(strings.Repeat("x", 400<<10-4))}), nil, 200, doc{}},
		{"PutItem", put(doc{"id": s("k"), "a": s(strings.Repeat("x", 400<<10-3))}), nil, 400, says("ValidationException", "Item size has exceeded the maximum allowed size")},
		{"PutItem", put(doc{"id": s("k"), "a": doc{"B": strings.Repeat("x", 500<<10)}}), nil, 200, doc{}}, // in base64
		{"Scan", key, nil, 400, says("UnknownOperationException", `no call "Scan" here`)},
		{"GetItem", doc{"TableName": "other", "Key": doc{"id": s("k")}}, nil, 400, says("ResourceNotFoundException", "Requested resource not found")},
		{"GetItem", key, func(r *http.Request) { r.Header.Del("Authorization") }, 400, says("UnrecognizedClientException", "The security token included in the request is invalid.")},
		{"GetItem", key, func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=key/20260101/eu-west-1/s3/aws4_request")
		}, 400, says("UnrecognizedClientException", "The security token included in the request is invalid.")},
		{"GetItem", key, func(r *http.Request) { r.Method = http.MethodPut }, 404, says("UnknownOperationException", "")},
		{"GetItem", key, func(r *http.Request) { r.URL.Path = "/x" }, 404, says("UnknownOperationException", "")},
		{"GetItem", key, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 404, says("UnknownOperationException", "")},
	} {
		status, answer := ask(t, srv, tt.call, tt.q, tt.change)
		if diff := cmp.Diff(tt.want, answer); diff != "" || status != tt.status {
			t.Errorf("number %d, %s: %d, want %d (-want +got):\n%s", i, tt.call, status, tt.status, diff)
		}
		if srv.Calls() != i+1 {
			t.Errorf("number %d: %d calls", i, srv.Calls())
		}
	}
	if status, answer := ask(t, srv, "GetItem", "x", nil); status != 400 || answer["__type"] != "com.amazonaws.dynamodb.v20120810#SerializationException" {
		t.Errorf("no JSON: %d, %v", status, answer)
	}
	for name, want := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": srv.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": ""} {
		if got := srv.Getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The language of conditions, and what is said of what is not of it.
func TestConditions(t *testing.T) {
	const no, bad = "The conditional request failed", "Invalid ConditionExpression: "
	for condition, want := range map[string]string{
		"#a = :one": "", "#a = :two": no, "#a <= :one": "", "#a <= :two": "", "#a <= :none": no, "#t = :x": "", "#t <= :y": "", "#t <= :w": no, "#t = :one": no, "#gone = :one": no, "attribute_not_exists(#gone)": "", "attribute_not_exists(#a)": no,
		"#a = :one AND #t = :x": "", "#a = :one AND #t = :y": no, "#a = :two AND #t = :x": no, "#a = :two OR #t = :x": "", "#a = :one OR #t = :y": "", "#a = :two OR #t = :y": no,
		"#a = :two AND #t = :y OR #a = :one": "", "#a = :two AND (#t = :y OR #a = :one)": no, "(#a = :one)": "", " ( #a=:one ) ": "", "#a = :one OR #a = :one AND #a = :two": "",
		"#a": bad + "Syntax error; it ends too early", "#a = :one)": bad + "Syntax error; token: )", "(#a = :one": bad + "Syntax error; it ends too early", "(#a = :one OR #a = :one #a": bad + "Syntax error; token: #a",
		"#a < :one": bad + `Syntax error; token: " < :one"`, "a = :one": bad + "Syntax error; token: a", "#a AND :one": bad + "Syntax error; token: AND", "attribute_not_exists #a": bad + "Syntax error; token: #a", "attribute_not_exists(#a": bad + "Syntax error; it ends too early",
		"#b = :one": bad + "An expression attribute name used in the document path is not defined; attribute name: #b", "#a = :three": bad + "An expression attribute value used in expression is not defined; attribute value: :three",
	} {
		names, values := doc{}, doc{}
		for name, attribute := range map[string]string{"#a": "a", "#t": "t", "#gone": "gone"} {
			if strings.Contains(condition, name) {
				names[name] = attribute
			}
		}
		for name, value := range map[string]doc{":one": n("10"), ":two": n("11"), ":none": n("9"), ":x": s("x"), ":y": s("y"), ":w": s("w")} {
			if strings.Contains(condition, name) {
				values[name] = value
			}
		}
		srv := dynamotest.New(t, "claims")
		ask(t, srv, "PutItem", put(doc{"id": s("k"), "a": n("10"), "t": s("x")}), nil)
		status, answer := ask(t, srv, "DeleteItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}, "ConditionExpression": condition, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values}, nil)
		wanted := doc{}
		switch {
		case want == no:
			wanted = says("ConditionalCheckFailedException", no)
		case want != "":
			wanted = says("ValidationException", want)
		}
		if diff := cmp.Diff(wanted, answer); diff != "" || (status == 200) != (want == "") {
			t.Errorf("%s: %d (-want +got):\n%s", condition, status, diff)
		}
		_, there := ask(t, srv, "GetItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}}, nil)
		if (len(there) == 0) != (want == "") {
			t.Errorf("%s: it is there: %v", condition, there)
		}
	}
	srv := dynamotest.New(t, "claims")
	for kind, q := range map[string]doc{
		"Names": put(doc{"id": s("k")}, "ConditionExpression", "attribute_not_exists(#a)", "ExpressionAttributeNames", doc{"#a": "a", "#b": "b"}), "Values": put(doc{"id": s("k")}, "ConditionExpression", "attribute_not_exists(#a)", "ExpressionAttributeNames", doc{"#a": "a"}, "ExpressionAttributeValues", doc{"#b": n("1")}),
	} {
		if status, answer := ask(t, srv, "PutItem", q, nil); status != 400 || answer["message"] != "Value provided in ExpressionAttribute"+kind+" unused in expressions: keys: {#b}" {
			t.Errorf("unused %s: %d, %v", kind, status, answer)
		}
	}
	odd := put(doc{"id": s("k")}, "ConditionExpression", "#a <= :n", "ExpressionAttributeNames", doc{"#a": "a"}, "ExpressionAttributeValues", doc{":n": n("x")})
	ask(t, srv, "PutItem", put(doc{"id": s("k"), "a": n("1")}), nil)
	if status, answer := ask(t, srv, "PutItem", odd, nil); status != 400 || answer["message"] != no {
		t.Errorf("a number that is none: %d, %v", status, answer)
	}
}

// What is there is told where it is asked for, and by servers that do.
func TestWhatIsTold(t *testing.T) {
	item := doc{"id": s("k"), "a": n("1")}
	q := put(doc{"id": s("k")}, "ConditionExpression", "attribute_not_exists(#k)", "ExpressionAttributeNames", doc{"#k": "id"})
	for name, tt := range map[string]struct {
		returns string
		mute    bool
		want    any
	}{"asked for": {"ALL_OLD", false, item}, "not asked for": {"NONE", false, nil}, "mute": {"ALL_OLD", true, nil}} {
		srv := dynamotest.New(t, "claims")
		srv.Mute = tt.mute
		ask(t, srv, "PutItem", put(item), nil)
		q["ReturnValuesOnConditionCheckFailure"] = tt.returns
		status, answer := ask(t, srv, "PutItem", q, nil)
		if diff := cmp.Diff(tt.want, answer["Item"]); diff != "" || status != 400 {
			t.Errorf("%s: %d (-want +got):\n%s", name, status, diff)
		}
	}
	srv := dynamotest.New(t, "claims")
	never := put(doc{"id": s("k")}, "ConditionExpression", "#k = :k", "ExpressionAttributeNames", doc{"#k": "id"}, "ExpressionAttributeValues", doc{":k": s("k")}, "ReturnValuesOnConditionCheckFailure", "ALL_OLD")
	if status, answer := ask(t, srv, "PutItem", never, nil); status != 400 || answer["Item"] != nil {
		t.Errorf("nothing is there: %d, %v", status, answer)
	}
}

// A test may answer in the place of a call, before it is done or after.
func TestBeforeAndAfter(t *testing.T) {
	var told []string
	tell := func(when string, status int) func(r *http.Request, call string, n int) (int, string) {
		return func(_ *http.Request, call string, n int) (int, string) {
			told = append(told, when+" "+call+" "+strconv.Itoa(n))
			return status, "Odd"
		}
	}
	for status, done := range map[int]bool{0: true, 500: false} {
		srv := dynamotest.New(t, "claims")
		srv.Before = tell("before", status)
		code, answer := ask(t, srv, "PutItem", put(doc{"id": s("k")}), nil)
		srv.Before = nil
		_, there := ask(t, srv, "GetItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}}, nil)
		if (len(there) > 0) != done || (code == 200) != done || !done && !cmp.Equal(answer, says("Odd", "as the test wants")) {
			t.Errorf("before, %d: %d, %v, then %v", status, code, answer, there)
		}
		srv = dynamotest.New(t, "claims")
		srv.After = tell("after", status)
		code, answer = ask(t, srv, "PutItem", put(doc{"id": s("k")}), nil)
		srv.After = nil
		_, there = ask(t, srv, "GetItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}}, nil)
		if len(there) == 0 || (code == 200) != done || !done && !cmp.Equal(answer, says("Odd", "as the test wants")) {
			t.Errorf("after, %d: %d, %v, then %v", status, code, answer, there)
		}
	}
	if diff := cmp.Diff([]string{"before PutItem 0", "after PutItem 0", "before PutItem 0", "after PutItem 0"}, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
