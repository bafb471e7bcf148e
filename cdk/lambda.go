package cdk

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
)

// LambdaProps is what the functions for requests and for batches have in
// common, under Lambda's names.
type LambdaProps struct {
	Code                 awslambda.Code         // the package: a zip, or an image by Code_FromEcrImage; required
	Image                *bool                  // whether Code is an image; nil: a zip
	Architecture         awslambda.Architecture // nil: x86_64
	MemorySize           *float64               // MiB; nil: 1769, one vCPU
	EphemeralStorageSize awscdk.Size            // nil: 512 MiB
	Timeout              awscdk.Duration        // nil: 60 s; 29 s behind an HTTP API, 28 s behind a REST API
	Environment          *map[string]*string
	Description          *string
	// Digest is the package's, "sha256:…", which versions carry as their
	// description, to be gone back to; "": none.
	Digest                       string
	ReservedConcurrentExecutions *float64 // nil: none
	// DeadLetterArn is the queue or topic for asynchronous calls that failed
	// for good; nil: none. The role may send to it.
	DeadLetterArn *string
	Tracing       awslambda.Tracing     // "": active
	LogRetention  awslogs.RetentionDays // "": 30 days
	EncryptionKey awskms.IKey           // of variables and logs; nil: AWS's own
	// VpcConfig has subnets and security groups, both; nil: outside of a VPC.
	VpcConfig *awslambda.CfnFunction_VpcConfigProperty
	// CapacityProviderConfig runs it on managed instances; FunctionScalingConfig
	// goes with it.
	CapacityProviderConfig *awslambda.CfnFunction_LambdaManagedInstancesCapacityProviderConfigProperty
	FunctionScalingConfig  *awslambda.CfnFunction_FunctionScalingConfigProperty
	// AcceleratorMemorySize is the least memory in GB of the GPU of each
	// environment, which managed instances have; nil: no GPU.
	AcceleratorMemorySize *float64
}

// lambdaProps is LambdaProps as godwit.yaml has them, for requests.
func lambdaProps(scope constructs.Construct, f *Function) LambdaProps {
	t := f.Spec.Targets.AWSLambda
	p := LambdaProps{
		Architecture:         awslambda.Architecture_X86_64(),
		MemorySize:           jsii.Number(float64(t.Memory / spec.MiB)),
		EphemeralStorageSize: awscdk.Size_Mebibytes(jsii.Number(float64(t.EphemeralStorage / spec.MiB))),
		Timeout:              seconds(t.Timeout),
		Environment:          variables(f),
		Tracing:              awslambda.Tracing_ACTIVE,
		LogRetention:         retention(t.LogRetention),
		EncryptionKey:        f.key,
		VpcConfig:            f.vpcConfig,
		Digest:               packageDigest(f),
	}
	if f.Image != "" {
		p.Code, p.Image = imageCode(scope, f.Image), jsii.Bool(true)
	} else {
		p.Code = awslambda.Code_FromAsset(jsii.String(f.Zip), nil)
	}
	if t.Architecture == "arm64" {
		p.Architecture = awslambda.Architecture_ARM_64()
	}
	if t.Tracing == "passThrough" {
		p.Tracing = awslambda.Tracing_PASS_THROUGH
	}
	if t.ReservedConcurrency > 0 {
		p.ReservedConcurrentExecutions = jsii.Number(float64(t.ReservedConcurrency))
	}
	if m := t.ManagedInstances; m != nil {
		p.CapacityProviderConfig = &awslambda.CfnFunction_LambdaManagedInstancesCapacityProviderConfigProperty{
			CapacityProviderArn:                   jsii.String(m.CapacityProvider),
			ExecutionEnvironmentMemoryGiBPerVCpu:  jsii.Number(float64(m.MemoryPerVCPU / spec.GiB)),
			PerExecutionEnvironmentMaxConcurrency: jsii.Number(float64(m.MaxConcurrency)),
		}
		p.FunctionScalingConfig = &awslambda.CfnFunction_FunctionScalingConfigProperty{
			MinExecutionEnvironments: jsii.Number(float64(m.MinEnvironments)),
			MaxExecutionEnvironments: jsii.Number(float64(m.MaxEnvironments)),
		}
	}
	if t.GPU > 0 {
		p.AcceleratorMemorySize = jsii.Number(float64(t.GPU / spec.GB))
	}
	return p
}

func seconds(d spec.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(time.Duration(d).Seconds()))
}

// lambda is one function with its role and its log group.
type lambda struct {
	Function awslambda.Function
	Role     *Role
	LogGroup awslogs.LogGroup
}

// newLambda makes the function of p. Its role may write its log and traces, and
// what the caller allows it.
func newLambda(scope constructs.Construct, id string, p *LambdaProps) *lambda {
	l := &lambda{Role: newRole(scope, id+"Role", "lambda.amazonaws.com")}
	l.LogGroup = newLogGroup(scope, id+"Log", p.LogRetention, p.EncryptionKey)
	l.Role.Allow("WriteLog", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, l.LogGroup.LogGroupArn())
	tracing := p.Tracing
	if tracing == "" {
		tracing = awslambda.Tracing_ACTIVE
	}
	if tracing == awslambda.Tracing_ACTIVE {
		// X-Ray has no resources to name.
		l.Role.Allow("WriteTraces", []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, jsii.String("*"))
	}
	if p.VpcConfig != nil {
		// Interfaces have no names before they are made, and Describe has no
		// resources; Lambda refuses the function unless its role may do all five.
		l.Role.Allow("UseInterfaces", []string{"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
			"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}, jsii.String("*"))
	}
	if p.DeadLetterArn != nil {
		l.Role.Allow("SendDeadLetters", []string{"sqs:SendMessage"}, p.DeadLetterArn)
	}
	props := &awslambda.FunctionProps{
		Code:                         p.Code,
		Handler:                      jsii.String("bootstrap"),
		Runtime:                      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:                 p.Architecture,
		MemorySize:                   or(p.MemorySize, jsii.Number(1769)),
		EphemeralStorageSize:         p.EphemeralStorageSize,
		Timeout:                      p.Timeout,
		Environment:                  p.Environment,
		EnvironmentEncryption:        p.EncryptionKey,
		Description:                  p.Description,
		ReservedConcurrentExecutions: p.ReservedConcurrentExecutions,
		Tracing:                      tracing,
		Role:                         l.Role.IRole,
		LogGroup:                     l.LogGroup,
		CurrentVersionOptions:        versionOptions(p.Digest, p.Image == nil || !*p.Image),
	}
	if props.Timeout == nil {
		props.Timeout = awscdk.Duration_Seconds(jsii.Number(60))
	}
	if p.Image != nil && *p.Image {
		props.Handler, props.Runtime = awslambda.Handler_FROM_IMAGE(), awslambda.Runtime_FROM_IMAGE()
	}
	if s := p.FunctionScalingConfig; s != nil {
		props.CurrentVersionOptions.MinExecutionEnvironments = s.MinExecutionEnvironments
		props.CurrentVersionOptions.MaxExecutionEnvironments = s.MaxExecutionEnvironments
	}
	l.Function = awslambda.NewFunction(scope, jsii.String(id), props)
	// A function in a VPC is refused before its role has the policy.
	l.Function.Node().AddDependency(l.Role.policy)
	cfn := l.Function.Node().DefaultChild().(awslambda.CfnFunction)
	if p.VpcConfig != nil {
		cfn.SetVpcConfig(p.VpcConfig)
	}
	if p.DeadLetterArn != nil {
		cfn.SetDeadLetterConfig(&awslambda.CfnFunction_DeadLetterConfigProperty{TargetArn: p.DeadLetterArn})
	}
	if p.CapacityProviderConfig != nil {
		cfn.SetCapacityProviderConfig(&awslambda.CfnFunction_CapacityProviderConfigProperty{LambdaManagedInstancesCapacityProviderConfig: p.CapacityProviderConfig})
	}
	if p.AcceleratorMemorySize != nil {
		// This version of CDK does not know the property.
		awscdk.Validations_Of(l.Function).Acknowledge(&awscdk.Acknowledgment{
			Id: jsii.String("CloudFormation-Validate::F3002"), Reason: jsii.String("AcceleratorConfig is newer than the schemas of this version of CDK."),
		})
		awslambda.Function_ClassifyVersionProperty(jsii.String("AcceleratorConfig"), jsii.Bool(true))
		cfn.AddPropertyOverride(jsii.String("AcceleratorConfig"), map[string]any{"AcceleratorMemorySize": *p.AcceleratorMemorySize})
	}
	return l
}

// newLogGroup makes a log group that ends with its stack.
func newLogGroup(scope constructs.Construct, id string, r awslogs.RetentionDays, key awskms.IKey) awslogs.LogGroup {
	if r == "" {
		r = awslogs.RetentionDays_ONE_MONTH
	}
	return awslogs.NewLogGroup(scope, jsii.String(id), &awslogs.LogGroupProps{
		Retention: r, EncryptionKey: key, RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}

// or is a, or b where a is nil.
func or[T any](a, b *T) *T {
	if a == nil {
		return b
	}
	return a
}
