package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscodedeploy"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// RolloutProps is how an alias goes from one version of its function to the next.
type RolloutProps struct {
	// Alias is what callers go through; required. OnlineFunction has one, of the
	// function's current version.
	Alias awslambda.Alias
	// DeploymentConfigName is one of CodeDeploy's for Lambda, such as
	// "CodeDeployDefault.LambdaCanary10Percent5Minutes", or one of one's own;
	// nil: "CodeDeployDefault.LambdaAllAtOnce".
	DeploymentConfigName *string
	// Alarms end a deployment and roll it back. One that is on when a deployment
	// begins ends it at once: Observability's WatchNewVersion makes those that
	// are of the new version alone.
	Alarms []awscloudwatch.IAlarm
	// PreTrafficHook is the function that asks the new version all that is
	// recorded in the package before it gets any traffic. Its Code is the
	// package; its Environment is not the function's. nil: nothing is asked.
	PreTrafficHook *LambdaProps
}

// Rollout moves an alias by CodeDeploy. Its fields may be read after it was made.
type Rollout struct {
	constructs.Construct
	Application     awscodedeploy.LambdaApplication
	DeploymentGroup awscodedeploy.LambdaDeploymentGroup
	Role            *Role // CodeDeploy's

	// The hook's; nil without.
	Hook         awslambda.Function
	HookRole     *Role
	HookLogGroup awslogs.LogGroup
}

// NewRollout has CloudFormation change the alias by deployments of CodeDeploy,
// which are rolled back, and the stack with them, when the hook, an alarm or
// somebody stops them. The first deployment of a stack makes the alias, and has
// no traffic and no hook.
func NewRollout(scope constructs.Construct, id string, p *RolloutProps) *Rollout {
	r := &Rollout{Construct: constructs.NewConstruct(scope, jsii.String(id))}
	r.Application = awscodedeploy.NewLambdaApplication(r.Construct, jsii.String("Application"), nil)
	r.Role = newRole(r.Construct, "Role", "codedeploy.amazonaws.com")
	if p.PreTrafficHook != nil {
		r.makeHook(p)
	}
	r.allow(p)
	config := or(p.DeploymentConfigName, jsii.String("CodeDeployDefault.LambdaAllAtOnce"))
	var alarms []interfacesawscloudwatch.IAlarmRef
	for _, a := range p.Alarms {
		alarms = append(alarms, a)
	}
	props := &awscodedeploy.LambdaDeploymentGroupProps{
		Application: r.Application, DeploymentGroupName: jsii.String(liveName), Alias: p.Alias, Role: r.Role.IRole,
		DeploymentConfig: awscodedeploy.LambdaDeploymentConfig_FromLambdaDeploymentConfigName(r.Construct, jsii.String("Config"), config),
		Alarms:           &alarms,
		AutoRollback: &awscodedeploy.AutoRollbackConfig{
			FailedDeployment: jsii.Bool(true), StoppedDeployment: jsii.Bool(true), DeploymentInAlarm: jsii.Bool(len(alarms) > 0),
		},
	}
	if r.Hook != nil {
		props.PreHook = r.Hook
	}
	r.DeploymentGroup = awscodedeploy.NewLambdaDeploymentGroup(r.Construct, jsii.String("DeploymentGroup"), props)
	r.DeploymentGroup.Node().AddDependency(r.Role.policy)
	if r.Hook != nil {
		// The alias is what a deployment begins with.
		p.Alias.Node().AddDependency(r.HookRole.policy)
	}
	return r
}

// makeHook makes the function of the package that asks the new version.
func (r *Rollout) makeHook(p *RolloutProps) {
	version := p.Alias.Version()
	props := *p.PreTrafficHook
	variables := map[string]*string{}
	if props.Environment != nil {
		for name, value := range *props.Environment {
			variables[name] = value
		}
	}
	variables["GODWIT_HOOK"] = awscdk.Fn_Join(jsii.String(":"), &[]*string{version.Lambda().FunctionName(), version.Version()})
	props.Environment = &variables
	if props.MemorySize == nil {
		props.MemorySize = jsii.Number(512) // no model is loaded
	}
	if props.Timeout == nil {
		props.Timeout = awscdk.Duration_Minutes(jsii.Number(15)) // for 1024 requests at most
	}
	if props.Description == nil {
		props.Description = jsii.String("Asks a new version what is recorded, before it gets traffic")
	}
	l := newLambda(r.Construct, "Hook", &props)
	r.Hook, r.HookRole, r.HookLogGroup = l.Function, l.Role, l.LogGroup
	r.HookRole.Allow("AskNewVersion", []string{"lambda:InvokeFunction"}, version.FunctionArn())
	// The group itself waits for its role, which waits for the hook, and so
	// cannot be referred to.
	r.HookRole.Allow("TellCodeDeploy", []string{"codedeploy:PutLifecycleEventHookExecutionStatus"}, awscdk.Stack_Of(r.Construct).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("codedeploy"), Resource: jsii.String("deploymentgroup"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
		ResourceName: jsii.String(*r.Application.ApplicationName() + "/" + liveName),
	}))
}

// allow permits CodeDeploy what a deployment takes. AWS's managed policy for it
// has all functions, alarms and topics of the account.
func (r *Rollout) allow(p *RolloutProps) {
	function := p.Alias.Version().Lambda().FunctionArn()
	r.Role.Allow("MoveAlias", []string{"lambda:GetAlias", "lambda:UpdateAlias"}, function)
	if p.Alias.Node().DefaultChild().(awslambda.CfnAlias).ProvisionedConcurrencyConfig() != nil {
		// The alias itself waits for the deployment group, and so cannot be referred to.
		live := awscdk.Fn_Join(jsii.String(":"), &[]*string{function, jsii.String(liveName)})
		r.Role.Allow("AwaitEnvironments", []string{"lambda:GetProvisionedConcurrencyConfig"}, live)
	}
	if r.Hook != nil {
		r.Role.Allow("AskHook", []string{"lambda:InvokeFunction"}, r.Hook.FunctionArn())
	}
	var alarms []*string
	for _, a := range p.Alarms {
		alarms = append(alarms, a.AlarmArn())
	}
	if len(alarms) > 0 {
		r.Role.Allow("ReadAlarms", []string{"cloudwatch:DescribeAlarms"}, alarms...)
	}
}
