package cdk

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssagemaker"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// SageMakerMode is how SageMaker asks a model.
type SageMakerMode string

// The modes.
const (
	SageMakerMode_REALTIME   SageMakerMode = "realtime"   // an endpoint on instances
	SageMakerMode_SERVERLESS SageMakerMode = "serverless" // an endpoint without
	SageMakerMode_ASYNC      SageMakerMode = "async"      // an endpoint with a queue in front, which may have no instance
	// SageMakerMode_TRANSFORM is a model for transform jobs: CloudFormation has
	// none, so TransformCommand starts one.
	SageMakerMode_TRANSFORM SageMakerMode = "transform"
)

// SageMakerEndpointProps is a model on SageMaker, under SageMaker's names.
type SageMakerEndpointProps struct {
	Mode        SageMakerMode // "": realtime
	Image       *string       // ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:…; required
	Environment *map[string]*string
	// EndpointName is also that of its log group, and begins the names of
	// transform jobs. Required but for transform.
	EndpointName *string
	// EnableNetworkIsolation lets the container reach nothing; nil: it does not,
	// except that serverless endpoints have no such thing.
	EnableNetworkIsolation *bool

	InstanceType *string // nil: ml.c5.large
	// MinCapacity and MaxCapacity are instances; nil: one, and as many as
	// MinCapacity. A transform job has MaxCapacity.
	MinCapacity, MaxCapacity *float64
	// ConcurrentRequestsPerModel is how many requests an instance of a realtime
	// endpoint should have at a time where instances may be added; nil: 4.
	ConcurrentRequestsPerModel *float64
	// BacklogSizePerInstance is how many requests may wait for each instance of
	// an asynchronous one; nil: 5.
	BacklogSizePerInstance                      *float64
	ContainerStartupHealthCheckTimeoutInSeconds *float64 // nil: SageMaker's own, 8 minutes

	MemorySizeInMb, MaxConcurrency *float64 // of a serverless endpoint; nil: 2048 and 10

	S3OutputPath *string // s3:// prefix for the answers of an asynchronous endpoint
	// S3InputPath is below what asynchronous requests and the rows of transform
	// jobs lie: s3://BUCKET or s3://BUCKET/PREFIX. nil: in the bucket of S3OutputPath.
	S3InputPath *string

	MaxPayloadInMB, MaxConcurrentTransforms *float64 // of a transform job; nil: 6 and 4

	ExecutionRoleArn *string                                  // nil: one is made
	KmsKey           awskms.IKey                              // of volumes, results and logs; nil: AWS's own
	VpcConfig        *awssagemaker.CfnModel_VpcConfigProperty // nil: outside of a VPC
	LogRetention     awslogs.RetentionDays                    // "": 30 days
}

// SageMakerEndpoint is a model on SageMaker. Its fields may be read after it was made.
type SageMakerEndpoint struct {
	constructs.Construct
	Model          awssagemaker.CfnModel
	EndpointConfig awssagemaker.CfnEndpointConfig // nil for transform
	Endpoint       awssagemaker.CfnEndpoint       // nil for transform
	Role           *Role                          // nil where the role was given
	LogGroup       awslogs.LogGroup               // nil for transform: its jobs share the account's
	// TransformCommand starts a transform job; nil for the others.
	TransformCommand *string

	props *SageMakerEndpointProps
}

// withDefaults is p with what stands for nil.
func (p SageMakerEndpointProps) withDefaults() *SageMakerEndpointProps {
	if p.Mode == "" {
		p.Mode = SageMakerMode_REALTIME
	}
	if p.Mode == SageMakerMode_SERVERLESS {
		p.MemorySizeInMb, p.MaxConcurrency = or(p.MemorySizeInMb, jsii.Number(2048)), or(p.MaxConcurrency, jsii.Number(10))
		return &p
	}
	p.EnableNetworkIsolation = or(p.EnableNetworkIsolation, jsii.Bool(true))
	p.InstanceType = or(p.InstanceType, jsii.String("ml.c5.large"))
	p.MinCapacity = or(p.MinCapacity, jsii.Number(1))
	p.MaxCapacity = or(p.MaxCapacity, jsii.Number(max(1, *p.MinCapacity)))
	p.ConcurrentRequestsPerModel = or(p.ConcurrentRequestsPerModel, jsii.Number(4))
	p.BacklogSizePerInstance = or(p.BacklogSizePerInstance, jsii.Number(5))
	p.MaxPayloadInMB, p.MaxConcurrentTransforms = or(p.MaxPayloadInMB, jsii.Number(6)), or(p.MaxConcurrentTransforms, jsii.Number(4))
	if p.S3InputPath == nil && p.S3OutputPath != nil {
		bucket, _, _ := strings.Cut(strings.TrimPrefix(*p.S3OutputPath, "s3://"), "/")
		p.S3InputPath = jsii.String("s3://" + bucket)
	}
	return &p
}

// check panics where props contradict each other, or SageMaker would refuse them.
func (p *SageMakerEndpointProps) check(id string) {
	refuse := func(prop, hint, format string, args ...any) {
		panic(fault.New(fault.BadConfig, "cdk.NewSageMakerEndpoint", id+" "+prop, format, args...).WithHint("%s", hint))
	}
	switch p.Mode {
	case SageMakerMode_REALTIME, SageMakerMode_SERVERLESS, SageMakerMode_ASYNC, SageMakerMode_TRANSFORM:
	default:
		refuse("Mode", "", "want realtime, serverless, async or transform, got %q", p.Mode)
	}
	if p.Image == nil || !imageURI.MatchString(*p.Image) {
		refuse("Image", "Push it with godwit package --target sagemaker --push, with image: a repository of ECR.", "want ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:DIGEST, got %s", show(p.Image))
	}
	if p.EndpointName == nil && p.Mode != SageMakerMode_TRANSFORM {
		refuse("EndpointName", "", "want a name, got none")
	}
	if p.Environment != nil {
		for name, value := range *p.Environment {
			if n := len(*value); n > 1024 {
				refuse("Environment "+name, "Put long values into a file of the function's folder.", "want at most 1024 bytes, got %d", n)
			}
		}
	}
	if p.Mode == SageMakerMode_SERVERLESS {
		if p.VpcConfig != nil {
			refuse("VpcConfig", "Leave vpc out, or use mode: realtime or async.", "serverless endpoints run in no VPC")
		}
		if p.EnableNetworkIsolation != nil && *p.EnableNetworkIsolation {
			refuse("EnableNetworkIsolation", "Leave it out.", "serverless endpoints have no network isolation")
		}
		return
	}
	if *p.MinCapacity < 1 && p.Mode != SageMakerMode_ASYNC {
		refuse("MinCapacity", "Use async or serverless to go to zero.", "want at least 1, got %v", *p.MinCapacity)
	}
	if p.Mode == SageMakerMode_ASYNC && p.S3OutputPath == nil {
		refuse("S3OutputPath", "Give s3://BUCKET/PREFIX/.", "an asynchronous endpoint needs a place for its answers")
	}
	if p.Mode == SageMakerMode_TRANSFORM && p.ExecutionRoleArn == nil && (p.S3InputPath == nil || p.S3OutputPath == nil) {
		refuse("S3InputPath", "Say batch: {input: s3://BUCKET/PREFIX/, output: s3://BUCKET/PREFIX/} in godwit.yaml, or give a role.", "want where rows lie and scores go, so that the role may read and write there and nowhere else")
	}
}

func show(s *string) string {
	if s == nil {
		return "none"
	}
	return `"` + *s + `"`
}

// NewSageMakerEndpoint makes a model and, but for transform jobs, its endpoint. It
// panics with a BadConfig fault where props contradict each other.
func NewSageMakerEndpoint(scope constructs.Construct, id string, props *SageMakerEndpointProps) *SageMakerEndpoint {
	p := props.withDefaults()
	p.check(id)
	s := &SageMakerEndpoint{Construct: constructs.NewConstruct(scope, jsii.String(id)), props: p}
	if p.Mode != SageMakerMode_TRANSFORM {
		s.LogGroup = awslogs.NewLogGroup(s.Construct, jsii.String("Log"), &awslogs.LogGroupProps{
			LogGroupName: jsii.String("/aws/sagemaker/Endpoints/" + *p.EndpointName), EncryptionKey: p.KmsKey,
			Retention: or2(p.LogRetention, awslogs.RetentionDays_ONE_MONTH), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		})
	}
	role := p.ExecutionRoleArn
	if role == nil {
		role = s.makeRole()
	}
	s.Model = awssagemaker.NewCfnModel(s.Construct, jsii.String("Model"), &awssagemaker.CfnModelProps{
		ExecutionRoleArn: role, VpcConfig: unlessNil(p.VpcConfig), EnableNetworkIsolation: p.EnableNetworkIsolation,
		PrimaryContainer: &awssagemaker.CfnModel_ContainerDefinitionProperty{Image: p.Image, Environment: s.environment()},
	})
	if s.Role != nil {
		s.Model.Node().AddDependency(s.Role.policy) // SageMaker tries the role out
	}
	if p.Mode == SageMakerMode_TRANSFORM {
		s.TransformCommand = s.command()
		return s
	}
	s.makeEndpoint()
	s.scale()
	return s
}

// unlessNil keeps a nil pointer from becoming an interface that is not nil.
func unlessNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

func or2[T comparable](a, b T) T {
	var zero T
	if a == zero {
		return b
	}
	return a
}

// environment is p's and which platform this is: SageMaker sets no variable by
// which the process could always tell.
func (s *SageMakerEndpoint) environment() *map[string]*string {
	all := map[string]*string{"GODWIT_TARGET": jsii.String("sagemaker")}
	if s.props.Environment != nil {
		for name, value := range *s.props.Environment {
			all[name] = value
		}
	}
	return &all
}

func (s *SageMakerEndpoint) makeEndpoint() {
	p := s.props
	variant := &awssagemaker.CfnEndpointConfig_ProductionVariantProperty{
		VariantName: jsii.String(variantName), ModelName: s.Model.AttrModelName(), InitialVariantWeight: jsii.Number(1),
	}
	if p.Mode == SageMakerMode_SERVERLESS {
		variant.ServerlessConfig = &awssagemaker.CfnEndpointConfig_ServerlessConfigProperty{MemorySizeInMb: p.MemorySizeInMb, MaxConcurrency: p.MaxConcurrency}
	} else {
		// It may go to zero afterwards, but does not begin with that.
		variant.InstanceType, variant.InitialInstanceCount = p.InstanceType, jsii.Number(max(1, *p.MinCapacity))
		variant.ContainerStartupHealthCheckTimeoutInSeconds = p.ContainerStartupHealthCheckTimeoutInSeconds
	}
	config := &awssagemaker.CfnEndpointConfigProps{ProductionVariants: &[]any{variant}}
	if p.KmsKey != nil {
		config.KmsKeyId = p.KmsKey.KeyArn()
	}
	if p.Mode == SageMakerMode_ASYNC {
		out := &awssagemaker.CfnEndpointConfig_AsyncInferenceOutputConfigProperty{
			S3OutputPath: p.S3OutputPath, S3FailurePath: jsii.String(strings.TrimSuffix(*p.S3OutputPath, "/") + "/failed/"),
		}
		if p.KmsKey != nil {
			out.KmsKeyId = p.KmsKey.KeyArn()
		}
		config.AsyncInferenceConfig = &awssagemaker.CfnEndpointConfig_AsyncInferenceConfigProperty{OutputConfig: out}
	}
	s.EndpointConfig = awssagemaker.NewCfnEndpointConfig(s.Construct, jsii.String("Config"), config)
	endpoint := &awssagemaker.CfnEndpointProps{EndpointConfigName: s.EndpointConfig.AttrEndpointConfigName(), EndpointName: p.EndpointName}
	if s.scales() {
		// What scaling has made of it stays when a new model comes.
		endpoint.RetainAllVariantProperties = jsii.Bool(true)
	}
	s.Endpoint = awssagemaker.NewCfnEndpoint(s.Construct, jsii.String("Endpoint"), endpoint)
	s.Endpoint.Node().AddDependency(s.LogGroup)
}

const variantName = "AllTraffic"

// sageMakerProps is what targets.sagemaker says.
func sageMakerProps(scope constructs.Construct, f *Function) *SageMakerEndpointProps {
	t := f.Spec.Targets.SageMaker
	p := &SageMakerEndpointProps{
		Mode: SageMakerMode(t.Mode), Image: jsii.String(lockedImage(f.Dir, "sagemaker")), EndpointName: jsii.String(f.Spec.Name),
		ExecutionRoleArn: nonempty(t.Role), S3OutputPath: nonempty(t.AsyncOutput),
	}
	if len(t.Secrets) > 0 {
		panic(fault.New(fault.BadConfig, "cdk.NewSageMakerStack", "targets.sagemaker.secrets", "SageMaker has no variables that come from a secret store").
			WithHint("Read the secret in a handler, with a role of your own that may."))
	}
	if len(t.Env) > 0 {
		all := map[string]*string{}
		for name, value := range t.Env {
			all[name] = jsii.String(value)
		}
		p.Environment = &all
	}
	switch {
	case t.KMSKey != "":
		p.KmsKey = awskms.Key_FromKeyArn(scope, jsii.String("ImportedKey"), jsii.String(t.KMSKey))
	case f.Spec.Compliance == "hipaa":
		p.KmsKey = NewEncryptionKey(scope, "Key")
	}
	p.VpcConfig = sageMakerVPC(scope, t.VPC)
	if t.Mode == "serverless" {
		p.MemorySizeInMb, p.MaxConcurrency = jsii.Number(float64(t.Memory/spec.MiB)), jsii.Number(float64(t.MaxConcurrency))
		return p
	}
	if f.Spec.Handler != "" {
		p.EnableNetworkIsolation = jsii.Bool(false) // it may ask other services
	}
	p.InstanceType, p.MinCapacity, p.MaxCapacity = jsii.String(t.InstanceType), jsii.Number(float64(t.MinInstances)), jsii.Number(float64(t.MaxInstances))
	p.ContainerStartupHealthCheckTimeoutInSeconds = jsii.Number(time.Duration(t.StartupTimeout).Seconds())
	if t.Mode == "transform" {
		p.MaxPayloadInMB, p.MaxConcurrentTransforms = jsii.Number(float64(t.MaxPayload/spec.MiB)), jsii.Number(float64(t.MaxConcurrentTransforms))
		if b := f.Spec.Batch; b != nil {
			p.S3InputPath, p.S3OutputPath = onS3(b.Input), onS3(b.Output)
		}
	}
	return p
}

// onS3 is a place that batch names, nil where it is on no bucket of S3.
func onS3(place string) *string {
	if !strings.HasPrefix(place, "s3://") {
		return nil
	}
	return &place
}

// sageMakerVPC is where containers have their interfaces; nil is outside of a VPC.
func sageMakerVPC(scope constructs.Construct, v *spec.VPC) *awssagemaker.CfnModel_VpcConfigProperty {
	if v == nil {
		return nil
	}
	if len(v.SecurityGroups) == 0 {
		panic(fault.New(fault.BadConfig, "cdk.NewSageMakerStack", "targets.sagemaker.vpc", "want securityGroups, got none").
			WithHint("Make one without rules for what comes in: SageMaker brings requests itself."))
	}
	return &awssagemaker.CfnModel_VpcConfigProperty{Subnets: jsii.Strings(v.Subnets...), SecurityGroupIds: jsii.Strings(v.SecurityGroups...)}
}
