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

// reportName is where CDK writes down what is wrong, in the cloud assembly.
const reportName = "validation-report.json"

// synth synthesises what make makes; panics end here and nowhere else.
func synth(make func() awscdk.App) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = recovered(v)
		}
	}()
	app := make()
	report := filepath.Join(*app.Outdir(), reportName)
	if err := os.Remove(report); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier synthesis
		return fault.New(fault.Internal, "cdk.Synth", report, "%w", err)
	}
	defer func() {
		// CDK panics, and says what was wrong in a file.
		if all := noted(report); all != nil {
			_ = recover()
			err = all
		}
	}()
	app.Synth(nil)
	return nil
}

// noted is what CDK wrote down as errors: what constructs are annotated with,
// as by the rules of a profile, and what does not fit CloudFormation's schemas.
func noted(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var report struct {
		PluginReports []struct {
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
			if v.Severity != "error" && v.Severity != "fatal" {
				continue
			}
			subject := ""
			if len(v.ViolatingConstructs) > 0 {
				subject = v.ViolatingConstructs[0].ConstructPath
			}
			all = append(all, fault.New(fault.BadConfig, "cdk.Synth", subject, "%s (%s)", strings.TrimSpace(v.Description), v.RuleName))
		}
	}
	return errors.Join(all...)
}

// recovered is a panic of CDK as an error.
func recovered(v any) error {
	if err, ok := v.(error); ok && fault.Of(err) != nil {
		return err
	}
	return fault.New(fault.BadConfig, "cdk.Synth", "", "%s", strings.TrimSpace(fmt.Sprint(v)))
}
