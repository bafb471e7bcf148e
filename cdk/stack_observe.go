package cdk

import (
	"archive/zip"
	"io/fs"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// observe watches what the stack has and lets versions of its functions roll out.
func (s *Stack) observe(f *Function) {
	t := f.Spec.Targets.AWSLambda
	o := NewObservability(s.Stack, "Observability", &ObservabilityProps{EncryptionKey: f.key})
	s.Observability = o
	if online := s.Online; online != nil {
		w := &WatchedFunction{Function: online.Function, Alias: online.Alias, Timeout: seconds(t.Timeout), Provisioned: t.ProvisionedConcurrency > 0}
		o.WatchFunction("Online", w)
		switch {
		case online.HttpApi != nil:
			o.WatchHttpApi("OnlineApi", online.HttpApi)
		case online.RestApi != nil:
			o.WatchRestApi("OnlineApi", online.RestApi)
		case online.FunctionUrl != nil:
			o.WatchFunctionUrl("OnlineApi", w)
		case online.TargetGroup != nil:
			o.WatchTargetGroup("OnlineApi", online.TargetGroup)
		}
		s.Rollout = s.rollOut("Rollout", f, w)
	}
	if batch := s.Batch; batch != nil {
		w := &WatchedFunction{Function: batch.Function, Alias: batch.Alias, Timeout: seconds(f.Spec.Batch.Timeout), Events: true}
		o.WatchFunction("Batch", w)
		o.WatchQueue("BatchQueue", batch.Queue, batch.DeadLetterQueue, nil)
		s.BatchRollout = s.rollOut("RolloutBatch", f, w)
	}
	awscdk.NewCfnOutput(s.Stack, jsii.String("DashboardUrl"), &awscdk.CfnOutputProps{
		Description: jsii.String("What the functions do."), Value: o.DashboardUrl()})
	awscdk.NewCfnOutput(s.Stack, jsii.String("AlarmTopicArn"), &awscdk.CfnOutputProps{
		Description: jsii.String("The topic that alarms go to. Subscribe to it: nobody has."), Value: o.Topic.TopicArn()})
}

// rollOut has the alias of w rolled out as godwit.yaml says; nil without an alias.
func (s *Stack) rollOut(id string, f *Function, w *WatchedFunction) *Rollout {
	if w.Alias == nil {
		return nil
	}
	way := f.Spec.Targets.AWSLambda.Rollout
	p := &RolloutProps{Alias: w.Alias, DeploymentConfigName: jsii.String("CodeDeployDefault.Lambda" + way)}
	if way != "AllAtOnce" {
		p.Alarms = s.Observability.WatchNewVersion(id, w)
	}
	if hasRequests(f) {
		p.PreTrafficHook = hookProps(lambdaProps(s.Stack, f))
	}
	return NewRollout(s.Stack, id, p)
}

// hookProps is what a hook has of the function that it asks: the package, and
// nothing that a model takes.
func hookProps(p LambdaProps) *LambdaProps {
	return &LambdaProps{
		Code: p.Code, Image: p.Image, Architecture: p.Architecture, Digest: p.Digest,
		Tracing: awslambda.Tracing_PASS_THROUGH, LogRetention: p.LogRetention, EncryptionKey: p.EncryptionKey,
	}
}

// hasRequests tells whether something is recorded in a function's package; an
// image is taken to have what its folder has.
func hasRequests(f *Function) bool {
	files := os.DirFS(f.Dir)
	if f.Zip != "" {
		z, err := zip.OpenReader(f.Zip)
		if err != nil {
			panic(fault.New(fault.BadConfig, "cdk.NewStack", f.Zip, "want a zip: %w", err))
		}
		defer z.Close()
		files = z
	}
	found, err := fs.Glob(files, "requests/*/*.want.json")
	return err == nil && len(found) > 0
}
