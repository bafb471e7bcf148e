package queue

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// Letters is a queue or subscription where a platform has put what failed for
// good, to be taken out again. It belongs to one goroutine.
type Letters struct {
	at     *url.URL
	client *wire.Client
	begun  time.Time // by the service's clock
	kind   lettersOf
}

// A Letter is one message that was received, and is hidden from others for a while.
type Letter struct {
	// ID is the service's.
	ID string
	// Data is the message as it is in the queue, Azure's encoding included.
	Data []byte
	// Attributes are those that its sender wrote, Key is what it is in order with.
	Attributes map[string]string
	Key        string
	// Since is when it was put here.
	Since time.Time

	receipt string
}

// lettersOf is what differs between services.
type lettersOf interface {
	receive(ctx context.Context, most int) ([]Letter, http.Header, error)
	remove(ctx context.Context, all []Letter) error
	show(ctx context.Context, all []Letter) error
	// resend sends letters to a queue of the same service.
	resend(ctx context.Context, to *Queue, all []Letter) error
}

// OpenLetters finds what a URL names, and asks nobody yet:
//
//	https://ACCOUNT.queue.core.windows.net/NAME-poison
//	https://pubsub.googleapis.com/projects/PROJECT/subscriptions/NAME
//
// and what looks so on this machine, also with http://. Errors: BadConfig.
func OpenLetters(at string, o *Options) (*Letters, error) {
	q, d, steps, err := prepare(at, o)
	if err != nil {
		return nil, err
	}
	l := &Letters{at: q.at, client: q.client}
	account, isAzure := azureAccount(q.at, steps)
	switch {
	case len(steps) == 4 && steps[0] == "projects" && steps[2] == "subscriptions" && steps[1] != "" && steps[3] != "":
		q.pubsub(d)
		l.kind = &pubsubLetters{l}
	case isSQS(steps):
		return nil, fault.New(fault.BadConfig, "queue.OpenLetters", at, "want a poison queue of Azure Storage or a subscription of Pub/Sub, got a queue of SQS").
			WithHint("`aws sqs start-message-move-task --source-arn ARN` moves its messages back; with a place for scores as DST they are scored here.")
	case isAzure:
		if err := q.azure(d, account); err != nil {
			return nil, err
		}
		l.kind = &azureLetters{l}
	default:
		return nil, fault.New(fault.BadConfig, "queue.OpenLetters", at, "want a poison queue of Azure Storage or a subscription of Pub/Sub, got another URL").
			WithHint("Write https://ACCOUNT.queue.core.windows.net/NAME-poison or https://pubsub.googleapis.com/projects/PROJECT/subscriptions/NAME.")
	}
	return l, nil
}

// azureAccount is the storage account of a queue's URL, if it is one.
func azureAccount(at *url.URL, steps []string) (account string, ok bool) {
	switch host := at.Hostname(); {
	case len(steps) == 1 && steps[0] != "" && strings.Contains(host, ".queue."):
		account, _, _ = strings.Cut(host, ".")
		return account, true
	case len(steps) == 2 && steps[0] != "" && steps[1] != "" && loopback(host):
		return steps[0], true
	}
	return "", false
}

// Receive takes up to most letters, which nobody else gets for some time; none
// when there are none. Those that came after the first call are left: they may be
// the same ones, having failed again. Errors are coded.
func (l *Letters) Receive(ctx context.Context, most int) ([]Letter, error) {
	got, header, err := l.kind.receive(ctx, most)
	if err != nil {
		return nil, err
	}
	if l.begun.IsZero() {
		if l.begun, err = http.ParseTime(header.Get("Date")); err != nil {
			l.begun = time.Now()
		}
		l.begun = l.begun.Add(time.Second) // it has no fractions
	}
	var old, late []Letter
	for i := range got {
		if got[i].Since.After(l.begun) {
			late = append(late, got[i])
		} else {
			old = append(old, got[i])
		}
	}
	if len(late) > 0 {
		if err := l.kind.show(ctx, late); err != nil {
			return old, err
		}
	}
	return old, nil
}

// Resend sends letters as they were to a queue or topic of the same service, and
// removes them when all of them are there. When it fails none is lost, but some
// may be in both. Errors are coded.
func (l *Letters) Resend(ctx context.Context, to *Queue, all []Letter) error {
	if to.at.Scheme == l.at.Scheme && to.at.Host == l.at.Host && to.at.Path == l.at.Path {
		return fault.New(fault.Usage, "queue.Resend", l.at.Path, "want another queue to send to than the one with the dead letters")
	}
	if err := l.kind.resend(ctx, to, all); err != nil {
		return err
	}
	return l.kind.remove(ctx, all)
}

// Show lets others see letters again.
func (l *Letters) Show(ctx context.Context, all []Letter) error { return l.kind.show(ctx, all) }
