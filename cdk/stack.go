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

	Observability *Observability
	Rollout       *Rollout // of Online's alias
	BatchRollout  *Rollout // of Batch's
}

// NewStack makes of a function what its godwit.yaml says: the function with its
// API, and batch scoring, rollout and alarms where they are asked for.
func NewStack(scope constructs.Construct, id string, p *StackProps) *Stack {
	s := &Stack{Stack: awscdk.NewStack(scope, jsii.String(id), &p.StackProps)}
	f := *p.Function
	checkPackage(&f)
	f.key = encryptionKey(s.Stack, &f)
	f.vpcConfig = vpcConfig(s.Stack, &f)
	s.addOnline(&f)
	s.addEdge(&f)
	s.addBatch(&f)
	s.observe(&f)
	s.addCompliance(&f)
	return s
}

// addOnline makes the function for requests, and says in the stack's outputs
// where it is.
func (s *Stack) addOnline(f *Function) {
	s.Online = NewOnlineFunction(s.Stack, "Online", onlineFunctionProps(s.Stack, f))
	output := func(name, description string, value *string) {
		awscdk.NewCfnOutput(s.Stack, jsii.String(name), &awscdk.CfnOutputProps{Description: jsii.String(description), Value: value})
	}
	output("FunctionName", "The function that answers requests.", s.Online.Function.FunctionName())
	if s.Online.Url != nil {
		output("Url", "Where requests go; "+s.Online.Payload+".", s.Online.Url)
	}
	if s.Online.TargetGroup != nil {
		output("TargetGroupArn", "For a rule of a load balancer's listener; "+s.Online.Payload+".", s.Online.TargetGroup.Ref())
	}
}
