package cdk

import (
	"errors"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// Synth writes the cloud assembly of f to outdir; "" is where CDK's own program
// wants it. CDK reports what is wrong by panics, which come back as errors here
// and nowhere else.
func Synth(f *Function, outdir string) (err error) {
	defer jsii.Close()
	defer func() { err = errors.Join(err, recovered(recover())) }()
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false)})
	if outdir != "" {
		app = awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(outdir), AnalyticsReporting: jsii.Bool(false)})
	}
	NewStack(app, f.Spec.Name, &StackProps{Function: f})
	app.Synth(nil)
	return nil
}

// recovered is a panic of CDK as an error, nil for none.
func recovered(v any) error {
	if v == nil {
		return nil
	}
	var e *fault.Error
	if err, ok := v.(error); ok && errors.As(err, &e) {
		return e
	}
	return fault.New(fault.BadConfig, "cdk.Synth", "", "%s", fmt.Sprint(v))
}
