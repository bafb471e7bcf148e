package cdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
)

// newHTTPAPI puts an HTTP API in front of handler, with one stage and payloads
// of format 2.0.
func (o *OnlineFunction) newHTTPAPI(p *OnlineFunctionProps, handler awslambda.IFunction) {
	integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("Integration"), handler, &awsapigatewayv2integrations.HttpLambdaIntegrationProps{
		PayloadFormatVersion: awsapigatewayv2.PayloadFormatVersion_VERSION_2_0(),
	})
	props := &awsapigatewayv2.HttpApiProps{
		ApiName:            o.Node().Path(),
		DefaultIntegration: integration,
		DefaultAuthorizer:  awsapigatewayv2authorizers.NewHttpIamAuthorizer(),
		CreateDefaultStage: jsii.Bool(false),
	}
	if p.AuthType == awslambda.FunctionUrlAuthType_NONE {
		props.DefaultAuthorizer = nil
	}
	if len(p.CorsAllowOrigins) > 0 {
		props.CorsPreflight = &awsapigatewayv2.CorsPreflightOptions{
			AllowOrigins: jsii.Strings(p.CorsAllowOrigins...),
			AllowMethods: &[]awsapigatewayv2.CorsHttpMethod{awsapigatewayv2.CorsHttpMethod_GET, awsapigatewayv2.CorsHttpMethod_POST},
			AllowHeaders: jsii.Strings(browserHeaders()...),
			MaxAge:       awscdk.Duration_Hours(jsii.Number(1)),
		}
	}
	o.HttpApi = awsapigatewayv2.NewHttpApi(o.Construct, jsii.String("HttpApi"), props)
	if props.DefaultAuthorizer != nil && props.CorsPreflight != nil {
		// Browsers ask for leave without credentials. The gateway answers that
		// itself, but only where the route asks nobody who they are.
		o.HttpApi.AddRoutes(&awsapigatewayv2.AddRoutesOptions{
			Path: jsii.String("/{proxy+}"), Methods: &[]awsapigatewayv2.HttpMethod{awsapigatewayv2.HttpMethod_OPTIONS},
			Integration: integration, Authorizer: awsapigatewayv2.NewHttpNoneAuthorizer(),
		})
	}
	o.AccessLogGroup = newLogGroup(o.Construct, "AccessLog", p.LogRetention, p.EncryptionKey)
	stage := awsapigatewayv2.NewHttpStage(o.Construct, jsii.String("Stage"), &awsapigatewayv2.HttpStageProps{
		HttpApi: o.HttpApi, StageName: jsii.String("$default"), AutoDeploy: jsii.Bool(true), Throttle: p.Throttle,
	})
	stage.Node().DefaultChild().(awsapigatewayv2.CfnStage).SetAccessLogSettings(&awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
		DestinationArn: o.AccessLogGroup.LogGroupArn(), Format: jsii.String(accessLogFormat("$context.routeKey")),
	})
	o.Url = o.HttpApi.ApiEndpoint()
}
