package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// sqs sends to a queue of SQS, in its JSON protocol.
func (q *Queue) sqs(o *Options) {
	keys := awsauth.NewChain(&awsauth.Options{Getenv: o.Getenv})
	region := ""
	if rest, ok := strings.CutPrefix(q.at.Hostname(), "sqs."); ok {
		region, _, _ = strings.Cut(rest, ".")
	}
	q.most, q.bytes = 10, 200<<10 // of 256 KiB with names and escapes
	q.client.Sign = func(ctx context.Context, req *http.Request, body []byte) error {
		k, err := keys.Credentials(ctx)
		if err == nil && k == nil {
			err = fault.New(fault.Unauthenticated, "sqs.Send", "", "want credentials of AWS, got none").WithHint("The function's role needs sqs:SendMessage.")
		}
		if err == nil {
			awsauth.Sign(req, k, "sqs", cmp.Or(region, keys.Region(), "us-east-1"), awsauth.Sum(body), time.Now())
		}
		return err
	}
	q.client.Read = func(_ *http.Response, body []byte) (name, text string) {
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(body, &e) // what is no JSON has a status all the same
		return e.Type[strings.LastIndexByte(e.Type, '#')+1:], e.Message
	}
	q.client.Hint = func(code fault.Code, name string) string {
		switch {
		case code == fault.Denied || name == "AccessDeniedException":
			return "The function's role needs sqs:SendMessage."
		case strings.Contains(name, "NonExistent") || strings.Contains(name, "DoesNotExist"):
			return "There is no such queue; batch.split.queue names it."
		}
		return ""
	}
	q.send = q.sendSQS
}

func (q *Queue) sendSQS(ctx context.Context, messages [][]byte) error {
	type entry struct {
		ID     string `json:"Id"`
		Body   string `json:"MessageBody"`
		Group  string `json:"MessageGroupId,omitempty"`
		Unique string `json:"MessageDeduplicationId,omitempty"`
	}
	var in struct {
		QueueURL string  `json:"QueueUrl"`
		Entries  []entry `json:"Entries"`
	}
	in.QueueURL = q.at.String()
	for i, m := range messages {
		e := entry{ID: strconv.Itoa(i), Body: string(m)}
		if strings.HasSuffix(q.at.Path, ".fifo") { // parts wait for nobody, so each is a group
			sum := sha256.Sum256(m)
			e.Group, e.Unique = hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:])
		}
		in.Entries = append(in.Entries, e)
	}
	for {
		body, err := json.Marshal(in)
		if err != nil {
			return fault.New(fault.Internal, "sqs.Send", q.at.Host, "%w", err)
		}
		_, text, err := q.client.Text(ctx, &wire.Call{
			Op: "sqs.Send", Key: q.at.Path, Method: http.MethodPost, Body: body,
			URL:    func() *url.URL { return &url.URL{Scheme: q.at.Scheme, Host: q.at.Host, Path: "/"} },
			Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"AmazonSQS.SendMessageBatch"}},
		})
		if err != nil {
			return err
		}
		var out struct {
			Successful []struct{ Id string }
			Failed     []struct{ Id, Code, Message string }
		}
		if err := json.Unmarshal(text, &out); err != nil {
			return fault.New(fault.Unavailable, "sqs.Send", q.at.Path, "want an answer of SQS, got something else")
		}
		sent := map[string]bool{}
		for _, s := range out.Successful {
			sent[s.Id] = true
		}
		var left []entry
		for _, e := range in.Entries {
			if !sent[e.ID] {
				left = append(left, e)
			}
		}
		switch {
		case len(left) == 0:
			return nil
		case len(left) == len(in.Entries): // none of them: it will not pass by itself
			why := "it says nothing of them"
			if len(out.Failed) > 0 {
				why = out.Failed[0].Code + " " + out.Failed[0].Message
			}
			return fault.New(fault.Unavailable, "sqs.Send", q.at.Path, "want %d messages taken, got none: %s", len(left), why)
		}
		in.Entries = left
	}
}
