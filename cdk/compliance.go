package cdk

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
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

// unacknowledged is an error for the findings, warnings among them, that the
// reports in the cloud assembly dir have and nobody acknowledged; nil for none.
func unacknowledged(dir string) error {
	reports, err := filepath.Glob(filepath.Join(dir, "*-NagReport.csv"))
	if err != nil {
		return err
	}
	var open []string
	for _, path := range reports {
		lines, err := readReport(path)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if l.Compliance != "Suppressed" && l.Compliance != "Compliant" {
				open = append(open, l.Rule+" "+l.Path+": "+l.Info)
			}
		}
	}
	if open == nil {
		return nil
	}
	slices.Sort(open)
	e := fault.New(fault.BadConfig, "cdk.Synth", "compliance", "want no finding that is not acknowledged, got %d:\n%s", len(open), strings.Join(slices.Compact(open), "\n"))
	e.Hint = "Change what the findings name in godwit.yaml, or use the constructs in an app of your own and acknowledge them there, with AddCompliance."
	return e
}

// reportLine is one of cdk-nag's report: a rule at a resource.
type reportLine struct{ Rule, Path, Compliance, Reason, Level, Info string }

func readReport(path string) ([]reportLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Internal, "cdk.Synth", path, "want a report of cdk-nag: %w", err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err == nil && (len(all) == 0 || len(all[0]) != 6) {
		err = errors.New("want six columns")
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "cdk.Synth", path, "want a report of cdk-nag: %w", err)
	}
	var lines []reportLine
	for _, l := range all[1:] {
		lines = append(lines, reportLine{l[0], l[1], l[2], l[3], l[4], l[5]})
	}
	return lines, nil
}
