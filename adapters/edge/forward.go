package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// forwardTime bounds the sending of one answer.
const forwardTime = 30 * time.Second

// Run sends on what waits, and what comes, until ctx ends.
func (q *Queue) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		e, ok, err := q.oldest()
		if err == nil && !ok {
			select {
			case <-q.added:
			case <-ctx.Done():
			}
			continue
		}
		if err == nil {
			err = q.forward(ctx, &e)
		}
		if err == nil {
			if failures > 0 {
				q.opts.Log.InfoContext(ctx, "answers are sent on again", "waiting", q.Len())
			}
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		wait := q.pause(failures)
		failures++
		q.opts.Log.WarnContext(ctx, "answers wait", "waiting", q.Len(), "failures", failures, "next_ms", wait.Milliseconds(), "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// pause is the time after so many failures: the doubled one or up to a quarter
// less, so that devices which lost the same network do not come back as one.
func (q *Queue) pause(failures int) time.Duration {
	wait := q.opts.Wait
	for ; failures > 0 && wait < q.opts.MaxWait; failures-- {
		wait *= 2
	}
	wait = min(wait, q.opts.MaxWait)
	return wait - rand.N(wait/4+1)
}

// forward sends one answer on, and forgets it. An error is one that may pass.
func (q *Queue) forward(ctx context.Context, e *entry) error {
	path := filepath.Join(q.opts.Dir, e.file())
	answer, err := q.read(e)
	if missing(err) {
		return q.lose(ctx, e, err)
	}
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, forwardTime)
	defer cancel()
	err = q.opts.Forward(sending, e.name, answer)
	if err != nil && trigger.Of(err).State != trigger.Permanent {
		return err
	}
	if err != nil {
		if err := os.Rename(path, filepath.Join(q.opts.Dir, refusedDir, e.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		q.opts.Log.ErrorContext(ctx, "an answer was refused for good", "answer", e.name, "error", err)
		q.done(e, refused)
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // it is sent again
	}
	q.done(e, sent)
	return nil
}

// lose forgets an answer that the disk did not keep.
func (q *Queue) lose(ctx context.Context, e *entry, why error) error {
	if err := os.Remove(filepath.Join(q.opts.Dir, e.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if q.done(e, lost) { // else it has made room
		q.opts.Log.ErrorContext(ctx, "an answer is lost: the disk did not keep it", "answer", e.name, "error", why)
	}
	return nil
}

// AnswerType is the type of the events that answers are sent on as.
const AnswerType = "dev.godwit.answer"

// Post returns a Forward that POSTs each answer to an HTTP address, as a
// CloudEvent in binary mode: its id is the answer's name, which is the same for
// the same item and model, so that a receiver can tell what comes twice, and its
// source is the device's. A user and password in the address are sent with it;
// proxies are those of HTTPS_PROXY and its like. An answer counts as taken with a
// 2xx of that address itself: what a network's own page says, behind a redirect,
// does not. Errors: BadConfig for what is no address.
func Post(address, source string) (func(ctx context.Context, name string, answer []byte) error, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fault.New(fault.BadConfig, "edge.Post", "the address to send answers on to", "want http:// or https:// and a host")
	}
	shown := u.Redacted()
	// Of its own, so that connections are not anybody else's to close.
	client := &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: forwardTime},
		// One would be followed with a GET, which nobody keeps anything for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, name string, answer []byte) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(answer))
		if err != nil {
			return fault.New(fault.Internal, "edge.Post", shown, "%w", err)
		}
		e := &cloudevent.Event{ID: strings.TrimSuffix(name, ".json"), Source: source, Type: AnswerType, DataContentType: "application/json", Data: answer}
		if err := e.WriteHeader(req.Header); err != nil {
			return fault.New(fault.BadConfig, "edge.Post", shown, "%w", err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return fault.New(fault.Unavailable, "edge.Post", shown, "%w", err)
		}
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return posted(resp.StatusCode, shown, said)
	}, nil
}

// posted is what a status means. What is about the answer itself is for good;
// an address that is wrong today, or a key, may be right tomorrow.
func posted(status int, address string, said []byte) error {
	code := fault.Unavailable
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnsupportedMediaType, status == http.StatusUnprocessableEntity:
		code = fault.OfHTTP(status)
	}
	return fault.New(code, "edge.Post", address, "want a 2xx, got %d: %s", status, fmt.Sprintf("%.256q", said))
}
