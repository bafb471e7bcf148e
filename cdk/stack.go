package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// StackProps is what a stack has besides its function.
type StackProps struct {
	awscdk.StackProps
	Function *Function // required
}

// Stack is all that a godwit.yaml asks for on AWS.
type Stack struct {
	awscdk.Stack
	Online *OnlineFunction
	Batch  *BatchScoring // nil where nothing starts batch scoring
	Edge   *EdgeCache    // nil where no answers are kept in front of the function
}

// NewStack makes of a function what its godwit.yaml says: the function with its
// API, and batch scoring, rollout and alarms where they are asked for.
func NewStack(scope constructs.Construct, id string, p *StackProps) *Stack {
	s := &Stack{Stack: awscdk.NewStack(scope, jsii.String(id), &p.StackProps)}
	s.Online = NewOnlineFunction(s.Stack, "Online", onlineFunctionProps(s.Stack, p.Function))
	s.addEdge(p.Function)
	s.addBatch(p.Function)
	AddCompliance(s.Stack, p.Function.Spec.Compliance)
	return s
}
