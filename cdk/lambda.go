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
	Code                         awslambda.Code         // the package
	Digest                       string                 // of the package, "sha256:…", which versions carry as their description; "": none
	Architecture                 awslambda.Architecture // nil: x86_64
	MemorySize                   *float64               // MiB; nil: 1769, one vCPU
	EphemeralStorageSize         awscdk.Size            // nil: 512 MiB
	Timeout                      awscdk.Duration        // nil: 60 s
	Environment                  *map[string]*string
	ReservedConcurrentExecutions *float64              // nil: none
	Tracing                      awslambda.Tracing     // "": active
	LogRetention                 awslogs.RetentionDays // "": 30 days
	EncryptionKey                awskms.IKey           // of variables and logs; nil: AWS's own
}

// lambdaProps is LambdaProps as godwit.yaml has them, for requests.
func lambdaProps(f *Function) LambdaProps {
	t := f.Spec.Targets.AWSLambda
	p := LambdaProps{
		Architecture:         awslambda.Architecture_X86_64(),
		MemorySize:           jsii.Number(float64(t.Memory / spec.MiB)),
		EphemeralStorageSize: awscdk.Size_Mebibytes(jsii.Number(float64(t.EphemeralStorage / spec.MiB))),
		Timeout:              seconds(t.Timeout),
		Tracing:              awslambda.Tracing_ACTIVE,
		Digest:               packageDigest(f),
	}
	if f.Zip != "" {
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
	l.LogGroup = awslogs.NewLogGroup(scope, jsii.String(id+"Log"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		EncryptionKey: p.EncryptionKey,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	l.Role.Allow("WriteLog", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, l.LogGroup.LogGroupArn())
	if p.Tracing != awslambda.Tracing_PASS_THROUGH {
		// X-Ray has no resources to name.
		l.Role.Allow("WriteTraces", []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, jsii.String("*"))
	}
	l.Function = awslambda.NewFunction(scope, jsii.String(id), &awslambda.FunctionProps{
		Code:                         p.Code,
		Handler:                      jsii.String("bootstrap"),
		Runtime:                      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:                 p.Architecture,
		MemorySize:                   p.MemorySize,
		EphemeralStorageSize:         p.EphemeralStorageSize,
		Timeout:                      p.Timeout,
		Environment:                  p.Environment,
		ReservedConcurrentExecutions: p.ReservedConcurrentExecutions,
		Tracing:                      p.Tracing,
		CurrentVersionOptions:        versionOptions(p.Digest),
		Role:                         l.Role.IRole,
		LogGroup:                     l.LogGroup,
	})
	return l
}
