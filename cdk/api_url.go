package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
)

// newURL gives handler a URL of its own.
func (o *OnlineFunction) newURL(p *OnlineFunctionProps, handler awslambda.IFunction) {
	options := &awslambda.FunctionUrlOptions{AuthType: p.AuthType, InvokeMode: p.InvokeMode}
	if len(p.CorsAllowOrigins) > 0 {
		options.Cors = &awslambda.FunctionUrlCorsOptions{
			AllowedOrigins: jsii.Strings(p.CorsAllowOrigins...),
			AllowedMethods: &[]awslambda.HttpMethod{awslambda.HttpMethod_GET, awslambda.HttpMethod_POST},
			AllowedHeaders: jsii.Strings(browserHeaders()...),
			MaxAge:         awscdk.Duration_Hours(jsii.Number(1)),
		}
	}
	o.FunctionUrl = handler.AddFunctionUrl(options)
	host := awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), o.FunctionUrl.Url(), nil))
	o.Url = awscdk.Fn_Join(jsii.String(""), &[]*string{jsii.String("https://"), host})
}

// newTargetGroup makes handler a target of load balancers of this account and
// region, with all values of headers. Who may reach it says the rule of a
// listener, which is not this construct's.
func (o *OnlineFunction) newTargetGroup(p *OnlineFunctionProps, handler awslambda.IFunction) {
	permission := awslambda.NewCfnPermission(o.Construct, jsii.String("BalancerPermission"), &awslambda.CfnPermissionProps{
		Action: jsii.String("lambda:InvokeFunction"), FunctionName: handler.FunctionArn(),
		Principal: jsii.String("elasticloadbalancing.amazonaws.com"),
		// A group registers a function only when it may call it already, so its
		// own ARN cannot stand here.
		SourceArn: awscdk.Stack_Of(o.Construct).FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("elasticloadbalancing"), Resource: jsii.String("targetgroup"), ResourceName: jsii.String("*")}),
	})
	o.TargetGroup = awselasticloadbalancingv2.NewCfnTargetGroup(o.Construct, jsii.String("TargetGroup"), &awselasticloadbalancingv2.CfnTargetGroupProps{
		TargetType: jsii.String("lambda"),
		Targets:    []any{&awselasticloadbalancingv2.CfnTargetGroup_TargetDescriptionProperty{Id: handler.FunctionArn()}},
		TargetGroupAttributes: []any{&awselasticloadbalancingv2.CfnTargetGroup_TargetGroupAttributeProperty{
			Key: jsii.String("lambda.multi_value_headers.enabled"), Value: jsii.String("true")}},
	})
	o.TargetGroup.Node().AddDependency(permission)
	if p.AuthType != awslambda.FunctionUrlAuthType_NONE {
		awscdk.Annotations_Of(o.Construct).AddInfo(jsii.String("a load balancer asks callers who they are only where the rule of its listener says so: give the rule an action that authenticates"))
	}
}
