package knative

import (
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/runtime/fault"
)

// checkEvents refuses events that would never arrive, or never be answered.
func checkEvents(d *render.Deployment, at func(string) string) error {
	s, t := d.Spec, d.Spec.Targets.Knative
	e := t.Events
	switch {
	case len(s.Triggers) == 0 && e != nil:
		return bad(at("events"), "want triggers, got none").WithHint("Add triggers: [events], or leave events out.")
	case len(s.Triggers) == 0 && t.Kafka != nil:
		return bad(at("kafka"), "want the trigger stream, got none").WithHint("Add triggers: [stream], or leave kafka out.")
	case len(s.Triggers) == 0:
		return nil
	case slices.Contains(s.Triggers, "queue"):
		return fault.New(fault.Unsupported, "knative.Render", "triggers", "want events, objects, topic or stream, got queue: Kubernetes has no queue of its own").
			WithHint("Say events, and have a source of your own, such as an IntegrationSource for SQS, send to the Broker.")
	case e == nil:
		return bad(at("events"), "want who gets what failed for good, got nothing").
			WithHint("Add events: {deadLetter: ksvc:NAME} under targets.knative; channel:, broker:, kafkasink: and a URL do as well.")
	case streamed(s) && t.Kafka == nil:
		return bad(at("kafka"), "want the topics of the trigger stream, got none").WithHint("Add kafka: {bootstrapServers: [HOST:9092], topics: [rows]}.")
	case !streamed(s) && t.Kafka != nil:
		return bad(at("kafka"), "want the trigger stream, got %s", strings.Join(s.Triggers, ", ")).WithHint("Add stream to triggers, or leave kafka out.")
	case !brokered(s) && (e.Broker != "" || e.BrokerClass != "" || len(e.Filter) > 0):
		return bad(at("events"), "want a trigger that comes through a Broker, got stream alone").WithHint("Leave broker, brokerClass and filter out, or add events to triggers.")
	case !e.JobSink && (s.Auth.Mode == "key" || s.Auth.Mode == "jwt"):
		return bad("auth: "+s.Auth.Mode, "want callers that Eventing can be, got callers with a key or token of ours, which it does not send").
			WithHint("Say auth: platform with a mesh that lets Eventing in, auth: none with visibility: cluster-local, or events: {jobSink: true}.")
	case !e.JobSink && s.Batch.Timeout > t.Timeout:
		return bad("batch.timeout", "want at most the %v that a request may take (%s), got %v", t.Timeout, at("timeout"), s.Batch.Timeout).
			WithHint("Lower it, raise timeout, which is 10m at most, or have a Job for each event: events: {jobSink: true}.")
	case e.JobSink && !s.Batch.DeadLetter:
		return bad("batch.deadLetter", "want true with %s, got false: a Job that fails is gone in a day, and its event with it", at("events.jobSink")).
			WithHint("Say batch: {deadLetter: true}, which keeps what failed for good, with the reason, below batch.output.")
	case t.Store == "" && !strings.Contains(s.Batch.Output, "://") && !(len(s.Triggers) == 1 && s.Triggers[0] == "objects"):
		return bad(at("store"), "want where scores of messages go, got batch.output %q, which is in no bucket", s.Batch.Output).
			WithHint("Add store: and what it is below, such as s3://lake, or write batch.output out as a URL.")
	case e.DeadLetter == "ksvc:"+s.Name || e.JobSink && e.DeadLetter == "jobsink:"+s.Name || brokered(s) && e.DeadLetter == "broker:"+brokerName(s):
		return bad(at("events.deadLetter"), "want somebody else, got where the event comes from, %q: it would go round for ever", e.DeadLetter)
	}
	return nil
}
