package knative

import (
	"godwit.dev/infra/render"
)

// Commands are kubectl's, in order, to be run in the folder that Render filled:
// what they need is the namespace, the Secrets and kubectl's own context.
func Commands(d *render.Deployment) []render.Command {
	s, t := d.Spec, d.Spec.Targets.Knative
	wait := func(what string) render.Command {
		return render.Command{
			Args: []string{"kubectl", "--namespace", t.Namespace, "wait", "--for=condition=Ready", "--timeout=" + render.InSeconds(t.ProgressDeadline), what},
			Why:  "until it can be used",
		}
	}
	all := []render.Command{
		{Args: []string{"kubectl", "apply", "--kustomize", Overlay(d)}, Why: "apply what has changed"},
		wait("ksvc/" + s.Name),
	}
	if t.Events != nil {
		if brokered(s) {
			all = append(all, wait("broker/"+brokerName(s)), wait("trigger/"+s.Name))
		}
		if streamed(s) {
			all = append(all, wait("kafkasource/"+s.Name))
		}
		if t.Events.JobSink {
			all = append(all, wait("jobsink/"+s.Name))
		}
	}
	return append(all, render.Command{
		Args: []string{"kubectl", "--namespace", t.Namespace, "get", "ksvc", s.Name, "--output", "jsonpath={.status.url}"},
		Why:  "print the address",
	})
}
