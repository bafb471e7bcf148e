// Package plan says of a spec, without deploying anything, what each target
// would be: the defaults that it gets, what waiting costs there, and what the
// platform cannot do for it. It is pure; what it knows of platforms and prices is
// package data's, with sources and days.
package plan

import (
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// Target is the plan of one target.
type Target struct {
	Target   string    `json:"target"`
	Defaults []Default `json:"defaults"` // of the target's own keys
	Idle     Idle      `json:"idle"`
	Cannot   []Cannot  `json:"cannot"`
}

// A Default is a value that the spec did not give.
type Default struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Idle is what a month costs in which nobody asks.
type Idle struct {
	// USD is for 730 hours, without tax, rebates and what is free; nil where the
	// price is not known here, or is not the platform's to say.
	USD *float64 `json:"usd_a_month"`
	// What waits: "nothing", or "2 instances of 1 CPU and 1 GiB".
	What    string   `json:"what"`
	Region  string   `json:"region,omitempty"` // whose prices they are
	Sources []string `json:"sources,omitempty"`
}

// Cannot is one thing that the spec allows or asks for and the platform does not do.
type Cannot struct {
	What  string `json:"what"`  // "take requests above 6 MB"
	Asked string `json:"asked"` // "limits.body allows 16MiB"; "" where it is part of the protocol
	// Source is where it is said.
	Source string `json:"source,omitempty"`
}

// Of is the plan of a target of s, which s has.
func Of(s *spec.Spec, target string) *Target {
	choices := choicesOf(&s.Targets, target)
	return &Target{
		Target:   target,
		Defaults: slices.DeleteFunc(Defaults(s), func(d Default) bool { return !strings.HasPrefix(d.Path, "targets."+target+".") }),
		Idle:     idle(s, target, choices),
		Cannot:   cannot(s, target, choices),
	}
}

// Defaults are all that s did not give, those of all targets included.
func Defaults(s *spec.Spec) []Default {
	all := []Default{}
	for _, d := range s.Defaults() {
		all = append(all, Default(d))
	}
	return all
}

// Common are the defaults that are no target's own.
func Common(s *spec.Spec) []Default {
	return slices.DeleteFunc(Defaults(s), func(d Default) bool { return strings.HasPrefix(d.Path, "targets.") })
}

// choicesOf are the choices of a target, in package data's words.
func choicesOf(t *spec.Targets, target string) (all []string) {
	when := func(yes bool, choice string) {
		if yes {
			all = append(all, choice)
		}
	}
	switch target {
	case "awslambda":
		l := t.AWSLambda
		all = append(all, "api="+l.API, "package="+l.Package, "arch="+l.Architecture)
		when(l.ResponseStreaming, "stream")
		when(l.ManagedInstances != nil, "managed")
		when(l.ProvisionedConcurrency > 0, "provisioned")
	case "cloudrun":
		all = append(all, "billing="+t.CloudRun.Billing)
		when(t.CloudRun.HTTP2, "http2")
		when(t.CloudRun.GPU != "", "gpu")
		when(t.CloudRun.GPUZonalRedundancy, "redundant")
	case "azurefunctions":
		all = append(all, "plan="+t.AzureFunctions.Plan)
	case "sagemaker":
		all = append(all, "mode="+t.SageMaker.Mode)
	case "edge":
		all = append(all, "runtime="+t.Edge.Runtime)
	case "vertexai":
		when(t.VertexAI.DedicatedEndpoint, "dedicated")
	}
	return all
}

// sourceOf is s in words, "" for none.
func sourceOf(s data.Source) string {
	if s.Doc == "" {
		return ""
	}
	return s.String()
}
