package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// OnlineFunctionProps is a function that answers requests, and the API in front of it.
type OnlineFunctionProps struct {
	LambdaProps
}

// OnlineFunction answers requests. Its fields may be read after it was made.
type OnlineFunction struct {
	constructs.Construct
	Function awslambda.Function
	Role     *Role
	LogGroup awslogs.LogGroup
}

// NewOnlineFunction makes the function and its API.
func NewOnlineFunction(scope constructs.Construct, id string, p *OnlineFunctionProps) *OnlineFunction {
	o := &OnlineFunction{Construct: constructs.NewConstruct(scope, jsii.String(id))}
	l := newLambda(o.Construct, "Function", &p.LambdaProps)
	o.Function, o.Role, o.LogGroup = l.Function, l.Role, l.LogGroup
	return o
}
