package awslambda

import (
	"encoding/json"
	"math/big"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// failures is what queues and streams take for an answer: what is to be
// delivered again. The list is there even if it is empty, as a mistake on the
// way to it must not look like a success.
type failures struct {
	Failures []failure `json:"batchItemFailures"`
}

type failure struct {
	ID string `json:"itemIdentifier"`
}

// replyFailures names each message that is not done. What will never succeed is
// named too: the queue moves it to its dead letters once it has been received
// often enough, and would delete it otherwise.
//
// Where nothing could be done because something that all need is away, the
// answer is an error: Lambda slows its polling down for errors and not for
// items that it is told of, and would bring the same ones again at once.
func replyFailures(d *delivery, _ []byte, outcomes []trigger.Outcome) ([]byte, error) {
	if away := allAway(outcomes); away != nil {
		return nil, away
	}
	reply := failures{[]failure{}}
	for i, o := range outcomes {
		if o.State == trigger.Done {
			continue
		}
		if d.records[i].id == "" { // an answer with an empty id is a failure of all
			return nil, o.Err
		}
		reply.Failures = append(reply.Failures, failure{d.records[i].id})
	}
	return json.Marshal(reply)
}

// allAway is why nothing could be done, where that is the same for all.
func allAway(outcomes []trigger.Outcome) error {
	for _, o := range outcomes {
		if o.State != trigger.Retry || fault.CodeOf(o.Err) != fault.Unavailable {
			return nil
		}
	}
	return outcomes[0].Err
}

// replyCheckpoint names the first record of a stream that is not done: all from
// there on come again, whatever else is named.
func replyCheckpoint(d *delivery, _ []byte, outcomes []trigger.Outcome) ([]byte, error) {
	reply := failures{[]failure{}}
	for i, o := range outcomes {
		if o.State == trigger.Done {
			continue
		}
		id := d.records[i].id
		if id == "" {
			return nil, o.Err
		}
		if len(reply.Failures) == 0 {
			reply.Failures = []failure{{id}}
		} else if before(id, reply.Failures[0].ID) {
			reply.Failures[0].ID = id
		}
	}
	return json.Marshal(reply)
}

// before compares sequence numbers, which have up to 128 digits.
func before(a, b string) bool {
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	return okX && okY && x.Cmp(y) < 0
}

// replyWhole is for sources that take no partial answer: an error has them
// deliver all of it again, and then put it where their user said.
func replyWhole(d *delivery, _ []byte, outcomes []trigger.Outcome) ([]byte, error) {
	var worst error
	for _, o := range outcomes {
		if o.State == trigger.Retry {
			return nil, o.Err
		}
		if o.State == trigger.Permanent && worst == nil {
			worst = o.Err
		}
	}
	if worst != nil {
		return nil, worst
	}
	return []byte("null"), nil
}

// maxResultString bounds the text for a job's report, which has a line for each
// of millions of objects.
const maxResultString = 1 << 10

func replyS3Batch(d *delivery, payload []byte, outcomes []trigger.Outcome) ([]byte, error) {
	type result struct {
		TaskID string `json:"taskId"`
		Code   string `json:"resultCode"`
		Text   string `json:"resultString"`
	}
	var e s3Batch
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, unreadable("event", err)
	}
	reply := struct {
		Version string   `json:"invocationSchemaVersion"`
		Missing string   `json:"treatMissingKeysAs"`
		ID      string   `json:"invocationId"`
		Results []result `json:"results"`
	}{e.InvocationSchemaVersion, "PermanentFailure", e.InvocationID, []result{}}
	for i, o := range outcomes {
		r := result{d.records[i].id, "Succeeded", string(o.Result)}
		switch o.State {
		case trigger.Retry:
			r.Code, r.Text = "TemporaryFailure", fault.Public(o.Err)
		case trigger.Permanent:
			r.Code, r.Text = "PermanentFailure", fault.Public(o.Err)
		}
		r.Text = cut(r.Text, maxResultString)
		reply.Results = append(reply.Results, r)
	}
	return json.Marshal(reply)
}

// cut is s to at most n bytes, not within a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// replyItems gives a workflow one result for each item, in order. An item to be
// tried again makes it an error, which the state's own Retry repeats.
func replyItems(_ *delivery, _ []byte, outcomes []trigger.Outcome) ([]byte, error) {
	type result struct {
		State  string          `json:"state"`
		Result json.RawMessage `json:"result,omitempty"`
		Code   string          `json:"code,omitempty"`
		Error  string          `json:"error,omitempty"`
	}
	results := []result{}
	for _, o := range outcomes {
		switch o.State {
		case trigger.Retry:
			return nil, o.Err
		case trigger.Permanent:
			results = append(results, result{State: o.State.String(), Code: fault.CodeOf(o.Err).String(), Error: fault.Public(o.Err)})
		default:
			results = append(results, result{State: o.State.String(), Result: o.Result})
		}
	}
	b, err := json.Marshal(struct {
		Results []result `json:"Results"`
	}{results})
	if err != nil {
		return nil, fault.New(fault.Internal, "awslambda.Reply", "results", "%w", err)
	}
	if len(b) > maxState {
		return nil, fault.New(fault.TooLarge, "awslambda.Reply", "results", "want at most %d bytes, which is what a state may hand on, got %d", maxState, len(b)).
			WithHint("Lower MaxItemsPerBatch, or have the results written to a bucket.")
	}
	return b, nil
}
