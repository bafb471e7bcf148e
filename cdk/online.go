package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// OnlineFunctionProps is a function that answers requests, and the API in front of it.
type OnlineFunctionProps struct {
	LambdaProps
	// AliasName is what callers go through, so that a version can be rolled out
	// and back; nil: the function itself.
	AliasName *string
}

// OnlineFunction answers requests. Its fields may be read after it was made.
type OnlineFunction struct {
	constructs.Construct
	Function awslambda.Function
	Alias    awslambda.Alias // nil: callers reach the function itself
	Role     *Role
	LogGroup awslogs.LogGroup
	// HttpApi or RestApi is the API, where there is one.
	HttpApi awsapigatewayv2.HttpApi
	RestApi awsapigateway.RestApi
	// Url is where requests go, without a slash at its end; nil where there is no API.
	Url *string
}

// onlineFunctionProps is what godwit.yaml says of the function for requests.
func onlineFunctionProps(scope constructs.Construct, f *Function) *OnlineFunctionProps {
	return &OnlineFunctionProps{LambdaProps: lambdaProps(scope, f)}
}

// NewOnlineFunction makes the function and its API.
func NewOnlineFunction(scope constructs.Construct, id string, p *OnlineFunctionProps) *OnlineFunction {
	o := &OnlineFunction{Construct: constructs.NewConstruct(scope, jsii.String(id))}
	l := newLambda(o.Construct, "Function", &p.LambdaProps)
	o.Function, o.Role, o.LogGroup = l.Function, l.Role, l.LogGroup
	return o
}
