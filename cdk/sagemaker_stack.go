package cdk

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/goccy/go-yaml"

	"godwit.dev/runtime/fault"
)

// NewStacks makes the stacks that f's godwit.yaml asks for: NAME for
// targets.awslambda, NAME-sagemaker for targets.sagemaker.
func NewStacks(scope constructs.Construct, f *Function) {
	if f.Spec.Targets.AWSLambda != nil {
		NewStack(scope, f.Spec.Name, &StackProps{Function: f})
	}
	if f.Spec.Targets.SageMaker != nil {
		NewSageMakerStack(scope, f.Spec.Name+"-sagemaker", &StackProps{Function: f})
	}
}

// SageMakerStack is what targets.sagemaker asks for.
type SageMakerStack struct {
	awscdk.Stack
	Endpoint *SageMakerEndpoint
}

// NewSageMakerStack makes a stack of its own, in the region that
// targets.sagemaker names, with the image that godwit.lock says was pushed last.
func NewSageMakerStack(scope constructs.Construct, id string, p *StackProps) *SageMakerStack {
	f, props := p.Function, p.StackProps
	if region := f.Spec.Targets.SageMaker.Region; region != "" && props.Env == nil {
		props.Env = &awscdk.Environment{Region: jsii.String(region)}
	}
	s := &SageMakerStack{Stack: awscdk.NewStack(scope, jsii.String(id), &props)}
	s.Endpoint = NewSageMakerEndpoint(s.Stack, "SageMaker", sageMakerProps(s.Stack, f))
	output := func(name, description string, value *string) {
		awscdk.NewCfnOutput(s.Stack, jsii.String(name), &awscdk.CfnOutputProps{Description: jsii.String(description), Value: value})
	}
	if e := s.Endpoint.Endpoint; e != nil {
		output("EndpointName", "The endpoint, for InvokeEndpoint and InvokeEndpointAsync.", e.EndpointName())
		output("Url", "Where requests go, signed; "+map[string]string{"async": "InvokeEndpointAsync names an object instead of a body."}[f.Spec.Targets.SageMaker.Mode]+
			" Bodies of at most 6 MB, of a serverless endpoint 4 MB.", awscdk.Fn_Join(jsii.String(""), &[]*string{
			jsii.String("https://runtime.sagemaker."), s.Stack.Region(), jsii.String("."), s.Stack.UrlSuffix(), jsii.String("/endpoints/"), e.EndpointName(), jsii.String("/invocations"),
		}))
	} else {
		output("ModelName", "The model, for CreateTransformJob.", s.Endpoint.Model.AttrModelName())
		output("CreateTransformJobCommand", "What scores the rows of CSV below a prefix.", s.Endpoint.TransformCommand)
	}
	const policy = "SageMaker/RolePolicy/Resource"
	AddCompliance(s.Stack, f.Spec.Compliance,
		Acknowledgement{ID: "AwsSolutions-IAM5", Path: policy, Finding: `/^Resource::\*$/`, Reason: "A registry's token, metrics and network interfaces have no resources to name; metrics are held to one namespace."},
		Acknowledgement{ID: "AwsSolutions-IAM5", Path: policy, Finding: `/^Resource::arn:<AWS::Partition>:(s3|logs):.*\*$/`, Reason: "Objects and the log streams of jobs have no names before they are there; those below one prefix alone."},
	)
	return s
}

// command starts a transform job over rows of CSV.
func (s *SageMakerEndpoint) command() *string {
	p := s.props
	in, out := "s3://BUCKET/PREFIX/", "s3://BUCKET/PREFIX/"
	if p.S3InputPath != nil {
		in = *p.S3InputPath
	}
	if p.S3OutputPath != nil {
		out = *p.S3OutputPath
	}
	output := map[string]any{"S3OutputPath": out, "Accept": "text/csv", "AssembleWith": "Line"}
	resources := map[string]any{"InstanceType": *p.InstanceType, "InstanceCount": *p.MaxCapacity}
	const key = "\x00"
	if p.KmsKey != nil {
		output["KmsKeyId"], resources["VolumeKmsKeyId"] = key, key
	}
	input := map[string]any{"ContentType": "text/csv", "SplitType": "Line", "DataSource": map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": in}}}
	quoted := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of texts and numbers
		}
		return "'" + string(text) + "'"
	}
	text := fmt.Sprintf(" --batch-strategy MultiRecord --max-payload-in-mb %v --max-concurrent-transforms %v --transform-input %s --transform-output %s --transform-resources %s",
		*p.MaxPayloadInMB, *p.MaxConcurrentTransforms, quoted(input), quoted(output), quoted(resources))
	name := or(p.EndpointName, jsii.String("scores"))
	parts := []*string{jsii.String("aws sagemaker create-transform-job --transform-job-name " + *name + "-$(date +%s) --model-name "), s.Model.AttrModelName()}
	for i, part := range strings.Split(text, `\u0000`) {
		if i > 0 {
			parts = append(parts, p.KmsKey.KeyArn())
		}
		parts = append(parts, jsii.String(part))
	}
	return awscdk.Fn_Join(jsii.String(""), &parts)
}

// lockedImage is the image that was pushed last for a target, by its digest, as
// godwit.lock in dir says.
func lockedImage(dir, target string) string {
	path := filepath.Join(dir, "godwit.lock")
	refuse := func(format string, args ...any) {
		panic(fault.New(fault.NotFound, "cdk.NewSageMakerStack", path, format, args...).WithHint("Run godwit package %s --target %s --push.", dir, target))
	}
	file, err := os.Open(path)
	if err != nil {
		refuse("want an image for %s that was pushed, got no lock", target)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	var lock struct {
		Packages map[string]struct {
			Digest, Image string
		}
	}
	if err == nil {
		err = yaml.Unmarshal(text, &lock)
	}
	if err != nil {
		refuse("want a lock: %w", err)
	}
	made := lock.Packages[target]
	if made.Image == "" {
		refuse("want an image for %s that was pushed, got none", target)
	}
	return made.Image + "@" + made.Digest
}
