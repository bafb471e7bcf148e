package knative

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// answer says how the events of a message ended. A message is delivered again
// as a whole: what of it was done has the same keys then, and no second effect.
func (h *handler) answer(w http.ResponseWriter, events []cloudevent.Event, items []trigger.Item, out []trigger.Outcome, replies bool) {
	worst, at := trigger.Outcome{State: trigger.Done}, -1
	var failed []string
	for i := range out {
		if out[i].State == trigger.Done {
			continue
		}
		failed = append(failed, items[i].ID)
		if at < 0 || out[i].State == trigger.Retry && worst.State == trigger.Permanent {
			worst, at = out[i], i
		}
	}
	switch {
	case worst.State == trigger.Retry:
		again(w, worst.Err)
	case worst.State == trigger.Permanent && len(out) > 1:
		refuse(w, fault.New(fault.CodeOf(worst.Err), "knative", "batch", "%d of %d events failed for good (%s), the first with: %s",
			len(failed), len(out), clip(strings.Join(failed, ", ")), fault.Public(worst.Err)))
	case worst.State == trigger.Permanent:
		refuse(w, worst.Err)
	case replies && out[0].Result != nil:
		h.reply(w, &events[0], out[0].Result)
	default:
		// Not 200 with a body: whatever is no event would count as a failure.
		w.WriteHeader(http.StatusAccepted)
	}
}

// reply answers with an event in binary mode.
func (h *handler) reply(w http.ResponseWriter, to *cloudevent.Event, data []byte) {
	e := &cloudevent.Event{
		// The same for every delivery of the event that it answers, so that the
		// next one can tell answers that came twice.
		ID:     "answer-" + to.ID,
		Source: h.opts.Source, Type: ReplyType, Subject: to.Source,
		DataContentType: "application/json", Data: data,
	}
	if parent := to.Extensions["traceparent"]; parent != "" {
		e.Extensions = map[string]string{"traceparent": parent}
	}
	if err := e.WriteHeader(w.Header()); err != nil {
		again(w, err)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(data) // a sender that is gone will send again
}

// again answers with a status that has the message delivered again.
func again(w http.ResponseWriter, err error) {
	status := fault.CodeOf(err).HTTP()
	if status < 500 && status != http.StatusTooManyRequests {
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeError(w, status, err)
}

// refuse answers with a status that has the message never delivered again,
// unless err may pass.
func refuse(w http.ResponseWriter, err error) {
	switch code := fault.CodeOf(err); code {
	case fault.Unavailable, fault.RateLimited, fault.DeadlineExceeded, fault.Canceled, fault.Internal:
		again(w, err)
	case fault.Invalid, fault.Unauthenticated, fault.Denied, fault.TooLarge, fault.UnsupportedMedia, fault.Unprocessable:
		writeError(w, code.HTTP(), err)
	default: // 404 and 5xx would have it delivered again
		writeError(w, http.StatusUnprocessableEntity, err)
	}
}

// writeError answers with the protocol's error body. Brokers pass the first
// 1024 bytes of it on to the dead letter sink.
func writeError(w http.ResponseWriter, status int, err error) {
	body, _ := json.Marshal(struct { // two strings always can be marshalled
		Error string `json:"error"`
		Code  string `json:"code"`
	}{fault.Public(err), fault.CodeOf(err).String()})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// clip bounds a list of ids in an error.
func clip(s string) string { return s[:min(len(s), 256)] }
