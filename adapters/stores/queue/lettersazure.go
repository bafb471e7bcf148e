package queue

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// hidden is how long letters are hidden while they are sent again, in seconds.
const hidden = 120

// azureLetters is a poison queue of Azure Storage.
type azureLetters struct{ *Letters }

func (l *azureLetters) call(ctx context.Context, op, method, path string, query url.Values, body []byte) (*wire.Answer, []byte, error) {
	h := http.Header{}
	if body != nil {
		h.Set("Content-Type", "application/xml")
	}
	return l.client.Text(ctx, &wire.Call{
		Op: op, Key: l.at.Path, Method: method, Header: h, Body: body,
		URL: func() *url.URL {
			return &url.URL{Scheme: l.at.Scheme, Host: l.at.Host, Path: strings.TrimSuffix(l.at.Path, "/") + "/messages" + path, RawQuery: query.Encode()}
		},
	})
}

func (l *azureLetters) receive(ctx context.Context, most int) ([]Letter, http.Header, error) {
	answer, text, err := l.call(ctx, "azqueue.Receive", http.MethodGet, "", url.Values{"numofmessages": {strconv.Itoa(min(most, 32))}, "visibilitytimeout": {strconv.Itoa(hidden)}}, nil)
	if err != nil {
		return nil, nil, err
	}
	var doc struct {
		Messages []struct {
			MessageID     string `xml:"MessageId"`
			InsertionTime string
			PopReceipt    string
			MessageText   string
		} `xml:"QueueMessage"`
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		return nil, nil, fault.New(fault.Unavailable, "azqueue.Receive", l.at.Path, "want messages as Azure Storage lists them, got something else")
	}
	var all []Letter
	for _, m := range doc.Messages {
		since, _ := time.Parse(time.RFC1123, m.InsertionTime) // without one it is old enough
		all = append(all, Letter{ID: m.MessageID, Data: []byte(m.MessageText), Since: since, receipt: m.PopReceipt})
	}
	return all, answer.Header, nil
}

func (l *azureLetters) remove(ctx context.Context, all []Letter) error {
	var errs []error
	for _, m := range all {
		_, _, err := l.call(ctx, "azqueue.Remove", http.MethodDelete, "/"+m.ID, url.Values{"popreceipt": {m.receipt}}, nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *azureLetters) show(ctx context.Context, all []Letter) error {
	var errs []error
	for _, m := range all {
		_, _, err := l.call(ctx, "azqueue.Show", http.MethodPut, "/"+m.ID, url.Values{"popreceipt": {m.receipt}, "visibilitytimeout": {"0"}}, nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (l *azureLetters) resend(ctx context.Context, to *Queue, all []Letter) error {
	if to.text == nil {
		return other(to, "a queue of Azure Storage")
	}
	for _, m := range all {
		if err := to.text(ctx, string(m.Data)); err != nil {
			return err
		}
	}
	return nil
}

// other refuses a queue of another service: what its messages are is another thing.
func other(to *Queue, want string) error {
	return fault.New(fault.Usage, "queue.Resend", to.at.String(), "want %s to send dead letters of one to, got another one", want)
}
