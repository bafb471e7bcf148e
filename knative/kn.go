package knative

import (
	"fmt"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
)

// KnLine is the command line of Knative's kn that makes the same Service as the
// files of Render do, but for what KnCannot names. Each flag is on a line of its
// own, quoted for a POSIX shell. d is one that Render takes.
func KnLine(d *render.Deployment) string {
	var b strings.Builder
	b.WriteString("kn service create " + d.Spec.Name)
	for _, f := range knFlags(d) {
		b.WriteString(" \\\n  " + f.name)
		if f.value != "" {
			b.WriteString(" " + render.Shell(f.value))
		}
	}
	return b.String()
}

// knScaling are the annotations that kn has flags for. Its flag for the target
// takes whole numbers only.
var knScaling = map[string]string{
	"autoscaling.knative.dev/metric":                        "--scale-metric",
	"autoscaling.knative.dev/target-utilization-percentage": "--scale-utilization",
	"autoscaling.knative.dev/min-scale":                     "--scale-min",
	"autoscaling.knative.dev/max-scale":                     "--scale-max",
	"autoscaling.knative.dev/initial-scale":                 "--scale-init",
	"autoscaling.knative.dev/activation-scale":              "--scale-activation",
	"autoscaling.knative.dev/window":                        "--scale-window",
}

func knFlags(d *render.Deployment) (all []pair) {
	t := d.Spec.Targets.Knative
	flag := func(name, value string) { all = append(all, pair{name, value, ""}) }
	flag("--namespace", t.Namespace)
	flag("--image", d.Image)
	flag("--port", fmt.Sprintf("h2c:%d", render.Port))
	for _, v := range variables(d) {
		flag("--env", v.name+"="+v.value)
	}
	for _, s := range secrets(t) {
		flag("--env-value-from", s.variable+"=secret:"+s.secret+":"+s.key)
	}
	size := "cpu=" + render.CPUs(t.CPU) + ",memory=" + render.Quantity(t.Memory)
	if t.GPU > 0 {
		size += ",nvidia.com/gpu=" + strconv.Itoa(t.GPU)
	}
	flag("--request", size)
	flag("--limit", size)
	flag("--concurrency-limit", strconv.Itoa(t.Concurrency))
	flag("--timeout", strconv.Itoa(render.Seconds(t.Timeout)))
	flag("--label-service", "app.kubernetes.io/name="+d.Spec.Name)
	for _, l := range podLabels(d) {
		flag("--label-revision", l.name+"="+l.value)
	}
	if t.Visibility == "cluster-local" {
		flag("--cluster-local", "")
	}
	for _, a := range serviceAnnotations(t) {
		flag("--annotation-service", a.name+"="+a.value)
	}
	for _, a := range revisionAnnotations(t) {
		if own, ok := knScaling[a.name]; ok {
			flag(own, a.value)
		} else {
			flag("--annotation-revision", a.name+"="+a.value)
		}
	}
	for _, op := range overlayOf(d).all(d) {
		m := op.(render.Mapping)
		path := m[1][1].(string)
		if labels, ok := m[2][1].(render.Mapping); ok && path == podPath+"/nodeSelector" {
			for _, l := range labels {
				flag("--node-selector", l[0].(string)+"="+l[1].(string))
			}
		}
		if label, ok := strings.CutPrefix(path, metaPath+"/labels/"); ok {
			flag("--label-revision", strings.NewReplacer("~1", "/", "~0", "~").Replace(label)+"="+m[2][1].(string))
		}
	}
	if name := RevisionName(d); name != "" {
		flag("--revision-name", name)
	}
	if a := account(d); a != "" {
		flag("--service-account", a)
	}
	flag("--probe-readiness", fmt.Sprintf("http::%d:%s", render.Port, render.Ready))
	flag("--probe-liveness", fmt.Sprintf("http::%d:%s", render.Port, render.Live))
	flag("--probe-liveness-opts", fmt.Sprintf("initialDelaySeconds=%d,periodSeconds=%d,timeoutSeconds=%d,failureThreshold=%d",
		render.Seconds(t.ProgressDeadline), livePeriod, liveTimeout, liveFailures))
	flag("--security-context", "strict")
	flag("--user", strconv.Itoa(render.User))
	flag("--volume", "tmp=ed:tmp")
	flag("--mount", "/tmp=tmp")
	// kn takes readOnly for a volume that the mount itself makes, under a name of
	// its own; a mounted ConfigMap is read only unasked.
	if t.ModelClaim != "" {
		flag("--volume", "models=pvc:"+t.ModelClaim)
		flag("--mount", modelsAt+"=models")
	}
	if t.FetchModels {
		flag("--volume", "models=cm:"+functionName(d))
		flag("--mount", modelsAt+"=models")
	}
	return all
}

// claimWrite is the feature without which Knative refuses a claim that is not
// read only, as kn's are.
const claimWrite = "kubernetes.podspec-persistent-volume-write"

// KnCannot is what the files of Render say and the line of kn does not: paths in
// the Service. Traffic is KnTraffic's, since kn shares it among revisions that
// are there.
func KnCannot(d *render.Deployment) []string {
	t := d.Spec.Targets.Knative
	all := []string{
		"spec.template.spec.automountServiceAccountToken",
		"spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem",
	}
	for _, op := range overlayOf(d).all(d) {
		switch path := op.(render.Mapping)[1][1].(string); path {
		case podPath + "/runtimeClassName":
			all = append(all, "spec.template.spec.runtimeClassName")
		case podPath + "/tolerations":
			all = append(all, "spec.template.spec.tolerations")
		}
	}
	switch {
	case t.ModelClaim != "":
		all = append(all, "spec.template.spec.containers[0].volumeMounts[1].readOnly", "spec.template.spec.volumes[1].persistentVolumeClaim.readOnly")
	case t.ModelImage != "":
		all = append(all, "spec.template.spec.containers[0].volumeMounts[1]", "spec.template.spec.volumes[1]")
	}
	if t.Traffic != nil {
		all = append(all, "spec.traffic")
	}
	return all
}
