package cdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// NewApp makes an app whose stacks are the same whoever synthesises them: with
// the feature flags that an app of today begins with, as far as they change
// anything here. outdir is where the cloud assembly goes; "" is where AWS's
// program wants it.
func NewApp(outdir string) awscdk.App {
	p := &awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), Context: flags()}
	if outdir != "" {
		p.Outdir = jsii.String(outdir)
	}
	return awscdk.NewApp(p)
}

// Synth writes the cloud assembly of f to outdir; "" is where AWS's program
// wants it. What CDK reports by panics, and what it notes at constructs as
// errors, comes back as an error. Errors: those of props and of godwit.yaml,
// BadConfig.
func Synth(f *Function, outdir string) (err error) {
	defer jsii.Close()
	return synth(func() awscdk.App {
		app := NewApp(outdir)
		NewStacks(app, f)
		return app
	})
}

// synth synthesises what make makes; panics end here and nowhere else.
func synth(make func() awscdk.App) (err error) {
	defer func() { err = errors.Join(err, recovered(recover())) }()
	assembly := make().Synth(nil)
	var all []error
	for _, stack := range *assembly.StacksRecursively() {
		for _, m := range *stack.Messages() {
			if string(m.Level) == "error" {
				all = append(all, fault.New(fault.BadConfig, "cdk.Synth", strings.TrimPrefix(*m.Id, "/"), "%v", m.Entry.Data))
			}
		}
	}
	return errors.Join(append(all, invalid(*assembly.Directory()))...)
}

// invalid is what does not fit CloudFormation's schemas. CDK writes it down, and
// has a process of Node.js end with an exit code that is not this one's.
func invalid(outdir string) error {
	path := filepath.Join(outdir, "validation-report.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var report struct {
		PluginReports []struct {
			PluginName string
			Violations []struct {
				RuleName, Description, Severity string
				ViolatingConstructs             []struct{ ConstructPath string }
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil {
		return fault.New(fault.Internal, "cdk.Synth", path, "%w", err)
	}
	var all []error
	for _, p := range report.PluginReports {
		for _, v := range p.Violations {
			// Annotations are the messages of stacks, too.
			if p.PluginName == "Construct Annotations" || v.Severity != "error" && v.Severity != "fatal" {
				continue
			}
			subject := ""
			if len(v.ViolatingConstructs) > 0 {
				subject = v.ViolatingConstructs[0].ConstructPath
			}
			all = append(all, fault.New(fault.BadConfig, "cdk.Synth", subject, "%s: %s", v.RuleName, strings.TrimSpace(v.Description)))
		}
	}
	return errors.Join(all...)
}

// recovered is a panic of CDK as an error, nil for none.
func recovered(v any) error {
	if v == nil {
		return nil
	}
	if err, ok := v.(error); ok && fault.Of(err) != nil {
		return err
	}
	return fault.New(fault.BadConfig, "cdk.Synth", "", "%s", strings.TrimSpace(fmt.Sprint(v)))
}
