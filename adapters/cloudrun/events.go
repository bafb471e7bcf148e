package cloudrun

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// serveEvents answers one push. 204 is an acknowledgement, as are 102, 200, 201
// and 202; everything else has the same delivered again.
func (s *service) serveEvents(w http.ResponseWriter, r *http.Request) {
	ctx, begun := r.Context(), time.Now()
	trace, ok := telemetry.ParseTrace(r.Header.Get("Traceparent"), strings.Join(r.Header["Tracestate"], ","))
	if !ok {
		trace = telemetry.NewTrace()
	}
	ctx = telemetry.WithTrace(ctx, trace)
	line := &eventLine{}
	err := s.deliver(ctx, w, r, line)
	line.write(ctx, s.opts.Log, err, time.Since(begun))
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodPost && fault.CodeOf(err) == fault.Invalid {
		w.Header().Set("Allow", http.MethodPost)
	}
	oip.WriteError(w, err)
}

// deliver does the work of one push. The error is why it is not acknowledged.
func (s *service) deliver(ctx context.Context, w http.ResponseWriter, r *http.Request, line *eventLine) (err error) {
	defer oip.Recover(&err)
	if err := s.allow(ctx, r); err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return invalid("", "want a POST, got %.16q", r.Method)
	}
	if s.opts.Admit != nil {
		if err := s.opts.Admit(); err != nil {
			return err
		}
	}
	if s.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
	}
	body, release, err := s.read(w, r)
	defer release()
	if err != nil {
		return err
	}
	d, err := decode(r.Header, body)
	if err != nil {
		return err
	}
	return s.work(ctx, d, line)
}

// work does what was delivered. The error is why it is not acknowledged.
func (s *service) work(ctx context.Context, d *delivered, line *eventLine) error {
	line.kind, line.source, line.items = d.event.Kind, d.event.Source, len(d.event.Items)+len(d.bad)
	if len(d.event.Items) == 0 && len(d.bad) == 0 {
		return nil // nothing that anybody waits for
	}
	var outcomes []trigger.Outcome
	if len(d.event.Items) > 0 {
		outcomes = trigger.Run(ctx, s.events, &d.event)
	}
	if err := s.settle(ctx, &d.event, outcomes); err != nil {
		return err
	}
	if len(d.bad) > 0 {
		return d.bad[0]
	}
	return nil
}

// Do does the work of one CloudEvent that came in another way than to New's
// handler, and whose sender has been let in: as a push of it would. The error is
// why it is to be delivered again. Of opts the bodies' limits mean nothing here.
func Do(ctx context.Context, e *cloudevent.Event, events trigger.Handler, opts *Options) (err error) {
	s, line, begun := &service{events: events, opts: opts.withDefaults()}, &eventLine{}, time.Now()
	defer func() { line.write(ctx, s.opts.Log, err, time.Since(begun)) }()
	defer oip.Recover(&err)
	if s.opts.Admit != nil {
		if err := s.opts.Admit(); err != nil {
			return err
		}
	}
	if s.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
	}
	d, err := ofEvents([]cloudevent.Event{*e})
	if err != nil {
		return err
	}
	return s.work(ctx, d, line)
}

// settle makes one reply of the outcomes: all of a push is acknowledged, or
// nothing. What may pass goes before what never will.
func (s *service) settle(ctx context.Context, ev *trigger.Event, outcomes []trigger.Outcome) error {
	var permanent error
	for i := range outcomes {
		switch outcomes[i].State {
		case trigger.Done:
		case trigger.Permanent:
			why := outcomes[i].Err
			if s.opts.Aside != nil {
				err := s.opts.Aside(ctx, &ev.Items[i], why)
				if err == nil {
					continue
				}
				s.opts.Log.WarnContext(ctx, "an item that failed for good could not be set aside, and is delivered again", "kind", ev.Kind, "item", ev.Items[i].ID,
					"code", fault.CodeOf(err).String(), "error", err)
			}
			if permanent == nil {
				permanent = why
			}
		default:
			return outcomes[i].Err
		}
	}
	return permanent
}

// allow says whether the caller may deliver events. It comes before anything
// else of the request is looked at.
func (s *service) allow(ctx context.Context, r *http.Request) error {
	header := func(name string) []string { return r.Header.Values(name) }
	switch {
	case s.opts.Push != nil:
		return s.opts.Push.authorize(ctx, header)
	case s.opts.Auth != nil:
		_, err := s.opts.Auth.Authorize(ctx, header, oip.ScopeInfer)
		return err
	case s.opts.Anyone:
		return nil
	}
	return fault.New(fault.Denied, "cloudrun.Events", "", "nobody may deliver events here").
		WithHint("Say under auth: in godwit.yaml who may.")
}

// read reads the body into memory that is counted until release.
func (s *service) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	release = func() {}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, release, fault.New(fault.UnsupportedMedia, "cloudrun.Events", "Content-Encoding", "want none, got %.32q", coding)
	}
	limit := s.opts.MaxBody
	tooLarge := func() error {
		return fault.New(fault.TooLarge, "cloudrun.Events", "body", "want at most %d bytes", limit)
	}
	if r.ContentLength > limit {
		return nil, release, tooLarge()
	}
	n := r.ContentLength
	if n < 0 {
		n = limit
	}
	if s.held.Add(n) > s.opts.BodyMemory {
		s.held.Add(-n)
		return nil, release, fault.New(fault.Unavailable, "cloudrun.Events", "", "the events in progress fill the memory for them")
	}
	release = func() { s.held.Add(-n) }
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength >= 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(r.Body)
	}
	switch e := (*http.MaxBytesError)(nil); {
	case err == nil:
		return body, release, nil
	case errors.As(err, &e):
		return nil, release, tooLarge()
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, release, fault.New(fault.CodeOf(err), "cloudrun.Events", "body", "%w", err)
	}
	return nil, release, invalid("body", "it ends too early: %w", err)
}

// eventLine is the one line in the log for a delivery.
type eventLine struct {
	kind, source string
	items        int
}

func (l *eventLine) write(ctx context.Context, log *slog.Logger, err error, took time.Duration) {
	code := fault.CodeOf(err)
	level := slog.LevelInfo
	if code.HTTP() == fault.Internal.HTTP() {
		level = slog.LevelError
	}
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("target", "cloudrun"), slog.String("kind", l.kind), slog.String("source", l.source), slog.Int("items", l.items),
		slog.String("code", code.String()), slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	if level == slog.LevelError {
		attrs = append(attrs, slog.Any("error", err))
	}
	log.LogAttrs(ctx, level, "event", attrs...)
}
