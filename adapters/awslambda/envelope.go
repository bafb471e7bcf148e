package awslambda

import (
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

// kind is what an invocation's event is.
type kind uint8

const (
	kindOther kind = iota
	kindHTTP
	kindSQS
	kindS3
	kindKinesis
	kindDynamoDB
	kindSNS
	kindKafka
	kindEventBridge
	kindS3Batch
	kindS3Test
	kindItems
	kindDirect
)

// form is which of the HTTP events one is: the answer has the same form.
type form uint8

const (
	formV2       form = iota // HTTP APIs and function URLs
	formV1                   // REST APIs
	formALB                  // load balancers
	formALBMulti             // load balancers that send all values of a header
)

func (f form) alb() bool { return f == formALB || f == formALBMulti }

// envelope is an event's members as they stand, as far as anybody needs them.
// They lie in the payload.
type envelope struct {
	kind kind
	form form

	version, method, path, rawPath, rawQuery, body, base64 []byte
	headers, multiHeaders, query, multiQuery, cookies      []byte
	context                                                requestContext

	records, topics, eventSource, source, detailType  []byte
	tasks, schema, s3Event, items, batchInput, inputs []byte
	model, modelVersion, window, authorizer, durable  []byte

	notification bool // a topic's, as queues get it
}

// requestContext is what API Gateway and load balancers tell of a request.
type requestContext struct {
	there                            bool
	elb, http, connection            bool
	method, sourceIP, stage, request []byte
}

// read finds out what the event is. The order of the questions is fixed: some
// events have members that others are known by.
func (e *envelope) read(payload []byte) error {
	if isNull(payload) {
		return badEvent("event", errJSON)
	}
	if err := members(payload, e.member); err != nil {
		return badEvent("event", err)
	}
	switch c := &e.context; {
	case e.authorizer != nil, c.connection:
		// An authorizer is asked with the request's own members, and a
		// WebSocket connects with them: neither takes an answer to the request.
	case c.elb:
		e.kind, e.form = kindHTTP, formALB
		if !isNull(e.multiHeaders) {
			e.form = formALBMulti
		}
	case string(e.version) == `"2.0"` && c.http:
		e.kind, e.form = kindHTTP, formV2
	case !isNull(e.method) && c.there:
		e.kind, e.form = kindHTTP, formV1
	case !isNull(e.records):
		return e.recordKind()
	case !isNull(e.topics) && (string(e.eventSource) == `"aws:kafka"` || string(e.eventSource) == `"SelfManagedKafka"`):
		e.kind = kindKafka
	case !isNull(e.detailType):
		e.kind = kindEventBridge
	case !isNull(e.tasks) && !isNull(e.schema):
		e.kind = kindS3Batch
	case string(e.s3Event) == `"s3:TestEvent"`:
		e.kind = kindS3Test
	case !isNull(e.items):
		e.kind = kindItems
	case e.durable != nil:
	case !isNull(e.inputs) || e.model != nil:
		e.kind = kindDirect
	}
	return nil
}

// recordKind is told by the first record.
func (e *envelope) recordKind() error {
	var source []byte
	n := 0
	err := elements(e.records, func(record []byte) error {
		if n++; n > 1 {
			return nil
		}
		return members(record, func(key, value []byte) error {
			if string(key) == "eventSource" || string(key) == "EventSource" {
				source = value
			}
			return nil
		})
	})
	if err != nil {
		return badEvent("Records", err)
	}
	e.source = source
	switch string(source) {
	case `"aws:sqs"`:
		e.kind = kindSQS
	case `"aws:s3"`:
		e.kind = kindS3
	case `"aws:kinesis"`:
		e.kind = kindKinesis
	case `"aws:dynamodb"`:
		e.kind = kindDynamoDB
	case `"aws:sns"`:
		e.kind = kindSNS
	}
	return nil
}

func (e *envelope) member(key, value []byte) error {
	switch string(key) {
	case "version":
		e.version = value
	case "httpMethod":
		e.method = value
	case "path":
		e.path = value
	case "rawPath":
		e.rawPath = value
	case "rawQueryString":
		e.rawQuery = value
	case "headers":
		e.headers = value
	case "multiValueHeaders":
		e.multiHeaders = value
	case "queryStringParameters":
		e.query = value
	case "multiValueQueryStringParameters":
		e.multiQuery = value
	case "cookies":
		e.cookies = value
	case "body":
		e.body = value
	case "isBase64Encoded":
		e.base64 = value
	case "requestContext":
		return e.context.read(value)
	case "Records":
		e.records = value
	case "records":
		e.topics = value
	case "eventSource":
		e.eventSource = value
	case "source":
		e.source = value
	case "detail-type":
		e.detailType = value
	case "tasks":
		e.tasks = value
	case "invocationSchemaVersion":
		e.schema = value
	case "Event":
		e.s3Event = value
	case "Items":
		e.items = value
	case "BatchInput":
		e.batchInput = value
	case "DurableExecutionArn":
		e.durable = value
	case "inputs":
		e.inputs = value
	case "model", "model_name":
		e.model = value
	case "model_version":
		e.modelVersion = value
	case "window":
		e.window = value
	case "Type":
		e.notification = string(value) == `"Notification"`
	case "methodArn", "routeArn":
		e.authorizer = value
	}
	return nil
}

func (c *requestContext) read(raw []byte) error {
	if isNull(raw) || raw[0] != '{' {
		return nil // somebody else's
	}
	c.there = true
	return members(raw, func(key, value []byte) error {
		switch string(key) {
		case "elb":
			c.elb = !isNull(value)
		case "connectionId":
			c.connection = !isNull(value)
		case "stage":
			c.stage = value
		case "requestId":
			c.request = value
		case "http", "identity":
			if string(key) == "http" {
				c.http = !isNull(value)
			}
			return members(value, func(key, value []byte) error {
				switch string(key) {
				case "method":
					c.method = value
				case "sourceIp":
					c.sourceIP = value
				}
				return nil
			})
		}
		return nil
	})
}

// refuse says what came instead of what is known.
func (e *envelope) refuse(payload []byte) error {
	unsupported := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Unsupported, "awslambda.Invoke", "event", format, args...)
	}
	switch {
	case e.authorizer != nil:
		return unsupported("want a request or an event to score, got an authorizer's question")
	case e.context.connection:
		return unsupported("want a request or an event to score, got a WebSocket API's").
			WithHint("Call the function through an HTTP API, a REST API, a function URL or a load balancer.")
	case e.durable != nil:
		return unsupported("want a request or an event to score, got a durable execution's").
			WithHint("Invoke the function from a durable step; it needs no checkpoints of its own.")
	case e.window != nil:
		return unsupported("want records of a stream, got a tumbling window, which aggregates").
			WithHint("Take TumblingWindowInSeconds off the event source mapping.")
	case !isNull(e.records):
		return unsupported("want records of SQS, S3, SNS, Kinesis or DynamoDB, got %s", clip(e.source))
	case !isNull(e.eventSource):
		return unsupported("want records of Kafka, got an event from %s", clip(e.eventSource))
	}
	return unsupported("want a request, an event or an inference request with inputs, got an object with %s", seen(payload))
}

// seen is the names of an object's first members, for an error.
func seen(payload []byte) string {
	const most = 6
	var names []string
	_ = members(payload, func(key, _ []byte) error { // it has been read before
		if len(names) < most {
			names = append(names, strconv.Quote(string(key[:min(len(key), maxClip)])))
		}
		return nil
	})
	if len(names) == 0 {
		return "nothing in it"
	}
	return strings.Join(names, ", ")
}

const maxClip = 64

// clip is a raw value for an error.
func clip(raw []byte) string {
	if isNull(raw) {
		return "nothing"
	}
	return string(raw[:min(len(raw), maxClip)])
}
