package google

import (
	"fmt"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
)

// CloudRunLine is the command line of gcloud that makes the same service as
// service.yaml. Each flag is on a line of its own, quoted for a POSIX shell, and
// $PROJECT, and $REGION where godwit.yaml names none, are the shell's to fill
// in. d is one that RenderCloudRun takes.
func CloudRunLine(d *render.Deployment) string {
	var b strings.Builder
	b.WriteString("gcloud run deploy " + d.Spec.Name)
	for _, f := range runFlags(d) {
		b.WriteString(" \\\n  " + f.name)
		if f.value != "" {
			b.WriteString(" " + f.value)
		}
	}
	return b.String()
}

// runFlags are the flags with their values as the shell reads them.
func runFlags(d *render.Deployment) (all []pair) {
	t := d.Spec.Targets.CloudRun
	p, err := newPlan(d)
	if err != nil {
		return nil // RenderCloudRun has refused d
	}
	bare := func(name string) { all = append(all, pair{name, ""}) }
	flag := func(name, value string) { all = append(all, pair{name, render.Shell(value)}) }
	either := func(on bool, name string) {
		if !on {
			name = "no-" + name
		}
		bare("--" + name)
	}
	if t.Region != "" {
		flag("--region", t.Region)
	} else {
		all = append(all, pair{"--region", `"$REGION"`})
	}
	flag("--image", d.Image)
	flag("--description", describe(d))
	flag("--labels", "function="+d.Spec.Name+",rendered-by=godwit")
	all = append(all, pair{"--service-account", inShell(p.runs)})
	flag("--port", strconv.Itoa(render.Port))
	either(t.HTTP2, "use-http2")
	flag("--set-env-vars", dict(variables(&t.Common, "cloudrun")))
	if len(t.Secrets) > 0 {
		var refs []pair
		for _, s := range sorted(t.Secrets) {
			name, version := secret(s.value)
			refs = append(refs, pair{s.name, name + ":" + version})
		}
		flag("--set-secrets", dict(refs))
	}
	flag("--cpu", render.CPUs(t.CPU))
	flag("--memory", render.Quantity(t.Memory))
	if t.GPU != "" {
		flag("--gpu", "1")
		flag("--gpu-type", t.GPU)
		either(t.GPUZonalRedundancy, "gpu-zonal-redundancy")
	}
	flag("--min", strconv.Itoa(t.MinInstances))
	flag("--max", strconv.Itoa(t.MaxInstances))
	flag("--max-instances", strconv.Itoa(t.MaxInstances))
	flag("--concurrency", strconv.Itoa(t.Concurrency))
	flag("--timeout", strconv.Itoa(render.Seconds(t.Timeout)))
	either(t.Billing != "instance", "cpu-throttling")
	bare("--cpu-boost")
	flag("--execution-environment", t.ExecutionEnvironment)
	flag("--ingress", t.Ingress)
	if t.Network != "" {
		flag("--network", t.Network)
	}
	if t.Subnet != "" {
		flag("--subnet", t.Subnet)
	}
	if t.VPCEgress != "" {
		flag("--vpc-egress", t.VPCEgress)
	}
	if t.EncryptionKey != "" {
		flag("--key", t.EncryptionKey)
	}
	flag("--startup-probe", fmt.Sprintf("tcpSocket.port=%d,periodSeconds=%d,timeoutSeconds=%d,failureThreshold=1", render.Port, startSeconds, startSeconds))
	flag("--liveness-probe", fmt.Sprintf("httpGet.path=%s,httpGet.port=%d,periodSeconds=%d,timeoutSeconds=%d,failureThreshold=%d",
		render.Live, render.Port, livePeriod, liveTimeout, liveFailures))
	if p.checks {
		bare("--no-allow-unauthenticated") // else gcloud asks
	}
	either(p.checks, "invoker-iam-check")
	return all
}

// inShell is an account's address, with the project as a variable of the shell's.
func inShell(a account) string {
	if a.there() && !strings.Contains(a.mail, "@"+projectID+".") {
		return render.Shell(a.mail)
	}
	return `"` + a.email("$PROJECT") + `"`
}

// dict is gcloud's NAME=VALUE,…; where a value has a comma, parted by a word
// that no value has, said in front (`gcloud topic escaping`).
func dict(all []pair) string {
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = v.name + "=" + v.value
	}
	joined := strings.Join(texts, "")
	if !strings.Contains(joined, ",") {
		return strings.Join(texts, ",")
	}
	by := "#@" // whose end is not its beginning, so that it is found where it stands
	for strings.Contains(joined, by) {
		by += "@"
	}
	return "^" + by + "^" + strings.Join(texts, by)
}
