package cdk

import (
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"godwit.dev/runtime/fault"
)

// An Acknowledgement is a finding of a rule pack that stays, with the reason.
type Acknowledgement struct {
	ID string // of the rule: "AwsSolutions-IAM5"
	// Finding is what the rule found, as a regular expression of JavaScript
	// between slashes; "" for rules that find but one thing at a resource.
	Finding string
	Path    string // of the resource, below its scope: "Batch/FunctionRolePolicy/Resource"
	Reason  string
}

// AddCompliance checks all that is below scope against the rule pack of a
// profile of godwit.yaml, "aws-solutions" or "hipaa", when it is synthesised;
// "none" checks nothing. Findings become errors and warnings of CDK, and lines
// of PACK-STACK-NagReport.csv in the cloud assembly. What the constructs of this
// package leave open on purpose is acknowledged; an app of its own adds what its
// constructs leave open.
func AddCompliance(scope constructs.IConstruct, profile string, own ...Acknowledgement) {
	props := &cdknag.NagPackProps{Verbose: jsii.Bool(true)}
	switch profile {
	case "", "none":
		return
	case "aws-solutions":
		awscdk.Aspects_Of(scope).Add(cdknag.NewAwsSolutionsChecks(props), nil)
	case "hipaa":
		awscdk.Aspects_Of(scope).Add(cdknag.NewHIPAASecurityChecks(props), nil)
	default:
		panic(fault.New(fault.BadConfig, "cdk.AddCompliance", "compliance", "want none, aws-solutions or hipaa, got %q", profile))
	}
	for _, a := range slices.Concat(acknowledgements(profile), own) {
		at := constructs.IConstruct(scope)
		for id := range strings.SplitSeq(a.Path, "/") {
			if at = at.Node().TryFindChild(jsii.String(id)); at == nil {
				break
			}
		}
		if at == nil {
			continue // made only where godwit.yaml asks for it
		}
		s := &cdknag.NagPackSuppression{Id: jsii.String(a.ID), Reason: jsii.String(a.Reason)}
		if a.Finding != "" {
			s.AppliesTo = &[]interface{}{&cdknag.RegexAppliesTo{Regex: jsii.String(a.Finding)}}
		}
		cdknag.NagSuppressions_AddResourceSuppressions(at, &[]*cdknag.NagPackSuppression{s}, nil)
	}
}
