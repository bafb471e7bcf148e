package knative

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

// RevisionName is the name of the revision that Overlay(d) makes, with traffic
// in godwit.yaml; "" where Knative names it. It is made of all that the revision
// says, so that the same revision is named the same and another one otherwise.
func RevisionName(d *render.Deployment) string {
	if d.Spec.Targets.Knative.Traffic == nil {
		return ""
	}
	return revisionName(d, overlayOf(d).all(d))
}

func revisionName(d *render.Deployment, ops render.List) string {
	h := sha256.New()
	h.Write(render.Document(template(d, "")))
	if len(ops) > 0 {
		h.Write(render.Document(ops))
	}
	return d.Spec.Name + "-" + hex.EncodeToString(h.Sum(nil))[:10]
}

// traffic is who gets how much: the revision that is named so, and the stable one.
func traffic(d *render.Deployment, name string) (all render.List) {
	t := d.Spec.Targets.Knative.Traffic
	target := func(name, tag string, percent int, note string) {
		all = append(all, render.Mapping{{"tag", tag, note}, {"revisionName", name}, {"latestRevision", false}, {"percent", percent}})
	}
	if t.Stable == "" {
		target(name, "stable", 100, "")
		return all
	}
	target(t.Stable, "stable", 100-int(t.Canary), "")
	note := ""
	if t.Canary == 0 {
		note = "Reached at its tag's address alone."
	}
	target(name, "canary", int(t.Canary), note)
	return all
}

// KnTraffic is the line of kn that shares the traffic as the files do, once both
// revisions are there; "" without traffic in godwit.yaml.
func KnTraffic(d *render.Deployment) string {
	t := d.Spec.Targets.Knative
	if t.Traffic == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kn service update %s --namespace %s", d.Spec.Name, t.Namespace)
	flag := func(name, tag string, percent int) {
		fmt.Fprintf(&b, " \\\n  --traffic %s=%d --tag %s=%s", name, percent, name, tag)
	}
	if t.Traffic.Stable == "" {
		flag(RevisionName(d), "stable", 100)
		return b.String()
	}
	flag(t.Traffic.Stable, "stable", 100-int(t.Traffic.Canary))
	flag(RevisionName(d), "canary", int(t.Traffic.Canary))
	return b.String()
}
