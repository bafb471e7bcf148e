package emulate

import (
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"

	"godwit.dev/runtime/fault"
)

// deliver hands over an event document and does with the answer what the event
// source does.
func (l *lambda) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	if !json.Valid(d.Body) {
		return nil, fault.New(fault.Usage, "emulate.Deliver", "awslambda", "want an event that is JSON")
	}
	a, err := l.invoke(ctx, d.Body, true)
	if err != nil {
		return nil, err
	}
	reply := &Reply{Status: http.StatusOK, Body: a.body}
	if a.failed != nil {
		reply.Status, reply.Retry = http.StatusInternalServerError, true
		return reply, nil
	}
	var e sourceEvent
	if json.Unmarshal(d.Body, &e) != nil {
		return reply, nil
	}
	switch {
	case len(e.Tasks) > 0:
		jobReply(&e, reply)
	case len(e.Records) == 0:
	case e.Records[0].Source == "aws:sqs":
		partial(e.messageIDs(), false, reply)
	case e.Records[0].Source == "aws:kinesis", e.Records[0].Source == "aws:dynamodb":
		partial(e.sequence(), true, reply)
	}
	return reply, nil
}

// sourceEvent is what an event source knows of its own event.
type sourceEvent struct {
	Records []struct {
		MessageID string `json:"messageId"`
		Source    string `json:"eventSource"`
		Kinesis   struct {
			SequenceNumber string `json:"sequenceNumber"`
		} `json:"kinesis"`
		DynamoDB struct{ SequenceNumber string } `json:"dynamodb"`
	}
	Schema     string `json:"invocationSchemaVersion"`
	Invocation string `json:"invocationId"`
	Tasks      []struct {
		ID string `json:"taskId"`
	} `json:"tasks"`
}

func (e *sourceEvent) messageIDs() []string {
	var ids []string
	for i := range e.Records {
		ids = append(ids, e.Records[i].MessageID)
	}
	return ids
}

func (e *sourceEvent) sequence() []string {
	var ids []string
	for i := range e.Records {
		ids = append(ids, e.Records[i].Kinesis.SequenceNumber+e.Records[i].DynamoDB.SequenceNumber)
	}
	return ids
}

// partial reads a partial batch response (AWS, "Reporting batch item failures"):
// nothing, null and an empty list are a success of all; what cannot be read, an
// empty id and one that was not in the batch are a failure of all. A stream
// goes back to the lowest of the failed.
func partial(ids []string, stream bool, reply *Reply) {
	body := bytes.TrimSpace(reply.Body)
	if len(body) == 0 {
		return
	}
	var answer *struct {
		Failures *[]map[string]any `json:"batchItemFailures"`
	}
	if json.Unmarshal(body, &answer) != nil {
		reply.Retry = true
		return
	}
	if answer == nil || answer.Failures == nil {
		return
	}
	for _, f := range *answer.Failures {
		id, _ := f["itemIdentifier"].(string)
		if id == "" || !slices.Contains(ids, id) {
			reply.Retry, reply.Failed = true, nil
			return
		}
		reply.Failed = append(reply.Failed, id)
	}
	if stream && len(reply.Failed) > 0 {
		lowest := slices.MinFunc(reply.Failed, bySequence)
		reply.Failed = ids[slices.Index(ids, lowest):]
	}
}

func bySequence(a, b string) int {
	x, _ := new(big.Int).SetString(a, 10)
	y, _ := new(big.Int).SetString(b, 10)
	if x == nil || y == nil {
		return 0
	}
	return x.Cmp(y)
}

// jobReply reads the answer to a job of S3 Batch Operations: a task that is to
// be tried again is, and so is all of it if it is not answered in full.
func jobReply(e *sourceEvent, reply *Reply) {
	var answer struct {
		Schema     string `json:"invocationSchemaVersion"`
		Invocation string `json:"invocationId"`
		Missing    string `json:"treatMissingKeysAs"`
		Results    []struct {
			ID   string `json:"taskId"`
			Code string `json:"resultCode"`
		} `json:"results"`
	}
	if json.Unmarshal(reply.Body, &answer) != nil || answer.Schema != e.Schema || answer.Invocation != e.Invocation {
		reply.Retry = true
		return
	}
	codes := map[string]string{}
	for _, r := range answer.Results {
		codes[r.ID] = r.Code
	}
	for _, t := range e.Tasks {
		code, ok := codes[t.ID]
		if !ok {
			code = answer.Missing
		}
		switch code {
		case "Succeeded", "PermanentFailure":
		case "TemporaryFailure":
			reply.Failed = append(reply.Failed, t.ID)
		default:
			reply.Retry = true
		}
	}
}
