package knative

import (
	"strconv"
	"strings"

	"godwit.dev/infra/render"
)

// jobSink starts the function's image once for each event.
func jobSink(d *render.Deployment) render.Mapping {
	b := d.Spec.Batch
	return render.Mapping{
		{"apiVersion", "sinks.knative.dev/v1alpha1", "A Job for each event. An event that comes twice is one Job: its name is made of the event's source and id."},
		{"kind", "JobSink"},
		{"metadata", named(d)},
		{"spec", render.Mapping{{"job", render.Mapping{{"spec", render.Mapping{
			{"backoffLimit", b.Attempts - 1},
			{"activeDeadlineSeconds", render.Seconds(b.Timeout), "For all attempts together."},
			{"ttlSecondsAfterFinished", kept, "A day to look at what failed."},
			{"template", taskPod(d)},
		}}}}}},
	}
}

// kept is how long a Job that ended is kept, in seconds.
const kept = 24 * 60 * 60

// job scores all that lies below batch.input, by tasks that share it. It is not
// in the base: it is started by hand, or by whoever knows when.
func job(d *render.Deployment) render.Mapping {
	j := d.Spec.Targets.Knative.Job
	pod := taskPod(d, pair{"GODWIT_SHARDS", strconv.Itoa(j.Tasks), "What completions says."})
	for _, op := range withoutNeeds(overlayOf(d).all(d)) { // no overlay comes over it
		set(render.Mapping{{"spec", render.Mapping{{"template", pod}}}}, strings.Split(op.(render.Mapping)[1][1].(string), "/")[1:], op.(render.Mapping))
	}
	return render.Mapping{
		{"apiVersion", "batch/v1", "kubectl create -f jobs/score.yaml, once for each run. What is scored already is not scored again."},
		{"kind", "Job"},
		{"metadata", render.Mapping{{"generateName", d.Spec.Name + "-score-"}, {"namespace", d.Spec.Targets.Knative.Namespace},
			{"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}}}},
		{"spec", render.Mapping{
			{"completionMode", "Indexed"},
			{"completions", j.Tasks},
			{"parallelism", j.Parallelism},
			{"backoffLimitPerIndex", j.MaxRetries},
			{"maxFailedIndexes", 0},
			{"ttlSecondsAfterFinished", kept},
			{"template", pod},
		}},
	}
}

// taskPod is the template of a pod that works and ends.
func taskPod(d *render.Deployment, more ...pair) render.Mapping {
	t := d.Spec.Targets.Knative
	c := render.Mapping{{"name", "score"}, {"image", d.Image}, {"env", env(d, more...)}}
	c.Add("resources", resources(d))
	c.Add("securityContext", security(), "What the Pod Security Standard \"restricted\" asks for, and a root that cannot be written.")
	c.Add("volumeMounts", mounts(d))
	var m render.Mapping
	m.Add("restartPolicy", "Never")
	if a := account(d); a != "" {
		m.Add("serviceAccountName", a)
	}
	m.Add("automountServiceAccountToken", false)
	m.Add("containers", render.List{c})
	m.Add("volumes", volumes(d, false))
	meta := render.Mapping{{"labels", fieldsOf(podLabels(d))}}
	if t.Mesh == "istio" || t.Mesh == "linkerd" {
		// A sidecar outlives the work, and the Job would never end.
		meta = render.Mapping{{"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}, {"sidecar.istio.io/inject", "false"}}},
			{"annotations", render.Mapping{{"linkerd.io/inject", "disabled"}}}}
	}
	return render.Mapping{{"metadata", meta}, {"spec", m}}
}

// set does the operation op, an addition, at steps below at.
func set(at any, steps []string, op render.Mapping) any {
	switch at := at.(type) {
	case render.Mapping:
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[0])
		for i := range at {
			if at[i][0] == key {
				at[i][1] = set(at[i][1], steps[1:], op)
				return at
			}
		}
		return append(at, render.Field{key, op[2][1], op[0][2]})
	case render.List:
		i, _ := strconv.Atoi(steps[0]) // the paths are our own
		at[i] = set(at[i], steps[1:], op)
	}
	return at
}
