package plan

import (
	"fmt"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

func cannot(s *spec.Spec, target string, choices []string) []Cannot {
	all := []Cannot{}
	add := func(source data.Source, what, asked string) {
		all = append(all, Cannot{What: what, Asked: asked, Source: sourceOf(source)})
	}
	if l := data.Find(target, data.Request, choices...); l.State == data.Known {
		what, most := "take requests above "+size(l.Value), l.Value
		if data.Base64(target) { // JSON goes as it is, what is binary as four bytes for three
			what, most = fmt.Sprintf("%s, %s of them binary", what, size(l.Value/4*3)), l.Value/4*3
		}
		if int64(s.Limits.Body) > most {
			add(l.Source, what, "limits.body allows "+s.Limits.Body.String())
		}
	}
	if l := data.Find(target, data.Response, choices...); l.State == data.Known && int64(s.Limits.Response) > l.Value {
		add(l.Source, "give answers above "+size(l.Value), "limits.response allows "+s.Limits.Response.String())
	}
	if l := data.Find(target, data.Time, choices...); l.State == data.Known && time.Duration(s.Limits.Request) > time.Duration(l.Value)*time.Millisecond {
		add(l.Source, "take longer than "+fmt.Sprint(spec.Duration(time.Duration(l.Value)*time.Millisecond)), "limits.request allows "+s.Limits.Request.String())
	}
	if l := data.Find(target, data.Stop, choices...); l.State == data.Known && time.Duration(s.Limits.Drain) > time.Duration(l.Value)*time.Millisecond {
		add(l.Source, "wait longer than "+fmt.Sprint(spec.Duration(time.Duration(l.Value)*time.Millisecond))+" for work in flight when it stops", "limits.drain allows "+s.Limits.Drain.String())
	}
	if why := withoutGRPC(&s.Targets, target); why != "" {
		all = append(all, Cannot{What: why})
	}
	if why := neverZero(&s.Targets, target); why != "" {
		all = append(all, Cannot{What: "go to zero: " + why})
	}
	if other := onGPU(&s.Targets, target); other != "" && withoutGPU(&s.Targets, target) {
		all = append(all, Cannot{What: "run on a GPU", Asked: "targets." + other + " does"})
	}
	return all
}

// withoutGRPC says what of gRPC a target does not pass, and why; "" where it passes all.
func withoutGRPC(t *spec.Targets, target string) string {
	switch {
	case target == "awslambda":
		return "speak gRPC: an event is one request and one answer"
	case target == "azurefunctions":
		return "speak gRPC: the host passes requests on over HTTP/1.1"
	case target == "cloudrun" && !t.CloudRun.HTTP2:
		return "stream over gRPC: that needs http2: true; single calls pass"
	case target == "sagemaker", target == "azureml":
		return "speak gRPC: the endpoint has a route of its own for HTTP/1.1"
	case target == "vertexai" && !t.VertexAI.DedicatedEndpoint:
		return "speak gRPC: that needs dedicatedEndpoint: true"
	}
	return ""
}

// neverZero says why something always waits, "" where nothing need be.
func neverZero(t *spec.Targets, target string) string {
	switch {
	case target == "vertexai":
		return "an endpoint keeps a machine"
	case target == "azureml" && t.AzureML.Mode == "online":
		return "an endpoint keeps a machine"
	case target == "sagemaker" && t.SageMaker.Mode == "realtime":
		return "a realtime endpoint keeps a machine; serverless and async do not"
	case target == "azurefunctions" && t.AzureFunctions.Plan == "premium":
		return "the plan keeps an instance; flex and containerapps do not"
	case target == "knative" && t.Knative.Class == "hpa":
		return "Kubernetes' own autoscaler keeps a pod; class kpa does not"
	case target == "awslambda" && t.AWSLambda.ManagedInstances != nil:
		return "managed instances keep an environment"
	}
	return ""
}

func withoutGPU(t *spec.Targets, target string) bool {
	return target == "azurefunctions" && t.AzureFunctions.Plan != "containerapps"
}

// onGPU is another target of the spec whose provider needs a GPU, "" for none.
func onGPU(t *spec.Targets, but string) string {
	for _, name := range t.Names() {
		if p := t.Common(name).Provider; name != but && (p == "cuda" || p == "tensorrt") {
			return name
		}
	}
	return ""
}

func size(n int64) string { return spec.Bytes(n).String() }
