package cdk

import (
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// OnlineFunctionProps is a function that answers requests, and the API in front of it.
type OnlineFunctionProps struct {
	LambdaProps
	ApiType ApiType // "": HTTP
	// AuthType is who asks callers who they are: AWS, by Signature Version 4, or,
	// with NONE, the API lets everybody through to the function, which asks for
	// keys or tokens, or nobody does. "": AWS_IAM.
	AuthType   awslambda.FunctionUrlAuthType
	InvokeMode awslambda.InvokeMode // RESPONSE_STREAM for REST APIs and function URLs; "": BUFFERED
	// Throttle is what an HTTP or REST API lets through; nil: the account's.
	Throttle *awsapigatewayv2.ThrottleSettings
	// CorsAllowOrigins are origins that browsers may call from; nil: none. Behind
	// a REST API or a load balancer the function adds the headers of its answers
	// itself, as its own godwit.yaml says.
	CorsAllowOrigins []string
	// LogErrors has a REST API log its errors, beside the access log; nil: no.
	LogErrors *bool
	// Live has callers go through the alias "live", so that a version can be
	// rolled out and back; nil: only with ProvisionedConcurrentExecutions or
	// CapacityProviderConfig, which only versions have.
	Live                            *bool
	ProvisionedConcurrentExecutions *float64 // nil: none
	// ProvisionedSchedule changes ProvisionedConcurrentExecutions at times.
	ProvisionedSchedule []awsapplicationautoscaling.ScalingSchedule
}

// OnlineFunction answers requests. Its fields may be read after it was made.
type OnlineFunction struct {
	constructs.Construct
	Function awslambda.Function
	Alias    awslambda.Alias // nil: callers reach the function itself
	Role     *Role
	LogGroup awslogs.LogGroup
	// One of these is the API; all are nil where there is none.
	HttpApi     awsapigatewayv2.HttpApi
	RestApi     awsapigateway.RestApi
	FunctionUrl awslambda.FunctionUrl
	TargetGroup awselasticloadbalancingv2.CfnTargetGroup
	// AccessLogGroup has a line for each request of an HTTP or REST API.
	AccessLogGroup awslogs.LogGroup
	// Url is where requests go, without a slash at its end; nil with a target
	// group and without an API.
	Url *string
	// Payload says what requests and answers may be, for people.
	Payload string
}

// withDefaults is p with what stands for nil, "" and 0.
func (p OnlineFunctionProps) withDefaults() *OnlineFunctionProps {
	if p.ApiType == "" {
		p.ApiType = ApiType_HTTP
	}
	if p.AuthType == "" {
		p.AuthType = awslambda.FunctionUrlAuthType_AWS_IAM
	}
	if p.InvokeMode == "" {
		p.InvokeMode = awslambda.InvokeMode_BUFFERED
	}
	if p.Tracing == "" {
		p.Tracing = awslambda.Tracing_ACTIVE
	}
	if p.Timeout == nil {
		s := map[ApiType]float64{ApiType_HTTP: 29, ApiType_REST: 28}[p.ApiType]
		if s == 0 {
			s = 60
		}
		p.Timeout = awscdk.Duration_Seconds(&s)
	}
	if p.Live == nil {
		p.Live = jsii.Bool(p.ProvisionedConcurrentExecutions != nil || p.CapacityProviderConfig != nil)
	}
	return &p
}

// NewOnlineFunction makes the function and its API. It panics with a BadConfig
// fault where props contradict each other.
func NewOnlineFunction(scope constructs.Construct, id string, props *OnlineFunctionProps) *OnlineFunction {
	p := props.withDefaults()
	p.check(id)
	o := &OnlineFunction{Construct: constructs.NewConstruct(scope, jsii.String(id)), Payload: p.payload()}
	l := newLambda(o.Construct, "Function", &p.LambdaProps)
	o.Function, o.Role, o.LogGroup = l.Function, l.Role, l.LogGroup
	if *p.Live {
		o.Alias = newLive(o.Construct, o.Function, p.ProvisionedConcurrentExecutions)
		o.schedule(p)
	}
	switch p.ApiType {
	case ApiType_HTTP:
		o.newHTTPAPI(p, o.Handler())
	case ApiType_REST:
		o.newRestAPI(p, o.Handler())
	case ApiType_FUNCTION_URL:
		o.newURL(p, o.Handler())
	case ApiType_ALB:
		o.newTargetGroup(p, o.Handler())
	}
	return o
}

// Handler is what callers call: the alias where there is one, else the function.
func (o *OnlineFunction) Handler() awslambda.IFunction {
	if o.Alias != nil {
		return o.Alias
	}
	return o.Function
}

// schedule lets Application Auto Scaling change how many environments wait.
func (o *OnlineFunction) schedule(p *OnlineFunctionProps) {
	if len(p.ProvisionedSchedule) == 0 {
		return
	}
	scaling := o.Alias.AddAutoScaling(&awslambda.AutoScalingOptions{MinCapacity: p.ProvisionedConcurrentExecutions, MaxCapacity: p.ProvisionedConcurrentExecutions})
	for i := range p.ProvisionedSchedule {
		scaling.ScaleOnSchedule(jsii.String(fmt.Sprintf("Schedule%d", i+1)), &p.ProvisionedSchedule[i])
	}
}

// onlineFunctionProps is what godwit.yaml says of the function for requests.
func onlineFunctionProps(scope constructs.Construct, f *Function) *OnlineFunctionProps {
	t := f.Spec.Targets.AWSLambda
	p := &OnlineFunctionProps{
		LambdaProps:      lambdaProps(scope, f),
		ApiType:          ApiType(t.API),
		AuthType:         authType(f),
		CorsAllowOrigins: slices.Clone(t.CORS),
		Live:             jsii.Bool(true), // even all at once there is a version to go back to
		LogErrors:        jsii.Bool(f.Spec.Compliance != "none"),
	}
	if t.ResponseStreaming {
		p.InvokeMode = awslambda.InvokeMode_RESPONSE_STREAM
	}
	if t.Throttle != nil {
		p.Throttle = &awsapigatewayv2.ThrottleSettings{RateLimit: jsii.Number(float64(t.Throttle.Rate)), BurstLimit: jsii.Number(float64(t.Throttle.Burst))}
	}
	if t.ProvisionedConcurrency > 0 {
		p.ProvisionedConcurrentExecutions = jsii.Number(float64(t.ProvisionedConcurrency))
	}
	for _, one := range t.ProvisionedSchedule {
		s := awsapplicationautoscaling.ScalingSchedule{
			Schedule:    awsapplicationautoscaling.Schedule_Expression(jsii.String(one.At)),
			MinCapacity: jsii.Number(float64(one.Concurrency)), MaxCapacity: jsii.Number(float64(one.Concurrency)),
		}
		if one.Timezone != "" {
			s.TimeZone = awscdk.TimeZone_Of(jsii.String(one.Timezone))
		}
		p.ProvisionedSchedule = append(p.ProvisionedSchedule, s)
	}
	return p
}
