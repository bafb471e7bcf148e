// Package queue sends messages to queues and topics: SQS, Pub/Sub and Azure
// Storage queues, each by the one call that it takes.
package queue

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// Options of Open; nil means defaults.
type Options struct {
	// Getenv reads what awsauth, gcpauth and azauth read, and for Azure
	// AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY; nil: there is nothing.
	Getenv func(string) string
	// HTTP makes the requests; nil means a client of the queue's own.
	HTTP *http.Client
}

// A Queue is one queue or topic. It is safe for concurrent use.
type Queue struct {
	at     *url.URL
	client *wire.Client
	// most is how many messages, and bytes of them, one request takes.
	most, bytes int
	send        func(ctx context.Context, messages [][]byte) error
	// text sends one message to Azure as it is in the queue, publish several with
	// their attributes to Pub/Sub; nil for the others.
	text    func(ctx context.Context, text string) error
	publish func(ctx context.Context, messages []pubsubMessage) error
}

// Open finds what a URL names, and asks nobody before a message is sent:
//
//	https://sqs.REGION.amazonaws.com/ACCOUNT/NAME
//	https://pubsub.googleapis.com/projects/PROJECT/topics/NAME
//	https://ACCOUNT.queue.core.windows.net/NAME
//
// and what looks so on this machine, also with http://. Errors: BadConfig.
func Open(at string, o *Options) (*Queue, error) {
	q, d, steps, err := prepare(at, o)
	if err != nil {
		return nil, err
	}
	account, isAzure := azureAccount(q.at, steps)
	switch {
	case len(steps) == 4 && steps[0] == "projects" && steps[2] == "topics" && steps[1] != "" && steps[3] != "":
		q.pubsub(d)
	case isSQS(steps):
		q.sqs(d)
	case isAzure:
		err = q.azure(d, account)
	default:
		err = fault.New(fault.BadConfig, "queue.Open", at, "want a queue of SQS, a topic of Pub/Sub or a queue of Azure Storage, got another URL")
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// OpenSQS is Open for queues of SQS alone: a program that calls no other has
// none of the others in it.
func OpenSQS(at string, o *Options) (*Queue, error) {
	q, d, steps, err := prepare(at, o)
	if err == nil && !isSQS(steps) {
		err = fault.New(fault.BadConfig, "queue.Open", at, "want the URL of a queue of SQS, got another one")
	}
	if err != nil {
		return nil, err
	}
	q.sqs(d)
	return q, nil
}

func isSQS(steps []string) bool { return len(steps) == 2 && account(steps[0]) && steps[1] != "" }

// prepare reads a URL, and gives the steps of its path.
func prepare(at string, o *Options) (*Queue, *Options, []string, error) {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Getenv == nil {
		d.Getenv = func(string) string { return "" }
	}
	if d.HTTP == nil {
		d.HTTP = wire.NewHTTP()
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, nil, nil, fault.New(fault.BadConfig, "queue.Open", "", "want the https:// URL of a queue or topic, got %q", at[:min(len(at), 256)])
	}
	return &Queue{at: u, client: &wire.Client{HTTP: d.HTTP}}, &d, strings.Split(strings.Trim(u.Path, "/"), "/"), nil
}

// account reports whether s is an AWS account's number.
func account(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// Send returns when all messages are there to stay. When it fails, some may be.
// Errors are coded.
func (q *Queue) Send(ctx context.Context, messages [][]byte) error {
	for len(messages) > 0 {
		n, size := 0, 0
		for n < len(messages) && n < q.most && (n == 0 || size+len(messages[n]) <= q.bytes) {
			size += len(messages[n])
			n++
		}
		if size > q.bytes {
			return fault.New(fault.TooLarge, "queue.Send", q.at.Host, "want a message of at most %d bytes, got %d", q.bytes, size)
		}
		if err := q.send(ctx, messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}
