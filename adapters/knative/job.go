package knative

import (
	"context"
	"net/http"
	"path"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// jobEvent is where a JobSink mounts the event unless K_EVENT_PATH says otherwise.
const jobEvent = "/etc/jobsink-event"

// IsJob reports whether the process is a Job that a JobSink has started: it
// works on one event and ends.
func IsJob(getenv func(string) string) bool { return getenv("K_EXECUTION_MODE") == "batch" }

// Job works on the event that the Job was started with, which read reads. An
// error fails the Job, so that Kubernetes tries again as often as backoffLimit
// says. Errors: BadConfig when there is no event.
func Job(ctx context.Context, events trigger.Handler, getenv func(string) string, read func(path string) ([]byte, error)) error {
	dir := getenv("K_EVENT_PATH")
	if dir == "" {
		dir = jobEvent
	}
	file := path.Join(dir, "event")
	body, err := read(file)
	if err != nil {
		return fault.New(fault.BadConfig, "knative.Job", file, "want the event that this Job is for, got: %w", err).
			WithHint("A JobSink mounts it; its name is in K_EVENT_PATH.")
	}
	all, err := cloudevent.Decode(http.Header{"Content-Type": {cloudevent.StructuredType}}, body)
	if err != nil {
		return fault.New(fault.CodeOf(err), "knative.Job", file, "%w", err)
	}
	items := cloudevent.Items(all)
	return trigger.Run(ctx, events, &trigger.Event{Source: all[0].Source, Kind: "cloudevents", Items: items})[0].Err
}
